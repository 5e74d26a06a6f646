"""Empirical-Bayes moderation of residual variances across many responses (Smyth 2004, Stat. Appl. Genet. Mol. Biol. 3(1)).

The variances s² on d degrees of freedom are taken as draws around a scaled inverse χ² distribution with d₀ degrees of freedom
at s₀². Both are estimated from the mean and variance of log s² (§6.2), and each variance is replaced by

    s̃² = (d₀ s₀² + d s²) / (d₀ + d),

so that t statistics with s̃ in place of s have d₀ more degrees of freedom. The log-odds B that an effect is not zero follow
from §6.3, with the variance of true effects estimated from the largest statistics. Called by `results`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import stats
from scipy.optimize import brentq
from scipy.special import digamma, polygamma

from jaxlmm.errors import DataError

PROPORTION = 0.01
"""Share of responses whose effect is taken not to be zero, for the log-odds."""

EFFECT_LIMITS = (0.1, 4.0)
"""Smallest and largest standard deviation of true effects, in units of the prior residual standard deviation."""


class Prior(NamedTuple):
    """The distribution of residual variances: degrees of freedom d₀ (infinite: all are the same) and scale s₀²."""

    df: float
    variance: float


def variance_prior(variances: np.ndarray, df: np.ndarray) -> Prior:
    """Estimate the prior from variances (R,) on df (R,) degrees of freedom.

    Raises
    ------
    DataError
        When there are fewer than two.
    """
    usable = np.isfinite(variances) & (df > 0) & (variances > 0)
    if usable.sum() < 2:
        raise DataError("moderation needs at least two responses with a residual variance; write moderate=False")
    # Variances of zero would make log s² infinite; a tiny fraction of the median bounds them from below.
    log_variance = np.log(np.maximum(variances[usable], 1e-5 * np.median(variances[usable])))
    half = 0.5 * df[usable]
    e = log_variance - digamma(half) + np.log(half)
    excess = np.var(e, ddof=1) - np.mean(polygamma(1, half))
    if excess <= 0:  # no variation beyond chance: one variance for all, estimated by their mean
        return Prior(np.inf, float(np.average(variances[usable], weights=df[usable])))
    d0 = 2.0 * trigamma_inverse(float(excess))
    return Prior(d0, float(np.exp(e.mean() + digamma(0.5 * d0) - np.log(0.5 * d0))))


def trigamma_inverse(value: float) -> float:
    """The y with trigamma(y) = value, which falls from infinity to zero as y grows."""
    return float(np.exp(brentq(lambda log_y: np.log(polygamma(1, np.exp(log_y)) / value), -50.0, 50.0, xtol=1e-13)))


def moderated_variances(variances: np.ndarray, df: np.ndarray, prior: Prior) -> np.ndarray:
    """s̃² (R,)."""
    if np.isinf(prior.df):
        return np.where(np.isfinite(variances), prior.variance, np.nan)
    return (prior.df * prior.variance + df * variances) / (prior.df + df)


def effect_variance(t: np.ndarray, unscaled: np.ndarray, df: np.ndarray, prior: Prior) -> float:
    """Variance of true effects in units of σ² (Smyth 2004, §6.3), from the largest |t| (R,) on df (R,) degrees of freedom."""
    usable = np.isfinite(t) & np.isfinite(unscaled)
    t, unscaled, df = np.abs(t[usable]), unscaled[usable], df[usable]
    bounds = np.square(EFFECT_LIMITS) / prior.variance
    count = int(np.ceil(0.5 * PROPORTION * t.size))
    if count < 1:
        return float(np.mean(bounds))
    share = max(count / t.size, PROPORTION)
    # Statistics of fewer degrees of freedom count by their tail probabilities.
    most = df.max()
    t = np.where(df < most, stats.t.isf(stats.t.sf(t, df), most), t)
    order = np.argsort(-t)[:count]
    largest, v = t[order], unscaled[order] ** 2
    p_null = 2.0 * stats.t.sf(largest, most)
    p_target = ((np.arange(count) + 0.5) / t.size - (1.0 - share) * p_null) / share
    v0 = np.zeros(count)
    positive = p_target > p_null
    target = stats.t.isf(0.5 * np.where(positive, p_target, 0.5), most)
    v0[positive] = v[positive] * ((largest[positive] / target[positive]) ** 2 - 1.0)
    return float(np.mean(np.clip(v0, *bounds)))


def log_odds(t: np.ndarray, unscaled: np.ndarray, df: np.ndarray, v0: float, prior: Prior) -> np.ndarray:
    """B (R,): log-odds that the effect is not zero."""
    r = (unscaled**2 + v0) / unscaled**2
    with np.errstate(invalid="ignore"):
        finite = 0.5 * (1.0 + df) * np.log((t**2 + df) / (t**2 / r + df))
        kernel = 0.5 * t**2 * (1.0 - 1.0 / r) if prior.df > 1e6 else finite
    return np.log(PROPORTION / (1.0 - PROPORTION)) - 0.5 * np.log(r) + kernel
