"""Responses drawn from the fitted model: y* = X β̂ + Z b* + ε*, new random effects in every replicate.

Replicate i uses `fold_in(key(seed), i)` with a named generator, so that it is the same whatever else is drawn and
however JAX is configured.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from jaxlmm.design import Design
from jaxlmm.errors import DataError
from jaxlmm.fit import Fit
from jaxlmm.fit.compiling import program

NO_VARIANCE = 1e-12
"""Variance of the modes in a direction, relative to the largest, below which there is none."""

SEEDS = (-(2**63), 2**63 - 1)
"""Smallest and largest seed: those of a signed integer of 64 bits."""


def simulate(design: Design, fit: Fit, mean: np.ndarray, n: int, seed: int) -> np.ndarray:
    """Draw n responses (n_obs, n) given the fixed part `mean` (n_obs,), offset included.

    Raises
    ------
    DataError
        When `n` is not a number of replicates, or `seed` not an integer of 64 bits.
    """
    check_replicates(n, seed)
    return draw_responses(design, fit, mean, np.arange(n), seed)


def check_replicates(n: int, seed: int) -> None:
    """Refuse what is no number of replicates, or no seed.

    Raises
    ------
    DataError
        As `simulate` says.
    """
    if not isinstance(n, int | np.integer) or isinstance(n, bool) or n < 1:
        raise DataError(f"n={n!r} is not a number of replicates; write 1 or more")
    if not isinstance(seed, int | np.integer):
        raise DataError(f"seed={seed!r} is not an integer")
    if not SEEDS[0] <= seed <= SEEDS[1]:
        raise DataError(f"seed={seed} does not fit into 64 bits; write an integer from {SEEDS[0]} to {SEEDS[1]}")


@jax.threefry_partitionable(True)
def draw_responses(design: Design, fit: Fit, mean: np.ndarray, replicates: np.ndarray, seed: int) -> np.ndarray:
    """The replicates with these numbers, (n_obs, R)."""
    key = jax.random.key(seed, impl="threefry2x32")
    root = np.ones(design.n_obs) if design.weights is None else np.sqrt(design.weights)
    shapes = (*((block.n_levels, block.z.shape[1]) for block in design.random), (design.n_obs,))
    answer = np.empty((design.n_obs, replicates.size))
    for column, i in enumerate(replicates):
        *effects, noise = (np.asarray(part) for part in _normal(shapes, key, i))
        value = mean + fit.sigma * noise / root
        for block, lam, u in zip(design.random, fit.lambdas, effects, strict=True):
            value = value + fit.sigma * np.einsum("nk,nk->n", block.z, (u @ lam.T)[block.codes])
        answer[:, column] = value
    return answer


@program(0)
def _normal(shapes, key, i):
    """Standard normal numbers of replicate i, an array for each shape."""
    keys = jax.random.split(jax.random.fold_in(key, i), len(shapes))
    return tuple(jax.random.normal(own, shape, jnp.float64) for own, shape in zip(keys, shapes, strict=True))


@jax.threefry_partitionable(True)
def draw_residuals(design: Design, fit: Fit, mean: np.ndarray, replicates: np.ndarray, seed: int) -> np.ndarray:
    """Replicates (n_obs, R) made of resampled conditional modes and residuals; `mean` and they leave the offset out.

    Conditional modes and residuals vary too little; they are centered, modes are turned by A with AᵀSA = σ²ΛΛᵀ, S their
    covariance matrix, and residuals are scaled to σ (Carpenter, Goldstein & Rasbash 2003, Appl. Stat. 52(4)). A direction
    without variance stays without.
    """
    key = jax.random.key(seed, impl="threefry2x32")
    root = np.ones(design.n_obs) if design.weights is None else np.sqrt(design.weights)
    fitted = mean.copy()
    for block, b in zip(design.random, fit.b, strict=True):
        fitted += np.einsum("nk,nk->n", block.z, b[block.codes])
    rest = (design.y - fitted) * root
    rest = rest - rest.mean()
    rest *= fit.sigma / np.sqrt(np.mean(rest**2))
    modes = [_reflated(b, fit.sigma * lam) for b, lam in zip(fit.b, fit.lambdas, strict=True)]
    answer = np.empty((design.n_obs, replicates.size))
    for column, i in enumerate(replicates):
        keys = jax.random.split(jax.random.fold_in(key, i), len(modes) + 1)
        value = mean + rest[np.asarray(jax.random.randint(keys[-1], (rest.size,), 0, rest.size))] / root
        for block, b, own in zip(design.random, modes, keys[:-1], strict=True):
            drawn = b[np.asarray(jax.random.randint(own, (len(b),), 0, len(b)))]
            value = value + np.einsum("nk,nk->n", block.z, drawn[block.codes])
        answer[:, column] = value
    return answer


def _reflated(b: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """Centered modes (levels, k) with covariance `factor` times its transpose."""
    centered = b - b.mean(axis=0)
    values, vectors = np.linalg.eigh(centered.T @ centered / len(b))
    present = values > NO_VARIANCE * values[-1]
    inverse_root = np.where(present, 1.0, 0.0) / np.sqrt(np.where(present, values, 1.0))
    # Turned as little as may be: the symmetric root of S⁻¹, and that of the wanted covariance.
    wanted, directions = np.linalg.eigh(factor @ factor.T)
    root = (directions * np.sqrt(np.maximum(wanted, 0.0))) @ directions.T
    return centered @ ((vectors * inverse_root) @ vectors.T) @ root
