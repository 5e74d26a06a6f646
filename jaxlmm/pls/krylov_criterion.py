"""The criterion of a `krylov` plan with its gradient and average information, and the Monte Carlo error of both.

Everything but log|S| is exact (to the residual of conjugate gradients). Within a round (`krylov_round`) the criterion is
one smooth function of θ, with the derivative computed from the same vectors. For a vector w of the tail, extended so that
Ψ_C·x = 0,

    d(wᵀSw) = 2 Σ_t <dΛ_t, Σ_g (ZᵀWZΛx)_g x_gᵀ>.

Slopes ∂d/∂Λ and the Hessian are those of `information`, in NumPy or on the device, outside compiled programs. Called by
`fit`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxlmm.covariance import positions
from jaxlmm.pls import krylov_logdet
from jaxlmm.pls.criterion import Profile, assemble, lambdas
from jaxlmm.pls.information import damping, directions, off_boundary, own_part
from jaxlmm.pls.krylov import Parts, System
from jaxlmm.pls.krylov_round import KrylovReduced, arguments_of, in_design, system_of
from jaxlmm.pls.plan import Plan

FAR = 30.0
"""Mean eigenvalue of A, one where the round was made, beyond which (and below whose inverse) a round says nothing."""


class OutOfRound(Exception):
    """θ is so far from where the round was made that another is wanted."""


KEPT = 2
"""Evaluations that a round remembers."""


class Look(NamedTuple):
    """What one evaluation saw.

    Attributes
    ----------
    profile : Profile
        The criterion and its parts.
    b : list of (k, levels) arrays
        Conditional modes, in the design's order.
    slopes : list of (k, k) arrays
        ∂d/∂Λ, in the design's order.
    noise : list of (c, k, k) arrays
        What each probe adds to the slopes: their spread is the Monte Carlo error.
    values : (c,) array
        What each probe adds to the criterion.
    moments : Moments
        What information and degrees of freedom are made from.
    """

    profile: Profile
    b: list[Any]
    slopes: list[Any]
    noise: list[np.ndarray]
    values: np.ndarray
    moments: Moments


class Moments(NamedTuple):
    """Solutions at one θ that information and degrees of freedom are made from.

    Attributes
    ----------
    system : System
        S there.
    scores : parts (levels, k, p + 1)
        ZᵀV⁻¹[X y].
    """

    system: System
    scores: Parts


def look(plan: Plan, reduced: KrylovReduced, factors, reml: float, sloped: bool = True) -> Look:
    """The criterion at Λ of each factor, in the design's order; with slopes, unless they are not wanted."""
    assert reduced.round is not None
    own = reduced.round
    arguments = arguments_of(plan, reduced, factors, own)
    base = reduced.programs.base(*arguments)
    size = own.basis.shape[0]
    if not 1.0 / FAR <= float(base.trace) / size <= FAR:
        raise OutOfRound
    system = system_of(plan, reduced, factors, own, base)
    accuracy = krylov_logdet.ESTIMATED if own.probes.shape[1] else krylov_logdet.EXACT
    exact, probed = (krylov_logdet.forms(system.scaled, v, accuracy) for v in (own.basis, own.probes))
    values = np.concatenate([part.value for part in probed]) if probed else np.zeros(0)
    known = sum(float(part.value.sum()) for part in exact)
    spread = float(values.mean()) if values.size else 0.0
    logdet = float(base.logdet) + own.logdet + float(base.trace) - size + known + spread

    # The fixed effects and the response: exact.
    zy, yy = reduced.response
    right = [np.concatenate([np.asarray(x), y.T[:, :, None]], axis=2) for x, y in zip(reduced.gram.zx, zy, strict=True)]
    modes, scores = _modes_and_scores(system, right, own.basis)
    explained = sum(np.einsum("lkp,lkq->pq", np.asarray(a), np.asarray(b)) for a, b in zip(right, modes, strict=True))
    explained = 0.5 * (explained + explained.T)
    xx = np.diag(np.asarray(reduced.gram.chain.xx)[: explained.shape[0] - 1]) - explained[:-1, :-1]
    profile = assemble(
        reduced.sizes(), logdet, jnp.asarray(xx), jnp.asarray(-explained[:-1, -1]), float(yy) - explained[-1, -1], reml
    )
    profile = jax.tree.map(np.asarray, profile)
    beta = np.append(-profile.beta, 1.0)
    b = [np.asarray(part @ beta).T for part in modes]

    moments = Moments(system, scores)
    if not sloped:
        return Look(profile, in_design(plan, b), [], [], values, moments)
    slopes = [np.zeros(lam.shape) for lam in system.lambdas]
    degrees = reduced.n_obs - reml * reduced.n_fixed
    w = profile.fixed_inverse_factor
    for t, (lam, score) in enumerate(zip(system.lambdas, scores, strict=True)):
        fixed = np.asarray(score[:, :, :-1]) @ w.T
        residual = np.asarray(score @ beta)
        g = -reml * np.einsum("lap,lbp->ab", fixed, fixed)
        g = g - degrees / float(profile.pwrss) * residual.T @ residual
        slopes[t] = 2.0 * g @ np.asarray(lam)
    noise = _slopes_of_forms(system, probed, len(values))
    for t, part in enumerate(_slopes_of_forms(system, exact, own.basis.shape[1])):
        slopes[t] = slopes[t] + part.sum(axis=0) + (noise[t].mean(axis=0) if len(values) else 0.0)
    for position, part in enumerate(reduced.programs.slopes(*arguments)):
        slopes[plan.order.index(position)] += np.asarray(part)
    return Look(profile, in_design(plan, b), in_design(plan, slopes), in_design(plan, noise), values, moments)


