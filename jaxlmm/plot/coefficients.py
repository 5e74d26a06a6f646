"""Plot of the coefficients of one or several fits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jaxlmm.plot import data, labels, style


def coefficients(
    *fits: Any,
    terms: str | Sequence[str] | None = None,
    intercept: bool = False,
    level: float = 0.95,
    ax: Any = None,
    **named: Any,
) -> Any:
    """Coefficients with intervals, those of several fits beside each other.

    Parameters
    ----------
    *fits : MixedModelResults
        Fits, called "model 1", "model 2", ...
    terms : str or list of str, optional
        Coefficients; all by default.
    intercept : bool
        Whether to show the intercept, which is often far from the rest.
    level : float
        Confidence level.
    ax : Axes, optional
        Where to draw.
    **named : MixedModelResults
        Fits with names for the legend.

    Returns
    -------
    Axes

    Raises
    ------
    DataError
        When there is no fit or no coefficient, two fits have one name, or a term is in none of them.

    Examples
    --------
    >>> import jaxlmm
    >>> fit = jaxlmm.lmer("score ~ Machine + (1 | Worker)", jaxlmm.load_dataset("machines"))
    >>> [tick.get_text() for tick in jaxlmm.plot.coefficients(fit).get_yticklabels()]
    ['Machine[T.C]', 'Machine[T.B]']
    """
    table = data.coefficients(*fits, terms=terms, intercept=intercept, level=level, **named)
    shown, models = list(dict.fromkeys(table["term"])), list(dict.fromkeys(table["model"]))
    row = {term: len(shown) - 1 - i for i, term in enumerate(shown)}
    names = [labels.shortened(term) for term in reversed(shown)]
    inches = 4.6 + labels.width(names, "ytick.labelsize")
    above = -(-len(models) // max(1, int(inches / (labels.width(models) + 0.55)))) if len(models) > 1 else 0
    ax = style.one_axes(ax, (inches, 1.3 + 0.2 * above + 0.34 * len(shown) * max(1, 0.6 * len(models))))
    ax.axvline(0.0, color=style.GREY, linewidth=0.8, linestyle="--")
    step, handles = 0.6 / max(len(models), 2), []
    for i, model in enumerate(models):
        own = table[table["model"] == model]
        look = style.look(i)
        y = own["term"].map(row) + step * ((len(models) - 1) / 2 - i)
        ax.hlines(y, own["conf_low"], own["conf_high"], color=look["color"], linewidth=1.6)
        handles.append(ax.scatter(own["estimate"], y, s=28, zorder=3, label=model, **look))
    ax.set_yticks([row[term] for term in reversed(shown)], names)
    ax.set_ylim(-0.6, len(shown) - 0.4)
    ax.set_xlabel(f"estimate, {100 * level:.3g} % interval")
    if len(models) > 1:
        labels.legend(ax, handles)
    style.plain(ax)
    return ax
