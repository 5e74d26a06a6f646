"""Which rows enter the fit: decided here, once, from the columns that `design.table` has checked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from jaxlmm.errors import DataError

LARGEST = 1e100
"""Columns larger than this, or smaller than its inverse, cannot be squared and summed."""


@dataclass(frozen=True)
class Rows:
    """Which rows of the user's data entered the fit.

    Attributes
    ----------
    used : (n_data,) bool array
        True where no required variable was missing; of no rows where these were read and not kept.
    index : pandas.Index
        Labels of the used rows.
    missing : dict of str to int
        Number of missing values of each variable that had any.
    n_data : int
        Number of rows of the data.
    response : (float, float) or None
        Smallest and largest response, of rows that were read and not kept: whether two fits saw the same ones.
    """

    used: np.ndarray
    index: pd.Index
    missing: dict[str, int]
    n_data: int
    response: tuple[float, float] | None = None

    @classmethod
    def counted(cls, n_data: int, n_used: int, missing: dict[str, int], response: tuple[float, float]) -> Rows:
        """Rows that were read and counted, and are numbered."""
        return cls(np.zeros(0, dtype=bool), pd.RangeIndex(n_used), missing, n_data, response)

    @property
    def n_dropped(self) -> int:
        """Number of rows left out."""
        return self.n_data - len(self.index)


def shown_row(index: pd.Index, position: int) -> str:
    """The label of a row, as Python writes it."""
    return repr(index[position : position + 1].tolist()[0])


def _shown(name: str) -> str:
    """A column in quotes; an argument of the call is marked by the = that ends its name."""
    return name if name.endswith("=") else repr(name)


def complete_rows(table: pd.DataFrame, na_action: str) -> Rows:
    """Decide which rows enter: those where every required variable is present.

    Parameters
    ----------
    table : pandas.DataFrame
        Normalised columns; those of arguments under names such as "weights=".
    na_action : {"drop", "raise"}
        What to do with incomplete rows.

    Raises
    ------
    DataError
        With `na_action="raise"` when anything is missing; always when nothing is left.
    """
    if na_action not in ("drop", "raise"):
        raise DataError(f"na_action={na_action!r} is not known; write 'drop' (rows are counted) or 'raise'")
    absent = {name: table[name].isna().to_numpy() for name in table}
    missing = {name: int(mask.sum()) for name, mask in absent.items() if mask.any()}
    used = np.ones(len(table), dtype=bool)
    for mask in absent.values():
        used &= ~mask
    counts = ", ".join(f"{_shown(name)} ({count})" for name, count in missing.items())
    if missing and na_action == "raise":
        first = shown_row(table.index, int(np.flatnonzero(~used)[0]))
        raise DataError(f"missing values in {counts}, first in row {first}; fill them, or write na_action='drop'")
    for name, count in missing.items():
        if count == len(table):
            raise DataError(f"{_shown(name)} is missing in every row, so no row is left to fit")
    if not used.any():
        raise DataError(f"no row is complete: missing values in {counts}")
    if used.sum() == 1:
        raise DataError(
            f"only one row is complete, {shown_row(table.index[used], 0)}; a mixed model needs several per group"
        )
    return Rows(used, table.index[used], missing, used.size)


def check_finite(table: pd.DataFrame) -> None:
    """Refuse infinite values.

    Raises
    ------
    DataError
        Naming the column and the first row.
    """
    for name in table:
        column = table[name]
        if column.dtype.kind == "f" and np.isinf(column.to_numpy()).any():
            row = shown_row(table.index, int(np.flatnonzero(np.isinf(column.to_numpy()))[0]))
            raise DataError(f"{_shown(str(name))} is infinite in row {row}; remove or correct that value")
        if column.dtype.kind == "f" and len(column):
            size = float(np.abs(column.to_numpy()).max())
            if size > LARGEST or 0 < size < 1.0 / LARGEST:
                raise DataError(
                    f"{_shown(str(name))} has values of size {size:.0e}, whose squares double precision "
                    "cannot hold; change its unit"
                )
