"""`plan`: what a fit would read, hold and take, before it is begun."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jaxlmm.design import CHUNK_ROWS, Learnt, open_source
from jaxlmm.errors import JaxlmmError, located
from jaxlmm.formula import parse_formula
from jaxlmm.precision import double
from jaxlmm.results.forecast import Forecast, forecast
from jaxlmm.results.gathering import arguments_of


@double
def plan(
    formula: str,
    source: Any,
    weights: str | None = None,
    offset: str | None = None,
    contrasts: Mapping[str, Any] | None = None,
    trusted: bool = False,
) -> Forecast:
    """Say what `lmer(formula, source)` would read, hold and take, from the source's metadata and its first rows.

    Parameters
    ----------
    formula, weights, offset, contrasts, trusted
        As in `jaxlmm.lmer`.
    source : table or source
        As in `jaxlmm.cross_products`. Of a reader or an iterator the first rows are gone afterwards.

    Returns
    -------
    Forecast
        rows, levels, pairs, plan, bytes, seconds; printed, one line of each. Numbers of levels assume that the first rows are
        like all others: rows sorted by group make them too small.

    Raises
    ------
    FormulaError, DataError, DesignError
        When the first rows cannot be used.

    Examples
    --------
    >>> import jaxlmm
    >>> forecast = jaxlmm.plan("Reaction ~ Days + (Days | Subject)", jaxlmm.load_dataset("sleepstudy"))
    >>> forecast.rows, forecast.levels, forecast.plan
    (180, {'Subject': 18}, 'grouped: 18 independent 2x2 blocks, 1 distinct')
    """
    arguments = arguments_of(weights, offset, None, None, contrasts, "drop")
    parsed = parse_formula(formula, trusted=trusted)
    try:
        return forecast(Learnt(parsed, arguments), open_source(source), CHUNK_ROWS)
    except JaxlmmError as problem:
        raise located(problem, formula) from problem.__cause__
