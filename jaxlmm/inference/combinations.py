"""Linear combinations of coefficients, written by their names: "disease[T.late] - disease[T.early]".

formulaic reads the arithmetic; here the names of coefficients, which may hold brackets, colons and blanks, are quoted for it.
Called by `results`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from formulaic.errors import FormulaicError
from formulaic.utils.constraints import LinearConstraints

from jaxlmm.errors import DataError

NUMBER = r"(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
"""A number as people write it; formulaic knows no exponents."""

COLORS = re.compile(r"\x1b\[[0-9;]*m")
"""What formulaic puts into its messages for a terminal."""


def combinations(tests: Mapping[str, Any], names: Iterable[str]) -> np.ndarray:
    """Coefficients (m, p) of named linear combinations.

    Parameters
    ----------
    tests : mapping of str to str or (p,) array
        What to test: arithmetic on names of coefficients, or a number for each coefficient.
    names : iterable of str
        The coefficients, in order.

    Raises
    ------
    DataError
        When a combination names no coefficient, has a constant, or is not linear.

    Examples
    --------
    >>> combinations({"late-early": "d[T.late] - d[T.early]"}, ["Intercept", "d[T.early]", "d[T.late]"])
    array([[ 0., -1.,  1.]])
    """
    names = list(names)
    if not isinstance(tests, Mapping):
        raise DataError(f'tests is of type {type(tests).__name__}; write a dict such as {{"late-early": "a - b"}}')
    rows = []
    for title, test in tests.items():
        if not isinstance(title, str):
            raise DataError(f"tests has the key {title!r}; name each test by a string")
        rows.append(_written(title, test, names) if isinstance(test, str) else _given(title, test, len(names)))
        if not rows[-1].any():
            raise DataError(f"tests[{title!r}] is zero for every coefficient, so there is nothing to test")
    return np.array(rows).reshape(len(rows), len(names))


def combination_rows(tests: Any, names: Iterable[str]) -> tuple[np.ndarray, list[str]]:
    """The same of text, a dict or a matrix of weights, and what each row is called.

    Raises
    ------
    DataError
        When a combination names no coefficient, or weights have the wrong shape.
    """
    names = list(names)
    if isinstance(tests, Mapping):
        return combinations(tests, names), list(tests)
    if isinstance(tests, str):
        return combinations({tests: tests}, names), [tests]
    if isinstance(tests, list | tuple) and tests and all(isinstance(test, str) for test in tests):
        return combinations({test: test for test in tests}, names), list(tests)
    try:
        rows = np.atleast_2d(np.asarray(tests, dtype=float))
    except (TypeError, ValueError):
        raise DataError(f"tests is neither text, nor a dict, nor a matrix of numbers: {tests!r:.60}") from None
    titles = [f"L{i + 1}" for i in range(len(rows))]
    return combinations(dict(zip(titles, rows, strict=True)), names), titles


def _given(title: str, test: Any, p: int) -> np.ndarray:
    try:
        row = np.asarray(test, dtype=float)
    except (TypeError, ValueError):
        raise DataError(f"tests[{title!r}] is neither text nor numbers: {test!r:.60}") from None
    if row.shape != (p,) or not np.isfinite(row).all():
        raise DataError(
            f"tests[{title!r}] has shape {row.shape}; give one finite number for each of the {p} coefficients"
        )
    return row


def _written(title: str, text: str, names: list[str]) -> np.ndarray:
    if not names:
        raise DataError(f"tests[{title!r}] = {text!r}: this model has no fixed-effects coefficients to combine")
    known = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    quoted = re.sub(rf"`[^`]*`|(?<![\w.]){NUMBER}(?![\w.])|(?<![\w.])(?:{known})(?![\w.\[:])", _plain, text)
    try:
        found = LinearConstraints.from_spec(quoted, variable_names=names)
    except KeyError as problem:
        missing = str(problem.args[0])
        close = difflib.get_close_matches(missing, names, n=1, cutoff=0.5)
        hint = f"; did you mean {close[0]!r}?" if close else "."
        raise DataError(
            f"tests[{title!r}] = {text!r} names {missing!r}, which is no coefficient{hint} The coefficients are: "
            f"{', '.join(names[:12])}{', ...' if len(names) > 12 else ''}"
        ) from None
    except (FormulaicError, RuntimeError, ValueError, TypeError, ArithmeticError) as problem:
        raise DataError(
            f"tests[{title!r}] = {text!r} is not a linear combination of coefficients: {_first_line(problem)}"
        ) from None
    matrix = np.asarray(found.constraint_matrix, dtype=float)
    if matrix.shape != (1, len(names)) or np.any(np.asarray(found.constraint_values, dtype=float)):
        raise DataError(
            f"tests[{title!r}] = {text!r} must be one combination that is tested against zero, without a constant; write "
            "several as several entries"
        )
    return matrix[0]


def _first_line(problem: Exception) -> str:
    """What formulaic says, without its picture of the place."""
    lines = COLORS.sub("", str(problem)).splitlines()
    return lines[0].rstrip(".") if lines else type(problem).__name__


def _plain(match: re.Match[str]) -> str:
    """A number without an exponent, or a name in quotes."""
    found = match[0]
    if found[0] in "0123456789.":
        return np.format_float_positional(float(found), trim="0")
    return found if found.startswith("`") else f"`{found}`"
