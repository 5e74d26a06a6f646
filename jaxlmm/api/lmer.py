"""`lmer`: fit a linear mixed model from a formula and a table."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from jaxlmm.design import build, is_source, open_source
from jaxlmm.errors import DataError, JaxlmmError, located
from jaxlmm.fit import Control
from jaxlmm.formula import parse_formula
from jaxlmm.inference import check_ddf
from jaxlmm.precision import double
from jaxlmm.results import MixedModelResults
from jaxlmm.results.fitting import fit_frame
from jaxlmm.results.gathering import arguments_of, fit_source
from jaxlmm.results.spellings import NOT_IN_LMER, refuse


@double
def lmer(
    formula: str,
    data: Any,
    reml: bool = True,
    weights: Any = None,
    offset: Any = None,
    contrasts: Mapping[str, Any] | None = None,
    ddf: str = "satterthwaite",
    na_action: str = "drop",
    control: Control | None = None,
    trusted: bool = False,
    counts: str | None = None,
    within_ss: str | None = None,
    **elsewhere: Any,
) -> MixedModelResults:
    """Fit a linear mixed-effects model by REML or maximum likelihood.

    Parameters
    ----------
    formula : str
        lme4's language: "Reaction ~ Days + (Days | Subject)".
    data : pandas, polars or pyarrow table, dict of columns, or a source
        One row per observation. A source is read and not kept: the path of a Parquet file or folder, a pyarrow Dataset or
        reader, a DuckDB relation, a polars LazyFrame, an iterator of tables, or a callable that gives one of them, as in
        `jaxlmm.cross_products`; what needs rows afterwards, such as fitted values, then reads them again.
    reml : bool
        REML (the default), or maximum likelihood.
    weights : str or (n,) array, optional
        Precision weights, as in lme4: the residual variance of a row is sigma**2 / weight. A column's name or values
        aligned with the rows.
    offset : str or (n,) array, optional
        Known part of the mean; `offset(...)` in the formula does the same.
    contrasts : mapping, optional
        Coding of factors, {"cond": "contr.sum"}, in fixed and random parts alike. Codings: contr.treatment (default),
        contr.sum, contr.sdif, contr.helmert, contr.poly, or a matrix with one row per level.
    ddf : {"satterthwaite", "kenward-roger", "normal", "residual"}
        Reference distribution of t and F statistics; every method that needs one obeys it unless told otherwise.
        Satterthwaite's degrees of freedom (Kuznetsova, Brockhoff & Christensen 2017, J. Stat. Softw. 82(13)) and Kenward and
        Roger's (1997, Biometrics 53(3)), which widen the standard errors too, come from exact derivatives. Methods also take
        `information=`: "observed" is usual for Satterthwaite (lmerTest, SAS; SAS takes it for Kenward-Roger, too),
        "expected" for Kenward-Roger (pbkrtest, lmerTest).
    na_action : {"drop", "raise"}
        Leave rows with missing values out, counted in the result, or refuse them.
    control : Control, optional
        Plan and iteration limit.
    trusted : bool
        Whether the formula may call functions outside the allowlist. A formula from others is text: leave it False.
    counts, within_ss : str, optional
        Columns of a table of cells, each of which stands for so many raw rows: see `jaxlmm.cross_products`.
    **elsewhere
        Refused, each with what to write instead: REML, family, subset, method and others of lme4, groups and others of
        statsmodels.

    Returns
    -------
    MixedModelResults

    Raises
    ------
    FormulaError, DataError, DesignError
        When the formula or the data cannot be used; the message says what was found, where, and what to write.

    Notes
    -----
    The profiled criterion is that of Bates, Mächler, Bolker & Walker (2015), J. Stat. Softw. 67(1), minimized by
    trust-region Newton steps with exact derivatives; no bounds, no convergence warnings that are not true.

    Examples
    --------
    >>> import jaxlmm
    >>> sleepstudy = jaxlmm.load_dataset("sleepstudy")
    >>> fit = jaxlmm.lmer("Reaction ~ Days + (Days | Subject)", sleepstudy)
    >>> round(fit.objective, 4)
    1743.6283
    """
    begin = time.perf_counter()
    refuse(elsewhere, NOT_IN_LMER, "lmer()")
    if isinstance(data, str) and not isinstance(formula, str):
        raise DataError("the arguments stand the wrong way round: the formula comes first, lmer(formula, data)")
    check_ddf(ddf)
    parsed = parse_formula(formula, trusted=trusted)
    control = control or Control()
    if counts is not None or within_ss is not None or is_source(data):
        arguments = arguments_of(weights, offset, counts, within_ss, contrasts, na_action)
        fitted = fit_source(parsed, open_source(data), arguments, reml, control, ddf)
        return MixedModelResults(fitted, control, data)
    try:
        frame = build(parsed, data, weights=weights, offset=offset, contrasts=contrasts, na_action=na_action)
    except JaxlmmError as problem:
        raise located(problem, formula) from None
    fitted = fit_frame(frame, reml, control, ddf, time.perf_counter() - begin)
    return MixedModelResults(fitted, control, data)
