"""Plots of profile likelihoods."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from jaxlmm.plot import data, labels, style


def profile_zeta(
    profile: Any, parameters: str | Sequence[str] | None = None, level: float = 0.95, ax: Any = None
) -> Any:
    """ζ of each parameter, with its profile interval; a straight line is a parameter whose Wald interval is right.

    Parameters
    ----------
    profile : Profile
        From `fit.profile()`.
    parameters : str or list of str, optional
        One panel each; all by default.
    level : float
        Of the interval.
    ax : Axes or sequence of Axes, optional
        Where to draw: one for each parameter.

    Returns
    -------
    Axes, or array of Axes

    Raises
    ------
    DataError
        When there is no such parameter.

    Examples
    --------
    >>> import jaxlmm
    >>> fit = jaxlmm.lmer("Yield ~ 1 + (1 | Batch)", jaxlmm.load_dataset("dyestuff"))
    >>> [ax.get_xlabel() for ax in jaxlmm.plot.profile_zeta(fit.profile())]
    ['.sig01', '.sigma', 'Intercept']
    """
    table = data.profile_zeta(profile, parameters)
    limits = profile.conf_int(level)
    names = list(dict.fromkeys(table["parameter"]))
    axes = style.panels(ax, names, (3.0, 2.8), sharey=True)
    inches = 2.5 if ax is None else labels.room(axes[0])[0]
    quantile = stats.norm.ppf(0.5 + 0.5 * level)
    for panel, name in zip(axes, names, strict=True):
        own = table[table["parameter"] == name].sort_values("value")
        low, high = limits.loc[name]
        panel.axhline(0.0, color=style.GREY, linewidth=0.8)
        for side in (-quantile, quantile):
            panel.axhline(side, color=style.GREY, linewidth=0.8, linestyle="--")
        panel.axvspan(low, high, color=style.FIRST, alpha=0.12, linewidth=0)
        panel.plot(own["value"], own["zeta"], color=style.FIRST, marker="o", markersize=2.5, linewidth=1.4)
        panel.set_xlabel(labels.wrapped(name, inches))
        style.plain(panel)
    axes[0].set_ylabel("ζ")
    labels.legend_above(
        axes,
        ax is None,
        [labels.shade(f"{100 * level:.3g} % profile interval"), labels.dashes(f"normal quantiles ±{quantile:.3g}")],
    )
    return style.answered(axes)


def profile_density(
    profile: Any, parameters: str | Sequence[str] | None = None, level: float = 0.95, ax: Any = None
) -> Any:
    """The density that each parameter's profile implies, its interval shaded; arguments and answer as of `profile_zeta`.

    Where the curve ends at a bound, such as a standard deviation of zero, a bar and a number say what share lies there.

    Examples
    --------
    >>> import jaxlmm
    >>> fit = jaxlmm.lmer("Yield ~ 1 + (1 | Batch)", jaxlmm.load_dataset("dyestuff"))
    >>> jaxlmm.plot.profile_density(fit.profile(), ".sigma").get_ylabel()
    'profile density'
    """
    table, ends = data.profile_density(profile, parameters), data.profile_bounds(profile, parameters)
    limits = profile.conf_int(level)
    names = list(dict.fromkeys(table["parameter"]))
    axes = style.panels(ax, names, (3.0, 2.8))
    inches = 2.5 if ax is None else labels.room(axes[0])[0]
    for panel, name in zip(axes, names, strict=True):
        own = table[table["parameter"] == name]
        curve(panel, own["value"].to_numpy(), own["density"].to_numpy(), limits.loc[name])
        mass(panel, ends[ends["parameter"] == name])
        panel.set_xlabel(labels.wrapped(name, inches))
    axes[0].set_ylabel("profile density")
    labels.legend_above(axes, ax is None, [labels.shade(f"{100 * level:.3g} % profile interval")])
    return style.answered(axes)


def curve(ax: Any, value: np.ndarray, density: np.ndarray, limits: Any) -> None:
    """A density with the interval between two limits shaded."""
    low, high = limits
    inside = (value >= low) & (value <= high)
    ax.plot(value, density, color=style.FIRST, linewidth=1.4)
    ax.fill_between(value, density, where=inside, color=style.FIRST, alpha=0.25, linewidth=0)
    ax.set_ylim(bottom=0.0)
    style.plain(ax)


def mass(ax: Any, ends: pd.DataFrame) -> None:
    """What share lies at a bound, where a curve cannot show it: its number, and a bar as high as its share of the axis."""
    low, high = ax.get_ylim()
    top = high * (1.0 + 0.12 * len(ends))
    ax.set_ylim(low, top)
    for row, (at, share) in enumerate(zip(ends["bound"], ends["share"], strict=True)):
        if np.isfinite(at):
            ax.plot(
                [at, at], [0.0, share * top], color=style.FIRST, linewidth=3.0, solid_capstyle="butt", clip_on=False
            )
        place = {"xy": (0.97, 0.99), "xycoords": "axes fraction", "ha": "right", "va": "top", "fontsize": "small"}
        ax.annotate(labels.at_bound(at, share), xytext=(0, -11 * row), textcoords="offset points", **place)
