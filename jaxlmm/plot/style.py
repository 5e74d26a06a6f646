"""How plots look: colours, axes, what room a text has. Called by every plot.

Colours are Okabe & Ito's (2008, "Color universal design"), which people with any colour vision tell apart, darkest first so
that they differ in print, too. Fonts and backgrounds are left to the user's matplotlib style; figures of the plot's own grow
with what is written on them (`labels.py`), and axes that were given keep their size.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np

from jaxlmm.errors import DataError

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Blue, vermillion, green, purple, orange, sky blue, black."""

FIRST, SECOND, GREY = COLOURS[0], COLOURS[1], "#7F7F7F"

MARKERS = ("o", "s", "^", "D", "v", "P", "X")
"""Beside colours, for print in grey."""

SMALL = (4.4, 2.8)
"""Width and height of the smallest figure of panels in inches: a legend has room above it."""

HOLLOW = {"facecolors": "none", "linewidths": 0.8, "s": 12}
"""Markers of values that no line may join."""


def pyplot() -> ModuleType:
    """matplotlib.pyplot.

    Raises
    ------
    DataError
        When matplotlib is not installed.
    """
    try:
        import matplotlib.pyplot as plt
    except ImportError:
        raise DataError("plots need matplotlib; install it with pip install 'jaxlmm[plot]'") from None
    return plt


def one_axes(ax: Any, size: tuple[float, float] = (6.0, 4.2)) -> Any:
    """The axes given, or new ones.

    Raises
    ------
    DataError
        When something else was given.
    """
    plt = pyplot()
    if ax is None:
        return plt.subplots(figsize=size, layout="constrained")[1]
    if not is_axes(ax):
        raise DataError(
            f"ax= is of type {type(ax).__name__}, and this plot draws on one Axes; write ax=plt.subplots()[1], or leave it "
            "out"
        )
    return ax


def panels(
    ax: Any, titles: Sequence[str], size: tuple[float, float] = (3.4, 3.0), columns: int = 4, **shared: Any
) -> list:
    """As many axes as there are titles: those given, or new ones in rows, with numbers below the lowest of each column.

    Raises
    ------
    DataError
        When something else, or another number of axes, was given.
    """
    plt, count = pyplot(), len(titles)
    if ax is None:
        wide = min(count, columns)
        high = -(-count // wide)
        inches = (max(size[0] * wide, SMALL[0]), max(size[1] * high, SMALL[1]))
        figure, grid = plt.subplots(high, wide, figsize=inches, layout="constrained", squeeze=False, **shared)
        figure.get_layout_engine().set(w_pad=0.08)  # or the last number of a panel meets the first of the next
        for extra in grid.ravel()[count:]:
            figure.delaxes(extra)
        axes = list(grid.ravel()[:count])
        for lowest in axes[-wide:]:
            lowest.tick_params(labelbottom=True)
        return axes
    axes = list(np.ravel(np.asarray(ax, dtype=object)))
    if not all(map(is_axes, axes)):
        many = "one Axes; write ax=plt.subplots()" if count == 1 else f"{count} Axes; write ax=plt.subplots(1, {count})"
        raise DataError(f"ax= is of type {type(ax).__name__}, and this plot draws on {many}[1], or leave it out")
    if len(axes) != count:
        shown = ", ".join(titles[:8]) + (", ..." if count > 8 else "")
        raise DataError(f"this plot has {count} panels ({shown}), and ax= holds {len(axes)} axes; give one for each")
    return axes


def is_axes(thing: Any) -> bool:
    """Whether it can be drawn on."""
    from matplotlib.axes import Axes

    return isinstance(thing, Axes)


def answered(axes: list) -> Any:
    """One Axes, or an array of several."""
    return axes[0] if len(axes) == 1 else np.array(axes, dtype=object)


def plain(ax: Any) -> None:
    """Only the two axes that are read."""
    ax.spines[["top", "right"]].set_visible(False)


def look(number: int) -> dict[str, Any]:
    """Colour and marker of the series of a number; 49 differ."""
    turn = number // len(COLOURS)
    return {"color": COLOURS[number % len(COLOURS)], "marker": MARKERS[(number + turn) % len(MARKERS)]}


def dense(n: int) -> dict[str, Any]:
    """Size and transparency of n points, so that many do not become one blot; drawn as an image in vector files."""
    if n <= 500:
        return {"s": 18, "alpha": 0.75, "linewidths": 0}
    return {
        "s": max(1.5, 18 * (500 / n) ** 0.5),
        "alpha": max(0.05, 0.75 * (500 / n) ** 0.4),
        "linewidths": 0,
        "rasterized": n > 5000,
    }


def arrows(ax: Any, start: np.ndarray, end: np.ndarray) -> None:
    """Arrows between points (n, 2) in the units of the axes, whose heads end before a marker; lines where they are many."""
    from matplotlib.collections import LineCollection
    from matplotlib.patches import FancyArrowPatch

    known = np.isfinite(start).all(axis=1)
    start, end = start[known], end[known]
    if len(start) > 200:
        lines = list(np.stack([start, end], axis=1))
        ax.add_collection(LineCollection(lines, colors=GREY, linewidths=0.5, alpha=0.4, zorder=1), autolim=False)
        return
    for begin, finish in zip(start, end, strict=True):
        ax.add_artist(
            FancyArrowPatch(
                begin,
                finish,
                arrowstyle="-|>",
                mutation_scale=7,
                shrinkA=0,
                shrinkB=3,
                color=GREY,
                linewidth=0.8,
                zorder=1,
            )
        )
