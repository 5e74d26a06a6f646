"""Plot of groups along a covariate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jaxlmm.plot import data, style


def trajectories(
    fit: Any, x: str | None = None, group: str | None = None, levels: Sequence[Any] | None = None, ax: Any = None
) -> Any:
    """Each level's rows along a covariate, its fitted line, and the population's: one panel per level, or all in one.

    Parameters
    ----------
    fit : MixedModelResults
        The fit; its rows are needed.
    x : str, optional
        A numeric column of the model; by default the first.
    group : str, optional
        Grouping factor; the one with the most levels by default.
    levels : list, optional
        Levels to show; the first twenty by default.
    ax : Axes or sequence of Axes, optional
        One Axes holds all levels, without the population's line; as many as there are levels hold one each. New ones, one
        each, by default.

    Returns
    -------
    Axes, or array of Axes

    Raises
    ------
    DataError
        When a column, group or level is not there.

    Examples
    --------
    >>> import jaxlmm
    >>> fit = jaxlmm.lmer("Reaction ~ Days + (Days | Subject)", jaxlmm.load_dataset("sleepstudy"))
    >>> len(jaxlmm.plot.trajectories(fit))
    18
    """
    table = data.trajectories(fit, x, group, levels)
    name = x or data.asked.numeric_columns(fit, data.asked.group_of(fit, group))[0]
    shown, response = list(dict.fromkeys(table["level"])), fit._fitted.frame.response
    if ax is not None and hasattr(ax, "plot"):
        for i, level in enumerate(shown):
            own, colour = table[table["level"] == level], style.COLOURS[i % len(style.COLOURS)]
            ax.plot(own["x"], own["fitted"], color=colour, linewidth=1.0)
            ax.scatter(own["x"], own["observed"], color=colour, s=10, alpha=0.6, linewidths=0)
        ax.set_xlabel(name)
        ax.set_ylabel(response)
        style.plain(ax)
        return ax
    axes = style.panels(ax, [str(level) for level in shown], (1.7, 1.6), columns=6, sharex=True, sharey=True)
    for panel, level in zip(axes, shown, strict=True):
        own = table[table["level"] == level]
        panel.plot(own["x"], own["fixed"], color=style.GREY, linewidth=0.9, linestyle="--")
        panel.plot(own["x"], own["fitted"], color=style.SECOND, linewidth=1.4)
        panel.scatter(own["x"], own["observed"], color=style.FIRST, s=9, zorder=3)
        panel.set_title(str(level), fontsize="small")
        panel.tick_params(labelsize="small")
        style.plain(panel)
    if ax is None:
        figure = axes[0].figure
        figure.supxlabel(name)
        figure.supylabel(response)
    return style.answered(axes)
