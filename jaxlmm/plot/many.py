"""Plots of many responses: volcano, variance fractions."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxlmm.errors import DataError
from jaxlmm.plot import data, style
from jaxlmm.plot.data.asked import a_number
from jaxlmm.plot.labels import along_x, name_points, room, wrapped


def volcano(many: Any, term: str, alpha: float = 0.05, labels: int = 10, ax: Any = None) -> Any:
    """Effect of a term against its p-value over all responses; coloured where the adjusted p-value is at most `alpha`.

    Parameters
    ----------
    many : ManyFits
        From `jaxlmm.fit_many`.
    term : str
        A coefficient or a test.
    alpha : float
        Bound of the adjusted p-values (Benjamini & Hochberg's, see `ManyFits.frame`).
    labels : int
        How many responses of the smallest p-values to name; a name that would cover one before it, or leave the axes, is left
        out.
    ax : Axes, optional
        Where to draw.

    Returns
    -------
    Axes

    Raises
    ------
    DataError
        When there is no such term, or an argument is not possible.

    Examples
    --------
    >>> import jaxlmm, pandas as pd
    >>> sleep = jaxlmm.load_dataset("sleepstudy")
    >>> fit = jaxlmm.lmer("Reaction ~ Days + (Days | Subject)", sleep)
    >>> many = jaxlmm.fit_many("~ Days + (Days | Subject)", sleep, pd.DataFrame(fit.simulate(20, seed=1)))
    >>> jaxlmm.plot.volcano(many, "Days").get_xlabel()
    'Days'
    """
    a_number(labels, "labels", 0)
    if not isinstance(alpha, float | int | np.number) or not 0.0 < alpha <= 1.0:
        raise DataError(f"alpha={alpha!r} is no bound of p-values; write a number above 0 and up to 1, such as 0.05")
    table = data.volcano(many, term)
    known, found = table["p_adjusted"].notna(), table["p_adjusted"] <= alpha
    ax = style.one_axes(ax, (5.6, 4.6))
    for rows, colour in ((table[known & ~found], style.GREY), (table[found], style.SECOND)):
        ax.scatter(rows["estimate"], rows["minus_log10_p"], color=colour, **style.dense(len(rows)))
    ax.axvline(0.0, color=style.GREY, linewidth=0.8, linestyle="--")
    ax.set_xlabel(wrapped(term, room(ax)[0]))
    ax.set_ylabel("−log₁₀ p")
    without = f", {int((~known).sum()):,} more without p" if not known.all() else ""
    ax.set_title(
        f"{int(found.sum()):,} of {int(known.sum()):,} with adjusted p ≤ {alpha:g}{without}", fontsize="medium"
    )
    style.plain(ax)
    ax.margins(x=0.18, y=0.08)  # room for names
    strongest = table[known].nlargest(labels, "minus_log10_p")
    name_points(ax, strongest["estimate"], strongest["minus_log10_p"], strongest["response"])
    return ax


def variance_fractions(many: Any, ax: Any = None) -> Any:
    """Distribution over all responses of each component's share of the variance.

    Parameters
    ----------
    many : ManyFits
        From `jaxlmm.fit_many`.
    ax : Axes, optional
        Where to draw.

    Returns
    -------
    Axes

    Examples
    --------
    >>> import jaxlmm, pandas as pd
    >>> sleep = jaxlmm.load_dataset("sleepstudy")
    >>> fit = jaxlmm.lmer("Reaction ~ Days + (Days | Subject)", sleep)
    >>> many = jaxlmm.fit_many("~ Days + (Days | Subject)", sleep, pd.DataFrame(fit.simulate(20, seed=1)))
    >>> jaxlmm.plot.variance_fractions(many).get_ylabel()
    'share of variance'
    """
    table = data.variance_fractions(many)
    names = list(table["component"].cat.categories)
    values = [table.loc[table["component"] == name, "fraction"].dropna().to_numpy() for name in names]
    given, wide = ax, min(max(3.6, 1.4 + 1.2 * len(names)), 12.0)
    ax = style.one_axes(ax, (wide, 4.0))
    for i, own in enumerate(values):
        if own.size > 1 and np.ptp(own) > 0:
            body = ax.violinplot([own], positions=[i], widths=0.8, showextrema=False)["bodies"][0]
            body.set(facecolor=style.COLOURS[i % 6], alpha=0.35, linewidth=0)
    ax.boxplot(values, positions=range(len(names)), widths=0.12, showfliers=False, medianprops={"color": "black"})
    below = along_x(ax, names, wide - 0.9 if given is None else None)
    if given is None:
        ax.figure.set_figheight(4.0 + below)
    ax.set_xlim(-0.6, len(names) - 0.4)
    ax.set_ylim(-0.02, 1.02)
    ax.set_ylabel("share of variance")
    style.plain(ax)
    return ax
