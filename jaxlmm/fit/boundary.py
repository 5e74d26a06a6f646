"""Minima on the boundary: random-effects terms whose covariance matrix is singular.

In Λ every zero column is a stationary point, so a small column proves nothing. What a minimum must satisfy
(the conditions of Karush, Kuhn and Tucker over the cone of semidefinite matrices) is stated in Σ = ΛΛᵀ: with
G = ∂d/∂Σ, no direction v without variance may have vᵀGv < 0. G comes from the gradient, ∂d/∂Λ = 2GΛ, taken at
ΛΛᵀ + δ²I, where Λ can be divided by. A fit that fails the test is moved into the direction of steepest descent and
continues. Called by `fit.single` for one lane.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxlmm import pls
from jaxlmm.covariance import canonical_theta, lambda_array
from jaxlmm.fit import evaluations
from jaxlmm.fit.directions import Directions, smallest_slopes, with_values

SMALL = 3e-3
"""Singular values of Λ (standardized) below this are tried at zero."""

EARLY = 2e-2
"""The same for a lane that has not stopped: on its way to a singular value of zero Newton's method is slow."""

SINGULAR = 1e-4
"""A fit is called singular when a singular value of Λ (standardized) is below this; lme4's tolerance."""

INDIFFERENT = 1e-7
"""A change of the objective that is not worth a variance component."""

LIFTED = 0.05
"""Smallest singular value of Λ (standardized) at which a lane starts: every zero column is a stationary point."""

BESIDE = 1e-5
"""δ: a variance of δ² (standardized) is below what makes a fit singular, and leaves G the digits of the gradient over δ."""

ESCAPE = 1e-6
"""A slope in ΛΛᵀ less negative than this, relative to the largest curvature met, is taken as zero."""


class Boundary(NamedTuple):
    """A factor of every covariance matrix with exact zeros, and what was found there.

    Attributes
    ----------
    lambdas : list of (k, k) arrays
        Square factors whose zero columns are the singular directions.
    value : float
        Objective there.
    slope : float
        Smallest vᵀGv over unit vectors in the singular directions of any term (NaN: none is singular).
    escape : list of (k, k) arrays or None
        Direction in Λ to leave the boundary by, where the slope is negative.
    """

    lambdas: list[np.ndarray]
    value: float
    slope: float
    escape: list[np.ndarray] | None


def numpy_lambdas(plan: pls.Plan, theta: np.ndarray) -> list[np.ndarray]:
    """Λ of each grouping factor as NumPy arrays."""
    parts = pls.split_theta(plan.terms, np.asarray(theta))
    return [lambda_array(terms, part) for terms, part in zip(plan.terms, parts, strict=True)]


def lifted(plan: pls.Plan, theta: np.ndarray) -> np.ndarray:
    """θ with no singular value of any Λ below LIFTED: a start from which every direction can be found."""
    factors = []
    for terms, lam in zip(plan.terms, numpy_lambdas(plan, theta), strict=True):
        factors.append(with_values(terms, lam[None], lambda values: np.maximum(values, LIFTED))[0][0])
    return theta_of(plan, factors)


def truncate(
    plan: pls.Plan, lambdas: list[np.ndarray], below: float
) -> tuple[list[np.ndarray], list[list[Directions]]]:
    """Square factors with singular values under `below` set to zero, and the directions of each term of each factor."""
    factors, found = [], []
    for terms, lam in zip(plan.terms, lambdas, strict=True):
        factor, own = with_values(terms, lam[None], lambda values: np.where(values < below, 0.0, values))
        factors.append(factor[0])
        found.append(own)
    return factors, found


def examine(model, theta: np.ndarray, reml: float, below: float = SMALL) -> Boundary | None:
    """Set small singular values to zero and test the slopes there; None where nothing is small."""
    plan, reduced = model.plan, model.reduced
    lambdas, found = truncate(plan, numpy_lambdas(plan, theta), below)
    if not any((own.values < below).any() for terms in found for own in terms):
        return None
    value = float(evaluations.of(plan).profile(plan, reduced, [jnp.asarray(f) for f in lambdas], reml).objective)
    slope, escape = _steepest(plan, reduced, lambdas, found, reml, below)
    return Boundary(lambdas, value, slope, escape)


def _steepest(plan, reduced, lambdas, found, reml, below):
    """Smallest slope in ΛΛᵀ over the singular directions of all terms, and the way out if it is negative."""
    away = [_beside(lam) for lam in lambdas]
    derivatives = evaluations.of(plan).slopes(plan, reduced, [jnp.asarray(lam) for lam in away], reml)
    smallest, best, largest = np.inf, None, 1.0
    for t, terms in enumerate(found):
        # ∂d/∂Λ = 2GΛ
        g = 0.5 * np.linalg.solve(away[t].T, np.asarray(derivatives[t]).T).T
        for own in terms:
            (slope,), (size,), (way,) = smallest_slopes(own, g[None], below)
            largest = max(largest, float(size))
            if slope < smallest:
                smallest = float(slope)
                best = [np.zeros_like(lam) for lam in lambdas]
                if own.diagonal:
                    best[t][own.block, own.block] = np.diag(way)
                else:
                    best[t][own.block, own.block.stop - 1] = way
    return smallest, best if smallest < -ESCAPE * largest else None


def _beside(lam: np.ndarray) -> np.ndarray:
    """Cholesky factor of ΛΛᵀ + δ²I, with a δ that double precision can tell from zero."""
    square = lam @ lam.T
    size = max(BESIDE**2, 1e-13 * float(np.trace(square)))
    return np.linalg.cholesky(square + size * np.eye(len(lam)))


def leave(model, boundary: Boundary, reml: float) -> np.ndarray | None:
    """Parameters θ off the boundary with a lower objective, or None where no step along the way out lowers it."""
    plan, reduced = model.plan, model.reduced
    for step in 0.5 ** np.arange(0, 12):
        factors = [lam + step * way for lam, way in zip(boundary.lambdas, boundary.escape or [], strict=True)]
        value = float(evaluations.of(plan).profile(plan, reduced, [jnp.asarray(f) for f in factors], reml).objective)
        if value < boundary.value - INDIFFERENT:
            return theta_of(plan, factors)
    return None


def theta_of(plan: pls.Plan, factors: list[np.ndarray]) -> np.ndarray:
    """Canonical θ of square factors."""
    return np.concatenate([canonical_theta(terms, f) for terms, f in zip(plan.terms, factors, strict=True)])
