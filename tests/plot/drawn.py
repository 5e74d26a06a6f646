"""What stands on axes: points, lines, segments, shaded intervals, texts."""

from typing import Any

import numpy as np
from matplotlib.collections import LineCollection, PathCollection


def scatters(ax: Any) -> list[np.ndarray]:
    """Points (n, 2) of each scatter, in the order in which they were drawn."""
    return [np.asarray(part.get_offsets()) for part in ax.collections if isinstance(part, PathCollection)]


def segments(ax: Any) -> np.ndarray:
    """Ends (n, 2, 2) of all segments of hlines and vlines."""
    parts = [np.asarray(part.get_segments()) for part in ax.collections if isinstance(part, LineCollection)]
    return np.concatenate(parts)


def curves(ax: Any, least: int = 3) -> list[np.ndarray]:
    """Points (n, 2) of each line with at least so many."""
    return [line.get_xydata() for line in ax.lines if len(line.get_xdata()) >= least]


def uprights(ax: Any) -> list[float]:
    """Where vertical lines stand."""
    return [float(line.get_xdata()[0]) for line in ax.lines if len(set(np.ravel(line.get_xdata()))) == 1]


def shaded(ax: Any) -> tuple[float, float]:
    """Left and right end of what is shaded."""
    x = np.concatenate([path.vertices[:, 0] for part in ax.collections for path in part.get_paths() if len(path) > 4])
    return float(x.min()), float(x.max())


def texts(ax: Any) -> list[str]:
    return [text.get_text() for text in ax.texts]


def legend_of(thing: Any) -> list[str]:
    """Texts of the legend of axes or of a figure."""
    legend = thing.get_legend() if hasattr(thing, "get_legend") else thing.legends[0]
    return [text.get_text() for text in legend.get_texts()]
