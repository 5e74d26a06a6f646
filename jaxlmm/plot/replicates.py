"""Plots of bootstrap replicates: densities, ridgeline, correlations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxlmm.plot import data, labels, style
from jaxlmm.plot.data.lanes import replicates
from jaxlmm.plot.profiles import curve, mass


def bootstrap_density(
    bootstrap: Any,
    terms: str | Sequence[str] | None = None,
    method: str = "percentile",
    level: float = 0.95,
    ax: Any = None,
) -> Any:
    """Density of each term's replicates, its interval shaded and the fit's estimate marked.

    Replicates at a bound, as a standard deviation that is estimated as zero, are a bar there, with their share
    in a number and in the bar's part of the axis.

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
    table, ends = data.bootstrap_density(bootstrap, terms), data.bootstrap_bounds(bootstrap, terms)
    names = list(replicates(bootstrap, terms))
    limits, estimates = bootstrap.conf_int(method, level), bootstrap.summary()["estimate"]
    axes = style.panels(ax, names, (3.0, 2.8))
    inches = 2.5 if ax is None else labels.room(axes[0])[0]
    for panel, name in zip(axes, names, strict=True):
        own = table[table["term"] == name]
        curve(panel, own["value"].to_numpy(), own["density"].to_numpy(), limits.loc[name])
        panel.axvline(estimates[name], color=style.SECOND, linewidth=1.2)
        mass(panel, ends[ends["term"] == name])
        panel.set_xlabel(labels.wrapped(name, inches))
    axes[0].set_ylabel("density of replicates")
    handles = [labels.line("estimate", style.SECOND), labels.shade(f"{100 * level:.3g} % {method} interval")]
    labels.legend_above(axes, ax is None, handles)
    return style.answered(axes)


def bootstrap_ridgeline(bootstrap: Any, terms: str | Sequence[str] | None = None, ax: Any = None) -> Any:
    """Densities of all terms above each other, each centred and scaled by its replicates: skewness at a glance.

    Below a term's name stands what share of its replicates is at a bound, where there is no density.

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
    table, ends = data.bootstrap_ridgeline(bootstrap, terms), data.bootstrap_bounds(bootstrap, terms)
    names = list(dict.fromkeys(table["term"]))
    written = [labels.shortened(name) for name in names]
    for i, name in enumerate(names):
        own = ends[ends["term"] == name]
        shares = [labels.at_bound(at, share) for at, share in zip(own["bound"], own["share"], strict=True)]
        written[i] += f"\n({', '.join(shares)})" if shares else ""
    ax = style.one_axes(ax, (4.4 + labels.width(written, "ytick.labelsize"), 1.2 + 0.55 * len(names)))
    scale = 1.6 / float(table["density"].max())
    for row, name in enumerate(reversed(names)):
        own = table[table["term"] == name]
        top = row + scale * own["density"]
        ax.fill_between(
            own["value"], row, top, color=style.FIRST, alpha=0.35, linewidth=0, zorder=2 * (len(names) - row)
        )
        ax.plot(own["value"], top, color=style.FIRST, linewidth=1.2, zorder=2 * (len(names) - row) + 1)
    ax.axvline(0.0, color=style.GREY, linewidth=0.8, linestyle="--", zorder=0)
    ax.set_yticks(range(len(names)), list(reversed(written)))
    ax.set_xlabel(labels.wrapped("replicate less mean, in standard deviations", labels.room(ax)[0]))
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
    n, names = len(table), [labels.shortened(name) for name in table.columns]
    # Names stand beside the table, and below it turned by 45°.
    inches = labels.width(names, "xtick.labelsize")
    ax = style.one_axes(ax, (1.6 + inches + 0.62 * n, 0.8 + 0.75 * inches + 0.55 * n))
    image = ax.imshow(table, cmap="PuOr", vmin=-1.0, vmax=1.0)
    for i, j in np.ndindex(n, n):
        value = table.iloc[i, j]
        ax.text(
            j,
            i,
            f"{value:.2f}" if np.isfinite(value) else "–",
            ha="center",
            va="center",
            fontsize="small",
            color="white" if abs(value) > 0.6 else "black",
        )
    ax.set_xticks(range(n), names, rotation=45, ha="right", rotation_mode="anchor")
    ax.set_yticks(range(n), names)
    ax.figure.colorbar(image, ax=ax, label="correlation of replicates", shrink=0.8)
    return ax
