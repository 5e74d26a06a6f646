"""Plot of the influence of single levels."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxlmm.plot import data, labels, style

FONT = "x-small"
"""Of what is written beside the points."""


def influence(influence: Any, number: int = 20, ax: Any = None) -> Any:
    """Cook's distance of the most influential levels, each with the coefficient that it moves most.

    Parameters
    ----------
    influence : Influence
        From `fit.influence(group)`. Its levels are those that were left out in turn: by default those of the coarsest factor,
        whose levels weigh most, while other plots show the factor with the most levels unless told otherwise.
    number : int
        How many levels.
    ax : Axes, optional
        Where to draw.

    Returns
    -------
    Axes

    Raises
    ------
    DataError
        When there is no coefficient that a level could move, or no such number.

    Examples
    --------
    >>> import jaxlmm
    >>> fit = jaxlmm.lmer("Reaction ~ Days + (Days | Subject)", jaxlmm.load_dataset("sleepstudy"))
    >>> jaxlmm.plot.influence(fit.influence(), 5).get_ylabel()
    'Subject'
    """
    table = data.influence(influence, number)
    names = [labels.shortened(level) for level in table["level"]]
    high, own = 1.2 + 0.24 * len(table), ax is None
    ax = style.one_axes(ax, (5.0 + labels.width(names), high))
    inches = 4.3 if own else labels.room(ax)[0]
    position = np.arange(len(table))[::-1]
    ax.hlines(position, 0.0, table["cooks_distance"], color=style.FIRST, linewidth=1.6)
    ax.scatter(table["cooks_distance"], position, color=style.FIRST, s=22, zorder=3)
    # Beside the longest bar there must be room for a note, which may take six tenths of the axes.
    most = max(6, labels.letters(0.6 * inches - 0.1, FONT) - 7)
    notes = [
        f"{labels.shortened(term, most)} {'−' if change < 0 else '+'}{abs(change):.2f}"
        for term, change in zip(table["term"], table["dfbetas"], strict=True)
    ]
    for at, distance, note in zip(position, table["cooks_distance"], notes, strict=True):
        ax.annotate(note, (distance, at), xytext=(6, 0), textcoords="offset points", va="center", fontsize=FONT)
    share = min(0.75, (labels.width(notes, FONT) + 0.15) / inches)
    ax.set_xlim(0.0, (float(table["cooks_distance"].max()) or 1.0) / (1.0 - share))
    labels.along_y(ax, position, names, influence.group, high - 0.9 if own else None)
    ax.set_xlabel(
        labels.wrapped(
            "Cook's distance; beside it the largest change of a coefficient, in standard errors", inches, "small"
        ),
        fontsize="small",
    )
    style.plain(ax)
    return ax
