"""Grams that differ between lanes of one grouping factor: by weights of their own, or by multiplicities of the levels.

*Weights.* With A_g the unweighted least-squares coefficients of X on a level's Z_g and X_r = X - Z A what they leave, a lane
with weights W has

    Z_gᵀWZ_g = L_gL_gᵀ,    N_g = L_g⁻¹Z_gᵀWX_r + L_gᵀA_g,    within = X_rᵀWX_r - Σ (L_g⁻¹Z_gᵀWX_r)ᵀ(L_g⁻¹Z_gᵀWX_r),

so that for all lanes at once every sum over rows is a matrix of products of columns, dense or sparse, times the matrix of
weights, and nothing larger than what is within the levels without weights is ever subtracted. Where one row has nearly all
the weight of its level that is still too much; such lanes are found, and left to the path of a single fit. The response is
treated as X is. A weight of zero leaves a row out: that is how a lane misses a value.

*Multiplicities.* A level that stands m_g times in a lane (0 for left out) adds m_g times what it adds once (DESIGN §4). What
is within the levels must be known level by level.

Called by `fit`; read by `lanes`.
"""

from typing import NamedTuple

import numpy as np
from scipy import sparse

from jaxlmm.linalg import lower_blocks
from jaxlmm.pls.bucket import bucket, pad_last
from jaxlmm.pls.frames import power_of_two
from jaxlmm.pls.grouped import Levels
from jaxlmm.pls.responses import Residuals, Responder

RANK = 1e-13
"""Smallest eigenvalue of a lane's XᵀWX, scaled to a unit diagonal, at which its coefficients are identified."""


LOST, NOTHING = 1e-5, 1e-10
"""A lane whose within-level sums are below the first fraction of what they are the difference of has lost digits, unless both
are below the second fraction of a column's whole sum of squares, that is zero."""


class LaneSums(NamedTuple):
    """What an evaluation of R lanes reads, as `lanes` wants it.

    Attributes
    ----------
    gram : Levels
        With an axis of lanes where lanes differ.
    response : tuple
        N_y (k, levels, R), XᵀWy (p, R) and yᵀWy (R,) within the levels.
    n_obs, sum_log_weights, weight_scale : (R,) arrays
        Rows, Σ log w̃ and ω of each lane.
    identified : (R,) bool array
        Whether the rows of a lane identify its coefficients and variances, as far as these sums can tell.
    """

    gram: Levels
    response: tuple[np.ndarray, np.ndarray, np.ndarray]
    n_obs: np.ndarray
    sum_log_weights: np.ndarray
    weight_scale: np.ndarray
    identified: np.ndarray


class Products(NamedTuple):
    """Products of columns, row by row, that weights multiply: sparse for Z_gᵀWZ_g, Z_gᵀWX_r, dense for X_rᵀWX_r."""

    zz: sparse.csr_array
    zx: sparse.csr_array
    xx: np.ndarray
    coefficients: np.ndarray

    @classmethod
    def of(cls, responder: Responder) -> "Products":
        """From the rows of a design without weights and with one grouping factor."""
        x, gram, codes, values = responder.within_x, responder.gram, responder.codes, responder.columns
        assert x is not None and codes is not None and values is not None
        k, p, levels = gram.zx[0].shape
        rows = np.arange(len(x))
        i, j = np.triu_indices(k)
        a, b = np.triu_indices(p)

        def stacked(columns: np.ndarray) -> sparse.csr_array:
            """One block of levels for each column (c, n)."""
            where = np.arange(len(columns))[:, None] * levels + codes
            return sparse.csr_array(
                (columns.ravel(), (where.ravel(), np.tile(rows, len(columns)))),
                shape=(len(columns) * levels, rows.size),
            )

        zx = (values[:, None] * x.T[None]).reshape(k * p, rows.size)
        return cls(
            stacked(values[i] * values[j]),
            stacked(zx) if p else sparse.csr_array((0, rows.size)),
            (x[:, a] * x[:, b]).T,
            responder.level_coefficients(gram.zx[0]),
        )


def weighted_lanes(responder: Responder, products: Products, found: Residuals, weights: np.ndarray) -> LaneSums:
    """Lanes with weights (n, R), zero where a row is left out."""
    gram, x = responder.gram, responder.within_x
    assert x is not None
    (k, p, levels), lanes = gram.zx[0].shape, weights.shape[1]
    present = weights > 0
    n_obs = present.sum(axis=0).astype(float)
    total = weights.sum(axis=0)
    omega = power_of_two(np.where(n_obs > 0, total, 1.0) / np.maximum(n_obs, 1.0))
    omega = np.where(np.log2(omega) % 2 == 0, omega, 2.0 * omega)
    weights = weights / omega
    inside = responder.less_levels(found.rest, found.zy[0])
    weighed = weights * inside

    square = np.empty((k, k, levels, lanes))
    i, j = np.triu_indices(k)
    square[i, j] = square[j, i] = (products.zz @ weights).reshape(-1, levels, lanes)
    right = np.empty((k, p + 1, levels, lanes))
    right[:, :p] = (products.zx @ weights).reshape(k, p, levels, lanes)
    right[:, p] = (responder.zt[0] @ weighed).reshape(k, levels, lanes)
    lower, projected = (
        part.reshape(*part.shape[:2], levels, lanes)
        for part in lower_blocks(square.reshape(k, k, -1), right.reshape(k, p + 1, -1))
    )
    nx, ny = projected[:, :p].copy(), projected[:, p].copy()
    of_x, of_y = products.coefficients, responder.level_coefficients(np.ascontiguousarray(found.zy[0].swapaxes(1, 2)))
    for row in range(k):
        for column in range(row, k):
            nx[row] += lower[column, row] * of_x[column][:, :, None]
            ny[row] += lower[column, row] * of_y[column].T

    flat = np.ascontiguousarray(projected.transpose(3, 1, 0, 2)).reshape(lanes, p + 1, -1)
    explained = flat @ flat.swapaxes(1, 2)
    within = np.empty((p + 1, p + 1, lanes))
    a, b = np.triu_indices(p)
    within[a, b] = within[b, a] = products.xx @ weights
    within[:p, p] = x.T @ weighed
    within[p, p] = np.einsum("nr,nr->r", weighed, inside)
    before = np.einsum("ppr->pr", within).copy()
    within -= explained.transpose(1, 2, 0)
    after, whole_size = np.einsum("ppr->pr", within), weights.sum(axis=0)
    accurate = ~np.any((after < LOST * before) & (before > NOTHING * whole_size), axis=0)
    whole = within[:p, :p] + np.einsum("kplr,kqlr->pqr", nx, nx, optimize=True) if not present.all() else None
    groups = np.sum(np.einsum("kklr->klr", square).max(axis=0) > 0, axis=0)
    log_weights = np.log(weights, where=present, out=np.zeros_like(weights)).sum(axis=0)
    return _assembled(
        (lower, nx, ny, within, np.ones(levels)),
        n_obs,
        log_weights,
        omega,
        accurate & _full_rank(whole, p) & (n_obs > p) & (groups > 1) & (groups < n_obs),
    )


