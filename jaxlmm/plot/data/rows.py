"""Numbers of the plots of residuals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.nonparametric.smoothers_lowess import lowess

from jaxlmm import pls
from jaxlmm.inference.wald import check_level
from jaxlmm.plot.data.asked import a_fit
from jaxlmm.report.rows import scaled_residuals

SMOOTHED = 5000
"""Rows that a smooth curve is fitted to, at most: evenly spaced among the sorted ones."""

CONNECTED = 2000
"""Random effects that rows may connect with each other for a plot to ask for leverages: more would take minutes."""


def resid_fitted(fit: Any) -> pd.DataFrame:
    """Fitted values and residuals of every row, and residuals in units of their standard deviation.

    Residuals of a mixed model are what its fitted values, random effects included, leave. Even where the model is right they
    have less variance than σ²/w, and less the higher the leverage h of their row; the standardized residual √w r / (σ√(1-h))
    is that of `fit.diagnostics()`. With few rows per level they also go up with the fitted values, because a level that lies
    high by chance is drawn down towards the mean: a slope, or a rising smooth curve, then says nothing against the model.

    Parameters
    ----------
    fit : MixedModelResults
        The fit; its rows are needed.

    Returns
    -------
    pandas.DataFrame
        fitted, resid and std_resid, which is NaN for a row that decides its own fitted value (h = 1). Where rows connect more
        than 2,000 random effects with each other, leverages would take minutes: there scaled_resid, √w r / σ as lme4's scaled
        residuals, stands instead of std_resid; `fit.diagnostics()` gives the latter where there is memory for it.

    Raises
    ------
    DataError
        When the rows were not saved.

    Examples
    --------
    >>> import jaxlmm
    >>> fit = jaxlmm.lmer("Yield ~ 1 + (1 | Batch)", jaxlmm.load_dataset("dyestuff"))
    >>> jaxlmm.plot.data.resid_fitted(fit).round(2).head(2)
        fitted  resid  std_resid
    0  1509.89  35.11       0.78
    1  1509.89 -69.89      -1.54
    """
    fitted = a_fit(fit)._fitted
    fitted.frame.with_rows()
    if pls.largest_component(fitted.model.gram) <= CONNECTED:
        return fit.diagnostics()[["fitted", "resid", "std_resid"]]
    scaled = scaled_residuals(fitted)
    return pd.DataFrame({"fitted": fit.fittedvalues, "resid": fit.resid, "scaled_resid": scaled})


def resid_smooth(fit: Any) -> pd.DataFrame:
    """A lowess curve (Cleveland 1979, J. Am. Stat. Assoc. 74) through the residuals of `resid_fitted`, in its columns:
    fitted, and std_resid or scaled_resid. A guide to the eye: that of a right model need not be flat (see `resid_fitted`)."""
    return smooth(resid_fitted(fit))


def smooth(residuals: pd.DataFrame) -> pd.DataFrame:
    """The curve of `resid_smooth` from the table of `resid_fitted`; empty where there are fewer than three fitted values."""
    name = residuals.columns[-1]
    table = residuals[["fitted", name]].dropna().sort_values("fitted")
    if len(table) > SMOOTHED:
        table = table.iloc[np.linspace(0, len(table) - 1, SMOOTHED).astype(int)]
    if table["fitted"].nunique() < 3:
        return table.iloc[:0]
    delta = 0.01 * float(np.ptp(table["fitted"]))
    curve = lowess(table[name], table["fitted"], frac=2 / 3, delta=delta, is_sorted=True)
    return pd.DataFrame(curve, columns=["fitted", name])


def resid_qq(fit: Any, level: float = 0.95) -> pd.DataFrame:
    """Sorted residuals of `resid_fitted` beside normal quantiles, with a pointwise band of independent normal values.

    Parameters
    ----------
    fit : MixedModelResults
        The fit; its rows are needed.
    level : float
        Of the band: that many of independent standard normal values lie in it, point by point (quantiles of the beta
        distribution of uniform order statistics). Residuals are not independent, so it is a guide and not a test; residuals
        that are only scaled (see `resid_fitted`) have less variance, and leave it towards a slope below one.

    Returns
    -------
    pandas.DataFrame
        theoretical, std_resid (or scaled_resid), lower, upper, on the rows' index; rows without a standardized residual are
        not in it.

    Raises
    ------
    DesignError
        When the level is not between 0 and 1.
    DataError
        When the rows were not saved.

    Examples
    --------
    >>> import jaxlmm
    >>> fit = jaxlmm.lmer("Yield ~ 1 + (1 | Batch)", jaxlmm.load_dataset("dyestuff"))
    >>> jaxlmm.plot.data.resid_qq(fit).round(2).head(2)
       theoretical  std_resid  lower  upper
    1        -2.13      -1.54  -3.14  -1.20
    2        -1.64      -1.54  -2.40  -0.95
    """
    check_level(level)
    return quantiles(resid_fitted(fit), level)


def quantiles(residuals: pd.DataFrame, level: float) -> pd.DataFrame:
    """`resid_qq` from the table of `resid_fitted`."""
    name = residuals.columns[-1]
    resid = residuals[name].dropna().sort_values()
    n, i = len(resid), np.arange(1, len(resid) + 1)
    tail = 0.5 * (1.0 - level)
    low, high = (stats.norm.ppf(stats.beta.ppf(p, i, n + 1 - i)) for p in (tail, 1.0 - tail))
    theoretical = stats.norm.ppf((i - 0.5) / n)
    return pd.DataFrame({"theoretical": theoretical, name: resid, "lower": low, "upper": high})
