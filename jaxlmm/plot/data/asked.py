"""What a plot was asked to show, found or refused."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from jaxlmm.errors import DataError


def group_of(fit: Any, group: str | None) -> str:
    """A grouping factor of a fit; the one with the most levels unless told otherwise."""
    known = list(fit.n_groups.index)
    if group is None:
        return known[0]
    return one_of(group, known, "grouping factor")


def numeric_columns(fit: Any, group: str) -> list[str]:
    """Numeric columns of the fit's rows that may be an axis: not the response, nor the group, nor what the fit adds."""
    table = fit.augment()
    response = table.columns[0]
    inside = set(re.findall(r"[^\W\d]\w*", str(response)))
    left_out = {response, group, "fitted", "resid", "fixed", *inside}
    return [c for c in table.columns if c not in left_out and pd.api.types.is_numeric_dtype(table[c])]


def one_of(name: Any, known: Iterable[Any], what: str) -> Any:
    """A name if it is known.

    Raises
    ------
    DataError
        Naming those that are.
    """
    names = list(known)
    if not isinstance(name, str | int) or name not in names:
        shown = ", ".join(map(repr, names[:20])) + (", ..." if len(names) > 20 else "")
        raise DataError(f"{name!r} is no {what}; write one of {shown}")
    return name


def some_of(asked: str | Sequence[str] | None, known: Iterable[Any], what: str) -> list[Any]:
    """Those that were asked for, in that order; all of them for None."""
    names = list(known)
    if asked is None:
        return names
    return [one_of(name, names, what) for name in ([asked] if isinstance(asked, str) else asked)]


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
