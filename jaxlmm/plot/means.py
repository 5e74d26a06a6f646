"""Plot of estimated marginal means."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxlmm.plot import data, style


def emmeans(means: Any, fit: Any = None, ax: Any = None) -> Any:
    """Marginal means with intervals, and with `fit` the observed rows behind them.

    Parameters
    ----------
    means : EMMeans
        From `fit.emmeans(...)` or `fit.emtrends(...)`; levels of `by` are drawn in colours of their own.
    fit : MixedModelResults, optional
        The fit, if its rows are to be shown: means of factors of the model, on the scale of the response.
    ax : Axes, optional
        Where to draw.

    Returns
    -------
    Axes

    Raises
    ------
    DataError
        When the rows do not have the variables of the means.

    Examples
    --------
    >>> import jaxlmm
    >>> fit = jaxlmm.lmer("score ~ Machine + (1 | Worker)", jaxlmm.load_dataset("machines"))
    >>> ax = jaxlmm.plot.emmeans(fit.emmeans("Machine"), fit)
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('Machine', 'score')
    """
    table = data.emmeans(means)
    labels, within = list(dict.fromkeys(table["label"])), list(dict.fromkeys(table["by"]))
    ax = style.one_axes(ax, (max(3.6, 1.6 + 0.9 * len(labels)), 4.0))
    place = {label: i for i, label in enumerate(labels)}
    step = 0.5 / max(len(within), 2)
    rows = None if fit is None else data.emmeans_rows(means, fit)
    for i, by in enumerate(within):
        own, colour = table[table["by"] == by], style.COLOURS[i % len(style.COLOURS)]
        shift = step * (i - (len(within) - 1) / 2)
        x = own["label"].map(place).to_numpy(dtype=float) + shift
        if rows is not None:
            mine = rows[(rows["by"] == by) & rows["label"].isin(labels)]
            jitter = np.random.default_rng(0).uniform(-0.3 * step, 0.3 * step, len(mine))
            behind = mine["label"].map(place).to_numpy(dtype=float) + shift + jitter
            ax.scatter(behind, mine["observed"], color=colour, **(style.dense(len(mine)) | {"alpha": 0.25}))
        ax.vlines(x, own["conf_low"], own["conf_high"], color=colour, linewidth=2.2)
        ax.scatter(
            x, own["estimate"], color=colour, marker=style.MARKERS[i % len(style.MARKERS)], s=40, zorder=3, label=by
        )
    ax.set_xticks(range(len(labels)), labels)
    ax.set_xlim(-0.6, len(labels) - 0.4)
    ax.set_xlabel(", ".join(means.specs))
    ax.set_ylabel(means.name if fit is None else fit._fitted.frame.response)
    if len(within) > 1:
        ax.legend(title=", ".join(means.by), frameon=False, fontsize="small")
    style.plain(ax)
    return ax
