"""What a plot was asked to show, found or refused."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from jaxlmm.errors import DataError
from jaxlmm.formula import variables_of


def a_fit(thing: Any) -> Any:
    """A fit, or what to write instead."""
    return expected(thing, "ranef", "a fit", "jaxlmm.lmer(...), or many.fit('name') for one response of fit_many")


def group_of(fit: Any, group: str | None) -> str:
    """A grouping factor of a fit; the one with the most levels unless told otherwise."""
    known = list(fit.n_groups.index)
    if group is None:
        return known[0]
    return one_of(group, known, "grouping factor")


def numeric_columns(fit: Any, group: str) -> list[str]:
    """Numeric columns of the model that may be an axis: not the response, the group, or numbers of other levels."""
    table, formula = fit._fitted.frame.table, fit._fitted.frame.formula
    effects = {
        name for term in (formula.fixed, *(term.effects for term in formula.random)) for name in variables_of(term)
    }
    levels = {name for factor in fit._fitted.factors for name in factor.grouping.columns} - effects
    left_out = {group, *levels, *columns_of_response(fit)}
    return [c for c in table.columns if c not in left_out and pd.api.types.is_numeric_dtype(table[c])]


def columns_of_response(fit: Any) -> list[str]:
    """Columns that the response is computed from; itself where it was not written in a formula."""
    frame = fit._fitted.frame
    written = frame.formula.response
    return [frame.response] if written is None else list(variables_of(written))


def one_of(name: Any, known: Iterable[Any], what: str) -> Any:
    """A name if it is known.

    Raises
    ------
    DataError
        Naming those that are.
    """
    names = list(known)
    if not names:
        raise DataError(f"{name!r} is no {what}: there is none")
    if not isinstance(name, str | int | float | np.generic | pd.Timestamp) or name not in names:
        shown = ", ".join(map(repr, names[:20])) + (", ..." if len(names) > 20 else "")
        raise DataError(f"{name!r} is no {what}; write one of {shown}")
    return name


def some_of(asked: Any, known: Iterable[Any], what: str) -> list[Any]:
    """Those that were asked for, in that order; all of them for None.

    Raises
    ------
    DataError
        When one is not known or asked for twice, or none is asked for.
    """
    names = list(known)
    if asked is None:
        return names
    listed = isinstance(asked, Sequence | np.ndarray | pd.Index | pd.Series) and not isinstance(asked, str)
    wanted = [one_of(name, names, what) for name in (asked if listed else [asked])]
    if not wanted:
        raise DataError(
            f"the list names no {what}, so there is nothing to draw; write None for all, or some of {_few(names)}"
        )
    for i, name in enumerate(wanted):
        if name in wanted[:i]:
            raise DataError(f"{name!r} is asked for twice; name each {what} once")
    return wanted


def a_number(value: Any, name: str, least: int) -> int:
    """A whole number that is not too small.

    Raises
    ------
    DataError
        Saying which are possible.
    """
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < least:
        raise DataError(f"{name}={value!r} is not how many to show; write a whole number, {least} or more")
    return int(value)


def expected(thing: Any, member: str, what: str, instead: str) -> Any:
    """A thing that has what the plot reads.

    Raises
    ------
    DataError
        Saying what to write instead.
    """
    if not hasattr(thing, member):
        raise DataError(f"this plot is of {what}, and got {type(thing).__name__}; write {instead}")
    return thing


def _few(names: Sequence[Any]) -> str:
    return ", ".join(map(repr, names[:5])) + (", ..." if len(names) > 5 else "")
