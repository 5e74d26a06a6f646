"""Rows read table by table: what is known of all of them so far, and the arrays of the last ones.

A `RowReader` checks and codes one table as `build` does a whole one, with dictionaries of levels that grow and raw columns
that appear (see `raw`). Nothing of length n is kept. What it has learnt, a `Learnt`, is all that is needed to name the model
afterwards (`gathered`), to read more rows, or to bring the sums of two places together. Called by `results.cross_products`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
from formulaic.formula import SimpleFormula
from formulaic.parser.types import Factor, Term

from jaxlmm.design import table as tables
from jaxlmm.design.build import check_weights, offset_effects
from jaxlmm.design.contrasts import Codings
from jaxlmm.design.dictionaries import Combinations, Dictionary
from jaxlmm.design.kept_rows import check_finite, shown_row
from jaxlmm.design.learnt import NUMBERS, TEXT, TRUTHS, Kind, Learnt
from jaxlmm.design.matrices import model_matrix, whole
from jaxlmm.design.raw import RawColumns, factor_of, spots_of
from jaxlmm.design.states import State, States, stateful_factors
from jaxlmm.errors import DataError, FormulaError


@dataclass(frozen=True)
class Part:
    """The arrays of some complete rows, in raw columns.

    Attributes
    ----------
    x : (P, n) array
        Raw columns of the fixed effects.
    y : (n,) array
        Response, offsets subtracted.
    weights, counts, within_ss : (n,) arrays or None
        Of the arguments.
    codes : list of (n,) int arrays
        Level of each row, for each grouping factor in the order of the formula.
    z : list of (K, n) arrays
        Raw columns of the random effects.
    n_levels : list of int
        Levels known so far.
    plain : (P,) bool array
        Which columns of x are not of one cell only, and may be shifted.
    ones : int
        The column of x that is one in every row, or -1.
    z_in_x : list of (K,) int arrays
        Which column of x each column of z is, or -1.
    z_ones : list of int
        The column of each z that is one in every row, or -1.
    """

    x: np.ndarray
    y: np.ndarray
    weights: np.ndarray | None
    counts: np.ndarray | None
    within_ss: np.ndarray | None
    codes: list[np.ndarray]
    z: list[np.ndarray]
    n_levels: list[int]
    plain: np.ndarray
    ones: int
    z_in_x: list[np.ndarray]
    z_ones: list[int]


class RowReader:
    """Reads tables one after the other.

    Parameters
    ----------
    learnt : Learnt
        What is known already; it grows.
    """

    def __init__(self, learnt: Learnt):
        self.learnt = learnt
        self._first = 0
        self._plain = Codings(None, pd.DataFrame(), ())

    def read(self, table: Any) -> Part | None:
        """The arrays of a table's complete rows; None where there are none.

        Raises
        ------
        FormulaError, DataError
            When a column is absent, of another kind than before, or holds values that a model cannot use.
        """
        rows = self.complete(table)
        if rows is None:
            return None
        learnt = self.learnt
        if not learnt.dictionaries:
            self._begin()
        for name, column in rows.items():
            if not learnt.kinds[str(name)].factor and name not in learnt.sample and column.dtype.kind == "f":
                learnt.sample[str(name)] = float(column.iloc[0])
        numeric = _Numeric(rows, learnt.factors, learnt.states, self._plain)
        levels = {name: learnt.dictionaries[name].of_column(rows[name]) for name in learnt.dictionaries}
        y = self._response(rows, numeric)
        smallest, largest, truths = learnt.response
        learnt.response = (
            min(smallest, float(y.min())),
            max(largest, float(y.max())),
            truths and bool(np.isin(y[:1], (0.0, 1.0)).all() and np.isin(y, (0.0, 1.0)).all()),
        )
        for text in learnt.formula.offsets:
            y = y - numeric.of(offset_effects(text, rows)[0].factors[0], f"offset({text})")
        named = {name: rows[column] for name, column in learnt.arguments.columns.items()}
        if "offset" in named:
            y = y - named["offset"].to_numpy(dtype=float)
        n = len(rows)
        x = learnt.fixed.values(numeric, levels, learnt.dictionaries, n)
        codes = [learnt.combinations[group].of([levels[name] for name in group]) for group in learnt.groups]
        z = [learnt.random[group].values(numeric, levels, learnt.dictionaries, n) for group in learnt.groups]
        learnt.n_used += n
        return Part(
            x,
            y,
            self._weights(named.get("weights"), "weights"),
            *self._cells(named),
            codes,
            z,
            [learnt.n_levels(group) for group in learnt.groups],
            learnt.fixed.plain,
            learnt.fixed.ones,
            [learnt.random[group].within(learnt.fixed) for group in learnt.groups],
            [learnt.random[group].ones for group in learnt.groups],
        )

    def states(self) -> list[State]:
        """What must be summed over all rows before the first is read, by transforms of the formula."""
        formula = self.learnt.formula
        effects = [*(formula.response or ()), *formula.fixed, *(t for term in formula.random for t in term.effects)]
        factors = (factor for term in effects for factor in term.factors)
        return [State(factor) for factor in stateful_factors(factors).values()]

    def add_to(self, states: list[State], table: Any) -> None:
        """Sum what transforms need over a table's complete rows."""
        rows = self.complete(table, count=False)
        if rows is None:
            return
        for state in states:
            matrix = model_matrix(state.argument, rows, self._plain, state.factor.expr)
            if matrix.values.shape[1] != 1:
                raise FormulaError(
                    f"`{state.factor.expr}` is asked of a factor or of several columns; give it one numeric column",
                    culprit=state.factor.expr,
                )
            state.add(matrix.values[:, 0])

    def complete(self, table: Any, count: bool = True) -> pd.DataFrame | None:
        """The columns of a table's complete rows, checked; None where no row is complete.

        Parameters
        ----------
        table : table
            As a source gives it.
        count : bool
            Whether these rows have not been seen before.
        """
        if len(table) == 0:
            return None
        learnt = self.learnt
        self._first = learnt.n_data
        read = self._columns(table)
        columns = {**read, **{f"{name}=": read[column] for name, column in learnt.arguments.columns.items()}}
        absent = {name: column.isna().to_numpy() for name, column in columns.items()}
        missing = {name: int(mask.sum()) for name, mask in absent.items() if mask.any()}
        if missing and learnt.arguments.na_action == "raise":
            name = next(iter(missing))
            row = shown_row(read[next(iter(read))].index, int(np.flatnonzero(absent[name])[0]))
            raise DataError(
                f"missing values in {name.removesuffix('=')!r}, first in row {row} of the table that begins at row "
                f"{self._first:,}; fill them, or write na_action='drop'"
            )
        if count:
            learnt.n_data += len(table)
            for name, number in missing.items():
                learnt.missing[name] = learnt.missing.get(name, 0) + number
        joined = pd.DataFrame(read)
        if missing:
            used = ~np.any(list(absent.values()), axis=0)
            if not used.any():
                return None
            joined = joined[used]
        for name in joined:
            joined[name] = self._checked(str(name), joined[name])
        check_finite(joined)
        return joined

    def _columns(self, table: Any) -> dict[str, pd.Series]:
        """The columns as `design.table` normalises them, except that integers which only tell groups apart stay so."""
        learnt = self.learnt
        frame = tables.open_table(table)
        available = list(table.columns) if isinstance(table, pd.DataFrame) else frame.columns
        numbers = {*learnt.formula.numbers, *learnt.arguments.columns.values()}
        index, answer = tables.index_of(table, len(frame)), {}
        for name in learnt.columns:
            if name not in available:
                if learnt.kinds:
                    raise DataError(
                        f"column {name!r} is not in the table that begins at row {self._first:,}, though it was before; all "
                        "tables of a source must have the columns of the formula"
                    )
                argument = next((own for own, column in learnt.arguments.columns.items() if column == name), None)
                named = name in learnt.formula.variables or argument is None
                tables.read_columns(table, [name], "formula" if named else f"argument {argument}=")
            raw = table[name] if isinstance(table, pd.DataFrame) else frame[name]
            self._declare(name, raw)
            if name in learnt.formula.labels and _is_integer(raw):
                column = raw if isinstance(raw, pd.Series) else pd.Series(raw.to_numpy())
                answer[name] = column.set_axis(index)
                continue
            column = tables.normalise(raw, name, name in learnt.formula.labels)
            answer[name] = (tables.zero_one(column) if name in numbers else column).set_axis(index)
        return answer

    def _declare(self, name: str, raw: Any) -> None:
        """Remember the order of categories that a table declares."""
        if isinstance(raw, pd.Series) and isinstance(raw.dtype, pd.CategoricalDtype):
            order, ordered = raw.dtype.categories.tolist(), bool(raw.dtype.ordered)
        elif not isinstance(raw, pd.Series) and isinstance(raw.dtype, nw.Enum):
            order, ordered = list(raw.dtype.categories), False
        else:
            return
        kind = self.learnt.kinds.get(name)
        if kind is None:
            holds = TEXT if all(isinstance(value, str) for value in order) else NUMBERS
            holds = TRUTHS if order and all(isinstance(value, bool) for value in order) else holds
            self.learnt.kinds[name] = Kind(True, holds, order, ordered)
        elif kind.order is not None and kind.order != order:
            if kind.ordered or ordered:
                raise DataError(
                    f"column {name!r} has the ordered categories {order!r:.80} in the table that begins at row "
                    f"{self._first:,}, and had {kind.order!r:.80} before; give every table the same ordered categories"
                )
            # Categories without an order that each table has for itself mean no more than text.
            kind.order = None

    def _checked(self, name: str, column: pd.Series) -> pd.Series:
        """A column without missing values, of the kind that it had before."""
        coded = isinstance(column.dtype, pd.CategoricalDtype)
        # What only tells groups apart is a factor, whatever its type.
        factor = coded or name in self.learnt.formula.labels
        if coded:
            kinds = {type(value) for value in column.cat.categories}
            holds = TEXT if kinds <= {str} else TRUTHS if kinds <= {bool, np.bool_} else NUMBERS
        else:
            holds = NUMBERS
            if column.dtype.kind not in "fiu":
                column = column.astype("int64")
        known = self.learnt.kinds.setdefault(name, Kind(factor, holds))
        if (known.factor, known.holds) != (factor, holds):
            raise DataError(
                f"column {name!r} holds {holds} in the table that begins at row {self._first:,}, and {known.holds} before; "
                "all tables of a source must have the same types",
                culprit=name,
            )
        if known.whole and name in self._grouping:
            values = (column.cat.categories if coded else column).to_numpy()
            known.whole = values.dtype.kind in "iu" or (values.dtype.kind == "f" and not coded and whole(values))
        return column

    @property
    def _grouping(self) -> set[str]:
        """Columns that levels are made of."""
        return {name for group in self.learnt.groups for name in group}

    def _begin(self) -> None:
        """Find out what columns there will be, now that their kinds are known."""
        learnt, formula = self.learnt, self.learnt.formula
        kinds = learnt.kinds_known()
        learnt.fixed = RawColumns(spots_of(formula.fixed, kinds))
        parts = [(term.effects, term.group) for term in formula.random]
        for group in learnt.groups:
            effects = [t for terms, own in parts if own == group for t in terms]
            learnt.random[group] = RawColumns(spots_of(effects, kinds))
            learnt.combinations[group] = Combinations(len(group))
        effects = [*formula.fixed, *(t for terms, _ in parts for t in terms)]
        factors = {factor_of(factor, kinds) for term in effects for factor in term.factors} - {None}
        for name in dict.fromkeys([*(name for group in learnt.groups for name in group), *sorted(map(str, factors))]):
            learnt.dictionaries[name] = Dictionary()

    def _response(self, rows: pd.DataFrame, numeric: _Numeric) -> np.ndarray:
        formula = self.learnt.formula
        if formula.response is None:
            raise FormulaError("the formula has no response; begin it with the response and ~", formula.source)
        (term,) = formula.response
        if len(term.factors) == 1 and factor_of(term.factors[0], self.learnt.kinds_known()) is None:
            return numeric.of(term.factors[0], "the response")
        raise DataError(
            f"the response {str(term)!r} is a factor; a linear mixed model needs a numeric one, a number per row",
            culprit=str(term),
        )

    def _weights(self, column: pd.Series | None, called: str) -> np.ndarray | None:
        if column is None:
            return None
        name = getattr(self.learnt.arguments, called)
        return check_weights(self._numbers(column, called), column.index, f"{called}={name!r}")

    def _cells(self, named: dict[str, pd.Series]) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Counts and sums of squares of rows that stand for several."""
        if "counts" not in named:
            return None, None
        counts = self._numbers(named["counts"], "counts")
        squares = self._numbers(named["within_ss"], "within_ss")
        wrong = (counts < 1) | (counts != np.floor(counts))
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            raise DataError(
                f"counts={self.learnt.arguments.counts!r} is {counts[row]:g} in row "
                f"{shown_row(named['counts'].index, row)}; it is "
                "the number of raw rows in the cell, a whole number from 1 on"
            )
        wrong = (squares < 0) | ((counts == 1) & (squares != 0))
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            raise DataError(
                f"within_ss={self.learnt.arguments.within_ss!r} is {squares[row]:g} in row "
                f"{shown_row(named['counts'].index, row)}, a cell of {counts[row]:g}; it is the sum of (y - mean "
                "of the cell)**2 "
                "over its raw rows, zero for a single one and never negative"
            )
        return counts, squares

    def _numbers(self, column: pd.Series, called: str) -> np.ndarray:
        if isinstance(column.dtype, pd.CategoricalDtype):
            raise DataError(
                f"{called}={getattr(self.learnt.arguments, called)!r} is a column of strings or categories; it "
                "must hold numbers"
            )
        return column.to_numpy(dtype=float)


class _Numeric:
    """Numeric factors of some rows, each evaluated once."""

    def __init__(self, rows: pd.DataFrame, factors: dict[str, Factor], states: States, codings: Codings):
        self._rows, self._factors, self._states, self._codings = rows, factors, states, codings
        self._known: dict[str, tuple[list[str], np.ndarray]] = {}

    def __call__(self, expression: str) -> tuple[list[str], np.ndarray]:
        """Names and columns (n, w) of a factor of the effects."""
        if expression not in self._known:
            self._known[expression] = self._columns(self._factors[expression])
        return self._known[expression]

    def of(self, factor: Factor, part: str) -> np.ndarray:
        """The values (n,) of the response or an offset."""
        values = self._columns(factor)[1]
        if values.shape[1] != 1:
            raise DataError(f"{part} has several columns; it must be one number per row", culprit=factor.expr)
        return values[:, 0]

    def _columns(self, factor: Factor) -> tuple[list[str], np.ndarray]:
        if factor.expr in self._rows and not isinstance(self._rows[factor.expr].dtype, pd.CategoricalDtype):
            return [factor.expr], self._rows[factor.expr].to_numpy(dtype=float)[:, None]
        matrix = model_matrix(
            SimpleFormula([Term([factor])]), self._rows, self._codings, f"`{factor.expr}`", self._states
        )
        return list(matrix.spec.column_names), matrix.values


def _is_integer(raw: Any) -> bool:
    """Whether a column holds integers and misses none."""
    if isinstance(raw, pd.Series):
        return pd.api.types.is_integer_dtype(raw.dtype) and not raw.isna().any()
    return raw.dtype.is_integer() and raw.null_count() == 0
