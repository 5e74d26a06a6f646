"""Plots of random effects: caterpillar, normal quantiles, shrinkage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxlmm.errors import DataError
from jaxlmm.plot import data, labels, style


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
    few, own_figure, group = n_levels <= labels.MOST, ax is None, str(table["group"].iloc[0])
    # A fifth of an inch for each name, and a page at most where there are none.
    height = max(2.4, 0.9 + 0.19 * n_levels) if few else 6.0
    wide = 3.0 + (labels.width(map(labels.shortened, table["level"])) / len(names) if few else 0.2)
    axes = style.panels(ax, names, (wide, height), sharey=True)
    for panel, name in zip(axes, names, strict=True):
        own = table[table["effect"] == name]
        panel.axvline(0.0, color=style.GREY, linewidth=0.8, linestyle="--")
        thin = {"linewidth": 1.2} if n_levels <= 100 else {"linewidth": 0.4, "alpha": 0.3}
        panel.hlines(own["position"], own["lower"], own["upper"], color=style.FIRST, **thin)
        panel.scatter(own["estimate"], own["position"], color=style.FIRST, s=16 if n_levels <= 100 else 2, zorder=3)
        ordered = own.sort_values("position")
        inches = 2.6 if own_figure else labels.room(panel)[0]
        labels.along_y(
            panel, ordered["position"].to_numpy(), ordered["level"], group, height - 0.9 if own_figure else None
        )
        panel.set_title(labels.wrapped(name, inches, "axes.titlesize"))
        panel.set_xlabel(labels.wrapped(f"conditional mode, {100 * level:.3g} % interval", inches))
        style.plain(panel)
    for panel in axes[1:] if own_figure else []:
        panel.set_ylabel("")
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
    inches = 2.7 if ax is None else labels.room(axes[0])[0]
    for panel, name in zip(axes, names, strict=True):
        own = table[table["effect"] == name]
        few = len(own) <= 200
        if few:
            panel.vlines(own["theoretical"], own["lower"], own["upper"], color=style.FIRST, linewidth=0.9, alpha=0.5)
        panel.scatter(own["theoretical"], own["estimate"], color=style.FIRST, zorder=3, **style.dense(len(own)))
        _quartile_line(panel, own["theoretical"].to_numpy(), own["estimate"].to_numpy())
        panel.set_title(labels.wrapped(f"{own['group'].iloc[0]}: {name}", inches, "axes.titlesize"))
        panel.set_xlabel("normal quantile")
        style.plain(panel)
    axes[0].set_ylabel(f"conditional mode, {100 * level:.3g} % interval" if few else "conditional mode")
    return style.answered(axes)


def shrinkage(fit: Any, group: str | None = None, effects: tuple[str, str] | str | None = None, ax: Any = None) -> Any:
    """Coefficients of each level: from its own rows alone, an arrow to what the mixed model makes of them.

    Levels whose own rows say next to nothing lie far off, and would leave the others no room: an estimate farther than three
    interquartile ranges from the middle half (Tukey 1977, Exploratory Data Analysis) is beyond the axes, its arrow comes in
    from their edge, and the legend counts such levels, and those whose rows do not determine their effects at all.

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
        When there is no such group or effect, more than two are asked for, or the rows were not saved.

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
    shown = known[:2] if effects is None else data.asked.some_of(effects, known, f"effect of {group!r}")
    if len(shown) > 2:
        raise DataError(
            f"shrinkage draws one effect or two, and {len(shown)} are asked for; write effects={shown[:2]!r}"
        )
    parts = [table[table["effect"] == name].reset_index(drop=True) for name in shown]
    one, n_levels, own_figure = len(shown) == 1, len(parts[0]), ax is None
    if one:
        parts[0] = parts[0].sort_values("within", ignore_index=True)
    high = 5.0 if not one or n_levels > labels.MOST else max(2.6, 1.3 + 0.19 * n_levels)
    wide = 5.6 if not one else 5.0 + labels.width(map(labels.shortened, parts[0]["level"]))
    ax = style.one_axes(ax, (wide, high))
    level = np.arange(n_levels, dtype=float)
    within = np.column_stack([part["within"] for part in parts] + [level] * one)
    mixed = np.column_stack([part["mixed"] for part in parts] + [level] * one)
    populations = [float(part["population"].iloc[0]) for part in parts]
    windows = [_window(within[:, i], np.append(mixed[:, i], populations[i])) for i in range(len(parts))]
    outside = np.zeros(n_levels, dtype=bool)
    for i, (low, top) in enumerate(windows):
        outside |= (within[:, i] < low) | (within[:, i] > top)
    left_out = [(int(outside.sum()), "beyond the axes"), (int(np.isnan(within).any(axis=1).sum()), "undetermined")]
    counts = ", ".join(f"{count:,} {what}" for count, what in left_out if count)
    style.arrows(ax, within, mixed)
    points = style.dense(n_levels)
    own_rows = "within group" + (f" ({counts})" if counts else "")
    handles = [
        ax.scatter(*within.T, color=style.SECOND, marker="s", label=own_rows, zorder=2, **points),
        ax.scatter(*mixed.T, color=style.FIRST, marker="o", label="mixed model", zorder=3, **points),
    ]
    inches = labels.room(ax)[0]
    ax.set_xlim(windows[0])
    ax.set_xlabel(labels.wrapped(f"{group}: {shown[0]}", inches))
    if one:
        handles.append(
            ax.axvline(populations[0], color="black", linewidth=0.8, linestyle="--", label="population", zorder=0)
        )
        labels.along_y(ax, level, parts[0]["level"], group, high - 1.0 if own_figure else None)
    else:
        handles.append(ax.scatter(*populations, color="black", marker="+", s=90, label="population", zorder=4))
        ax.set_ylim(windows[1])
        ax.set_ylabel(labels.wrapped(f"{group}: {shown[1]}", labels.room(ax)[1]))
    labels.legend(ax, handles, inches=4.7 if own_figure else None)
    style.plain(ax)
    return ax


def _window(within: np.ndarray, always: np.ndarray) -> tuple[float, float]:
    """Limits of an axis that shows some values always, and estimates unless they are far out."""
    known = within[np.isfinite(within)]
    kept = known
    if known.size > 3:
        first, third = np.quantile(known, [0.25, 0.75])
        far = 3.0 * (third - first)
        kept = known[(known >= first - far) & (known <= third + far)]
    values = np.concatenate([kept, always])
    low, high = float(values.min()), float(values.max())
    margin = 0.05 * (high - low) or 1.0
    return low - margin, high + margin


def _quartile_line(ax: Any, theoretical: np.ndarray, values: np.ndarray) -> None:
    """The line through both quartiles, as R's qqline."""
    if len(values) < 2:
        return
    low, high = np.quantile(values, [0.25, 0.75])
    left, right = np.quantile(theoretical, [0.25, 0.75])
    slope = (high - low) / (right - left) if right > left else 0.0
    ax.axline((left, low), slope=slope, color=style.GREY, linewidth=0.9, linestyle="--")
