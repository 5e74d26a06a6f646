"""Rows with the same covariates as one cell: their number, the mean of the response, and the sum of squares about it.

The likelihood sees the rows of a cell only through these three, so that cells can stand for rows (see `stream`). Cells of two
parts of the data are brought together by the parallel-variance update (Chan, Golub & LeVeque 1983, Am. Stat. 37(3)).
Called by `api.aggregate`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from jaxlmm.design.sources import Source
from jaxlmm.design.table import read_columns
from jaxlmm.errors import DataError
from jaxlmm.formula import MixedFormula

COUNTS, WITHIN = "n_rows", "within_ss"
"""Names of the columns of a table of cells."""


def cells(
    formula: MixedFormula, source: Source, extra: list[str], chunk_rows: int, largest: int
) -> tuple[pd.DataFrame, dict[str, int]]:
    """The cells of a source's complete rows, and the numbers of missing values.

    Parameters
    ----------
    extra : list of str
        Further columns that tell cells apart: those of weights and an offset.
    largest : int
        Most cells.

    Raises
    ------
    DataError
        When the response is no plain column, or there are more cells than that.
    """
    response = _response(formula)
    by = [name for name in dict.fromkeys([*formula.variables, *extra]) if name != response]
    for name in (COUNTS, WITHIN):
        if name in by or name == response:
            raise DataError(f"the data has a column {name!r}, and cells get one of that name; rename the column")
    if not by:
        raise DataError("the formula names no column but the response, so all rows would be one cell; nothing is saved")
    missing: dict[str, int] = {}
    parts: list[pd.DataFrame] = []
    orders: dict[str, pd.CategoricalDtype | None] = {}
    for rows in _complete(formula, source, [response, *by], chunk_rows, missing, orders):
        parts.append(_of_rows(rows, by, response))
        # Few joins of long tables, not one for each chunk.
        while len(parts) > 1 and len(parts[-2]) <= 2 * len(parts[-1]):
            parts[-2:] = [_joined(parts[-2:], by, response)]
            if len(parts[-1]) > largest:
                raise DataError(
                    f"the rows fall into more than {largest:,} cells, since their covariates hardly repeat: cells "
                    "save nothing here; "
                    "pass the source itself to lmer(), or round the covariates first"
                )
    if not parts:
        raise DataError(f"{source.described} has no complete row")
    joined = _joined(parts, by, response)
    kept = {name: joined[name].astype(order) for name, order in orders.items() if order is not None}
    whole = joined.assign(**kept).sort_values(by, ignore_index=True)
    return whole[[*by, response, COUNTS, WITHIN]], missing


def _response(formula: MixedFormula) -> str:
    term = formula.response[0] if formula.response else None
    name = str(term.factors[0].expr) if term is not None and len(term.factors) == 1 else ""
    if name not in formula.variables:
        raise DataError(
            f"the response {str(term)!r} is no plain column, so its mean in a cell is not known; make it a column "
            "of the data first",
            culprit=str(term),
        )
    return name


def _complete(
    formula: MixedFormula,
    source: Source,
    columns: list[str],
    chunk_rows: int,
    missing: dict[str, int],
    orders: dict[str, pd.CategoricalDtype | None],
) -> Iterator[pd.DataFrame]:
    """Complete rows of each part, categories as plain values; `orders` gets those that all parts order in one way of their
    own, which says what is compared with what."""
    for table in source.tables(columns, chunk_rows):
        if len(table) == 0:
            continue
        rows = read_columns(table, columns, labels=formula.labels, numbers=formula.numbers)
        if isinstance(rows[columns[0]].dtype, pd.CategoricalDtype):
            raise DataError(
                f"the response {columns[0]!r} holds text or categories; give it numbers", culprit=columns[0]
            )
        absent = rows.isna()
        for name, count in absent.sum().items():
            if count:
                missing[str(name)] = missing.get(str(name), 0) + int(count)
        rows = rows[~absent.any(axis=1)]
        if len(rows):
            # Categories differ from part to part.
            factors = [name for name in rows if isinstance(rows[name].dtype, pd.CategoricalDtype)]
            for name in factors:
                own = rows[name].dtype
                chosen = own.ordered or not own.categories.is_monotonic_increasing
                known = orders.setdefault(str(name), own if chosen else None)
                orders[str(name)] = own if known == own and chosen else None
            yield rows.assign(**{str(name): rows[name].astype(rows[name].cat.categories.dtype) for name in factors})


def _of_rows(rows: pd.DataFrame, by: list[str], response: str) -> pd.DataFrame:
    y = rows[response].to_numpy(dtype=float)
    if not np.isfinite(y).all():
        raise DataError(
            f"the response {response!r} is infinite in some rows; leave these out, or correct them", culprit=response
        )
    number = rows.groupby(by, sort=False, observed=True).ngroup().to_numpy()
    count = np.bincount(number)
    mean = np.bincount(number, weights=y) / count
    # Once more about the mean, for what rounding left.
    mean += np.bincount(number, weights=y - mean[number]) / count
    within = np.bincount(number, weights=(y - mean[number]) ** 2)
    first = rows[by].iloc[np.unique(number, return_index=True)[1]].reset_index(drop=True)
    return first.assign(**{response: mean, COUNTS: count, WITHIN: np.where(count == 1, 0.0, within)})


def _joined(parts: list[pd.DataFrame], by: list[str], response: str) -> pd.DataFrame:
    """Several tables of cells as one, equal cells together."""
    both: Any = pd.concat(parts, ignore_index=True)
    number = both.groupby(by, sort=False, observed=True).ngroup().to_numpy()
    n, y, within = (both[name].to_numpy(dtype=float) for name in (COUNTS, response, WITHIN))
    count = np.bincount(number, weights=n)
    mean = np.bincount(number, weights=n * y) / count
    mean += np.bincount(number, weights=n * (y - mean[number])) / count
    total = np.bincount(number, weights=within + n * (y - mean[number]) ** 2)
    first = both[by].iloc[np.unique(number, return_index=True)[1]].reset_index(drop=True)
    single = count == 1
    return first.assign(**{response: mean, COUNTS: count.astype(np.int64), WITHIN: np.where(single, 0.0, total)})