def _modes_and_scores(system: System, right: Parts, basis: np.ndarray) -> tuple[Parts, Parts]:
    """b = ΛΨ⁻¹Λᵀr of cross-products r = ZᵀWv, and s = ZᵀV⁻¹v.

    s is r - ZᵀWZb, and b = Σs; (I + Σ)⁻¹(b + s) loses digits neither where Σ is large nor where it is small.
    """
    u = system.solve([lam.T @ part for lam, part in zip(system.lambdas, right, strict=True)], basis)
    modes = [lam @ part for lam, part in zip(system.lambdas, u, strict=True)]
    damped = [np.asarray(damping(np.asarray(lam))) for lam in system.lambdas]
    rows = system.products(modes)
    return modes, [d @ (m + r - row) for d, m, r, row in zip(damped, modes, right, rows, strict=True)]


def curvature(plan: Plan, reduced: KrylovReduced, theta, reml: float):
    """Value (), gradient (n_theta,) and average-information Hessian (n_theta, n_theta), as `information.information`."""
    return evaluated(plan, reduced, theta, reml)[:3]


def evaluated(plan: Plan, reduced: KrylovReduced, theta, reml: float):
    """The same, with what was seen."""
    assert reduced.round is not None
    known, key = reduced.round.seen, (np.asarray(theta, dtype=float).tobytes(), float(reml))
    response, found = known.get(key, (None, None))
    # Lanes share a round, and have other responses.
    if response is not reduced.response:
        for old in list(known)[: 1 - KEPT]:
            known.pop(old, None)  # another thread's lane may have been first
        found = _evaluated(plan, reduced, theta, reml)
        known[key] = reduced.response, found
    return found


def _evaluated(plan: Plan, reduced: KrylovReduced, theta, reml: float):
    factors = [np.asarray(lam) for lam in lambdas(plan, jnp.asarray(theta))]
    away, near = off_boundary([jnp.asarray(lam) for lam in factors])
    beside = [np.asarray(lam) for lam in away]
    there = look(plan, reduced, beside, reml).slopes if bool(near) else None
    seen = look(plan, reduced, factors, reml)
    parts = [
        own_part(terms, jnp.asarray(slope), jnp.asarray(lam), jnp.asarray(own))
        for terms, slope, lam, own in zip(
            plan.terms, seen.slopes, factors if there is None else beside, there or seen.slopes, strict=True
        )
    ]
    gradient = np.concatenate([np.asarray(part) for part, _ in parts])
    hessian = observed(plan, reduced, seen, reml)
    begin = 0
    for _, part in parts:
        end = begin + part.shape[0]
        hessian[begin:end, begin:end] += np.asarray(part)
        begin = end
    return seen.profile.objective, gradient, 0.5 * (hessian + hessian.T), seen


