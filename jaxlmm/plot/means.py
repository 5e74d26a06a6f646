"""Plot of estimated marginal means."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxlmm.plot import data, labels, style
from jaxlmm.plot.data.means import scale_of_rows


def emmeans(means: Any, fit: Any = None, ax: Any = None) -> Any:
    """Marginal means with intervals, and with `fit` the observed rows behind them.

    Parameters
    ----------
    means : EMMeans
        From `fit.emmeans(...)` or `fit.emtrends(...)`; levels of `by` are drawn in colours of their own.
    fit : MixedModelResults, optional
        The fit that the means are of, if its rows are to be shown: for means of factors of the model. Rows are drawn on the
        scale of the means, so that those of a transformed response go back to the column's with `type="response"`.
    ax : Axes, optional
        Where to draw.

    Returns
    -------
    Axes

    Raises
    ------
    DataError
        When the means are slopes or of another fit, or the rows do not have the variables of the means.

    Examples
    --------
    >>> import jaxlmm
    >>> fit = jaxlmm.lmer("score ~ Machine + (1 | Worker)", jaxlmm.load_dataset("machines"))
    >>> ax = jaxlmm.plot.emmeans(fit.emmeans("Machine"), fit)
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('Machine', 'score: mean, 95 % interval')
    """
    table = data.emmeans(means)
    rows = None if fit is None else data.emmeans_rows(means, fit)
    names, within = list(dict.fromkeys(table["label"])), list(dict.fromkeys(table["by"]))
    wide, own_figure = min(max(3.6, 1.6 + 0.9 * len(names)), 12.0), ax is None
    ax = style.one_axes(ax, (wide, 4.0))
    place, handles = {label: i for i, label in enumerate(names)}, []
    step = 0.5 / max(len(within), 2)
    for i, by in enumerate(within):
        own, look = table[table["by"] == by], style.look(i)
        shift = step * (i - (len(within) - 1) / 2)
        x = own["label"].map(place).to_numpy(dtype=float) + shift
        if rows is not None:
            mine = rows[(rows["by"] == by) & rows["label"].isin(names)]
            jitter = np.random.default_rng(0).uniform(-0.3 * step, 0.3 * step, len(mine))
            behind = mine["label"].map(place).to_numpy(dtype=float) + shift + jitter
            ax.scatter(behind, mine["observed"], color=look["color"], **(style.dense(len(mine)) | {"alpha": 0.25}))
        ax.vlines(x, own["conf_low"], own["conf_high"], color=look["color"], linewidth=2.2)
        handles.append(ax.scatter(x, own["estimate"], s=40, zorder=3, label=labels.shortened(by), **look))
    inches = wide - 0.9 if own_figure else labels.room(ax)[0]
    below = labels.along_x(ax, names, inches)
    if own_figure:
        ax.figure.set_figheight(4.0 + below)
    ax.set_xlim(-0.6, len(names) - 0.4)
    ax.set_xlabel(labels.wrapped(", ".join(means.specs), inches))
    what = _what(means, fit)
    ax.set_ylabel(
        labels.wrapped(f"{what}, {100 * means._level:.3g} % interval", 2.8 if own_figure else labels.room(ax)[1])
    )
    if len(within) > 1:
        labels.legend(ax, handles, ", ".join(means.by), inches)
    style.plain(ax)
    return ax


def _what(means: Any, fit: Any) -> str:
    """What is drawn, by the name of the response where it is known."""
    if means.name not in ("emmean", "response"):
        return means.name
    return means.name if fit is None else f"{scale_of_rows(means, fit)[0]}: mean"
