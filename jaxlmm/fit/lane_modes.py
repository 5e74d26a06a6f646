"""Fitted values of lanes of one grouping factor, at their θ and β, on the host and in the user's columns.

Called by `results`, for a few responses at a time.
"""

import numpy as np
from scipy import sparse

from jaxlmm.covariance import lambda_lanes
from jaxlmm.design import Design
from jaxlmm.linalg import back_substitute, lower_blocks


def fitted_lanes(design: Design, y: np.ndarray, weights: np.ndarray | None, theta: np.ndarray, beta: np.ndarray):
    """X β̂ + Z b̂ (n, R), b̂ = Λ (ΛᵀZᵀWZΛ + I)⁻¹ ΛᵀZᵀW (y - Xβ̂) level by level.

    Parameters
    ----------
    y : (n, R) array
        Responses without their offset, NaN where missing: such a row says nothing about its level.
    weights : (n, R) array or None
        Weights of each response; None: those of the design.
    theta, beta : (R, n_theta) and (R, p) arrays
        Estimates; NaN for coefficients that are not estimated.
    """
    block, lanes = design.random[0], y.shape[1]
    k, levels = block.z.shape[1], block.n_levels
    mean = design.x @ np.where(np.isnan(beta), 0.0, beta).T
    if weights is None:
        weights = np.broadcast_to(design.row_weights[:, None], y.shape)
    weights = np.where(np.isnan(y), 0.0, weights)
    rest = weights * np.where(np.isnan(y), 0.0, y - mean)
    rows = np.arange(len(y))
    to_levels = sparse.csr_array((np.ones(len(y)), (block.codes, rows)), shape=(levels, len(y)))
    zr = np.stack([to_levels @ (block.z[:, [i]] * rest) for i in range(k)])
    zz = np.empty((k, k, levels, lanes))
    for i in range(k):
        for j in range(i, k):
            zz[i, j] = zz[j, i] = to_levels @ ((block.z[:, i] * block.z[:, j])[:, None] * weights)
    lam = lambda_lanes(block.terms, theta.T)
    inner = np.einsum("rai,abgr,rbj->ijgr", lam, zz, lam, optimize=True) + np.eye(k)[:, :, None, None]
    right = np.einsum("rai,agr->igr", lam, zr)
    lower, half = lower_blocks(inner.reshape(k, k, -1), right.reshape(k, 1, -1))
    u = back_substitute(lower, half).reshape(k, levels, lanes)
    b = np.einsum("rai,igr->agr", lam, u)
    for i in range(k):
        mean += block.z[:, [i]] * b[i][block.codes]
    return mean
