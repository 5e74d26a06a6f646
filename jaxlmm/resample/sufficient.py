"""Replicates of one grouping factor's sufficient statistics: exact draws without any vector of n rows.

In the notation of `pls.grouped`, with Z_g = Q_gL_gᵀ in the metric of W, a response y* = Zb* + ε* enters a fit only through

    N_yg = Q_gᵀWy* = σ(L_gᵀΛu_g + ξ_g),    XᵀWy* within the levels = σFz,    y*ᵀWy* within them = σ²(zᵀz + χ²),

with u_g, ξ_g, z independent standard normal, FFᵀ the within-level XᵀWX (r its rank), and χ² with n - Σ rank Z_g - r degrees
of freedom: Q_g, the rest of X and what is orthogonal to both are orthogonal pieces of one white noise. The fixed part Xβ̂
shifts β* and nothing else. Replicate i uses `fold_in(key(seed), i)`, so that it is the same in any chunk. Called by
`bootstrap`.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import gammaincinv

from jaxlmm import pls
from jaxlmm.fit import Batch, Fit, Model, numpy_lambdas
from jaxlmm.fit.compiling import program
from jaxlmm.linalg import lower_blocks

RANK = 1e-12
"""Eigenvalues of the within-level XᵀWX below this fraction of the total XᵀWX are rounding errors of zero."""


class Sampler(NamedTuple):
    """What draws need: lower (k, k, L), Λ (k, k), σ, F (p, p), and which of its columns are there (p,)."""

    lower: Any
    lam: Any
    sigma: Any
    root: Any
    present: Any


Source = tuple[Sampler, pls.ClassSums | None, float]
"""A sampler, how its levels are added up, and the degrees of freedom of χ²."""


def sampler(model: Model, fit: Fit) -> Source:
    """The sampler of a fit of one grouping factor."""
    gram, plan, coordinates = model.gram, model.plan, model.coordinates
    lower, _ = lower_blocks(gram.zz[0], gram.zx[0])
    assert gram.within is not None
    values, vectors = np.linalg.eigh(gram.within)
    present = values > RANK * gram.xx
    root = vectors * np.sqrt(np.where(present, values, 0.0))
    rank = int(np.sum(np.einsum("kkl->kl", lower) > 0)) + int(present.sum())
    sigma = fit.sigma / coordinates.sigma_unit
    (lam,) = numpy_lambdas(plan, fit.standard_theta)
    return (
        Sampler(lower, lam, np.float64(sigma), root, present.astype(float)),
        pls.class_sums(plan, gram),
        float(coordinates.n_obs - rank),
    )


def draw(model: Model, fit: Fit, own: Source, seed: int, replicates: np.ndarray) -> Batch:
    """The replicates with these numbers, as lanes of the fit's model."""
    parts, sums, degrees = own
    with jax.threefry_partitionable(True):
        key = jax.random.key(seed, impl="threefry2x32")
        ny, xy, yy, uniform = jax.device_get(_draw(parts, key, replicates))
    if degrees > 0:
        yy = yy + parts.sigma**2 * 2.0 * gammaincinv(0.5 * degrees, uniform)
    lanes = replicates.size
    response = pls.compress_projected(sums, model.gram, ny, np.vstack([xy, yy]))
    scale = np.full(lanes, model.coordinates.scale)
    return Batch(response, scale, np.repeat(fit.beta[:, None], lanes, axis=1))


@program()
def _draw(parts: Sampler, key, replicates):
    """N_y (k, L, R), XᵀWy and yᵀWy within the levels but for χ², and a uniform number for each lane."""
    (k, _, levels), p = parts.lower.shape, parts.root.shape[0]

    def numbers(i):
        keys = jax.random.split(jax.random.fold_in(key, i), 4)
        shape = (levels, k)
        effects, noise = (jax.random.normal(own, shape, jnp.float64) for own in keys[:2])
        return (
            effects,
            noise,
            jax.random.normal(keys[2], (p,), jnp.float64),
            jax.random.uniform(keys[3], (), jnp.float64),
        )

    u, xi, z, uniform = jax.vmap(numbers, out_axes=-1)(replicates)
    u, xi = jnp.swapaxes(u, 0, 1), jnp.swapaxes(xi, 0, 1)
    half = [sum(parts.lam[m, i] * parts.lower[m, j][:, None] for m in range(k)) for j in range(k) for i in range(k)]
    present = (jnp.stack([parts.lower[j, j] for j in range(k)]) > 0)[:, :, None]
    ny = jnp.stack([sum(half[j * k + i] * u[i] for i in range(k)) for j in range(k)])
    ny = parts.sigma * (ny + xi * present)
    z = z * parts.present[:, None]
    xy = parts.sigma * (parts.root @ z)
    yy = parts.sigma**2 * jnp.sum(z * z, axis=0)
    return ny, xy, yy, uniform
