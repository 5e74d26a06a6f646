"""Fits of `krylov` plans: evaluations outside compiled programs, in rounds with more and more probes.

Each round minimizes one smooth estimate of the criterion; its probes tell how far θ̂ of other probes would lie,

    Var(θ̂ | data) = H⁻¹ Var(∂d̂/∂θ) H⁻¹,

and the next round takes as many as bring that below a fraction of the standard errors. Called by `single`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np

from jaxlmm import optimize, pls
from jaxlmm.covariance import positions
from jaxlmm.fit import programs
from jaxlmm.fit.record import Fit, Model, MonteCarlo
from jaxlmm.pls import krylov_criterion as criterion
from jaxlmm.pls import krylov_round as rounds

FEWEST, MOST = 8, 512
"""Probes of the first round, and of any."""

DIRECTIONS = (6, 48, 128)
"""Dominant directions of the first round, of the second, and of any."""

WHOLE = 48
"""Rows of the Schur complement up to which all directions are taken, so that nothing is estimated."""

ENOUGH = 0.03
"""Monte Carlo error of θ̂, in standard errors, at which a round is the last."""

ROUNDS = 6
"""How often probes are added."""

GOAL = 1e-5
"""Predicted decrease at which steps stop where the criterion is estimated: 3e-3 standard errors of θ."""

NEAR = 5.0
"""Mean eigenvalue of A, one where the round was made, within which a minimum is believed."""

RECENTRED = 40
"""How often a round is made anew because θ went far."""

NEARLY_SINGULAR = 3e-3
"""Size of a column of Λ (standardized) below which it is on the boundary, as far as an estimated criterion can tell."""

COMPILED = rounds.Programs(programs.krylov_base, programs.krylov_slopes, programs.krylov_diagonal)


@dataclass(frozen=True)
class Settings:
    """How a round is made.

    Attributes
    ----------
    probes, directions : int
        How many.
    """

    probes: int
    directions: int

    @classmethod
    def first(cls, size: int, like: MonteCarlo | None = None) -> Settings:
        """For a Schur complement of so many rows; those that a similar fit ended with, if there is one."""
        if like is not None:
            return cls(like.probes, like.directions)
        return cls(0, size) if size <= WHOLE else cls(FEWEST, min(DIRECTIONS[0], size // 4))

    def after(self, error: float, size: int) -> Settings:
        """More directions, and then more probes, after an error in standard errors."""
        if self.directions < DIRECTIONS[1]:
            return Settings(2 * self.probes, min(DIRECTIONS[1], size // 4))
        wanted = int(np.ceil(1.3 * self.probes * (error / ENOUGH) ** 2))
        return Settings(min(max(wanted, 2 * self.probes), MOST), min(2 * self.directions, DIRECTIONS[2], size // 4))


def minimize(plan, reduced, state, reml, limit):
    """As `programs.minimize`, step by step."""
    goal = GOAL if reduced.round.probes.shape[1] else -np.inf
    while int(state.status) == optimize.RUNNING and int(state.iteration) < limit:
        proposal = programs.propose(plan, state)
        # Not worth an evaluation, and, beside the boundary, where an estimated curvature has either sign, not to be told.
        if np.isfinite(state.value) and float(proposal.predicted) <= goal:
            return replace(state, status=np.asarray(optimize.CONVERGED), predicted=np.asarray(proposal.predicted))
        try:
            evaluation = criterion.curvature(plan, reduced, np.asarray(proposal.theta), float(reml))
        except criterion.OutOfRound:
            n = state.theta.size
            evaluation = np.nan, np.full(n, np.nan), np.full((n, n), np.nan)
        state = jax.device_get(programs.accept(state, proposal, tuple(map(jnp.asarray, evaluation))))
    return state


def profile(plan, reduced, lambdas, reml):
    """As `programs.profile`."""
    try:
        return criterion.look(plan, reduced, [np.asarray(lam) for lam in lambdas], float(reml), sloped=False).profile
    except criterion.OutOfRound:
        nothing = jnp.full((), jnp.nan)
        return pls.Profile(nothing, nothing, nothing[None], nothing[None, None], nothing)


def slopes(plan, reduced, lambdas, reml):
    """As `programs.slopes`."""
    try:
        return criterion.look(plan, reduced, [np.asarray(lam) for lam in lambdas], float(reml)).slopes
    except criterion.OutOfRound:
        return [np.full(np.asarray(lam).shape, np.nan) for lam in lambdas]


def estimates(plan, reduced, theta, reml):
    """As `programs.estimates`."""
    found = criterion.evaluated(plan, reduced, np.asarray(theta), float(reml))[3]
    return found.profile, found.b


def with_round(model: Model, theta: np.ndarray, settings: Settings) -> Model:
    """The model with a round made at θ."""
    made = rounds.new_round(
        model.plan, model.reduced, _factors(model.plan, theta), settings.directions, settings.probes
    )
    return replace(model, reduced=model.reduced._replace(round=made))


def near(model: Model, theta: np.ndarray) -> bool:
    """Whether a round still speaks of θ."""
    mean = rounds.spread(model.plan, model.reduced, _factors(model.plan, theta))
    return 1.0 / NEAR <= mean <= NEAR


def shared_round(model: Model, fit: Fit) -> Model:
    """The model with the round that a fit of other rows ended with: the same probes, so that little but the rows differs."""
    return with_round(model, np.asarray(fit.standard_theta), Settings.first(size_of(model), fit.monte_carlo))


def size_of(model: Model) -> int:
    """Rows of the Schur complement."""
    zz = model.reduced.gram.zz[model.plan.n_chain :]
    return sum(own.shape[0] * own.shape[1] for own in zz)


def monte_carlo(model: Model, state: optimize.State, reml: float) -> MonteCarlo:
    """What the probes leave uncertain at a minimum."""
    plan, own = model.plan, model.reduced.round
    found = criterion.evaluated(plan, model.reduced, np.asarray(state.theta), reml)[3]
    count = own.probes.shape[1]
    back = inverse(np.asarray(state.hessian), off_boundary(plan, np.asarray(state.theta)))
    each = [part[:, *positions(terms)] for part, terms in zip(found.noise, plan.terms, strict=True)]
    gradients = np.concatenate(each, axis=1)
    noise = np.atleast_2d(np.cov(gradients, rowvar=False)) / count if count > 1 else np.zeros_like(back)
    spread = back @ noise @ back
    change = criterion.of_pwrss(plan, found)[:, None] + criterion.of_variances(
        plan, found, model.coordinates.transform.T
    )
    return MonteCarlo(
        float(found.values.std(ddof=1) / np.sqrt(count)) if count > 1 else 0.0,
        np.sqrt(np.diagonal(spread)),
        np.sqrt(2.0 * np.diagonal(back)),
        0.5 * np.sqrt(np.einsum("ip,ij,jp->p", change, spread, change)),
        count,
        own.basis.shape[1],
    )


def off_boundary(plan: pls.Plan, theta: np.ndarray) -> np.ndarray:
    """Which parameters (n_theta,) stand in a column of Λ that is not nearly zero, so that they have a standard error."""
    large = [np.linalg.norm(lam, axis=0) > NEARLY_SINGULAR for lam in _factors(plan, theta)]
    return np.concatenate([own[positions(terms)[1]] for own, terms in zip(large, plan.terms, strict=True)])


def inverse(hessian: np.ndarray, moving: np.ndarray) -> np.ndarray:
    """Of the information about the parameters that are not on the boundary; zero for the others."""
    values, vectors = np.linalg.eigh(hessian[np.ix_(moving, moving)])
    known = values > optimize.FLAT * np.abs(values).max(initial=0.0)
    answer = np.zeros(hessian.shape)
    answer[np.ix_(moving, moving)] = (vectors[:, known] / values[known]) @ vectors[:, known].T
    return answer


def _factors(plan: pls.Plan, theta) -> list[np.ndarray]:
    return [np.asarray(lam) for lam in pls.lambdas(plan, jnp.asarray(theta))]
