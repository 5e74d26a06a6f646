"""Fits of many responses as tables: one row per response and term, and shares of variance."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import false_discovery_control

from jaxlmm.design import Frame
from jaxlmm.fit import LaneFits
from jaxlmm.inference import p_values, wald_interval
from jaxlmm.report.lane_terms import covariances, lane_terms
from jaxlmm.report.tidy import COLUMNS


def long_table(
    names: pd.Index, terms: list[str], n_tests: int, combined: np.ndarray, fits: LaneFits, df: np.ndarray, level: float
) -> pd.DataFrame:
    """One row per response and term, with tidy's columns and p_adjusted.

    Parameters
    ----------
    names : pandas.Index
        Responses.
    terms : list of str
        Coefficients, then the names of the tests.
    n_tests : int
        How many of the terms are tests.
    combined : (R, m) array
        Estimates.
    df : (R, m) array
        Degrees of freedom.
    """
    lanes, m = combined.shape
    certified = fits.certified[:, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        error = np.where((fits.sigma > 0)[:, None], fits.std_error, np.nan)
        statistic = np.where(certified, combined / error, np.nan)
        p = p_values(statistic, df)
        low, high = wald_interval(combined, np.where(certified, error, np.nan), df, level)
    term = pd.Categorical.from_codes(np.tile(np.arange(m), lanes), pd.Index(terms))
    effect = np.repeat([0, 1], [m - n_tests, n_tests])
    values = [combined, error, statistic, df, p, low, high]
    table = pd.DataFrame(
        {
            "response": names.repeat(m),
            "effect": pd.Categorical.from_codes(np.tile(effect, lanes), ["fixed", "test"]),
            "group": pd.Categorical.from_codes(np.full(lanes * m, -1), []),
            "term": term,
            **{name: value.ravel() for name, value in zip(COLUMNS[3:], values, strict=True)},
        }
    )
    return table.assign(p_adjusted=adjusted(p).ravel())


def adjusted(p: np.ndarray) -> np.ndarray:
    """Benjamini-Hochberg adjusted p-values, of each column (R, m) by itself; NaN stays and does not count."""
    answer = np.full(p.shape, np.nan)
    for j in range(p.shape[1]):
        known = np.isfinite(p[:, j])
        if known.any():
            answer[known, j] = false_discovery_control(p[known, j], method="bh")
    return answer


def variance_fractions(frame: Frame, fits: LaneFits) -> pd.DataFrame:
    """Shares (R, terms) of the variance: fixed terms, random terms, residual; rows add up to one.

    A random term (x | g) has the mean of z'Σz over the rows; the fixed effects have the variance of Xβ̂ over the rows,
    divided between their terms in proportion to the variances of the terms' own parts.
    """
    design = frame.with_rows()
    parts: dict[str, np.ndarray] = {}
    known = np.where(np.isnan(fits.beta), 0.0, fits.beta)
    centered = design.x - design.x.mean(axis=0)
    covariance = centered.T @ centered / design.n_obs
    total = np.einsum("rp,pq,rq->r", known, covariance, known)
    own = {}
    for name, columns in frame.fixed.terms:
        piece = np.einsum("rp,pq,rq->r", known[:, columns], covariance[columns, columns], known[:, columns])
        if name != "1":
            own[name] = piece
    whole = sum(own.values()) if own else np.zeros(len(known))
    for name, piece in own.items():
        parts[name] = np.where(whole > 0, piece / np.where(whole > 0, whole, 1.0), 0.0) * total
    for term, (_, f, _, columns) in zip(lane_terms(frame, fits), frame.labelled_terms(), strict=True):
        z = design.random[f].z[:, columns]
        alone = list(term.names) == ["Intercept"] and term.group not in {*parts, "Residual"}
        label = term.group if alone else f"{' + '.join(term.names)} | {term.group}".replace("Intercept", "1")
        parts[label] = np.einsum("rij,ij->r", covariances(term, fits), z.T @ z / design.n_obs)
    parts["Residual"] = fits.sigma**2
    table = pd.DataFrame(parts)
    shares = table.div(table.sum(axis=1), axis=0)
    shares.loc[~fits.certified] = np.nan
    return shares
