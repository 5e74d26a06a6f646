"""Plots of residuals, and the page that `fit.plot()` draws."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from jaxlmm.inference.wald import check_level
from jaxlmm.plot import data, labels, style
from jaxlmm.plot.data import rows
from jaxlmm.plot.effects import caterpillar, ranef_qq


def resid_fitted(fit: Any, ax: Any = None) -> Any:
    """Standardized residuals against fitted values, with a smooth curve as a guide to the eye.

    Look for curvature, a spread that changes along the axis, and single rows far out. A right model's curve need not be flat:
    with few rows per level residuals go up with fitted values (see `jaxlmm.plot.data.resid_fitted`).

    Parameters
    ----------
    fit : MixedModelResults
        The fit; its rows are needed. Where its rows connect more than 2,000 random effects, leverages would take minutes, and
        the axis is residual / σ (times √weight) instead.
    ax : Axes, optional
        Where to draw.

    Returns
    -------
    Axes

    Raises
    ------
    DataError
        When the rows were not saved.

    Examples
    --------
    >>> import jaxlmm
    >>> fit = jaxlmm.lmer("Yield ~ 1 + (1 | Batch)", jaxlmm.load_dataset("dyestuff"))
    >>> jaxlmm.plot.resid_fitted(fit).get_xlabel()
    'fitted Yield'
    """
    return _against_fitted(fit, data.resid_fitted(fit), style.one_axes(ax))


def resid_qq(fit: Any, level: float = 0.95, ax: Any = None) -> Any:
    """Standardized residuals against normal quantiles, with the pointwise band of independent normal values.

    The band is a guide, not a test: residuals of a mixed model are not independent of each other.

    Parameters
    ----------
    fit : MixedModelResults
        The fit; its rows are needed. Which residuals are drawn: see `resid_fitted`.
    level : float
        Of the band.
    ax : Axes, optional
        Where to draw.

    Returns
    -------
    Axes

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
    >>> jaxlmm.plot.resid_qq(fit).get_ylabel()
    'standardized residual'
    """
    check_level(level)
    return _against_normal(data.resid_fitted(fit), level, style.one_axes(ax))


def overview(fit: Any, ax: Any = None) -> Any:
    """Four panels: residuals against fitted values, their normal quantiles, and the random effects with theirs.

    How to read the first two: see `resid_fitted` and `resid_qq`.

    Parameters
    ----------
    fit : MixedModelResults
        The fit; its rows are needed.
    ax : sequence of four Axes, optional
        Where to draw.

    Returns
    -------
    (2, 2) array of Axes

    Examples
    --------
    >>> import jaxlmm
    >>> fit = jaxlmm.lmer("Yield ~ 1 + (1 | Batch)", jaxlmm.load_dataset("dyestuff"))
    >>> jaxlmm.plot.overview(fit).shape
    (2, 2)
    """
    residuals = data.resid_fitted(fit)
    titles = ["residuals", "residual quantiles", "random effects", "random-effect quantiles"]
    axes = style.panels(ax, titles, (4.8, 3.9), columns=2)
    group = data.asked.group_of(fit, None)
    effect = fit.ranef(group)[group].columns[0]
    _against_fitted(fit, residuals, axes[0])
    _against_normal(residuals, 0.95, axes[1])
    caterpillar(fit, group, effect, ax=axes[2])
    ranef_qq(fit, group, effect, ax=axes[3])
    for panel, title in zip(axes, titles, strict=True):
        what = labels.wrapped(f"{group}, {effect}", labels.room(panel)[0], "axes.titlesize", lines=1)
        panel.set_title(title if panel in axes[:2] else f"{title}:\n{what}")
    return np.array(axes, dtype=object).reshape(2, 2)


def _against_fitted(fit: Any, table: pd.DataFrame, ax: Any) -> Any:
    curve, name = rows.smooth(table), table.columns[-1]
    ax.axhline(0.0, color=style.GREY, linewidth=0.8, linestyle="--")
    ax.scatter(table["fitted"], table[name], color=style.FIRST, **style.dense(len(table)))
    ax.plot(curve["fitted"], curve[name], color=style.SECOND, linewidth=1.6)
    ax.set_xlabel(labels.wrapped(f"fitted {fit._fitted.frame.response}", labels.room(ax)[0]))
    ax.set_ylabel(_unit(table))
    style.plain(ax)
    return ax


def _against_normal(residuals: pd.DataFrame, level: float, ax: Any) -> Any:
    table, name = rows.quantiles(residuals, level), residuals.columns[-1]
    ax.fill_between(table["theoretical"], table["lower"], table["upper"], color=style.GREY, alpha=0.2, linewidth=0)
    ax.axline((0.0, 0.0), slope=1.0, color=style.GREY, linewidth=0.9, linestyle="--")
    ax.scatter(table["theoretical"], table[name], color=style.FIRST, zorder=3, **style.dense(len(table)))
    ax.set_xlabel(f"normal quantile, {100 * level:.3g} % band")
    ax.set_ylabel(_unit(residuals))
    style.plain(ax)
    return ax


def _unit(residuals: pd.DataFrame) -> str:
    """What residuals are divided by, and how many cannot be."""
    name = residuals.columns[-1]
    missing = int(residuals[name].isna().sum())
    without = f"\n({missing:,} of {len(residuals):,} rows decide their own fitted value)" if missing else ""
    return ("standardized residual" if name == "std_resid" else "residual / σ") + without
