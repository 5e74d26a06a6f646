"""Plots of random effects: caterpillar, normal quantiles, shrinkage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxlmm.plot import data, style


def caterpillar(
    fit: Any,
    group: str | None = None,
    effects: str | Sequence[str] | None = None,
    level: float = 0.95,
    ax: Any = None,
) -> Any:
    """Conditional modes of each level with intervals, sorted by the first effect.

    Parameters
    ----------
    fit : MixedModelResults
        The fit.
    group : str, optional
        Grouping factor; the one with the most levels by default.
    effects : str or list of str, optional
        One panel each; all by default.
    level : float
        Of the intervals.
    ax : Axes or sequence of Axes, optional
        Where to draw: one for each effect. New ones by default.

    Returns
    -------
    Axes, or array of Axes where there are several effects

    Raises
    ------
    DataError
        When there is no such group or effect, axes do not match, or matplotlib is not installed.

    Examples
    --------
    >>> import jaxlmm
    >>> fit = jaxlmm.lmer("Reaction ~ Days + (Days | Subject)", jaxlmm.load_dataset("sleepstudy"))
    >>> [ax.get_title() for ax in jaxlmm.plot.caterpillar(fit)]
    ['Intercept', 'Days']
    """
    table = data.caterpillar(fit, group, effects, level)
    names = list(dict.fromkeys(table["effect"]))
    n_levels = int(table["position"].max()) + 1
    height = min(max(2.4, 0.8 + 0.19 * n_levels), 9.0)
    axes = style.panels(ax, names, (3.6, height), sharey=True)
    for panel, name in zip(axes, names, strict=True):
        own = table[table["effect"] == name]
        panel.axvline(0.0, color=style.GREY, linewidth=0.8, linestyle="--")
        panel.hlines(
            own["position"], own["lower"], own["upper"], color=style.FIRST, linewidth=1.2 if n_levels <= 100 else 0.4
        )
        panel.scatter(own["estimate"], own["position"], color=style.FIRST, s=16 if n_levels <= 100 else 2, zorder=3)
        ordered = own.sort_values("position")
        style.level_axis(panel, ordered["position"].to_numpy(), ordered["level"])
        panel.set_title(name)
        panel.set_xlabel(f"conditional mode, {100 * level:.3g} % interval")
        style.plain(panel)
    axes[0].set_ylabel(table["group"].iloc[0])
    return style.answered(axes)


def ranef_qq(
    fit: Any,
    group: str | None = None,
    effects: str | Sequence[str] | None = None,
    level: float = 0.95,
    ax: Any = None,
) -> Any:
    """Conditional modes, with intervals, against normal quantiles; arguments and answer as of `caterpillar`.

    A straight line is what normal random effects give. Modes are shrunken, each by what its rows say, so the slope is less
    than their standard deviation.

    Examples
    --------
    >>> import jaxlmm
    >>> fit = jaxlmm.lmer("Yield ~ 1 + (1 | Batch)", jaxlmm.load_dataset("dyestuff"))
    >>> jaxlmm.plot.ranef_qq(fit).get_xlabel()
    'normal quantile'
    """
    table = data.ranef_qq(fit, group, effects, level)
    names = list(dict.fromkeys(table["effect"]))
    axes = style.panels(ax, names)
    for panel, name in zip(axes, names, strict=True):
        own = table[table["effect"] == name]
        few = len(own) <= 200
        if few:
            panel.vlines(own["theoretical"], own["lower"], own["upper"], color=style.FIRST, linewidth=0.9, alpha=0.5)
        panel.scatter(own["theoretical"], own["estimate"], color=style.FIRST, zorder=3, **style.dense(len(own)))
        _quartile_line(panel, own["theoretical"].to_numpy(), own["estimate"].to_numpy())
        panel.set_title(f"{own['group'].iloc[0]}: {name}")
        panel.set_xlabel("normal quantile")
        style.plain(panel)
    axes[0].set_ylabel("conditional mode")
    return style.answered(axes)


def shrinkage(fit: Any, group: str | None = None, effects: tuple[str, str] | str | None = None, ax: Any = None) -> Any:
    """Coefficients of each level: from its own rows alone, an arrow to what the mixed model makes of them.

    Parameters
    ----------
    fit : MixedModelResults
        The fit; its rows are needed.
    group : str, optional
        Grouping factor; the one with the most levels by default.
    effects : str or pair of str, optional
        Two effects are the plane's axes; one is drawn along the levels. The first two by default.
    ax : Axes, optional
        Where to draw.

    Returns
    -------
    Axes

    Raises
    ------
    DataError
        When there is no such group or effect, or the rows were not saved.

    Examples
    --------
    >>> import jaxlmm
    >>> fit = jaxlmm.lmer("Reaction ~ Days + (Days | Subject)", jaxlmm.load_dataset("sleepstudy"))
    >>> ax = jaxlmm.plot.shrinkage(fit)
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('Subject: Intercept', 'Subject: Days')
    """
    table = data.shrinkage(fit, group)
    group = data.asked.group_of(fit, group)
    known = list(dict.fromkeys(table["effect"]))
    shown = data.asked.some_of(effects, known, f"effect of {group!r}")[:2]
    ax = style.one_axes(ax, (5.6, 5.0))
    parts = [table[table["effect"] == name].reset_index(drop=True) for name in shown]
    if len(parts) == 1:
        part = parts[0].sort_values("within", ignore_index=True)
        ends = [part["within"].to_numpy(), np.arange(len(part)), part["mixed"].to_numpy(), np.arange(len(part))]
        centre = (part["population"][0], None)
    else:
        x, y = parts
        ends = [x["within"].to_numpy(), y["within"].to_numpy(), x["mixed"].to_numpy(), y["mixed"].to_numpy()]
        centre = (x["population"][0], y["population"][0])
    width = 0.003 if len(parts[0]) <= 200 else 0.001
    ax.quiver(
        ends[0], ends[1], ends[2] - ends[0], ends[3] - ends[1],
        angles="xy", scale_units="xy", scale=1.0, color=style.GREY, width=width, zorder=1,
    )  # fmt: skip
    points = style.dense(len(parts[0]))
    ax.scatter(ends[0], ends[1], color=style.SECOND, marker="s", label="within group", zorder=2, **points)
    ax.scatter(ends[2], ends[3], color=style.FIRST, marker="o", label="mixed model", zorder=3, **points)
    if centre[1] is None:
        ax.axvline(centre[0], color="black", linewidth=0.8, linestyle="--", label="population")
        style.level_axis(ax, np.arange(len(part)), part["level"])
        ax.set_xlabel(f"{group}: {shown[0]}")
        ax.set_ylabel(group)
    else:
        ax.scatter(*centre, color="black", marker="+", s=90, label="population", zorder=4)
        ax.set_xlabel(f"{group}: {shown[0]}")
        ax.set_ylabel(f"{group}: {shown[1]}")
    ax.legend(frameon=False, fontsize="small")
    style.plain(ax)
    return ax


def _quartile_line(ax: Any, theoretical: np.ndarray, values: np.ndarray) -> None:
    """The line through both quartiles, as R's qqline."""
    if len(values) < 2:
        return
    low, high = np.quantile(values, [0.25, 0.75])
    left, right = np.quantile(theoretical, [0.25, 0.75])
    slope = (high - low) / (right - left) if right > left else 0.0
    ax.axline((left, low), slope=slope, color=style.GREY, linewidth=0.9, linestyle="--")
