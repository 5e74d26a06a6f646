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

SEEDS = (-(2**63), 2**63 - 1)
"""Smallest and largest seed: those of a signed integer of 64 bits."""


def simulate(design: Design, fit: Fit, mean: np.ndarray, n: int, seed: int) -> np.ndarray:
    """Draw n responses (n_obs, n) given the fixed part `mean` (n_obs,), offset included.

    Raises
    ------
    DataError
        When `n` is not a number of replicates, or `seed` not an integer of 64 bits.
    """
    if not isinstance(n, int | np.integer) or n < 1:
        raise DataError(f"n={n!r} is not a number of replicates; write 1 or more")
    if not isinstance(seed, int | np.integer):
        raise DataError(f"seed={seed!r} is not an integer")
    if not SEEDS[0] <= seed <= SEEDS[1]:
        raise DataError(f"seed={seed} does not fit into 64 bits; write an integer from {SEEDS[0]} to {SEEDS[1]}")
    with jax.threefry_partitionable(True):
        return _draw(design, fit, mean, n, seed)


def _draw(design: Design, fit: Fit, mean: np.ndarray, n: int, seed: int) -> np.ndarray:
    key = jax.random.key(seed, impl="threefry2x32")
    root = np.ones(design.n_obs) if design.weights is None else np.sqrt(design.weights)
    answer = np.empty((design.n_obs, n))
    for i in range(n):
        keys = jax.random.split(jax.random.fold_in(key, i), len(design.random) + 1)
        noise = np.asarray(jax.random.normal(keys[-1], (design.n_obs,), jnp.float64))
        value = mean + fit.sigma * noise / root
        for block, lam, own in zip(design.random, fit.lambdas, keys[:-1], strict=True):
            u = np.asarray(jax.random.normal(own, (block.n_levels, lam.shape[0]), jnp.float64))
            value = value + fit.sigma * np.einsum("nk,nk->n", block.z, (u @ lam.T)[block.codes])
        answer[:, i] = value
    return answer
