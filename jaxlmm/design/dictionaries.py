"""Values numbered as they appear: dictionaries that grow with every table that is read.

Levels are numbered in the order of their first appearance and sorted once, at the end. Whole numbers that lie close together
are looked up in an array; everything else in a dict, once for each different value of a table. Called by `raw` and `stream`.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable

import numpy as np
import pandas as pd

SPREAD, SMALLEST = 8, 2**20
"""Whole numbers are looked up in an array if it has at most so many places per value, or so many in all."""

ABSENT = -1
"""In the array of whole numbers: not seen so far."""


class Dictionary:
    """Values and their numbers, 0 for the first that appeared.

    Parameters
    ----------
    values : iterable, optional
        The first values, in order.
    """

    def __init__(self, values: Iterable[Hashable] = ()):
        self._numbers: dict[Hashable, int] = {}
        self._whole: _WholeNumbers | None = None
        values = list(values)
        if values and all(
            isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63 for value in values
        ):
            self.of_integers(np.array(values, dtype=np.int64))
        else:
            self.of(values)

    def __len__(self) -> int:
        return len(self._numbers) if self._whole is None else self._whole.count

    @property
    def values(self) -> list[Hashable]:
        """The values in the order of their numbers."""
        return list(self._numbers) if self._whole is None else self._whole.values().tolist()

    def array(self) -> np.ndarray:
        """The values as an array, of objects unless they are numbers."""
        if self._whole is not None:
            return self._whole.values()
        values = list(self._numbers)
        if values and not any(isinstance(value, str | bool) for value in values):
            return np.array(values)
        answer = np.empty(len(values), dtype=object)
        answer[:] = values
        return answer

    def of(self, values: Iterable[Hashable]) -> np.ndarray:
        """Numbers of values, new ones at the end."""
        self._to_dict()
        numbers = self._numbers
        return np.array([numbers.setdefault(value, len(numbers)) for value in values], dtype=np.int64)

    def of_integers(self, values: np.ndarray) -> np.ndarray:
        """The same of an integer array (n,)."""
        if values.size == 0:
            return np.zeros(0, dtype=np.int64)
        if not self._numbers and values.dtype != np.uint64:
            if self._whole is None:
                self._whole = _WholeNumbers()
            found = self._whole.of(values.astype(np.int64, copy=False))
            if found is not None:
                return found
        codes, distinct = pd.factorize(values)
        return self.of(distinct.tolist())[codes]

    def of_column(self, column: pd.Series) -> np.ndarray:
        """The same of a column without missing values: integers, floats, or a categorical."""
        if isinstance(column.dtype, pd.CategoricalDtype):
            codes = column.cat.codes.to_numpy()
            used = np.unique(codes)
            numbers = np.zeros(len(column.cat.categories), dtype=np.int64)
            numbers[used] = self.of(column.cat.categories[used].tolist())
            return numbers[codes]
        values = column.to_numpy()
        if values.dtype.kind in "iu":
            return self.of_integers(values)
        codes, distinct = pd.factorize(np.asarray(values, dtype=float))
        return self.of(distinct.tolist())[codes]

    def _to_dict(self) -> None:
        """Leave the array of whole numbers for the dict, which holds anything."""
        if self._whole is not None:
            self._numbers = {value: number for number, value in enumerate(self._whole.values().tolist())}
            self._whole = None


class _WholeNumbers:
    """Whole numbers that lie close together: an array with a place for each between the smallest and the largest."""

    def __init__(self) -> None:
        self.count, self._low = 0, 0
        self._places = np.zeros(0, dtype=np.int64)

    def values(self) -> np.ndarray:
        """The values in the order of their numbers."""
        used = np.flatnonzero(self._places != ABSENT)
        answer = np.empty(used.size, dtype=np.int64)
        answer[self._places[used]] = used + self._low
        return answer

    def of(self, values: np.ndarray) -> np.ndarray | None:
        """Numbers of values, new ones at the end; None, and nothing changed, where they lie too far apart."""
        low, high = int(values.min()), int(values.max())
        if self._places.size:
            low, high = min(low, self._low), max(high, self._low + self._places.size - 1)
        size = high - low + 1
        if size > max(SMALLEST, SPREAD * (self.count + values.size)):
            return None
        if size > self._places.size:
            self._widen(low, size)
        places = values - self._low
        numbers = self._places[places]
        new = numbers == ABSENT
        if new.any():
            # In the order of appearance.
            distinct, first = np.unique(places[new], return_index=True)
            distinct = distinct[np.argsort(first)]
            self._places[distinct] = self.count + np.arange(distinct.size)
            self.count += distinct.size
            numbers = self._places[places]
        return numbers

    def _widen(self, low: int, size: int) -> None:
        """Room for values from `low`, and for as many again, so that this is seldom done."""
        places = np.full(max(size, min(2 * self._places.size, 2 * size)), ABSENT)
        begin = self._low - low if self._places.size else 0
        places[begin : begin + self._places.size] = self._places
        self._places, self._low = places, low


class Combinations:
    """Combinations of several dictionaries' numbers, numbered in turn: the levels of an interaction."""

    def __init__(self, parts: int):
        self._steps = [Dictionary() for _ in range(max(parts - 1, 0))]

    def of(self, parts: list[np.ndarray]) -> np.ndarray:
        """Numbers of combinations; those of a single part are its own."""
        combined = parts[0]
        for step, part in zip(self._steps, parts[1:], strict=True):
            codes, distinct = pd.factorize((combined.astype(np.int64) << 32) + part)
            combined = step.of(distinct.tolist())[codes]
        return combined

    def count(self, first: int) -> int:
        """Combinations so far; those of a single part are its own `first`."""
        return len(self._steps[-1]) if self._steps else first

    def parts(self, n_levels: int) -> list[np.ndarray]:
        """For each part its numbers (n_levels,) in every combination."""
        combined, answer = np.arange(n_levels), []
        for step in reversed(self._steps):
            keys = np.array(step.values, dtype=np.int64)[combined]
            answer.append(keys & 0xFFFFFFFF)
            combined = keys >> 32
        return [combined, *reversed(answer)]


def sorted_order(values: np.ndarray) -> np.ndarray:
    """Positions of values in ascending order, as levels are sorted everywhere."""
    if values.dtype == object:
        return np.array(sorted(range(values.size), key=values.tolist().__getitem__), dtype=np.int64)
    return np.argsort(values, kind="stable")
