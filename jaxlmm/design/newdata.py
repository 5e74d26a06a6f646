"""The same columns and levels for new data."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from jaxlmm.design import table as tables
from jaxlmm.design.build import FactorTerms, Frame, check_weights, response_of
from jaxlmm.design.kept_rows import check_finite, shown_row
from jaxlmm.design.levels import Grouping, code_levels, other_kind, plain, unseen_level
from jaxlmm.design.matrices import encode
from jaxlmm.errors import DataError
from jaxlmm.formula import variables_of


class NewData:
    """New rows, read once and encoded as the fit's rows were.

    Parameters
    ----------
    frame : Frame
        The fit's named side.
    data : pandas, polars or pyarrow table, or dict of columns
        New rows; the response is not needed.
    coded : tuple of FactorTerms
        Grouping factors whose levels will be asked for.
    effects : tuple of FactorTerms
        Those whose random-effects columns will be asked for.
    with_response : bool
        Whether the response will be asked for.

    Raises
    ------
    DataError
        When a column is absent, of another kind than in the fit, has missing values or unknown levels.
    """

    def __init__(
        self,
        frame: Frame,
        data: Any,
        coded: tuple[FactorTerms, ...],
        effects: tuple[FactorTerms, ...],
        with_response: bool = False,
    ):
        self._frame, self._data = frame, data
        groups = dict.fromkeys(name for f in coded for name in f.grouping.columns)
        needed = _variables(frame, effects)
        if with_response:
            needed = list(dict.fromkeys([*needed, *variables_of(frame.formula.response or ())]))
        names, numbers = dict.fromkeys([*needed, *groups]), frame.formula.numbers
        columns = tables.open_table(data, "newdata").columns
        for name in groups:
            if name not in columns and name not in needed:
                raise DataError(
                    f"newdata has no column {name!r}, the grouping factor of random effects of the fit; add it, or predict "
                    "without random effects: random=False"
                )
        table = tables.read_columns(data, names, "model", frame.formula.labels, numbers, "newdata")
        check_finite(table)
        for name in dict.fromkeys([*needed, *groups]):
            if table[name].isna().any():
                row = shown_row(table.index, int(np.flatnonzero(table[name].isna())[0]))
                raise DataError(f"column {name!r} of newdata is missing in row {row}; predictions need every value")
        self.table = table.assign(**{name: _as_fitted(table[name], frame.table[name]) for name in needed})
        self._groups = table

    @property
    def index(self) -> pd.Index:
        """Row labels."""
        return self.table.index

    def fixed(self) -> np.ndarray:
        """Fixed-effects columns (n, p), redundant ones included."""
        return encode(self._frame.fixed, self.table, self._frame.codings, "the fixed effects")

    def offset(self) -> np.ndarray:
        """Sum (n,) of the formula's offsets and of the column that the fit was given as offset=."""
        total = np.zeros(len(self.table))
        for text, matrix in zip(self._frame.formula.offsets, self._frame.offsets, strict=True):
            total = total + encode(matrix, self.table, self._frame.codings, f"offset({text})")[:, 0]
        given = self._argument("offset")
        return total if given is None else total + given

    def weights(self) -> np.ndarray:
        """Weights (n,) from the column that the fit was given as weights=; ones where it had none."""
        given = self._argument("weights")
        if given is None:
            return np.ones(len(self.table))
        return check_weights(given, self.index, f"weights={self._frame.arguments['weights']!r}")

    def _argument(self, name: str) -> np.ndarray | None:
        """Values of weights= or offset=, where that named a column."""
        column = self._frame.arguments[name]
        if column is None:
            return None
        if not isinstance(column, str):
            raise DataError(
                f"this fit was given {name}= as values, which newdata does not hold; put them in a column of the data, fit "
                f"with {name}='column', and give newdata that column, too"
            )
        read = tables.read_columns(self._data, [column], f"argument {name}= of the fit", numbers=[column])
        check_finite(read)
        if isinstance(read[column].dtype, pd.CategoricalDtype) or read[column].isna().any():
            raise DataError(f"column {column!r} of newdata, the fit's {name}, must hold a number in every row")
        return read[column].to_numpy()

    def random(self, factor: FactorTerms) -> np.ndarray:
        """Random-effects columns (n, k) of one grouping factor."""
        parts = [encode(term.matrix, self.table, self._frame.codings, term.source) for term in factor.terms]
        return np.column_stack(parts)

    def response(self) -> np.ndarray:
        """The response (n,), as the formula transforms it."""
        return response_of(self._frame.formula, self.table, self._frame.codings)[1]

    def levels(self, factor: FactorTerms) -> tuple[Grouping, np.ndarray]:
        """The new rows' own levels of a grouping factor, and each row's number (n,) among them.

        Raises
        ------
        DataError
            When they are of another kind than the fit's.
        """
        old = factor.grouping
        if (old.codes(self._groups) < 0).any() and len(self._groups):
            problem = other_kind(old, self._groups, 0)
            if problem is not None:
                raise problem
        pairs = zip(old.columns, old.parts, strict=True)
        integers = frozenset(name for name, levels in pairs if levels.dtype.kind == "i")
        return code_levels(self._groups, old.columns, integers)

    def codes(self, factor: FactorTerms, allow_new_levels: bool) -> np.ndarray:
        """Level of each row (n,), -1 for a new one.

        Raises
        ------
        DataError
            For a new level, unless those are allowed.
        """
        codes = factor.grouping.codes(self._groups)
        if (codes < 0).any():
            row = int(np.flatnonzero(codes < 0)[0])
            problem = (other_kind if allow_new_levels else unseen_level)(factor.grouping, self._groups, row)
            if problem is not None:
                raise problem
        return codes


def _variables(frame: Frame, factors: tuple[FactorTerms, ...]) -> list[str]:
    """Columns that the fixed effects, the offsets and the effects of these factors need."""
    groups = {f.grouping.columns for f in factors}
    names = dict.fromkeys(variables_of(frame.formula.fixed))
    for term in frame.formula.random:
        if term.group in groups:
            names |= dict.fromkeys(variables_of(term.effects))
    return list(names | dict.fromkeys(frame.formula.offset_columns))


def _as_fitted(new: pd.Series, old: pd.Series) -> pd.Series:
    """A column of new data with the levels of the fit's."""
    factor = isinstance(old.dtype, pd.CategoricalDtype)
    if factor != isinstance(new.dtype, pd.CategoricalDtype):
        kinds = ("a factor", "numeric") if factor else ("numeric", "a factor")
        value = repr(new.iloc[:1].tolist()[0])
        raise DataError(
            f"column {old.name!r} is {kinds[0]} in the fit and {kinds[1]} in newdata ({value}); convert it: "
            f"newdata[{old.name!r}]{'.astype(str)' if factor else ' = pandas.to_numeric(newdata[' + repr(old.name) + '])'}"
        )
    if not factor:
        return new
    values = pd.Index(plain(new))
    unknown = ~values.isin(old.cat.categories)
    if unknown.any():
        row = int(np.flatnonzero(unknown)[0])
        known = ", ".join(map(str, old.cat.categories[:10]))
        raise DataError(
            f"row {shown_row(new.index, row)} of newdata has {old.name!r} = {shown_row(values, row)}, a level "
            "that the fit has not seen; its "
            f"levels are: {known}"
        )
    return pd.Series(pd.Categorical(values, categories=old.cat.categories), index=new.index)
