"""Plots of residuals, and the page that `fit.plot()` draws."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxlmm.plot import data, style
from jaxlmm.plot.effects import caterpillar, ranef_qq


def resid_fitted(fit: Any, ax: Any = None) -> Any:
    """Standardized residuals against fitted values, with a smooth curve that should lie on zero.

    Parameters
    ----------
    fit : MixedModelResults
        The fit; its rows are needed.
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
    table, curve = data.resid_fitted(fit), data.resid_smooth(fit)
    ax = style.one_axes(ax)
    ax.axhline(0.0, color=style.GREY, linewidth=0.8, linestyle="--")
    ax.scatter(table["fitted"], table["std_resid"], color=style.FIRST, **style.dense(len(table)))
    ax.plot(curve["fitted"], curve["std_resid"], color=style.SECOND, linewidth=1.6)
    ax.set_xlabel(f"fitted {fit._fitted.frame.response}")
    ax.set_ylabel("standardized residual")
    style.plain(ax)
    return ax


def resid_qq(fit: Any, level: float = 0.95, ax: Any = None) -> Any:
    """Standardized residuals against normal quantiles, with a pointwise band of independent normal residuals.

    Parameters
    ----------
    fit : MixedModelResults
        The fit; its rows are needed.
    level : float
        Of the band.
    ax : Axes, optional
        Where to draw.

    Returns
    -------
    Axes

    Examples
    --------
    >>> import jaxlmm
    >>> fit = jaxlmm.lmer("Yield ~ 1 + (1 | Batch)", jaxlmm.load_dataset("dyestuff"))
    >>> jaxlmm.plot.resid_qq(fit).get_ylabel()
    'standardized residual'
    """
    table = data.resid_qq(fit, level)
    ax = style.one_axes(ax)
    ax.fill_between(table["theoretical"], table["lower"], table["upper"], color=style.GREY, alpha=0.2, linewidth=0)
    ax.axline((0.0, 0.0), slope=1.0, color=style.GREY, linewidth=0.9, linestyle="--")
    ax.scatter(table["theoretical"], table["std_resid"], color=style.FIRST, zorder=3, **style.dense(len(table)))
    ax.set_xlabel("normal quantile")
    ax.set_ylabel("standardized residual")
    style.plain(ax)
    return ax


def overview(fit: Any, ax: Any = None) -> Any:
    """Four panels: residuals against fitted values, their normal quantiles, and both for the random effects.

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
    titles = ["residuals", "residual quantiles", "random effects", "random-effect quantiles"]
    axes = style.panels(ax, titles, (4.6, 3.8), columns=2)
    group = data.asked.group_of(fit, None)
    effect = fit.ranef(group)[group].columns[0]
    resid_fitted(fit, ax=axes[0])
    resid_qq(fit, ax=axes[1])
    caterpillar(fit, group, effect, ax=axes[2])
    ranef_qq(fit, group, effect, ax=axes[3])
    for panel, title in zip(axes, titles, strict=True):
        panel.set_title(title if panel in axes[:2] else f"{title}: {group}, {effect}")
    return np.array(axes, dtype=object).reshape(2, 2)
