"""p-values and limits of several comparisons at once. Called by `marginal`."""

from __future__ import annotations

import functools

import numpy as np
from scipy import stats

from jaxlmm.errors import DataError

ADJUSTMENTS = ("tukey", "holm", "bonferroni", "sidak", "fdr", "none")

STATSMODELS = {"holm": "holm", "bonferroni": "bonferroni", "sidak": "sidak", "fdr": "fdr_bh"}
"""Its names of the methods."""

ENDLESS = 1e5
"""Degrees of freedom from which on the studentized range is that of the normal distribution."""


def check_adjustment(adjust: str, means: int | None) -> str:
    """The name of an adjustment; Tukey's is for the pairs of `means` means only.

    Raises
    ------
    DataError
        When it is not known, or not for these comparisons.
    """
    if adjust not in ADJUSTMENTS:
        raise DataError(f"adjust={adjust!r} is not known; write " + ", ".join(map(repr, ADJUSTMENTS)))
    if adjust == "tukey" and means is None:
        raise DataError(
            "adjust='tukey' is for all pairs of means; write 'holm', 'bonferroni', 'sidak', 'fdr' or 'none'"
        )
    return adjust


def adjusted(statistic: np.ndarray, df: np.ndarray, adjust: str, means: int | None) -> np.ndarray:
    """Two-sided p-values of t statistics, adjusted within one family; NaN stays."""
    plain = 2.0 * stats.t.sf(np.abs(statistic), df)
    if adjust == "none":
        return plain
    if adjust == "tukey":
        if means == 2:
            return plain
        return np.clip(stats.studentized_range.sf(np.sqrt(2.0) * np.abs(statistic), means, _finite(df)), 0.0, 1.0)
    from statsmodels.stats.multitest import multipletests  # it takes a second to import

    known, answer = np.isfinite(plain), plain.copy()
    if known.any():
        answer[known] = multipletests(plain[known], method=STATSMODELS[adjust])[1]
    return answer


def half_widths(df: np.ndarray, level: float, adjust: str, means: int | None) -> np.ndarray:
    """Half-widths of intervals in standard errors: Tukey's, Bonferroni's (for Holm's, too), Šidák's, or each alone."""
    m = df.size
    if adjust == "tukey" and means is not None and means > 2:
        return np.array([_range_quantile(level, means, float(f"{own:.9g}")) for own in _finite(df)]) / np.sqrt(2.0)
    tail = 1.0 - level
    if adjust in ("bonferroni", "holm"):
        tail = tail / m
    elif adjust == "sidak":
        tail = 1.0 - level ** (1.0 / m)
    return stats.t.ppf(1.0 - 0.5 * tail, df)


@functools.lru_cache(maxsize=4096)
def _range_quantile(level: float, means: int, df: float) -> float:
    """Quantile of the studentized range: a search, each step of which is an integral."""
    return float(stats.studentized_range.ppf(level, means, df))


def _finite(df: np.ndarray) -> np.ndarray:
    return np.where(df > ENDLESS, np.inf, df)
