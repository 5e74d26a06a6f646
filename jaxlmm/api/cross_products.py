"""`cross_products` and `lmer_from`: sum rows where they are, and fit the sums somewhere else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jaxlmm.design import CHUNK_ROWS, open_source
from jaxlmm.errors import DataError
from jaxlmm.fit import Control
from jaxlmm.formula import parse_formula
from jaxlmm.inference import check_ddf
from jaxlmm.precision import double
from jaxlmm.results import CrossProducts, MixedModelResults
from jaxlmm.results.gathering import arguments_of, fit_sums, gather


@double
def cross_products(
    formula: str,
    source: Any,
    weights: str | None = None,
    offset: str | None = None,
    counts: str | None = None,
    within_ss: str | None = None,
    contrasts: Mapping[str, Any] | None = None,
    na_action: str = "drop",
    chunk_rows: int = CHUNK_ROWS,
    progress: bool = False,
    devices: Sequence[Any] | None = None,
    trusted: bool = False,
) -> CrossProducts:
    """Sum over rows, wherever they are, what a fit needs of them; memory is that of the sums and of one chunk of rows.

    Parameters
    ----------
    formula : str
        As in `jaxlmm.lmer`.
    source : table, path, pyarrow Dataset or reader, DuckDB relation, polars LazyFrame, iterator of tables, or callable
        Rows. A path is a Parquet file or folder; a callable takes no arguments and gives one of the others, a new one at each
        call. Readers and iterators are read once, so that transforms which must see all rows first, as scale(x), need another
        source.
    weights, offset : str, optional
        Columns, as in `jaxlmm.lmer`.
    counts, within_ss : str, optional
        Columns of a table of cells: each row stands for so many raw rows with the same covariates, its response is their
        mean, and `within_ss` the sum of squares about it. The fit is exactly that of the raw rows. (Weights are another
        thing: they say how precise one row is, and n stays the number of rows.)
    contrasts, na_action, trusted
        As in `jaxlmm.lmer`.
    chunk_rows : int
        Rows in memory at a time.
    progress : bool
        Show a bar (tqdm) with rows per second.
    devices : sequence of jax.Device, optional
        Spread the rows of each chunk over these devices of the process, which pays where their memory is fast; by default the
        host sums. For several processes see `CrossProducts.over_processes`.

    Returns
    -------
    CrossProducts

    Raises
    ------
    FormulaError, DataError
        When the source cannot be read, or what it gives cannot be used; a source whose tables differ is told by row.

    Examples
    --------
    >>> import jaxlmm
    >>> sleepstudy = jaxlmm.load_dataset("sleepstudy")
    >>> tables = (sleepstudy[i : i + 50] for i in range(0, 180, 50))
    >>> jaxlmm.cross_products("Reaction ~ Days + (Days | Subject)", tables)
    <CrossProducts: 'Reaction ~ Days + (Days | Subject)', 180 rows, 18 Subject>
    """
    arguments = arguments_of(weights, offset, counts, within_ss, contrasts, na_action)
    parsed = parse_formula(formula, trusted=trusted)
    return CrossProducts(*gather(parsed, open_source(source), arguments, chunk_rows, progress, devices))


@double
def lmer_from(
    sums: CrossProducts, reml: bool = True, ddf: str = "satterthwaite", control: Control | None = None
) -> MixedModelResults:
    """Fit a linear mixed model to sums over rows.

    Parameters
    ----------
    sums : CrossProducts
        Of one place, or of several, added.
    reml, ddf, control
        As in `jaxlmm.lmer`.

    Returns
    -------
    MixedModelResults
        The same as from the rows themselves, but for what needs rows: fitted values, residuals, `simulate`, `augment`.

    Raises
    ------
    FormulaError, DataError, DesignError
        When the model cannot be fitted.

    Examples
    --------
    >>> import jaxlmm
    >>> sums = jaxlmm.cross_products("Yield ~ 1 + (1 | Batch)", jaxlmm.load_dataset("dyestuff"))
    >>> jaxlmm.lmer_from(sums).params.round(1)
    Intercept    1527.5
    dtype: float64
    """
    if not isinstance(sums, CrossProducts):
        raise DataError(
            f"sums is of type {type(sums).__name__}; lmer_from fits what cross_products() gives; a table goes to lmer()"
        )
    check_ddf(ddf)
    control = control or Control()
    return MixedModelResults(fit_sums(sums._learnt, sums._sums, reml, control, ddf, 0.0), control)
