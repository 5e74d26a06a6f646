"""Plot of groups along a covariate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from jaxlmm.plot import data, labels, style
from jaxlmm.plot.data.trajectories import covariate

WORDS = {"fitted": "fitted", "fixed": "population's"}
DASHES: dict[str, Any] = {"fitted": "-", "fixed": "--"}
MARKERS = {"fitted": "o", "fixed": "s"}


def trajectories(
    fit: Any, x: str | None = None, group: str | None = None, levels: Sequence[Any] | None = None, ax: Any = None
) -> Any:
    """Each level's rows along a covariate, its fitted line, and the population's: one panel per level, or all in one.

    Where something else that the model has varies among the rows of a level (another predictor, the levels of another
    grouping factor), fitted values are no line along the covariate, and are drawn as hollow markers.

    Parameters
    ----------
    fit : MixedModelResults
        The fit; its rows are needed.
    x : str, optional
        A numeric column of the model; by default the first.
    group : str, optional
        Grouping factor; the one with the most levels by default.
    levels : list, optional
        Levels to show; the first twenty by default. The figure says how many there are.
    ax : Axes or sequence of Axes, optional
        One Axes holds all levels, without the population's line; as many as there are levels hold one each. New ones, one
        each, by default.

    Returns
    -------
    Axes, or array of Axes

    Raises
    ------
    DataError
        When a column, group or level is not there, or the rows were not saved.

    Examples
    --------
    >>> import jaxlmm
    >>> fit = jaxlmm.lmer("Reaction ~ Days + (Days | Subject)", jaxlmm.load_dataset("sleepstudy"))
    >>> len(jaxlmm.plot.trajectories(fit))
    18
    """
    table = data.trajectories(fit, x, group, levels)
    group = data.asked.group_of(fit, group)
    name, response = covariate(fit, x, group), fit._fitted.frame.response
    shown, known = list(dict.fromkeys(table["level"])), int(fit.n_groups[group])
    parts = dict(iter(table.groupby("level", sort=False)))
    count = f"{group}: {len(shown)} of {known:,} levels" if len(shown) < known else ""
    if style.is_axes(ax):
        for i, level in enumerate(shown):
            own, colour = parts[level], style.COLOURS[i % len(style.COLOURS)]
            _values(ax, own, "fitted", colour, 1.0)
            ax.scatter(own["x"], own["observed"], color=colour, s=10, alpha=0.6, linewidths=0)
        if not table["fitted_along"].all():
            labels.legend(ax, _handles(table, name, {"fitted": "black"}, "black"))
        ax.set_xlabel(labels.wrapped(name, labels.room(ax)[0]) + (f"\n({count})" if count else ""))
        ax.set_ylabel(labels.wrapped(response, labels.room(ax)[1]))
        style.plain(ax)
        return ax
    titles = [labels.wrapped(level, 1.5, "small") for level in shown]
    taller = 0.14 * (max(title.count("\n") for title in titles))
    axes = style.panels(ax, [str(level) for level in shown], (1.7, 1.6 + taller), columns=6, sharex=True, sharey=True)
    for panel, level, title in zip(axes, shown, titles, strict=True):
        own = parts[level]
        _values(panel, own, "fixed", style.GREY, 0.9)
        _values(panel, own, "fitted", style.SECOND, 1.4)
        panel.scatter(own["x"], own["observed"], color=style.FIRST, s=9, zorder=3, linewidths=0)
        panel.set_title(title, fontsize="small")
        panel.tick_params(labelsize="small")
        style.plain(panel)
    handles = _handles(table, name, {"fitted": style.SECOND, "fixed": style.GREY}, style.FIRST)
    labels.legend_above(axes, ax is None, handles)
    if ax is None:
        figure = axes[0].figure
        inches, high = figure.get_size_inches()
        figure.supxlabel(labels.wrapped(name, inches, "figure.labelsize") + (f"\n{count}" if count else ""))
        figure.supylabel(labels.wrapped(response, high, "figure.labelsize"))
        return style.answered(axes)
    for panel in axes:
        panel.set_xlabel(labels.wrapped(name, labels.room(panel)[0]))
    axes[0].set_ylabel(labels.wrapped(response, labels.room(axes[0])[1]))
    return style.answered(axes)


def _values(ax: Any, own: pd.DataFrame, name: str, colour: str, width: float) -> None:
    """Fitted values of one level: a line where they depend on the covariate alone, else a marker each."""
    if own[f"{name}_along"].iloc[0]:
        ax.plot(own["x"], own[name], color=colour, linestyle=DASHES[name], linewidth=width)
    else:
        ax.scatter(own["x"], own[name], edgecolors=colour, marker=MARKERS[name], **style.HOLLOW)


def _handles(table: pd.DataFrame, x: str, drawn: dict[str, str], observed: str) -> list[Any]:
    """Entries of a legend: observed rows, and what is drawn in its colour, as it is drawn."""
    from matplotlib.lines import Line2D

    dots: dict[str, Any] = {"linestyle": "none", "markersize": 4}
    handles = [Line2D([], [], color=observed, marker="o", label="observed", **dots)]
    for name, colour in drawn.items():
        along = np.asarray(table[f"{name}_along"], dtype=bool)
        if along.any():
            handles.append(Line2D([], [], color=colour, linestyle=DASHES[name], label=f"{WORDS[name]} line"))
        if not along.all():
            hollow = dots | {"markerfacecolor": "none", "markeredgecolor": colour, "marker": MARKERS[name]}
            handles.append(
                Line2D([], [], label=f"{WORDS[name]} values (not only {labels.shortened(x, 24)} varies)", **hollow)
            )
    return handles
