"""Plots of bootstrap replicates: densities, ridgeline, correlations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxlmm.plot import data, style
from jaxlmm.plot.profiles import curve


def bootstrap_density(
    bootstrap: Any,
    terms: str | Sequence[str] | None = None,
    method: str = "percentile",
    level: float = 0.95,
    ax: Any = None,
) -> Any:
    """Density of each term's replicates, its interval shaded and the fit's estimate marked.

    Parameters
    ----------
    bootstrap : Bootstrap
        From `fit.bootstrap(...)`.
    terms : str or list of str, optional
        One panel each; all by default.
    method, level
        Of the interval: see `Bootstrap.conf_int`.
    ax : Axes or sequence of Axes, optional
        Where to draw: one for each term.

    Returns
    -------
    Axes, or array of Axes

    Raises
    ------
    DataError
        When there is no such term, or its replicates are all equal.

    Examples
    --------
    >>> import jaxlmm
    >>> fit = jaxlmm.lmer("Yield ~ 1 + (1 | Batch)", jaxlmm.load_dataset("dyestuff"))
    >>> jaxlmm.plot.bootstrap_density(fit.bootstrap(200, seed=1), "Intercept").get_xlabel()
    'Intercept'
    """
    table = data.bootstrap_density(bootstrap, terms)
    names = list(dict.fromkeys(table["term"]))
    limits, estimates = bootstrap.conf_int(method, level), bootstrap.summary()["estimate"]
    axes = style.panels(ax, names, (3.0, 2.8))
    for panel, name in zip(axes, names, strict=True):
        own = table[table["term"] == name]
        curve(panel, own["value"].to_numpy(), own["density"].to_numpy(), limits.loc[name])
        panel.axvline(estimates[name], color=style.SECOND, linewidth=1.2)
        panel.set_xlabel(name)
    axes[0].set_ylabel("density of replicates")
    return style.answered(axes)


def bootstrap_ridgeline(bootstrap: Any, terms: str | Sequence[str] | None = None, ax: Any = None) -> Any:
    """Densities of all terms above each other, each centred and scaled by its replicates: skewness at a glance.

    Parameters
    ----------
    bootstrap : Bootstrap
        From `fit.bootstrap(...)`.
    terms : str or list of str, optional
        All by default.
    ax : Axes, optional
        Where to draw.

    Returns
    -------
    Axes

    Examples
    --------
    >>> import jaxlmm
    >>> fit = jaxlmm.lmer("Yield ~ 1 + (1 | Batch)", jaxlmm.load_dataset("dyestuff"))
    >>> len(jaxlmm.plot.bootstrap_ridgeline(fit.bootstrap(200, seed=1)).get_yticks())
    3
    """
    table = data.bootstrap_ridgeline(bootstrap, terms)
    names = list(dict.fromkeys(table["term"]))
    ax = style.one_axes(ax, (6.0, 1.2 + 0.55 * len(names)))
    scale = 1.6 / float(table["density"].max())
    for row, name in enumerate(reversed(names)):
        own = table[table["term"] == name]
        top = row + scale * own["density"]
        ax.fill_between(
            own["value"], row, top, color=style.FIRST, alpha=0.35, linewidth=0, zorder=2 * (len(names) - row)
        )
        ax.plot(own["value"], top, color=style.FIRST, linewidth=1.2, zorder=2 * (len(names) - row) + 1)
    ax.axvline(0.0, color=style.GREY, linewidth=0.8, linestyle="--", zorder=0)
    ax.set_yticks(range(len(names)), list(reversed(names)))
    ax.set_xlabel("replicate less mean, in standard deviations")
    ax.spines["left"].set_visible(False)
    style.plain(ax)
    return ax


def bootstrap_correlation(bootstrap: Any, terms: str | Sequence[str] | None = None, ax: Any = None) -> Any:
    """Correlations between the replicates of each two terms, as numbers in a coloured table.

    Parameters
    ----------
    bootstrap : Bootstrap
        From `fit.bootstrap(...)`.
    terms : str or list of str, optional
        All by default.
    ax : Axes, optional
        Where to draw.

    Returns
    -------
    Axes

    Examples
    --------
    >>> import jaxlmm
    >>> fit = jaxlmm.lmer("Yield ~ 1 + (1 | Batch)", jaxlmm.load_dataset("dyestuff"))
    >>> [text.get_text() for text in jaxlmm.plot.bootstrap_correlation(fit.bootstrap(200, seed=1)).texts][:1]
    ['1.00']
    """
    table = data.bootstrap_correlation(bootstrap, terms)
    n = len(table)
    ax = style.one_axes(ax, (2.4 + 0.62 * n, 1.8 + 0.55 * n))
    image = ax.imshow(table, cmap="PuOr", vmin=-1.0, vmax=1.0)
    for i, j in np.ndindex(n, n):
        value = table.iloc[i, j]
        ax.text(
            j,
            i,
            f"{value:.2f}",
            ha="center",
            va="center",
            fontsize="small",
            color="white" if abs(value) > 0.6 else "black",
        )
    ax.set_xticks(range(n), table.columns, rotation=45, ha="right")
    ax.set_yticks(range(n), table.index)
    ax.figure.colorbar(image, ax=ax, label="correlation of replicates", shrink=0.8)
    return ax
