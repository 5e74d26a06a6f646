"""Where a fit starts: a moment estimate of each variance from the cross-products, never zero.

With residuals r of the least-squares fit in units of their standard deviation, E[(z_gᵀr)² / z_gᵀz_g] is
1 + τ_j² (z_gᵀz_g - c_j), c_j the mean square of the column's entries, when column j alone has variance τ_j², and nearly so
when other factors cross it: Henderson's idea, one column at a time.
Called by `fit`; a better start saves iterations and changes no answer.
"""

import numpy as np

from jaxlmm import covariance
from jaxlmm.covariance import Structure
from jaxlmm.pls.responses import Residuals, Responses
from jaxlmm.pls.standard import Gram, Response

LEAST = 0.1
"""Smallest starting variance, relative to that at which a level's data and its prior weigh the same."""

CLEAR = 0.3
"""Part of a level's weight that c_j leaves at least, where most levels have one row."""


def starting_theta(
    gram: Gram, response: Response | Responses | Residuals, terms: tuple[tuple[Structure, ...], ...]
) -> np.ndarray:
    """Parameters (n_theta,) at which to start, in standard coordinates; (n_theta, R) where `response` is R lanes'."""
    variances, floors = [], []
    for zz, zy in zip(gram.zz, response.zy, strict=True):
        weight = np.einsum("kkl->kl", zz)
        inverse = np.where(weight > 0, 1.0, 0.0) / np.where(weight > 0, weight, 1.0)
        n_levels = np.maximum((weight > 0).sum(axis=1), 1)
        mean_weight = np.maximum(weight.sum(axis=1), np.finfo(float).tiny) / n_levels
        variance = np.where(np.asarray(response.yy) > 0, response.yy, 1.0) / gram.xx
        lanes = (slice(None), *(None,) * np.ndim(variance))
        excess = np.einsum("kl...,kl->k...", zy**2, inverse) / n_levels[lanes] / variance - 1.0
        own = np.maximum(mean_weight - weight.sum(axis=1) / gram.xx, CLEAR * mean_weight)
        variances.append(excess / own[lanes])
        floors.append(np.minimum(LEAST / mean_weight, 1.0)[lanes])
    explained = sum(np.clip(v, 0.0, 1.0).max(axis=0, initial=0.0) for v in variances)
    residual = np.maximum(1.0 - explained, 0.05)
    parts = []
    for term, variance, floor in zip(terms, variances, floors, strict=True):
        root = np.sqrt(np.clip(variance / residual, floor, 100.0))
        rows, columns = covariance.positions(term)
        parts.append(np.where((rows == columns)[(slice(None), *(None,) * (root.ndim - 1))], root[rows], 0.0))
    return np.concatenate(parts)
