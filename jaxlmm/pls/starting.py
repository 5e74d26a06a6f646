"""Where a fit starts: a moment estimate of each variance from the cross-products, never zero.

With residuals r of the least-squares fit in units of their standard deviation, E[(z_gᵀr)² / z_gᵀz_g] is
1 - Σ τ² + τ_j² z_gᵀz_g when column j alone had variance τ_j²: Henderson's idea, one column at a time.
Called by `fit`; a better start saves iterations and changes no answer.
"""

import numpy as np

from jaxlmm import covariance
from jaxlmm.covariance import Structure
from jaxlmm.pls.standard import Gram, Response

LEAST = 0.1
"""Smallest starting variance, relative to that at which a level's data and its prior weigh the same."""


def starting_theta(gram: Gram, response: Response, terms: tuple[tuple[Structure, ...], ...]) -> np.ndarray:
    """Parameters (n_theta,) at which to start, in standard coordinates."""
    variances, floors = [], []
    for zz, zy in zip(gram.zz, response.zy, strict=True):
        weight = np.einsum("kkl->kl", zz)
        present = weight > 0
        unit = np.where(present, weight, 1.0)
        n_levels = np.maximum(present.sum(axis=1), 1)
        mean_weight = np.maximum((weight * present).sum(axis=1), np.finfo(float).tiny) / n_levels
        variance = response.yy / gram.xx
        excess = (np.where(present, zy**2 / unit, 0.0).sum(axis=1) / n_levels) / variance - 1.0
        variances.append(excess / mean_weight)
        floors.append(LEAST / mean_weight)
    explained = sum(float(np.clip(v, 0.0, 1.0).max(initial=0.0)) for v in variances)
    residual = max(1.0 - explained, 0.05)
    parts = []
    for term, variance, floor in zip(terms, variances, floors, strict=True):
        root = np.sqrt(np.clip(variance / residual, np.minimum(floor, 1.0), 100.0))
        rows, columns = covariance.positions(term)
        parts.append(np.where(rows == columns, root[rows], 0.0))
    return np.concatenate(parts)
