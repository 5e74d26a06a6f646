"""How plots look: colours, axes, labels. Called by every plot.

Colours are Okabe & Ito's (2008, "Color universal design"), which people with any colour vision tell apart, darkest first so
that they differ in print, too. Fonts, sizes and backgrounds are left to the user's matplotlib style.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import ModuleType
from typing import Any

import numpy as np

from jaxlmm.errors import DataError

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Blue, vermillion, green, purple, orange, sky blue, black."""

FIRST, SECOND, GREY = COLOURS[0], COLOURS[1], "#7F7F7F"

MARKERS = ("o", "s", "^", "D", "v", "P", "X")
"""Beside colours, for print in grey."""


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
    """The axes given, or new ones."""
    return pyplot().subplots(figsize=size, layout="constrained")[1] if ax is None else ax


def panels(
    ax: Any, titles: Sequence[str], size: tuple[float, float] = (3.4, 3.0), columns: int = 4, **shared: Any
) -> list:
    """As many axes as there are titles: those given, or new ones in rows.

    Raises
    ------
    DataError
        When another number of axes was given.
    """
    count = len(titles)
    if ax is None:
        wide = min(count, columns)
        high = -(-count // wide)
        figure, grid = pyplot().subplots(
            high, wide, figsize=(size[0] * wide, size[1] * high), layout="constrained", squeeze=False, **shared
        )
        for extra in grid.ravel()[count:]:
            figure.delaxes(extra)
        axes = list(grid.ravel()[:count])
    else:
        axes = list(np.ravel(np.asarray(ax, dtype=object)))
    if len(axes) != count:
        raise DataError(f"this plot has {count} panels ({', '.join(titles)}), and ax= holds {len(axes)} axes")
    return axes


def answered(axes: list) -> Any:
    """One Axes, or an array of several."""
    return axes[0] if len(axes) == 1 else np.array(axes, dtype=object)


def plain(ax: Any) -> None:
    """Only the two axes that are read."""
    ax.spines[["top", "right"]].set_visible(False)


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


def level_axis(ax: Any, positions: np.ndarray, labels: Sequence[Any], most: int = 60) -> None:
    """Names of levels along the vertical axis, unless they are too many to read."""
    if len(positions) <= most:
        ax.set_yticks(
            positions, [str(label) for label in labels], fontsize="small" if len(positions) <= 25 else "xx-small"
        )
    else:
        ax.set_yticks([])
    ax.set_ylim(float(np.min(positions)) - 0.8, float(np.max(positions)) + 0.8)


def name_points(ax: Any, x: Iterable[float], y: Iterable[float], names: Iterable[Any]) -> None:
    """Names beside points, away from x = 0, in order of importance: one that would cover an earlier one is left out."""
    covered: list[Any] = []
    for left, height, name in zip(x, y, names, strict=True):
        side = "right" if left < 0 else "left"
        offset = (-4 if left < 0 else 4, 2)
        place = {"xytext": offset, "textcoords": "offset points", "ha": side, "fontsize": "x-small"}
        text = ax.annotate(str(name), (left, height), **place)
        box = text.get_window_extent()
        if any(box.overlaps(other) for other in covered):
            text.remove()
        else:
            covered.append(box)
