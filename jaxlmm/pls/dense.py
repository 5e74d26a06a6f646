"""Everything in one dense matrix: the plain bordered Cholesky factorization.

The oracle's twin, and the plan to hold every other plan against. Memory is (q + p)², work its cube.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxlmm.covariance import n_columns
from jaxlmm.linalg import spd_factor, spd_logdet, spd_solve
from jaxlmm.pls.bucket import bucket, fixed_diagonal
from jaxlmm.pls.protocol import Factor
from jaxlmm.pls.standard import Gram, Response


class Matrix(NamedTuple):
    """Reduced gram: zz (q, q), zx (q, p), xx (p,)."""

    zz: Any
    zx: Any
    xx: Any


def compress(plan, gram: Gram):
    """Write out ZᵀWZ and ZᵀWX."""
    sizes = [zz.shape[0] * zz.shape[2] for zz in gram.zz]
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    p = gram.zx[0].shape[1]
    zz = np.zeros((offsets[-1], offsets[-1]))
    zx = np.zeros((offsets[-1], bucket(p)))
    for t, block in enumerate(gram.zz):
        k, _, levels = block.shape
        index = offsets[t] + _positions(k, levels)
        zz[index[:, None, :], index[None, :, :]] = block
        zx[index, :p] = gram.zx[t].transpose(0, 2, 1)
    for (s, t), pair in gram.pairs.items():
        k_s, k_t, _ = pair.block.shape
        rows = offsets[s] + pair.first * k_s + np.arange(k_s)[:, None]
        columns = offsets[t] + pair.second * k_t + np.arange(k_t)[:, None]
        zz[rows[:, None, :], columns[None, :, :]] = pair.block
        zz[columns[None, :, :], rows[:, None, :]] = pair.block
    return Matrix(zz, zx, fixed_diagonal(gram.xx, p)), None


def compress_response(plan, layout, gram: Gram, response: Response):
    """Zᵀ Wy in one vector (q,), and yy."""
    return np.concatenate([zy.T.ravel() for zy in response.zy]), np.asarray(response.yy)


def factor(plan, layout, gram: Matrix, lambdas) -> Factor:
    """Factor ΛᵀZᵀWZΛ + I and eliminate it."""
    scale = jax.scipy.linalg.block_diag(
        *(jnp.kron(jnp.eye(levels), lam) for levels, lam in zip(plan.levels, lambdas, strict=True))
    )
    zz = scale.T @ gram.zz @ scale + jnp.eye(gram.zz.shape[0])
    zx = scale.T @ gram.zx
    factored = spd_factor(zz)
    solved = spd_solve(factored, zx)
    return Factor(spd_logdet(factored), jnp.diag(gram.xx) - zx.T @ solved, (scale, factored, solved))


def solve(plan, layout, factor: Factor, response) -> tuple[jax.Array, jax.Array]:
    """Eliminate the random effects from the response's border."""
    zy, yy = response
    scale, factored, solved = factor.parts
    zy = scale.T @ zy
    return -solved.T @ zy, yy - zy @ spd_solve(factored, zy[:, None])[:, 0]


def _positions(k: int, levels: int) -> np.ndarray:
    """Row of column j of level g: (k, levels)."""
    return np.arange(levels) * k + np.arange(k)[:, None]


def response_by_factor(plan, response):
    """The part of a reduced response (or of its gradient) that belongs to each factor: (k, levels)."""
    parts, offset = [], 0
    for k, levels in _shapes(plan):
        parts.append(response[0][offset : offset + k * levels].reshape(levels, k).T)
        offset += k * levels
    return parts


def blocks_by_factor(plan, gram: Matrix):
    """The diagonal blocks of a reduced gram (or of its gradient) of each factor: (k, k, levels)."""
    parts, offset = [], 0
    for k, levels in _shapes(plan):
        index = offset + _positions(k, levels)
        parts.append(gram.zz[index[:, None, :], index[None, :, :]])
        offset += k * levels
    return parts


def _shapes(plan):
    return [(n_columns(terms), levels) for terms, levels in zip(plan.terms, plan.levels, strict=True)]
