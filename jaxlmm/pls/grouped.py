"""One grouping factor: the random effects of a level are independent of those of all others.

With M_g = Z_gᵀWZ_g and N_g = Z_gᵀW[X y] of level g,

    A_g = ΛᵀM_gΛ + I = L_gL_gᵀ,    H_g = L_g⁻¹Λᵀ,    Schur complement: [X y]ᵀW[X y] - Σ_g N_gᵀH_gᵀH_gN_g.

*Unique blocks*: levels with the same M_g share H_g, so only Σ_g N_g ⊗ N_g is needed of each class, summed
once. It is taken when that is smaller than the levels themselves.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxlmm.linalg import inverse_factor, logdet, matmul, transpose
from jaxlmm.pls.bucket import bucket, fixed_diagonal, pad_columns, pad_last
from jaxlmm.pls.protocol import Factor
from jaxlmm.pls.standard import Gram, Response


class Levels(NamedTuple):
    """Reduced gram without sharing: zz (k, k, L), zx (k, p, L), xx (p,), count (L,) levels each stands for."""

    zz: Any
    zx: Any
    xx: Any
    count: Any


class Classes(NamedTuple):
    """Reduced gram by unique block: zz (k, k, U), outer products xx_outer (k, k, p, p, U), xx (p,), count (U,)."""

    zz: Any
    xx_outer: Any
    xx: Any
    count: Any


def unique_blocks(gram: Gram) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """First level (U,), class of each level (L,) and size (U,) of each class of equal blocks."""
    k, _, levels = gram.zz[0].shape
    rows = np.ascontiguousarray(gram.zz[0][np.triu_indices(k)].T)
    keys = rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1]))).reshape(levels)
    _, first, where, count = np.unique(keys, return_index=True, return_inverse=True, return_counts=True)
    return first, where, count


def sharing_pays(gram: Gram) -> bool:
    """Whether the classes, with their outer products, are smaller than the levels."""
    k, p, levels = gram.zx[0].shape
    return unique_blocks(gram)[0].size * k * (p + 1) < levels


def compress(plan, gram: Gram):
    """Pad the levels, or sum them into classes."""
    k, p, levels = gram.zx[0].shape
    width, xx = bucket(p), fixed_diagonal(gram.xx, p)
    if not plan.unique:
        size = bucket(levels)
        zx = pad_last(pad_columns(gram.zx[0], width), size)
        return Levels(pad_last(gram.zz[0], size), zx, xx, np.ones(size)), None
    first, where, count = unique_blocks(gram)
    outer = _outer_sums(pad_columns(gram.zx[0], width), pad_columns(gram.zx[0], width), where, first.size)
    size = bucket(first.size)
    zz = pad_last(gram.zz[0][:, :, first], size)
    return Classes(zz, pad_last(outer, size), xx, pad_last(count.astype(float), size)), None


def compress_response(plan, layout, gram: Gram, response: Response):
    """The response's part: zy (k, L) and yy, or the outer products of each class with those of X."""
    if not plan.unique:
        return pad_last(response.zy[0], bucket(response.zy[0].shape[1])), np.asarray(response.yy)
    first, where, _ = unique_blocks(gram)
    size = bucket(first.size)
    zx, zy = pad_columns(gram.zx[0], bucket(gram.zx[0].shape[1])), response.zy[0][:, None, :]
    xy = _outer_sums(zx, zy, where, first.size)[:, :, :, 0]
    yy = _outer_sums(zy, zy, where, first.size)[:, :, 0, 0]
    return pad_last(xy, size), pad_last(yy, size), np.asarray(response.yy)


def factor(plan, layout, gram, lambdas) -> Factor:
    """Factor every block and eliminate it."""
    upper = lambdas[0].T[:, :, None]
    scaled = matmul(matmul(upper, gram.zz), transpose(upper))
    w = inverse_factor(scaled + jnp.eye(scaled.shape[0])[:, :, None])
    whitener = matmul(w, upper)
    log_determinant = jnp.sum(gram.count * logdet(w))
    if plan.unique:
        share = matmul(transpose(whitener), whitener)
        xx = jnp.diag(gram.xx) - jnp.einsum("iju,ijpqu->pq", share, gram.xx_outer)
        return Factor(log_determinant, xx, share)
    border = matmul(whitener, gram.zx)
    xx = jnp.diag(gram.xx) - jnp.einsum("kpl,kql->pq", border, border)
    return Factor(log_determinant, xx, (whitener, border))


def solve(plan, layout, factor: Factor, response) -> tuple[jax.Array, jax.Array]:
    """Eliminate the random effects from the response's border."""
    if plan.unique:
        xy_outer, yy_outer, yy = response
        xy = -jnp.einsum("iju,ijpu->p", factor.parts, xy_outer)
        return xy, yy - jnp.einsum("iju,iju->", factor.parts, yy_outer)
    zy, yy = response
    whitener, border = factor.parts
    c = jnp.einsum("ijl,jl->il", whitener, zy)
    return -jnp.einsum("kpl,kl->p", border, c), yy - jnp.sum(c * c)


def _outer_sums(a: np.ndarray, b: np.ndarray, where: np.ndarray, n: int) -> np.ndarray:
    """Sum over the levels of each class of a[i, p] b[j, q]: (k, k, p, q, n)."""
    order = np.argsort(where, kind="stable")
    starts = np.searchsorted(where[order], np.arange(n))
    a, b = a[:, :, order], b[:, :, order]
    products = np.empty((a.shape[0], b.shape[0], a.shape[1], b.shape[1], n))
    for i, j, p, q in np.ndindex(products.shape[:4]):
        products[i, j, p, q] = np.add.reduceat(a[i, p] * b[j, q], starts)
    return products


def response_by_factor(plan, response):
    """The part of a reduced response (or of its gradient) that belongs to each factor: (k, levels)."""
    return [response[0]]


def blocks_by_factor(plan, gram):
    """The diagonal blocks of a reduced gram (or of its gradient) of each factor: (k, k, levels)."""
    return [gram.zz]
