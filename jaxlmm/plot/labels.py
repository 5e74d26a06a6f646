"""What is written on plots: names that fit the room they have, and legends that cover no data. Called by every plot.

matplotlib makes room for a text where the figure can spare it, and lets texts run into each other where it cannot. So a
name is measured first (0.6 of its size per letter, which is more than most fonts take), broken where names break, made
smaller or turned, and left out for a count when nothing else makes it legible.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from jaxlmm.plot import style

LETTER = 0.6
"""Width of a letter in sizes of its font, at most on average."""

SMALLEST = 5.0
"""Points of the smallest font that is read in print."""

MOST = 60
"""Levels that are named on an axis, at most."""

BREAKS = re.compile(r"(?<=[\s_.:|,;/+*\-\])])")
"""After these a name may be broken."""


def points(size: str | float) -> float:
    """A font size such as "small" or "axes.labelsize" (a setting of matplotlib) in points."""
    import matplotlib as mpl
    from matplotlib.font_manager import FontProperties

    settings: Any = mpl.rcParams
    if size in settings:
        size = settings[size]
    return float(FontProperties(size=size).get_size_in_points())


def width(texts: Iterable[Any], size: str | float = "small") -> float:
    """Inches that the longest of some texts takes."""
    longest = max((len(line) for text in texts for line in str(text).split("\n")), default=0)
    return LETTER * points(size) * longest / 72


def room(ax: Any) -> tuple[float, float]:
    """Width and height of axes in inches, as they are now."""
    figure = ax.figure.figure
    box = ax.get_window_extent().transformed(figure.dpi_scale_trans.inverted())
    return float(box.width), float(box.height)


def wrapped(text: Any, inches: float, size: str | float = "axes.labelsize", lines: int = 3) -> str:
    """A text in lines of a width; what takes more lines loses its middle, for names mostly differ at their ends."""
    most = letters(inches, size)
    text = shortened(text, most * lines)
    rows = broken(text, most)
    while len(rows) > lines or max(map(len, rows)) > most:  # lines are left half empty where a name breaks
        if max(map(len, rows)) > most:
            return "\n".join(text[i : i + most] for i in range(0, len(text), most))
        text = shortened(text, len(text) - 2)
        rows = broken(text, most)
    return "\n".join(rows)


def letters(inches: float, size: str | float) -> int:
    """How many letters have room."""
    return max(6, int(72 * inches / (LETTER * points(size))))


def broken(text: str, most: int) -> list[str]:
    """A text in lines of at most so many letters, as far as it breaks between words."""
    rows = [""]
    for part in BREAKS.split(text):
        if rows[-1] and len(rows[-1]) + len(part.rstrip()) > most:
            rows.append("")
        rows[-1] += part
    return [row.strip() for row in rows]


def shortened(text: Any, most: int = 40) -> str:
    """A text without its middle where it is longer than `most`."""
    text = str(text)
    if len(text) <= most:
        return text
    head, tail = most // 2, (most - 1) // 2
    return text[:head] + "…" + text[len(text) - tail :]


def along_y(ax: Any, positions: np.ndarray, names: Sequence[Any], title: str, height: float | None = None) -> None:
    """Names of levels and their title along the vertical axis; only how many there are, where they could not be read.

    Parameters
    ----------
    ax : Axes
        Where.
    positions : array
        Of the levels, evenly spaced.
    names : sequence
        In the order of positions.
    title : str
        What levels they are of.
    height : float, optional
        Of the axes in inches, when it is known better than the axes know it themselves.
    """
    count, texts = len(positions), [shortened(name) for name in names]
    each = 72 * (room(ax)[1] if height is None else height) / (count + 0.6)
    size = min(points("small"), 0.85 * each)
    ax.set_ylim(float(np.min(positions)) - 0.8, float(np.max(positions)) + 0.8)
    if count <= MOST and size >= SMALLEST:
        ax.set_yticks(positions, texts, fontsize=size)
        ax.set_ylabel(shortened(title))
    else:
        ax.set_yticks([])
        ax.set_ylabel(f"{shortened(title)}: {count:,} levels, in order")


def along_x(ax: Any, names: Sequence[Any], inches: float | None = None) -> float:
    """Names at 0, 1, ... along the horizontal axis, broken or turned where they would touch.

    Parameters
    ----------
    ax : Axes
        Where.
    names : sequence
        In their order.
    inches : float, optional
        Width of the axes, when it is known better than the axes know it themselves.

    Returns
    -------
    float
        Inches that the names take below the axes, more than one line does.
    """
    count = len(names)
    each = (room(ax)[0] if inches is None else inches) / max(count, 1)
    usual = points("xtick.labelsize")
    most = int(72 * 0.95 * each / (LETTER * usual))
    rows = [broken(str(name), most) for name in names]
    if all(len(lines) <= 4 and max(map(len, lines)) <= most for lines in rows):
        ax.set_xticks(range(count), ["\n".join(lines) for lines in rows])
        return 1.3 * usual / 72 * (max(map(len, rows)) - 1)
    size = min(usual, 0.8 * 72 * each)
    if size < SMALLEST:
        ax.set_xticks([])
        return 0.0
    turned = [shortened(name) for name in names]
    # Turned by 45°, lines of text are 0.7 of their distance apart.
    slanted = 0.7 * 72 * each >= 1.2 * size
    anchor = {"ha": "right", "rotation_mode": "anchor", "va": "top" if slanted else "center"}
    ax.set_xticks(range(count), turned, rotation=45 if slanted else 90, fontsize=size, **anchor)
    return (0.7 if slanted else 1.0) * width(turned, size)


def percent(share: float) -> str:
    """A share in per cent with two digits."""
    return f"{100 * share:.2g} %" if share < 0.995 else f"{100 * share:.3g} %"


def at_bound(bound: float, share: float) -> str:
    """What a share of a distribution is, if it is at a bound; NaN stands for no value."""
    return f"{percent(share)} {'undefined' if np.isnan(bound) else f'at {bound:g}'}"


def shade(label: str) -> Any:
    """An entry of a legend for what is shaded."""
    from matplotlib.patches import Patch

    return Patch(facecolor=style.FIRST, alpha=0.25, label=label)


def line(label: str, colour: str = style.FIRST) -> Any:
    """An entry of a legend for a line."""
    from matplotlib.lines import Line2D

    return Line2D([], [], color=colour, linewidth=1.4, label=label)


def dashes(label: str) -> Any:
    """An entry of a legend for a dashed grey line."""
    from matplotlib.lines import Line2D

    return Line2D([], [], color=style.GREY, linewidth=0.8, linestyle="--", label=label)


def legend(ax: Any, handles: Sequence[Any], title: str | None = None, inches: float | None = None) -> None:
    """A legend above axes, where it covers no data."""
    columns = _columns(handles, room(ax)[0] if inches is None else inches)
    ax.legend(
        handles=list(handles), title=title, ncols=columns, frameon=False, fontsize="small", title_fontsize="small",
        loc="lower left", bbox_to_anchor=(0.0, 1.0), borderaxespad=0.2,
    )  # fmt: skip


def _columns(handles: Sequence[Any], inches: float) -> int:
    """How many entries stand side by side in a width."""
    each = width([handle.get_label() for handle in handles], "small") + 0.55
    return max(1, min(len(handles), int(inches / each)))


def legend_above(axes: Sequence[Any], own: bool, handles: Sequence[Any]) -> None:
    """One legend for all panels: above a figure of the plot's own, inside the first panel of a user's."""
    if not own:
        axes[0].legend(handles=list(handles), frameon=False, fontsize="x-small")
        return
    figure = axes[0].figure
    columns = _columns(handles, figure.get_size_inches()[0])
    figure.legend(handles=list(handles), loc="outside upper center", ncols=columns, frameon=False, fontsize="small")


def name_points(ax: Any, x: Iterable[float], y: Iterable[float], names: Iterable[Any]) -> None:
    """Names beside points, away from x = 0, in order of importance; one that would cover an earlier one, or leave the axes,
    is left out."""
    figure = ax.figure.figure
    figure.draw_without_rendering()  # axes take their places
    covered: list[Any] = []
    inside = ax.get_window_extent().padded(1.0)
    for left, height, name in zip(x, y, names, strict=True):
        for outwards in (True, False):
            to_left = (left < 0) == outwards
            text = ax.annotate(
                shortened(name), (left, height), xytext=(-4 if to_left else 4, 2), textcoords="offset points",
                ha="right" if to_left else "left", fontsize="x-small",
            )  # fmt: skip
            box = text.get_window_extent()
            if not any(box.overlaps(other) for other in covered) and _within(box, inside):
                covered.append(box)
                break
            text.remove()


def _within(box: Any, around: Any) -> bool:
    return box.x0 >= around.x0 and box.x1 <= around.x1 and box.y0 >= around.y0
