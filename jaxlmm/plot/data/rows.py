"""Numbers of the plots of rows: residuals and trajectories."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.nonparametric.smoothers_lowess import lowess

from jaxlmm.errors import DataError
from jaxlmm.plot.data.asked import expected, group_of, numeric_columns, one_of, some_of

SMOOTHED = 5000
"""Rows that a smooth curve is fitted to, at most: evenly spaced among the sorted ones."""


def resid_fitted(fit: Any) -> pd.DataFrame:
    """Fitted values and residuals of every row, and residuals in units of their own standard deviation.

    Parameters
    ----------
    fit : MixedModelResults
        The fit; its rows are needed.

    Returns
    -------
    pandas.DataFrame
        fitted, resid, std_resid: √w r / σ, as lme4's scaled residuals.

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
    0  1509.89  35.11       0.71
    1  1509.89 -69.89      -1.41
    """
    resid = expected(fit, "fittedvalues", "a fit", "jaxlmm.lmer(...)").resid
    weights = fit._fitted.frame.design.weights
    root = 1.0 if weights is None else np.sqrt(weights)
    return pd.DataFrame({"fitted": fit.fittedvalues, "resid": resid, "std_resid": root * resid / fit.sigma})


def resid_smooth(fit: Any) -> pd.DataFrame:
    """A lowess curve through the standardized residuals (Cleveland 1979, J. Am. Stat. Assoc. 74): fitted, std_resid."""
    table = resid_fitted(fit).sort_values("fitted")
    if len(table) > SMOOTHED:
        table = table.iloc[np.linspace(0, len(table) - 1, SMOOTHED).astype(int)]
    if table["fitted"].nunique() < 3:
        return table[["fitted", "std_resid"]].iloc[:0]
    delta = 0.01 * float(np.ptp(table["fitted"]))
    curve = lowess(table["std_resid"], table["fitted"], frac=2 / 3, delta=delta, is_sorted=True)
    return pd.DataFrame(curve, columns=["fitted", "std_resid"])


def resid_qq(fit: Any, level: float = 0.95) -> pd.DataFrame:
    """Sorted standardized residuals beside normal quantiles, with a pointwise band.

    Parameters
    ----------
    fit : MixedModelResults
        The fit; its rows are needed.
    level : float
        Of the band that independent normal residuals stay in, point by point: quantiles of the beta distribution of uniform
        order statistics.

    Returns
    -------
    pandas.DataFrame
        theoretical, std_resid, lower, upper, on the rows' index.

    Examples
    --------
    >>> import jaxlmm
    >>> fit = jaxlmm.lmer("Yield ~ 1 + (1 | Batch)", jaxlmm.load_dataset("dyestuff"))
    >>> jaxlmm.plot.data.resid_qq(fit).round(2).head(2)
           theoretical  std_resid  lower  upper
    1        -2.13      -1.41  -3.14  -1.20
    2        -1.64      -1.41  -2.40  -0.95
    """
    resid = resid_fitted(fit)["std_resid"].sort_values()
    n, i = len(resid), np.arange(1, len(resid) + 1)
    tail = 0.5 * (1.0 - level)
    low, high = (stats.norm.ppf(stats.beta.ppf(p, i, n + 1 - i)) for p in (tail, 1.0 - tail))
    theoretical = stats.norm.ppf((i - 0.5) / n)
    return pd.DataFrame({"theoretical": theoretical, "std_resid": resid, "lower": low, "upper": high})


def trajectories(
    fit: Any, x: str | None = None, group: str | None = None, levels: Sequence[Any] | None = None
) -> pd.DataFrame:
    """Rows of some levels along a covariate: observed, fitted, and the population's fit.

    Parameters
    ----------
    fit : MixedModelResults
        The fit; its rows are needed.
    x : str, optional
        A numeric column of the model; by default the first that is not the response.
    group : str, optional
        Grouping factor; the one with the most levels by default.
    levels : list, optional
        Levels to show; the first twenty by default.

    Returns
    -------
    pandas.DataFrame
        level, x, observed, fitted, fixed, sorted by level and x.

    Raises
    ------
    DataError
        When a column, group or level is not there.

    Examples
    --------
    >>> import jaxlmm
    >>> fit = jaxlmm.lmer("Reaction ~ Days + (Days | Subject)", jaxlmm.load_dataset("sleepstudy"))
    >>> jaxlmm.plot.data.trajectories(fit, levels=["308"]).round(1).head(2)
      level    x  observed  fitted  fixed
    0   308  0.0     249.6   253.7  251.4
    1   308  1.0     258.7   273.3  261.9
    """
    table = expected(fit, "augment", "a fit", "jaxlmm.lmer(...)").augment()
    group = group_of(fit, group)
    response, numeric = table.columns[0], numeric_columns(fit, group)
    if x is None:
        if not numeric:
            raise DataError("the model has no numeric column to draw along; trajectories need one")
        x = numeric[0]
    one_of(x, numeric, "numeric column of the model")
    labels = fit.ranef(group)[group].index
    position = [factor.grouping.name for factor in fit._fitted.factors].index(group)
    own = labels[fit._fitted.frame.design.random[position].codes]
    shown = list(labels[:20]) if levels is None else some_of(levels, labels, f"level of {group!r}")
    answer = pd.DataFrame(
        {
            "level": own,
            "x": table[x].to_numpy(dtype=float),
            "observed": table[response].to_numpy(dtype=float),
            "fitted": table["fitted"].to_numpy(),
            "fixed": table["fixed"].to_numpy(),
        }
    )
    answer = answer[answer["level"].isin(shown)]
    answer["level"] = pd.Categorical(answer["level"], categories=shown)
    answer = answer.sort_values(["level", "x"], kind="stable", ignore_index=True)
    return answer.assign(level=answer["level"].astype(object))
