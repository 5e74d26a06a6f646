"""Plot of the influence of single levels."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxlmm.plot import data, style


def influence(influence: Any, number: int = 20, ax: Any = None) -> Any:
    """Cook's distance of the most influential levels, each with the coefficient that it moves most.

    Parameters
    ----------
    influence : Influence
        From `fit.influence()`.
    number : int
        How many levels.
    ax : Axes, optional
        Where to draw.

    Returns
    -------
    Axes

    Examples
    --------
    >>> import jaxlmm
    >>> fit = jaxlmm.lmer("Reaction ~ Days + (Days | Subject)", jaxlmm.load_dataset("sleepstudy"))
    >>> jaxlmm.plot.influence(fit.influence(), 5).get_ylabel()
    'Subject'
    """
    table = data.influence(influence, number)
    ax = style.one_axes(ax, (6.0, 1.2 + 0.24 * len(table)))
    position = np.arange(len(table))[::-1]
    ax.hlines(position, 0.0, table["cooks_distance"], color=style.FIRST, linewidth=1.6)
    ax.scatter(table["cooks_distance"], position, color=style.FIRST, s=22, zorder=3)
    for at, distance, change, term in zip(
        position, table["cooks_distance"], table["dfbetas"], table["term"], strict=True
    ):
        ax.annotate(
            f"{term} {change:+.2f}",
            (distance, at),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            fontsize="x-small",
        )
    ax.set_yticks(position, [str(level) for level in table["level"]], fontsize="small")
    ax.set_xlim(0.0, 1.3 * float(table["cooks_distance"].max()))
    ax.set_xlabel("Cook's distance; beside it the coefficient that moves most, in standard errors")
    ax.set_ylabel(influence.group)
    style.plain(ax)
    return ax
