"""Intervals from bootstrap replicates. Called by `results`."""

from __future__ import annotations

import numpy as np
from scipy.stats import norm

METHODS = ("percentile", "basic", "normal", "bca")


def interval(
    method: str, drawn: np.ndarray, estimate: np.ndarray, level: float, left_out: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper limits (c,) of each column.

    Parameters
    ----------
    method : str
        One of `METHODS`.
    drawn : (R, c) array
        Replicates; NaN is left out of its column.
    estimate : (c,) array
        Estimates.
    level : float
        Confidence level.
    left_out : (m, c) array, optional
        Estimates without each group, for "bca".
    """
    tail = 0.5 * (1.0 - level)
    if method == "normal":
        center = 2.0 * estimate - np.nanmean(drawn, axis=0)
        half = norm.ppf(1.0 - tail) * np.nanstd(drawn, axis=0, ddof=1)
        return center - half, center + half
    if method == "bca":
        assert left_out is not None
        tails = accelerated_tails(drawn, estimate, level, left_out)
        columns = [_quantiles(drawn[:, j], tails[:, j]) for j in range(estimate.size)]
        low, high = np.array(columns).reshape(-1, 2).T
        return low, high
    low, high = np.nanquantile(drawn, [tail, 1.0 - tail], axis=0)
    return (low, high) if method == "percentile" else (2.0 * estimate - high, 2.0 * estimate - low)


def accelerated_tails(drawn: np.ndarray, estimate: np.ndarray, level: float, left_out: np.ndarray) -> np.ndarray:
    """Probabilities (2, c) whose quantiles are the limits of BCa intervals (Efron & Tibshirani 1993, eqs. 14.9 to 14.15).

    The bias correction is the normal quantile of the share of replicates below the estimate; the acceleration a sixth of the
    skewness of the jackknife's influence values over the groups.
    """
    known = np.isfinite(drawn)
    with np.errstate(invalid="ignore", divide="ignore"):
        below = np.sum(known & (drawn < estimate), axis=0) / known.sum(axis=0)
        correction = norm.ppf(below)
        influence = left_out.mean(axis=0) - left_out
        size = np.sum(influence**2, axis=0)
        acceleration = np.where(
            size > 0, np.sum(influence**3, axis=0) / (6.0 * np.where(size > 0, size, 1.0) ** 1.5), 0.0
        )
        z = correction + norm.ppf([[0.5 * (1.0 - level)], [0.5 * (1.0 + level)]])
        return norm.cdf(correction + z / (1.0 - acceleration * z))


def _quantiles(values: np.ndarray, tails: np.ndarray) -> np.ndarray:
    """Quantiles at the tails; NaN where the replicates all lie on one side of the estimate, or none is known."""
    values = values[np.isfinite(values)]
    if not values.size or not np.isfinite(tails).all() or tails[0] >= 1.0 or tails[1] <= 0.0:
        return np.full(2, np.nan)
    return np.quantile(values, tails)
