"""Frames: the shifts and scales in which sums over rows are stored.

Sums are of shifted and scaled columns, so that no digits are lost to a covariate far from zero. Shifts are rounded to a few
bits of the column's spread and scales are powers of two, so that integer covariates still give exactly equal blocks. Two
frames are brought together by the parallel-variance update (Chan, Golub & LeVeque 1983, Am. Stat. 37(3)), which in matrix
form is a congruence by a unit triangular matrix. Called by `rows` and `crossprod`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

ROWS = 65536
"""Rows that are looked at together: large enough for BLAS, small enough for the cache."""

SHIFT_BITS = 4
"""Shifts are multiples of the column's spread (as a power of two) divided by 2**SHIFT_BITS."""


@dataclass(frozen=True)
class Frame:
    """Shifts and scales of a block of columns: user's column = shift + scale * stored column.

    Attributes
    ----------
    shift, scale : (c,) arrays
        Of each column; a column without a constant beside it has shift zero.
    constant : (c,) int array
        Index of the constant column that absorbs a shift of this column, or -1.
    """

    shift: np.ndarray
    scale: np.ndarray
    constant: np.ndarray

    @classmethod
    def of(cls, columns: Sequence[np.ndarray], constant: np.ndarray) -> "Frame":
        """Frame of columns (n,), given which constant column each may lean on."""
        shift, scale = np.zeros(len(columns)), np.ones(len(columns))
        for j, column in enumerate(columns):
            first, mean, spread = moments(column)
            if constant[j] >= 0 and spread > 0:
                grid = np.exp2(np.floor(np.log2(spread)) - SHIFT_BITS)
                shift[j] = np.round((first + mean) / grid) * grid
            size = np.hypot(spread, (first - shift[j]) + mean)
            if size > 0 and np.isfinite(size):
                scale[j] = power_of_two(size)
        return cls(shift, scale, constant)

    def stored(self, columns: np.ndarray) -> np.ndarray:
        """The user's columns (c, n) as they are stored, in place."""
        columns -= self.shift[:, None]
        columns /= self.scale[:, None]
        return columns

    def map_to(self, other: "Frame") -> np.ndarray:
        """Matrix A with (columns stored in `other`) = (columns stored here) A."""
        change = np.diag(self.scale / other.scale)
        for j in np.flatnonzero(self.constant >= 0):
            if self.constant[j] != j:
                change[self.constant[j], j] += (self.shift[j] - other.shift[j]) / other.scale[j]
        return change

    def to_user(self) -> np.ndarray:
        """Matrix A with (the user's columns) = (columns stored here) A."""
        return self.map_to(Frame(np.zeros_like(self.shift), np.ones_like(self.scale), self.constant))


def power_of_two(value):
    """The power of two next to a positive value, or to each of several."""
    return np.exp2(np.round(np.log2(value)))


def moments(column: np.ndarray) -> tuple[float, float, float]:
    """First value, mean less the first value, and standard deviation of a column, chunk by chunk."""
    count, mean, square = 0, 0.0, 0.0
    for begin in range(0, column.size, ROWS):
        part = column[begin : begin + ROWS] - column[0]
        own, more = part.mean(), part.size
        step, total = own - mean, count + part.size
        square += float(np.sum((part - own) ** 2)) + step**2 * count * more / total
        mean, count = mean + step * more / total, total
    return float(column[0]), float(mean), float(np.sqrt(square / count))
