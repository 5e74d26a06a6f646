"""Plots of many responses: volcano, variance fractions."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxlmm.plot import data, style


def volcano(many: Any, term: str, alpha: float = 0.05, labels: int = 10, ax: Any = None) -> Any:
    """Effect of a term against its p-value over all responses; coloured where the adjusted p-value is below `alpha`.

    Parameters
    ----------
    many : ManyFits
        From `jaxlmm.fit_many`.
    term : str
        A coefficient or a test.
    alpha : float
        Bound of the adjusted p-values (Benjamini & Hochberg's, see `ManyFits.frame`).
    labels : int
        How many responses of the smallest p-values to name; a name that would cover one before it is left out.
    ax : Axes, optional
        Where to draw.

    Returns
    -------
    Axes

    Raises
    ------
    DataError
        When there is no such term.

    Examples
    --------
    >>> import jaxlmm, pandas as pd
    >>> sleep = jaxlmm.load_dataset("sleepstudy")
    >>> fit = jaxlmm.lmer("Reaction ~ Days + (Days | Subject)", sleep)
    >>> many = jaxlmm.fit_many("~ Days + (Days | Subject)", sleep, pd.DataFrame(fit.simulate(20, seed=1)))
    >>> jaxlmm.plot.volcano(many, "Days").get_xlabel()
    'Days'
    """
    table = data.volcano(many, term)
    found = table["p_adjusted"] <= alpha
    ax = style.one_axes(ax, (5.6, 4.6))
    for rows, colour in ((table[~found], style.GREY), (table[found], style.SECOND)):
        ax.scatter(rows["estimate"], rows["minus_log10_p"], color=colour, **style.dense(len(rows)))
    ax.axvline(0.0, color=style.GREY, linewidth=0.8, linestyle="--")
    ax.set_xlabel(term)
    ax.set_ylabel("−log₁₀ p")
    ax.set_title(f"{int(found.sum())} of {len(table)} with adjusted p ≤ {alpha:g}", fontsize="medium")
    style.plain(ax)
    ax.margins(x=0.18)  # room for names
    strongest = table.nlargest(labels, "minus_log10_p")
    style.name_points(ax, strongest["estimate"], strongest["minus_log10_p"], strongest["response"])
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
    ax = style.one_axes(ax, (max(3.6, 1.4 + 1.2 * len(names)), 4.0))
    for i, own in enumerate(values):
        if own.size > 1 and np.ptp(own) > 0:
            body = ax.violinplot([own], positions=[i], widths=0.8, showextrema=False)["bodies"][0]
            body.set(facecolor=style.COLOURS[i % 6], alpha=0.35, linewidth=0)
    ax.boxplot(values, positions=range(len(names)), widths=0.12, showfliers=False, medianprops={"color": "black"})
    ax.set_xticks(range(len(names)), names)
    ax.set_ylim(-0.02, 1.02)
    ax.set_ylabel("share of variance")
    style.plain(ax)
    return ax
