"""From a source to sums, and from sums to a fit: one pass over the rows, or two where transforms must see all first."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from jaxlmm.design import Arguments, Learnt, RowReader, Source, check_chunk_rows, check_model, name_model
from jaxlmm.errors import DataError, FormulaError, JaxlmmError, located
from jaxlmm.fit import Control
from jaxlmm.formula import MixedFormula
from jaxlmm.pls import CrossProducts, Growing, mesh_of, recast
from jaxlmm.report import Fitted
from jaxlmm.resample import progress_bar
from jaxlmm.results.fitting import fit_frame


def arguments_of(weights: Any, offset: Any, counts: Any, within_ss: Any, contrasts: Any, na_action: str) -> Arguments:
    """The arguments of a model whose rows are read and not kept.

    Raises
    ------
    DataError
        When one is not the name of a column, or `counts` and `within_ss` do not come together.
    """
    for name, value in (("weights", weights), ("offset", offset), ("counts", counts), ("within_ss", within_ss)):
        if value is not None and not isinstance(value, str):
            raise DataError(
                f"{name} is of type {type(value).__name__}; where rows are read from a source, or stand for "
                "cells, it must be the "
                "name of a column"
            )
    if (counts is None) != (within_ss is None):
        given, absent = ("counts", "within_ss") if within_ss is None else ("within_ss", "counts")
        raise DataError(
            f"{given}= was given without {absent}=; a cell needs its number of raw rows and the sum of squares of "
            "the response "
            "about its mean within them: see jaxlmm.aggregate"
        )
    if na_action not in ("drop", "raise"):
        raise DataError(f"na_action={na_action!r} is not known; write 'drop' (rows are counted) or 'raise'")
    return Arguments(weights, offset, counts, within_ss, contrasts, na_action)


REDUNDANT, LOST = 1e-13, 1e-5
"""Part of a column that no other explains: below the first it is rounding, below the second sums have lost it."""


def gather(
    formula: MixedFormula, source: Source, arguments: Arguments, chunk_rows: int, progress: bool, devices: Any = None
) -> tuple[Learnt, CrossProducts]:
    """Read a source once, or twice, and sum over its rows.

    Raises
    ------
    FormulaError, DataError
        When the source cannot be read, or what it gives cannot be used.
    """
    check_chunk_rows(chunk_rows)
    try:
        check_model(Learnt(formula, arguments))
        return _gathered(RowReader(Learnt(formula, arguments)), source, chunk_rows, progress, devices)
    except JaxlmmError as problem:
        raise located(problem, formula.source) from problem.__cause__


def fit_source(
    formula: MixedFormula, source: Source, arguments: Arguments, reml: bool, control: Control, ddf: str
) -> Fitted:
    """Read a source and fit the model; sums that are no longer needed go before the fit begins."""
    begin = time.perf_counter()
    chunk_rows, progress = (control.chunk_rows, control.progress) if isinstance(control, Control) else (1, False)
    gathered = gather(formula, source, arguments, chunk_rows, progress)
    return fit_sums(*gathered, reml, control, ddf, time.perf_counter() - begin)


def _gathered(
    reader: RowReader, source: Source, chunk_rows: int, progress: bool, devices: Any
) -> tuple[Learnt, CrossProducts]:
    learnt = reader.learnt
    states = reader.states()
    if states:
        if not source.replayable:
            expression = states[0].factor.expr
            raise FormulaError(
                f"`{expression}` must see all rows before it can be used on the first, but {source.described} can "
                "be read only "
                "once; pass a function that gives a new reader at each call, or write what it needs as numbers: "
                "I((x - 40) / 12)",
                culprit=expression,
            )
        with _counted(source, progress, "rows (first pass)") as count:
            for table in source.tables(learnt.columns, chunk_rows):
                reader.add_to(states, table)
                count(len(table))
        for state in states:
            learnt.states |= state.states()
    growing = Growing(len(learnt.groups), None if devices is None else mesh_of(devices))
    with _counted(source, progress, "rows") as count:
        for table in source.tables(learnt.columns, chunk_rows):
            part = reader.read(table)
            if part is not None:
                growing.add(part)
            count(len(table))
    if learnt.n_used == 0:
        missing = ", ".join(f"{name.removesuffix('=')!r} ({number:,})" for name, number in learnt.missing.items())
        raise DataError(
            f"{source.described} has no complete row: missing values in {missing}"
            if learnt.n_data
            else f"{source.described} has no rows; check how it was written and filtered"
        )
    return learnt, growing.sums()


def fit_sums(learnt: Learnt, sums: CrossProducts, reml: bool, control: Control, ddf: str, seconds: float) -> Fitted:
    """Fit the model of sums over raw columns.

    Raises
    ------
    FormulaError, DataError, DesignError
        When the model cannot be fitted.
    """
    begin = time.perf_counter()
    try:
        named = name_model(learnt, sums.n_obs)
    except JaxlmmError as problem:
        raise located(problem, learnt.formula.source) from None
    terms = [block.terms for block in named.frame.design.random]
    cross = recast(sums, named.fixed, named.random, named.factors, named.levels, terms)
    if not learnt.less:
        _check_digits(cross, named.frame.fixed.names)
    return fit_frame(named.frame, reml, control, ddf, seconds + time.perf_counter() - begin, cross=cross)


def _check_digits(cross: CrossProducts, names: Sequence[str]) -> None:
    """Refuse columns whose own part is lost among the digits of what the columns before them explain.

    Sums over the levels of a group hold squares, so that a part of 1e-5 of a column has 1e-10 of its sum of squares.
    Tables in memory are summed about each level's own mean, and lose nothing.
    """
    columns = cross.triangle[:, 1:-1]
    size = np.linalg.norm(columns, axis=0)
    own = np.abs(np.diagonal(np.linalg.qr(columns, mode="r"))) / np.where(size > 0, size, 1.0)
    for name, part in zip(names, own, strict=True):
        if REDUNDANT < part < LOST:
            raise DataError(
                f"only {part:.0e} of the column {name!r} is not explained by the columns before it, and sums over rows that "
                "are read in parts keep too few digits of that; where a covariate is far from zero, as a time in seconds is, "
                "write I(x - 1.6e9) for it, or pass the table itself"
            )


@contextmanager
def _counted(source: Source, progress: bool, what: str) -> Iterator[Any]:
    """A bar with rows per second, where it is wanted."""
    if not progress:
        yield lambda rows: None
        return
    bar = progress_bar(source.n_rows, what)
    try:
        yield bar.update
    finally:
        bar.close()
