"""Numbers of the plot of groups along a covariate."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from jaxlmm.errors import DataError
from jaxlmm.formula import variables_of
from jaxlmm.plot.data.asked import a_fit, columns_of_response, group_of, numeric_columns, one_of, some_of


def trajectories(
    fit: Any, x: str | None = None, group: str | None = None, levels: Sequence[Any] | None = None
) -> pd.DataFrame:
    """Rows of some levels along a covariate: observed, fitted, and the population's fit.

    Parameters
    ----------
    fit : MixedModelResults
        The fit; its rows are needed.
    x : str, optional
        A numeric column of the model; by default the first that is not the response.
    group : str, optional
        Grouping factor; the one with the most levels by default.
    levels : list, optional
        Levels to show; the first twenty by default.

    Returns
    -------
    pandas.DataFrame
        level, x, observed, fitted, fixed (the population's fit), fitted_along, fixed_along, sorted by level and x. The last
        two say whether, among the rows of the level, fitted (fixed) depends on x alone: nothing else that the model has,
        neither a predictor nor another grouping factor, varies there. Otherwise a line through these values would join rows
        that differ in other things, too.

    Raises
    ------
    DataError
        When a column, group or level is not there, or the rows were not saved.

    Examples
    --------
    >>> import jaxlmm
    >>> fit = jaxlmm.lmer("Reaction ~ Days + (Days | Subject)", jaxlmm.load_dataset("sleepstudy"))
    >>> jaxlmm.plot.data.trajectories(fit, levels=["308"]).round(1).head(2)
      level    x  observed  fitted  fixed  fitted_along  fixed_along
    0   308  0.0     249.6   253.7  251.4          True         True
    1   308  1.0     258.7   273.3  261.9          True         True
    """
    table = a_fit(fit).augment()
    group = group_of(fit, group)
    x = covariate(fit, x, group)
    frame, labels = fit._fitted.frame, fit.ranef(group)[group].index
    position = [factor.grouping.name for factor in fit._fitted.factors].index(group)
    codes = frame.design.random[position].codes
    shown = list(labels[:20]) if levels is None else some_of(levels, labels, f"level of {group!r}")
    factors = {name for factor in frame.factors for name in factor.grouping.columns}
    fixed = {*variables_of(frame.formula.fixed), *frame.formula.offset_columns}
    varying = fixed | factors | {name for term in frame.formula.random for name in variables_of(term.effects)}
    given = frame.offset is not None and frame.arguments.get("offset") is not None
    answer = pd.DataFrame(
        {
            "level": labels[codes],
            "x": table[x].to_numpy(dtype=float),
            "observed": table.iloc[:, 0].to_numpy(dtype=float),
            "fitted": table["fitted"].to_numpy(),
            "fixed": table["fixed"].to_numpy(),
        }
    )
    for name, variables in (("fitted", varying), ("fixed", fixed)):
        others = [table[v] for v in sorted(variables - {x}) if v in table]
        if given:
            others.append(pd.Series(frame.offset))
        answer[f"{name}_along"] = _constant_within(codes, others)[codes]
    answer = answer[answer["level"].isin(shown)]
    answer["level"] = pd.Categorical(answer["level"], categories=shown)
    answer = answer.sort_values(["level", "x"], kind="stable", ignore_index=True)
    return answer.assign(level=answer["level"].astype(object))


def covariate(fit: Any, x: str | None, group: str) -> str:
    """The numeric column that is drawn along: the first of the model unless told otherwise.

    Raises
    ------
    DataError
        When the model has no such column, or none.
    """
    numeric = numeric_columns(fit, group)
    if numeric:
        return numeric[0] if x is None else one_of(x, numeric, "numeric column of the model")
    response = columns_of_response(fit)
    there = [repr(name) for name in fit._fitted.frame.table if name not in response]
    wanted = "" if x is None else f"x={x!r} cannot be drawn along: "
    raise DataError(
        f"{wanted}trajectories need a numeric column, and the columns of this model are {', '.join(there)}, none of them a "
        "number; along a factor draw its means: plot.emmeans(fit.emmeans(...), fit)"
    )


def _constant_within(codes: np.ndarray, columns: Iterable[pd.Series]) -> np.ndarray:
    """Whether all columns have one value among the rows of each level (levels,)."""
    same = np.ones(int(codes.max()) + 1, dtype=bool)
    first = np.zeros(len(same), dtype=int)
    first[codes[::-1]] = np.arange(len(codes))[::-1]
    for column in columns:
        values = pd.factorize(column)[0]
        same[codes[values != values[first[codes]]]] = False
    return same
