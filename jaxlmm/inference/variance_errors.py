"""Standard errors of variance components: the inverse of the information, in the user's units. Called by `results`."""

from __future__ import annotations

import numpy as np
import pandas as pd

from jaxlmm.covariance import correlated_pairs, n_columns, positions
from jaxlmm.design import Frame
from jaxlmm.errors import DataError, DesignError
from jaxlmm.fit import INFORMATION
from jaxlmm.inference.reference import Reference

SCALES = ("var", "sd")


def variance_covariance(frame: Frame, reference: Reference, scale: str, information: str) -> pd.DataFrame:
    """Covariance of (co)variances, or of standard deviations and correlations, in lme4's order and the residual last.

    Raises
    ------
    DataError, DesignError
        When an argument is not known.
    """
    if scale not in SCALES:
        raise DataError(f"scale={scale!r} is not known; write 'var' or 'sd'")
    if information not in INFORMATION:
        raise DesignError(f"information={information!r} is not known; write 'observed' or 'expected'")
    covariance, sigmas = _in_users_units(reference, information)
    names, rows = [], []
    place = _places(reference)
    for label, f, block, structure, effects in _terms(frame):
        sigma = sigmas[f][block, block]
        for i, j in [*((i, i) for i in range(len(effects))), *correlated_pairs(structure)]:
            gradient = np.zeros(len(covariance))
            at = {
                key: place[f, block.start + key[0], block.start + key[1]]
                for key in {(i, i), (j, j), (max(i, j), min(i, j))}
            }
            kind = ("var" if i == j else "cov") if scale == "var" else ("sd" if i == j else "cor")
            if scale == "var":
                gradient[at[max(i, j), min(i, j)]] = 1.0
            elif i == j:
                gradient[at[i, i]] = 0.5 / np.sqrt(sigma[i, i]) if sigma[i, i] > 0 else np.nan
            else:
                size = np.sqrt(sigma[i, i] * sigma[j, j])
                gradient[at[j, i]] = 1.0 / size if size > 0 else np.nan
                for own in (i, j):
                    gradient[at[own, own]] = -0.5 * sigma[i, j] / size / sigma[own, own] if size > 0 else np.nan
            rows.append(gradient)
            names.append(f"{kind}__{effects[i]}{'' if i == j else '.' + effects[j]}|{label}")
    last = np.zeros(len(covariance))
    last[0] = 1.0 if scale == "var" else 0.5 / reference.fit.sigma
    rows.append(last)
    names.append(f"{scale}__Observation|Residual")
    matrix = np.array(rows)
    return pd.DataFrame(matrix @ covariance @ matrix.T, index=names, columns=names)


def standard_errors(covariance: pd.DataFrame) -> pd.Series:
    """Roots of the diagonal; NaN where an information that is not positive definite leaves no variance."""
    diagonal = np.diagonal(covariance)
    return pd.Series(np.sqrt(np.where(diagonal > 0, diagonal, np.nan)), index=covariance.index)


def _in_users_units(reference: Reference, information: str) -> tuple[np.ndarray, list[np.ndarray]]:
    """Covariance (m + 1, m + 1) of the residual variance and the elements of the covariance matrices, and those matrices."""
    fit, coordinates = reference.fit, reference.model.coordinates
    sigmas = [fit.sigma**2 * lam @ lam.T for lam in fit.lambdas]
    m = fit.theta.size
    found = None if fit.certificate.singular else reference.variances(information)
    if found is None:
        return np.full((m + 1, m + 1), np.nan), sigmas
    # V = σ²(τ V̂ + Σ δ_i V_i): the residual variance is σ²τ, and an element of a covariance matrix σ²(τ Σ̂_i + δ_i).
    unit = fit.sigma**2 / coordinates.weight_scale
    jacobian = np.zeros((m + 1, m + 1))
    jacobian[0, 0] = fit.sigma**2
    begin = 1
    for terms, map_, sigma in zip(coordinates.terms, coordinates.factor_maps, sigmas, strict=True):
        rows, columns = positions(terms)
        end = begin + rows.size
        jacobian[begin:end, 0] = sigma[rows, columns]
        for i, (a, b) in enumerate(zip(rows, columns, strict=True)):
            part = np.zeros((n_columns(terms),) * 2)
            part[a, b] = part[b, a] = 1.0
            jacobian[begin:end, begin + i] = unit * (map_ @ part @ map_.T)[rows, columns]
        begin = end
    return jacobian @ found @ jacobian.T, sigmas


def _places(reference: Reference) -> dict[tuple[int, int, int], int]:
    """Where each element (a, b), a >= b, of each factor's covariance matrix stands; the residual variance is first."""
    answer: dict[tuple[int, int, int], int] = {}
    begin = 1
    for f, terms in enumerate(reference.model.coordinates.terms):
        rows, columns = positions(terms)
        answer |= {(f, int(a), int(b)): begin + i for i, (a, b) in enumerate(zip(rows, columns, strict=True))}
        begin += rows.size
    return answer


def _terms(frame: Frame):
    """Label, factor, columns, structure and effects of every term in lme4's order."""
    for label, f, t, block in frame.labelled_terms():
        term = frame.factors[f].terms[t]
        yield label, f, block, term.structure, term.matrix.names
