"""The same columns and levels for new data."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd

from jaxlmm.design import table as tables
from jaxlmm.design.build import FactorTerms, Frame, offset_values
from jaxlmm.design.levels import plain, unseen_level
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

    Raises
    ------
    DataError
        When a column is absent, of another kind than in the fit, has missing values or unknown levels.
    """

    def __init__(self, frame: Frame, data: Any, coded: tuple[FactorTerms, ...], effects: tuple[FactorTerms, ...]):
        self._frame = frame
        groups = dict.fromkeys(name for f in coded for name in f.grouping.columns)
        needed = _variables(frame, effects)
        table = tables.read_columns(data, dict.fromkeys([*needed, *groups]), "model", frame.formula.labels)
        tables.check_finite(table)
        for name in dict.fromkeys([*needed, *groups]):
            if table[name].isna().any():
                row = tables.shown_row(table.index, int(np.flatnonzero(table[name].isna())[0]))
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
        """Sum of the formula's offsets (n,)."""
        total = np.zeros(len(self.table))
        for text in self._frame.formula.offsets:
            total = total + offset_values(text, self.table, self._frame.codings)
        return total

    def random(self, factor: FactorTerms) -> np.ndarray:
        """Random-effects columns (n, k) of one grouping factor."""
        parts = [encode(term.matrix, self.table, self._frame.codings, term.source) for term in factor.terms]
        return np.column_stack(parts)

    def codes(self, factor: FactorTerms, allow_new_levels: bool) -> np.ndarray:
        """Level of each row (n,), -1 for a new one.

        Raises
        ------
        DataError
            For a new level, unless those are allowed.
        """
        codes = factor.grouping.codes(self._groups)
        if not allow_new_levels and (codes < 0).any():
            raise unseen_level(factor.grouping, self._groups, int(np.flatnonzero(codes < 0)[0]))
        return codes


def _variables(frame: Frame, factors: tuple[FactorTerms, ...]) -> list[str]:
    """Columns that the fixed effects, the offsets and the effects of these factors need."""
    groups = {f.grouping.columns for f in factors}
    names = dict.fromkeys(variables_of(frame.formula.fixed))
    for term in frame.formula.random:
        if term.group in groups:
            names |= dict.fromkeys(variables_of(term.effects))
    words = {word for text in frame.formula.offsets for word in re.findall(r"\w+|(?<=`)[^`]+(?=`)", text)}
    names |= dict.fromkeys(name for name in frame.formula.variables if name in words)
    return list(names)


def _as_fitted(new: pd.Series, old: pd.Series) -> pd.Series:
    """A column of new data with the levels of the fit's."""
    factor = isinstance(old.dtype, pd.CategoricalDtype)
    if factor != isinstance(new.dtype, pd.CategoricalDtype):
        kinds = ("a factor", "numeric") if factor else ("numeric", "a factor")
        value = repr(new.iloc[:1].tolist()[0])
        raise DataError(f"column {old.name!r} is {kinds[0]} in the fit and {kinds[1]} in newdata ({value}); convert it")
    if not factor:
        return new
    values = pd.Index(plain(new))
    unknown = ~values.isin(old.cat.categories)
    if unknown.any():
        row = int(np.flatnonzero(unknown)[0])
        known = ", ".join(map(str, old.cat.categories[:10]))
        raise DataError(
            f"row {tables.shown_row(new.index, row)} of newdata has {old.name!r} = {tables.shown_row(values, row)}, a level "
            "that the fit has not seen; its "
            f"levels are: {known}"
        )
    return pd.Series(pd.Categorical(values, categories=old.cat.categories), index=new.index)
