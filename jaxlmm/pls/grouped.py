"""One grouping factor: the random effects of a level are independent of those of all others.

With Z_g = Q_g L_gᵀ (so that Z_gᵀWZ_g = L_gL_gᵀ) and N_g = Q_gᵀ[X y] for level g, what is left of [X y] when the random
effects are integrated out is a sum of positive parts,

    T_g = I + L_gᵀΛΛᵀL_g,    log|L|² = Σ_g log|T_g|,    [X y]ᵀV⁻¹[X y] = within + Σ_g N_gᵀT_g⁻¹N_g,

where `within` are the cross-products after the projection of each level's Z_g (Lindstrom & Bates 1988, J. Am. Stat.
Assoc. 83(404), do the same with an orthogonal decomposition per level). Nothing is subtracted, so that groups whose
variance exceeds the residual's a billionfold lose no digits.

*Unique blocks*: levels with the same Z_gᵀWZ_g share T_g, so only Σ_g N_g ⊗ N_g is needed of each class, summed
once. It is taken when that is smaller than the levels themselves.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy import sparse

from jaxlmm.linalg import back_substitute, inverse_factor, logdet, lower_blocks, matmul, transpose
from jaxlmm.pls.bucket import bucket, pad_columns, pad_last
from jaxlmm.pls.protocol import Factor
from jaxlmm.pls.standard import Gram, Response

PER_LANE = 3.0
"""So many products of X with itself cost a lane what a product with its own response does; roughly, and not tuned."""


class Levels(NamedTuple):
    """Reduced gram without sharing: lower (k, k, L), nx (k, p, L), within (p, p), multiplicities m_g count (L,)."""

    lower: Any
    nx: Any
    within: Any
    count: Any


class Classes(NamedTuple):
    """Reduced gram by unique block: lower (k, k, U), outer products nn (k, k, p, p, U), within (p, p), count (U,)."""

    lower: Any
    nn: Any
    within: Any
    count: Any


def unique_blocks(gram: Gram) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """First level (U,), class of each level (L,) and size (U,) of each class of equal blocks."""
    k, _, levels = gram.zz[0].shape
    rows = np.ascontiguousarray(gram.zz[0][np.triu_indices(k)].T)
    keys = rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1]))).reshape(levels)
    _, first, where, count = np.unique(keys, return_index=True, return_inverse=True, return_counts=True)
    return first, where, count


def sharing_pays(gram: Gram, many_lanes: bool = False) -> bool:
    """Whether the classes, with their outer products, are smaller than the levels.

    Many lanes share the outer products, and only those of X with the response are a lane's own, while the outer products
    of all levels are what takes their time.
    """
    k, p, levels = gram.zx[0].shape
    return unique_blocks(gram)[0].size * k * (p + 1) < levels * (max(p / PER_LANE, 1.0) if many_lanes else 1.0)


def compress(plan, gram: Gram):
    """Project X on each level's Z_g, and pad the levels or sum them into classes."""
    p = gram.zx[0].shape[1]
    lower, nx = lower_blocks(gram.zz[0], pad_columns(gram.zx[0], bucket(p)))
    within = np.eye(bucket(p))
    within[:p, :p] = _present(gram.within)
    if not plan.unique:
        size = bucket(lower.shape[2])
        return Levels(pad_last(lower, size), pad_last(nx, size), within, np.ones(size)), None
    first, where, count = unique_blocks(gram)
    size = bucket(first.size)
    outer = pad_last(_outer_sums(nx, nx, where, first.size), size)
    return Classes(pad_last(lower[:, :, first], size), outer, within, pad_last(count.astype(float), size)), None


def compress_response(plan, layout, gram: Gram, response: Response):
    """The response's part: its projections (k, L), or their outer products; and what is within the levels."""
    p = gram.zx[0].shape[1]
    columns = np.concatenate([pad_columns(gram.zx[0], bucket(p)), response.zy[0][:, None, :]], axis=1)
    _, projected = lower_blocks(gram.zz[0], columns)
    nx, ny = projected[:, :-1], projected[:, -1:]
    within = _present(response.within)
    xy, yy = np.append(within[:-1], np.zeros(bucket(p) - p)), np.asarray(within[-1])
    if not plan.unique:
        return pad_last(ny[:, 0], bucket(ny.shape[2])), xy, yy
    first, where, _ = unique_blocks(gram)
    size = bucket(first.size)
    cross = _outer_sums(nx, ny, where, first.size)[:, :, :, 0]
    own = _outer_sums(ny, ny, where, first.size)[:, :, 0, 0]
    return (pad_last(cross, size), pad_last(own, size)), xy, yy


class ClassSums(NamedTuple):
    """Sparse matrices that add up over the levels of each class: (U, L), and weighted by each element of N_x (k p U, L)."""

    members: sparse.csr_array
    fixed: sparse.csr_array


