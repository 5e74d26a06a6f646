"""The exact restricted likelihood-ratio test that the one variance component of a model is zero.

Under the null hypothesis the statistic is distributed as

    sup over λ ≥ 0 of  (n - p) log(1 + N(λ)/D(λ)) - Σ log(1 + λ μ_s),
    N = Σ λ μ_s/(1 + λ μ_s) w_s²,    D = Σ w_s²/(1 + λ μ_s) + Σ_{s > K} w_s²,

with w_s standard normal, n - p of them, and μ_s the eigenvalues of ZᵀP₀Z, P₀ the projection on the residuals of the fixed
effects (Crainiceanu & Ruppert 2004, J. R. Stat. Soc. B 66(1), theorem 1). Draws are lanes. Called by `results`; the caller
holds the double-precision scope.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import gammaincinv

from jaxlmm.errors import DesignError
from jaxlmm.fit import Fit, Model, null_objective

LARGEST = 10_000
"""Levels up to which the eigenvalues are computed."""

NOTHING = 1e-9
"""Relative part of a level's column that the fixed effects leave, below which they leave nothing."""

GRID, ROUNDS, FINER = 60, 4, 9
"""Values of log λ that are tried, how often the best one's neighbourhood is divided, and into how many."""

NUMBERS = 2**23
"""So many numbers an array of draws may hold."""


class RestrictedTest(NamedTuple):
    """An exact restricted likelihood-ratio test.

    Attributes
    ----------
    statistic : float
        Restricted likelihood ratio, minus twice its logarithm.
    p_value, std_error : float
        Share of the null distribution's draws at or above it, and the standard error that their number leaves.
    draws : (n,) array
        The null distribution.
    """

    statistic: float
    p_value: float
    std_error: float
    draws: np.ndarray

    def __repr__(self) -> str:
        error = f" ± {self.std_error:.2g}" if self.std_error else ""
        found = f"statistic {self.statistic:.4g}, p-value {self.p_value:.4g}{error}"
        return f"<RestrictedTest: {found} of {len(self.draws)} draws>"


def exact_test(model: Model, fit: Fit, n: int, seed: int) -> RestrictedTest:
    """Test by `n` draws of the null distribution.

    Raises
    ------
    DesignError
        When the fit is by maximum likelihood, or has more than one variance component or too many levels, or one that the
        fixed effects explain.
    """
    if not fit.reml:
        raise DesignError("the exact test is of the restricted likelihood; write fit.update(reml=True)")
    if fit.theta.size != 1:
        raise DesignError(
            f"the exact test is for one variance component, and this model has {fit.theta.size} covariance parameters; "
            "write fit.ranova()"
        )
    if _explained(model):
        raise DesignError(
            "the fixed effects explain every level of the grouping factor, so its variance is not identified and there is "
            "nothing to test; leave the factor out of one of the two parts"
        )
    statistic = max(null_objective(model, True) - fit.objective, 0.0)
    mu, counts = _eigenvalues(model)
    rest = model.coordinates.n_obs - model.coordinates.n_fixed - int(counts.sum())
    draws = np.empty(n)
    step = max(1, NUMBERS // (GRID * mu.size))
    for begin in range(0, n, step):
        numbers = np.arange(begin, min(begin + step, n))
        draws[numbers] = _suprema(mu, counts, rest, *_squares(counts, rest, numbers, seed))
    # A draw at the boundary is zero up to rounding, and so is the statistic of a fit there.
    share = float(np.mean(draws >= statistic - 1e-8))
    return RestrictedTest(statistic, share, float(np.sqrt(share * (1.0 - share) / n)), draws)


def _sums(model: Model) -> tuple[np.ndarray, np.ndarray]:
    """ZᵀZ (levels,), a diagonal, and ZᵀX (p, levels)."""
    return model.gram.zz[0][0, 0], model.gram.zx[0][0]


def _explained(model: Model) -> bool:
    """Whether the columns of Z are combinations of those of X, up to rounding."""
    zz, zx = _sums(model)
    return bool(np.all(zz - np.sum(zx**2, axis=0) / model.gram.xx <= NOTHING * zz))


def _eigenvalues(model: Model) -> tuple[np.ndarray, np.ndarray]:
    """Distinct positive eigenvalues of ZᵀP₀Z, and how often each stands."""
    zz, zx = _sums(model)
    if zz.size > LARGEST:
        raise DesignError(
            f"the exact test needs the eigenvalues of a matrix of {zz.size:,} rows; {LARGEST:,} is the limit"
        )
    values = np.linalg.eigvalsh(np.diag(zz) - zx.T @ zx / model.gram.xx)
    values = np.sort(values[values > 1e-9 * values[-1]])
    begins = np.flatnonzero(np.diff(values, prepend=-np.inf) > 1e-8 * values)
    counts = np.diff(begins, append=values.size)
    return np.add.reduceat(values, begins) / counts, counts


@jax.threefry_partitionable(True)
def _squares(counts: np.ndarray, rest: int, numbers: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Sums of squares of normal numbers, (R, m) for the eigenvalues and (R,) for the rest, by χ² quantiles."""
    key = jax.random.key(seed, impl="threefry2x32")
    uniform = jax.vmap(lambda i: jax.random.uniform(jax.random.fold_in(key, i), (counts.size + 1,), jnp.float64))
    drawn = np.asarray(uniform(numbers))
    squares = 2.0 * gammaincinv(0.5 * counts, drawn[:, :-1])
    return squares, 2.0 * gammaincinv(0.5 * rest, drawn[:, -1]) if rest else np.zeros(len(numbers))


def _suprema(mu: np.ndarray, counts: np.ndarray, free: int, squares: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """Largest restricted likelihood ratio (R,) over λ, zero at λ = 0."""
    degrees, total = counts.sum() + free, squares.sum(axis=1) + rest

    def ratio(log_lambda: np.ndarray) -> np.ndarray:
        """Of values (R, g) of log λ."""
        spread = np.exp(log_lambda)[..., None] * mu
        below = rest[:, None] + np.sum(squares[:, None] / (1.0 + spread), axis=2)
        return degrees * np.log(total[:, None] / below) - np.sum(counts * np.log1p(spread), axis=2)

    low, high = -np.log(mu.max()) - 14.0, -np.log(mu.min()) + 20.0
    points = np.broadcast_to(np.linspace(low, high, GRID), (len(squares), GRID))
    lanes = np.arange(len(squares))
    for _ in range(ROUNDS + 1):
        values = ratio(points)
        best = np.argmax(values, axis=1)
        centre, width = points[lanes, best], points[:, 1] - points[:, 0]
        points = centre[:, None] + width[:, None] * np.linspace(-1.0, 1.0, FINER)
    return np.maximum(values[lanes, best], 0.0)