class LevelSums(NamedTuple):
    """What each level of a design adds: within (p + 1, p + 1, levels), rows and Σ log w̃ (levels,), N_x and N_y of [X y]."""

    lower: np.ndarray
    nx: np.ndarray
    ny: np.ndarray
    within: np.ndarray
    n_obs: np.ndarray
    sum_log_weights: np.ndarray

    @classmethod
    def of(cls, responder: Responder, found: Residuals) -> "LevelSums":
        """From the rows of a design with one grouping factor and one response."""
        gram, codes, x = responder.gram, responder.codes, responder.within_x
        assert codes is not None and x is not None
        _, p, levels = gram.zx[0].shape
        columns = np.column_stack([x, responder.less_levels(found.rest, found.zy[0])])
        weights = responder.weights
        if weights is None:
            weights = np.full(len(x), 1.0 / responder.coordinates.weight_scale)
        within = np.empty((p + 1, p + 1, levels))
        for a in range(p + 1):
            for b in range(a + 1):
                sums = np.bincount(codes, weights * columns[:, a] * columns[:, b], minlength=levels)
                within[a, b] = within[b, a] = sums
        lower, projected = lower_blocks(gram.zz[0], np.concatenate([gram.zx[0], found.zy[0].swapaxes(1, 2)], axis=1))
        return cls(
            lower,
            projected[:, :p],
            projected[:, p],
            within,
            np.bincount(codes, minlength=levels).astype(float),
            np.bincount(codes, np.log(weights), minlength=levels),
        )


def repeated_lanes(sums: LevelSums, counts: np.ndarray, weight_scale: float) -> LaneSums:
    """Lanes in which level g stands counts[g] times, counts (levels, R)."""
    (k, p, levels), lanes = sums.nx.shape, counts.shape[1]
    within = (sums.within.reshape(-1, levels) @ counts).reshape(p + 1, p + 1, lanes)
    outer = np.einsum("kpl,kql->pql", sums.nx, sums.nx).reshape(p * p, levels)
    whole = within[:p, :p] + (outer @ counts).reshape(p, p, lanes)
    n_obs, groups = sums.n_obs @ counts, counts.sum(axis=0)
    return _assembled(
        (sums.lower, sums.nx, np.broadcast_to(sums.ny[:, :, None], (k, levels, lanes)), within, counts),
        n_obs,
        sums.sum_log_weights @ counts,
        np.full(lanes, weight_scale),
        _full_rank(whole, p) & (n_obs > p) & (groups > 1) & (groups < n_obs),
    )


def _assembled(parts, n_obs, log_weights, omega, identified) -> LaneSums:
    """Padded as every plan pads: levels with empty blocks, X with columns whose cross-product is the identity."""
    lower, nx, ny, within, count = parts
    k, p, levels = nx.shape[:3]
    lanes, size, wide = within.shape[-1], bucket(levels), bucket(p)
    padded = np.zeros((wide, wide, lanes))
    padded[:p, :p] = within[:p, :p]
    padded[range(p, wide), range(p, wide)] = 1.0
    if nx.ndim == 4:
        own = np.zeros((lanes, wide, k, size))
        own[:, :p, :, :levels] = nx.transpose(3, 1, 0, 2)
        lower = np.pad(lower, [(0, 0), (0, 0), (0, size - levels), (0, 0)])
    else:
        own = np.pad(nx, [(0, 0), (0, wide - p), (0, size - levels)])
        lower = pad_last(lower, size)
    counts = pad_last(count, size) if count.ndim == 1 else np.pad(count, [(0, size - levels), (0, 0)])
    xy = np.pad(within[:p, p], [(0, wide - p), (0, 0)])
    response = (np.pad(ny, [(0, 0), (0, size - levels), (0, 0)]), xy, within[p, p])
    return LaneSums(Levels(lower, own, padded, counts), response, n_obs, log_weights, omega, identified)


def _full_rank(whole: np.ndarray | None, p: int) -> np.ndarray:
    """Whether XᵀWX (p, p, R) has full rank; of lanes that keep all rows (None) it has."""
    if whole is None or p == 0:
        return np.array(True)
    size = np.sqrt(np.maximum(np.einsum("ppr->pr", whole), 0.0))
    scaled = np.moveaxis(whole / np.maximum(size[:, None] * size[None], np.finfo(float).tiny), -1, 0)
    return np.linalg.eigvalsh(scaled)[:, 0] > RANK
