"""Wald tests and intervals: an estimate against its standard error."""

from __future__ import annotations

import numpy as np
from scipy import stats

from jaxlmm.errors import DesignError


def p_values(statistic: np.ndarray, df: np.ndarray) -> np.ndarray:
    """Two-sided p-values of t statistics; an infinite df is the normal distribution."""
    return 2.0 * stats.t.sf(np.abs(statistic), df)


def wald_interval(
    estimate: np.ndarray, std_error: np.ndarray, df: np.ndarray, level: float
) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper limits of two-sided intervals.

    Raises
    ------
    DesignError
        When the level is not between 0 and 1.
    """
    tail = 0.5 + 0.5 * check_level(level)
    # One quantile does for a million equal degrees of freedom.
    one = df.size > 0 and bool(np.all(df == df.flat[0]))
    half = std_error * stats.t.ppf(tail, df.flat[0] if one else df)
    return estimate - half, estimate + half


def check_level(level: float) -> float:
    """A confidence level, strictly between 0 and 1."""
    if not (isinstance(level, float | int | np.number) and 0.0 < level < 1.0):
        raise DesignError(f"level={level!r} is not a confidence level; write a number between 0 and 1, such as 0.95")
    return float(level)
