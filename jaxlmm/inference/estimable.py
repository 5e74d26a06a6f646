"""Which columns lie in the span of others, and which linear functions of coefficients redundant columns leave determined.

A function lᵀβ of all columns' coefficients is estimable if l is a combination of rows of X (Searle 1971, Linear Models,
§5.4). With the redundant columns X_d = X_k D of those that are kept, that is l_d = Dᵀl_k. Called by the rest of `inference`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

SPANNED = 1e-8
"""Relative part of a column outside the span of others, below which it is inside."""

ROUNDING = 1e-13
"""Relative size of a sum beside its summands, below which it is zero."""


def in_span(columns: np.ndarray, span: np.ndarray) -> bool:
    """Whether columns lie in the span of others, whatever their units."""
    if not columns.size:
        return True
    if not span.size:
        return False
    scaled = _unit(columns)
    basis, sizes, _ = np.linalg.svd(_unit(span), full_matrices=False)
    basis = basis[:, sizes > SPANNED * sizes[0]]
    rest = scaled - basis @ (basis.T @ scaled)
    return bool(np.linalg.norm(rest - basis @ (basis.T @ rest), axis=0).max() < SPANNED)


def _unit(columns: np.ndarray) -> np.ndarray:
    return columns / np.maximum(np.linalg.norm(columns, axis=0), np.finfo(float).tiny)


class Combinations(NamedTuple):
    """Linear functions of the coefficients, and by how much each fails to be determined by the data.

    Attributes
    ----------
    rows : (r, p) array
        Their weights on the kept columns.
    off, size : (r, d) arrays
        l_d - Dᵀl_k of each redundant column, and the size of its summands.
    """

    rows: np.ndarray
    off: np.ndarray
    size: np.ndarray

    @classmethod
    def of(cls, rows: np.ndarray) -> Combinations:
        """Functions of coefficients that are all determined."""
        none = np.zeros((len(rows), 0))
        return cls(rows, none, none)

    @classmethod
    def among(cls, columns: np.ndarray, x: np.ndarray, kept: np.ndarray) -> Combinations:
        """Functions of all columns' coefficients (r, all), in a model with the rows `x` (n, all)."""
        dropped = np.setdiff1d(np.arange(x.shape[1]), kept)
        rows = columns[:, kept]
        if not dropped.size:
            return cls.of(rows)
        unit = np.maximum(np.linalg.norm(x, axis=0), np.finfo(float).tiny)
        dependence = np.linalg.lstsq(x[:, kept] / unit[kept], x[:, dropped], rcond=None)[0] / unit[kept, None]
        size = np.abs(columns[:, dropped]) + np.abs(rows) @ np.abs(dependence)
        return cls(rows, columns[:, dropped] - rows @ dependence, size)

    @property
    def estimable(self) -> np.ndarray:
        """Which functions the data determine (r,)."""
        return np.all(np.abs(self.off) <= SPANNED * self.size, axis=1)

    def combined(self, weights: np.ndarray) -> Combinations:
        """Linear combinations (c, r) of them; a sum that is zero up to rounding is zero."""
        rows, size = weights @ self.rows, np.abs(weights) @ np.abs(self.rows)
        rows = np.where(np.abs(rows) > ROUNDING * size, rows, 0.0)
        return Combinations(rows, weights @ self.off, np.abs(weights) @ self.size)

    def over(self, step: float, away: Combinations) -> Combinations:
        """Differences over a step; `away` is what they are differences to, for the rounding errors that they carry."""
        size = self.size + 64.0 * np.finfo(float).eps / SPANNED * away.size
        return Combinations(self.rows / step, self.off / step, size / step)

    def determined(self) -> np.ndarray:
        """Weights (c, p) of as many combinations of the functions as the data determine."""
        if self.estimable.all():
            return self.rows
        scaled = self.off / np.maximum(self.size.max(axis=0), np.finfo(float).tiny)
        left, sizes, _ = np.linalg.svd(scaled)
        return self.combined(left[:, np.count_nonzero(sizes > SPANNED) :].T).rows