def compress_lanes(sums: ClassSums | None, gram: Gram, zy: np.ndarray, within: np.ndarray):
    """Responses of R lanes: ZᵀWy (k, L, R), and what is within the levels (p + 1, R), as `lanes` wants them."""
    _, projected = lower_blocks(gram.zz[0], np.ascontiguousarray(zy.transpose(0, 2, 1)))
    return compress_projected(sums, gram, projected.transpose(0, 2, 1), within)


def compress_projected(sums: ClassSums | None, gram: Gram, ny: np.ndarray, within: np.ndarray):
    """The same from the responses' projections N_y (k, L, R)."""
    k, levels, lanes = ny.shape
    p = gram.zx[0].shape[1]
    xy = np.concatenate([within[:-1], np.zeros((bucket(p) - p, lanes))])
    if sums is None:
        return np.pad(ny, [(0, 0), (0, bucket(levels) - levels), (0, 0)]), xy, within[-1]
    members, fixed = sums
    size = bucket(members.shape[0])
    cross = np.zeros((k, k, bucket(p), size, lanes))
    own = np.zeros((k, k, size, lanes))
    for b in range(k):
        cross[:, b, :p, : members.shape[0]] = (fixed @ ny[b]).reshape(k, p, members.shape[0], lanes)
        for a in range(b + 1):
            own[a, b, : members.shape[0]] = own[b, a, : members.shape[0]] = members @ (ny[a] * ny[b])
    return (cross, own), xy, within[-1]


def class_sums(plan, gram: Gram) -> ClassSums | None:
    """How levels are added up into classes; None where each stands for itself."""
    if not plan.unique:
        return None
    first, where, _ = unique_blocks(gram)
    levels, classes = np.arange(where.size), first.size
    members = sparse.csr_array((np.ones(where.size), (where, levels)), shape=(classes, where.size))
    _, nx = lower_blocks(gram.zz[0], gram.zx[0])
    k, p, _ = nx.shape
    rows = np.arange(k * p)[:, None] * classes + where
    entries = nx.ravel(), (rows.ravel(), np.broadcast_to(levels, rows.shape).ravel())
    return ClassSums(members, sparse.csr_array(entries, shape=(k * p * classes, where.size)))


def factor(plan, layout, gram, lambdas) -> Factor:
    """Factor every T_g and add up the fixed effects' part."""
    lam = lambdas[0].T[:, :, None]
    half = matmul(lam, gram.lower)
    w = inverse_factor(matmul(transpose(half), half) + jnp.eye(half.shape[0])[:, :, None])
    log_determinant = jnp.sum(gram.count * logdet(w))
    if plan.unique:
        share = matmul(transpose(w), w)
        return Factor(log_determinant, gram.within + jnp.einsum("iju,ijpqu->pq", share, gram.nn), share)
    border = matmul(w, gram.nx)
    counted = gram.count * border
    return Factor(log_determinant, gram.within + jnp.einsum("kpl,kql->pq", border, counted), (w, counted, gram.count))


def solve(plan, layout, factor: Factor, response) -> tuple[jax.Array, jax.Array]:
    """Add up the response's part."""
    projected, xy, yy = response
    if plan.unique:
        cross, own = projected
        share = factor.parts
        return xy + jnp.einsum("iju,ijpu->p", share, cross), yy + jnp.einsum("iju,iju->", share, own)
    w, border, count = factor.parts
    c = jnp.einsum("ijl,jl->il", w, projected)
    return xy + jnp.einsum("kpl,kl->p", border, c), yy + jnp.sum(count * c * c)


def modes(gram: Gram, response: Response, lam: np.ndarray, beta: np.ndarray) -> np.ndarray:
    """b̂ (k, L) at Λ and β̂, on the host: ΛΛᵀL_g T_g⁻¹ L_g⁻¹Z_gᵀW(y - Xβ̂)."""
    rest = response.zy[0] - np.einsum("kpl,p->kl", gram.zx[0], beta)
    lower, projected = lower_blocks(gram.zz[0], rest[:, None, :])
    half = np.einsum("ji,jkl->ikl", lam, lower)
    square = np.einsum("ikl,iml->kml", half, half) + np.eye(lam.shape[0])[:, :, None]
    solved = back_substitute(*lower_blocks(square, projected))[:, 0]
    return lam @ np.einsum("ikl,kl->il", half, solved)


def _present(within: np.ndarray | None) -> np.ndarray:
    """The within-level cross-products, which every design with one grouping factor has."""
    assert within is not None
    return within


def _outer_sums(a: np.ndarray, b: np.ndarray, where: np.ndarray, n: int) -> np.ndarray:
    """Sum over the levels of each class of a[i, p] b[j, q]: (k, k, p, q, n)."""
    order = np.argsort(where, kind="stable")
    starts = np.searchsorted(where[order], np.arange(n))
    a, b = a[:, :, order], b[:, :, order]
    products = np.empty((a.shape[0], b.shape[0], a.shape[1], b.shape[1], n))
    for i, j, p, q in np.ndindex(products.shape[:4]):
        products[i, j, p, q] = np.add.reduceat(a[i, p] * b[j, q], starts)
    return products
