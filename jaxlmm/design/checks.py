"""Designs that cannot be fitted, recognized before anything is computed."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from jaxlmm.design.kept_rows import shown_row
from jaxlmm.design.levels import Grouping
from jaxlmm.errors import DataError, DesignError
from jaxlmm.formula import RandomEffectsTerm


def check_response(name: str, y: np.ndarray, x: np.ndarray, names: Iterable[str] = ()) -> tuple[str, ...]:
    """Refuse a constant response and designs without residual degrees of freedom; notice a 0/1 response.

    Raises
    ------
    DataError
        When the response is constant.
    DesignError
        When there are no more rows than fixed-effects columns, or those hold nothing but zeros.
    """
    if np.ptp(y) == 0:
        raise DataError(
            f"the response {name!r} is constant ({y[0]:g}), so there is no variance to attribute", culprit=name
        )
    rank_bound = min(x.shape[1], int(np.linalg.matrix_rank(x)) if y.size <= x.shape[1] else x.shape[1])
    if y.size <= rank_bound:
        raise DesignError(
            f"{y.size} rows cannot determine {x.shape[1]} fixed-effects coefficients and a variance; remove terms or "
            "add data"
        )
    if x.shape[1] and not x.any():
        raise DesignError(
            f"every fixed-effects column is zero in every row ({', '.join(names)}), so no coefficient can be estimated; "
            "remove them, or keep the intercept"
        )
    return notice_of_response(name) if np.isin(y, (0.0, 1.0)).all() else ()


def notice_of_response(name: str) -> tuple[str, ...]:
    """What to say of a 0/1 response."""
    return (
        f"the response {name!r} is 0/1: this is a linear probability model; generalized linear mixed models are "
        "not available yet",
    )


def advice_on_response(name: str, table: pd.DataFrame) -> str:
    """What to do about a response of text: make numbers of it; two levels are no matter for a linear model."""
    if name not in table or not isinstance(table[name].dtype, pd.CategoricalDtype):
        return ""
    levels = table[name].cat.categories
    if pd.to_numeric(pd.Series(levels.astype(str)), errors="coerce").notna().any():
        return (
            f"; it holds text that looks like numbers: data[{name!r}] = pandas.to_numeric(data[{name!r}]), with "
            "errors='coerce' to make what is none of them missing"
        )
    if len(levels) == 2:
        return (
            f"; logistic models are not available, but a linear probability model is: data[{name!r}] = "
            f"(data[{name!r}] == {levels[1]!r}).astype(float)"
        )
    return ""


def check_names(names: Iterable[str]) -> None:
    """Refuse two coefficients of one name, which a column called Intercept makes.

    Raises
    ------
    DataError
        Naming it.
    """
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise DataError(
                f"two coefficients would be called {name!r}; rename the column {name!r} of the data", culprit=name
            )
        seen.add(name)


def check_factor(grouping: Grouping, source: str, size: int, n_rows: int) -> None:
    """Refuse a grouping factor that the data cannot tell from the residual or from a constant.

    Raises
    ------
    DesignError
        With one level, with as many levels as rows, or with at least as many effects as rows.
    """
    levels, name = grouping.n_levels, grouping.name
    nested = "/".join(reversed(grouping.columns))
    culprit = (source, f"| {name})", f"| {nested})", f"| {name}", *grouping.columns)
    if levels < 2:
        raise DesignError(
            f"grouping factor {name!r} in {source} has one level only ({shown_row(grouping.levels, 0)}); a variance "
            "between levels needs at least two (five or more to be of use): remove the term",
            culprit=culprit,
        )
    if levels >= n_rows:
        raise DesignError(
            f"grouping factor {name!r} in {source} has as many levels as there are rows ({n_rows}), so its variance is "
            "confounded with the residual variance: group by something that repeats, or remove the term",
            culprit=culprit,
        )
    if levels * size >= n_rows:
        raise DesignError(
            f"{source} has {levels} levels times {size} effects = {levels * size} random effects, but there are only "
            f"{n_rows} rows, so they are confounded with the residual: use fewer effects, such as (1 | {name})",
            culprit=culprit,
        )


def check_effects(term: RandomEffectsTerm, names: tuple[str, ...], before: list[tuple[str, tuple[str, ...]]]) -> None:
    """Refuse an effect that stands twice on one grouping factor.

    Raises
    ------
    DesignError
        When two terms share an effect: only the sum of its two variances could be estimated.
    """
    for source, others in before:
        twice = [name for name in names if name in others]
        if twice:
            raise DesignError(
                f"{source} and {term.source} both have the effect {twice[0]!r} of {':'.join(term.group)!r}, so only the "
                "sum of its two variances could be estimated; keep it in one of them: (x | g), or (1 | g) + (0 + x | g)",
                culprit=(term.source, f"| {':'.join(term.group)})", *term.group),
            )
