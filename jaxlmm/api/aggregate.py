"""`aggregate`: rows with the same covariates as cells that fit exactly like them."""

from __future__ import annotations

from typing import Any

import pandas as pd

from jaxlmm.design import CHUNK_ROWS, check_chunk_rows, open_source
from jaxlmm.design.cells import cells
from jaxlmm.errors import DataError, JaxlmmError, located
from jaxlmm.formula import parse_formula


def aggregate(
    formula: str,
    source: Any,
    weights: str | None = None,
    offset: str | None = None,
    chunk_rows: int = CHUNK_ROWS,
    max_cells: int = 10_000_000,
    trusted: bool = False,
) -> pd.DataFrame:
    """Bring rows with the same covariates together into cells, which fit exactly like the rows.

    `lmer(formula, cells, counts="n_rows", within_ss="within_ss")` is the model of the raw rows, with the right n, σ and
    criterion: a cell of n rows with mean m and sum of squares s about it says all that the likelihood needs to know.
    `weights=` says another thing: a mean with the weight n gives the same coefficients for a given θ, but another σ and n.

    Parameters
    ----------
    formula : str
        As in `jaxlmm.lmer`; its response is a plain column.
    source : table or source
        As in `jaxlmm.cross_products`.
    weights, offset : str, optional
        Columns that tell cells apart, too.
    chunk_rows : int
        Rows in memory at a time.
    max_cells : int
        Give up beyond so many cells, where the covariates hardly repeat.
    trusted : bool
        As in `jaxlmm.lmer`.

    Returns
    -------
    pandas.DataFrame
        One row per cell: the columns of the formula, the response being the mean, and n_rows and within_ss. Rows with missing
        values are left out; their number is in `attrs["missing"]`, by column.

    Raises
    ------
    DataError
        When the response is no plain column, or there are too many cells.

    Examples
    --------
    >>> import jaxlmm
    >>> machines = jaxlmm.load_dataset("machines")
    >>> model = "score ~ Machine + (1 | Worker)"
    >>> cells = jaxlmm.aggregate(model, machines)
    >>> len(machines), len(cells)
    (54, 18)
    >>> fit = jaxlmm.lmer(model, cells, counts="n_rows", within_ss="within_ss")
    >>> fit.nobs, round(fit.objective - jaxlmm.lmer(model, machines).objective, 6)
    (54, 0.0)
    """
    check_chunk_rows(chunk_rows)
    for name, given in (("weights", weights), ("offset", offset)):
        if given is not None and not isinstance(given, str):
            raise DataError(f"{name} is of type {type(given).__name__}; for cells it must be the name of a column")
    parsed = parse_formula(formula, trusted=trusted)
    extra = [name for name in (weights, offset) if name is not None]
    try:
        table, missing = cells(parsed, open_source(source), extra, chunk_rows, max_cells)
    except JaxlmmError as problem:
        raise located(problem, formula) from problem.__cause__
    table.attrs["missing"] = missing
    return table