def of_pwrss(plan: Plan, seen: Look) -> np.ndarray:
    """Derivatives (n_theta,) of log r² in θ."""
    beta = np.append(-seen.profile.beta, 1.0)
    residual = [np.asarray(score @ beta)[:, :, None] for score in seen.moments.scores]
    return -_by_theta(plan, seen, residual)[:, 0] / float(seen.profile.pwrss)


def of_variances(plan: Plan, seen: Look, combinations: np.ndarray) -> np.ndarray:
    """Derivatives (n_theta, m) of log cᵀ(XᵀV⁻¹X)⁻¹c for vectors c (p, m), those of padding columns left out."""
    w = seen.profile.fixed_inverse_factor
    half = w @ combinations[: w.shape[1]]
    scores = [np.asarray(score)[:, :, :-1] @ (w.T @ half) for score in seen.moments.scores]
    return _by_theta(plan, seen, scores) / np.maximum(np.sum(half**2, axis=0), np.finfo(float).tiny)


def _by_theta(plan: Plan, seen: Look, vectors: Parts) -> np.ndarray:
    """Derivatives (n_theta, r) of Σ_g v_gᵀΛΛᵀv_g for vectors (levels, k, r) in the order of elimination."""
    each = [
        2.0 * np.einsum("lar,lbr->abr", v, np.asarray(lam).T @ v)
        for v, lam in zip(vectors, seen.moments.system.lambdas, strict=True)
    ]
    return np.concatenate(
        [slope[positions(terms)] for terms, slope in zip(plan.terms, in_design(plan, each), strict=True)]
    )


def observed(plan: Plan, reduced: KrylovReduced, seen: Look, reml: float) -> np.ndarray:
    """Observed information of the variances (n_theta, n_theta), as in `information`."""
    profile, system = seen.profile, seen.moments.system
    beta = np.append(-profile.beta, 1.0)
    scores = in_design(plan, [np.asarray(score @ beta).T for score in seen.moments.scores])
    lambdas = in_design(plan, [jnp.asarray(lam) for lam in system.lambdas])
    ways = [np.asarray(part) for part in directions(plan, lambdas, [jnp.asarray(s) for s in scores])]
    ordered = [np.ascontiguousarray(ways[t].transpose(2, 1, 0)) for t in plan.order]
    assert reduced.round is not None
    # ZᵀPZ w: what is left of the response Zw.
    right = system.products(ordered)
    _, images = _modes_and_scores(system, right, reduced.round.basis)
    h = [score[:, :, :-1] for score in seen.moments.scores]
    fixed = sum(np.einsum("lkp,lki->pi", np.asarray(a), np.asarray(v)) for a, v in zip(h, ordered, strict=True))
    half = profile.fixed_inverse_factor @ fixed
    products = sum(np.einsum("lki,lkj->ij", np.asarray(a), np.asarray(v)) for a, v in zip(ordered, images, strict=True))
    products = products - half.T @ half
    along = sum(np.einsum("ikl,kl->i", d, s) for d, s in zip(ways, scores, strict=True))
    ratio = float(reduced.n_obs - reml * reduced.n_fixed) / float(profile.pwrss)
    return ratio * (products - np.outer(along, along) / float(profile.pwrss))


def _slopes_of_forms(system: System, parts: list[krylov_logdet.Forms], count: int) -> list[np.ndarray]:
    """What each start adds to ∂d/∂Λ of each factor: (count, k, k), in the order of elimination."""
    answer = [np.zeros((count, *lam.shape)) for lam in system.lambdas]
    for part in parts:
        tail = system.split(system.unwhitened(part.vectors))
        x, rows, _ = system.extended(tail)
        for t, (own, row) in enumerate(zip(x, rows, strict=True)):
            each = 2.0 * np.einsum("lam,lbm,m->mab", np.asarray(row), np.asarray(own), part.weights)
            np.add.at(answer[t], part.owner, each)
    return answer
