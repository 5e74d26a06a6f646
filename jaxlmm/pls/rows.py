"""Sums over the rows of a design: where the n axis ends. Other responses over the same rows are summed by `responses`.

With F = [1 X y] in its frame and W the weights,

    Z_tᵀWZ_t  (k, k, levels),    Z_tᵀWF  (k, m, levels),    FᵀWF,    Z_sᵀWZ_t for pairs of levels that co-occur,

the triangular factor of √W F (tall-skinny QR), and, for one grouping factor, that of what is left of √W F when each
level's Z_g is projected out. Rows are read in chunks that stay in the processor's cache, transposed so that each column is
contiguous. For crossed factors the pair of levels of each row is kept; nothing else of length n is. Called by `crossprod`;
`responses` takes the columns in their frames from here.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from jaxlmm.covariance import Structure
from jaxlmm.design import Design, RandomEffects
from jaxlmm.linalg import back_substitute, lower_blocks
from jaxlmm.pls.frames import ROWS, Frame


@dataclass(frozen=True)
class FactorSums:
    """Sums over rows for one grouping factor, with batch axis (levels) last.

    Attributes
    ----------
    zz : (k, k, levels) array
        Z_gᵀWZ_g of each level.
    zf : (k, m, levels) array
        Z_gᵀWF of each level.
    frame : Frame
        Of the k columns.
    terms : tuple of Structure
        Covariance structures of the terms; none while their columns are raw.
    rows : (levels,) array or None
        Number of rows of each level, where it was counted.
    """

    zz: np.ndarray
    zf: np.ndarray
    frame: Frame
    terms: tuple[Structure, ...]
    rows: np.ndarray | None = None

    @property
    def n_levels(self) -> int:
        """Number of levels."""
        return self.zz.shape[2]


@dataclass(frozen=True)
class Pairs:
    """Z_sᵀWZ_t for the pairs of levels of two factors that occur together.

    Attributes
    ----------
    first, second : (P,) int arrays
        Levels of the two factors, sorted by first, then second.
    block : (k_s, k_t, P) array
        Their cross-products.
    rows : (P,) array or None
        Number of rows of each pair, where it was counted.
    """

    first: np.ndarray
    second: np.ndarray
    block: np.ndarray
    rows: np.ndarray | None = None


class Sums(NamedTuple):
    """What the rows of a design add up to; the fields of `CrossProducts` that bear the same names."""

    factors: tuple[FactorSums, ...]
    pairs: dict[tuple[int, int], Pairs]
    ff: np.ndarray
    triangle: np.ndarray
    within: np.ndarray | None
    frame: Frame
    sum_log_weights: float


class Chunk(NamedTuple):
    """Some rows in their frames: f (m, c) and z[t] (k, c); codes[t] (c,); weights (c,) or None; where they stand."""

    f: np.ndarray
    z: list[np.ndarray]
    codes: list[np.ndarray]
    weights: np.ndarray | None
    rows: slice

    def weighted(self, columns: np.ndarray) -> np.ndarray:
        """W times columns."""
        return columns if self.weights is None else columns * self.weights

    def panel(self, columns: np.ndarray) -> np.ndarray:
        """√W times columns, rows first."""
        return (columns if self.weights is None else columns * np.sqrt(self.weights)).T


def sum_rows(design: Design) -> Sums:
    """Sum over the rows of a design."""
    frame = Frame.of([np.ones(1), *design.x.T, design.y], np.zeros(design.x.shape[1] + 2, dtype=int))
    frames = [Frame.of(list(block.z.T), _constant_columns(block)) for block in design.random]
    m, blocks = frame.shift.size, design.random
    zz = [np.zeros((b.z.shape[1], b.z.shape[1], b.n_levels)) for b in blocks]
    zf = [np.zeros((b.z.shape[1], m, b.n_levels)) for b in blocks]
    pairs = {(s, t): _Pairs(blocks[s], blocks[t]) for t in range(len(blocks)) for s in range(t)}
    ff, triangle = np.zeros((m, m)), np.zeros((0, m))
    for chunk in _chunks(design, frame, frames):
        wf = chunk.weighted(chunk.f)
        ff += wf @ chunk.f.T
        triangle = _stacked(triangle, chunk.panel(chunk.f))
        wz = [chunk.weighted(z) for z in chunk.z]
        for t, codes in enumerate(chunk.codes):
            for i in range(len(zz[t])):
                for j in range(i, len(zz[t])):
                    np.add.at(zz[t][i, j], codes, wz[t][i] * chunk.z[t][j])
                for j in range(m):
                    np.add.at(zf[t][i, j], codes, chunk.z[t][i] * wf[j])
        for (s, t), pair in pairs.items():
            pair.add(wz[s], chunk.z[t], chunk.rows)
    for square in zz:
        for i, j in itertools.combinations(range(len(square)), 2):
            square[j, i] = square[i, j]
    factors = tuple(FactorSums(*row) for row in zip(zz, zf, frames, (b.terms for b in blocks), strict=True))
    return Sums(
        factors,
        {key: pairs[key].sums() for key in sorted(pairs)},
        ff,
        squared(triangle),
        _within(design, factors[0], frame) if len(factors) == 1 else None,
        frame,
        0.0 if design.weights is None else float(np.log(design.weights).sum()),
    )


def stored_columns(design: Design, frame: Frame, frames: tuple[Frame, ...]) -> tuple[np.ndarray, list[np.ndarray]]:
    """All rows of [1 X] (n, p + 1) and of each Z_t (n, k) in their frames."""
    parts = [(chunk.f[:-1].T, [z.T for z in chunk.z]) for chunk in _chunks(design, frame, list(frames))]
    return np.concatenate([f for f, _ in parts]), [np.concatenate(z) for z in zip(*(z for _, z in parts), strict=True)]


def _chunks(design: Design, frame: Frame, frames: list[Frame]) -> Iterator[Chunk]:
    """The rows in their frames."""
    for begin in range(0, design.n_obs, ROWS):
        rows = slice(begin, min(begin + ROWS, design.n_obs))
        f = np.empty((frame.shift.size, rows.stop - begin))
        f[0], f[1:-1], f[-1] = 1.0, design.x[rows].T, design.y[rows]
        yield Chunk(
            frame.stored(f),
            [
                own.stored(np.array(block.z[rows].T, dtype=float, order="C"))
                for own, block in zip(frames, design.random, strict=True)
            ],
            [block.codes[rows] for block in design.random],
            None if design.weights is None else design.weights[rows],
            rows,
        )


def _constant_columns(block: RandomEffects) -> np.ndarray:
    """For each column of z, the constant column of its term that may absorb a shift, or -1."""
    constant = np.full(block.z.shape[1], -1)
    offset = 0
    for term in block.terms:
        columns = range(offset, offset + term.size)
        ones = [j for j in columns if term.shiftable and np.all(block.z[:, j] == 1.0)]
        if ones:
            constant[list(columns)] = ones[0]
        offset += term.size
    return constant


class _Pairs:
    """The pairs of levels of two factors that occur together, and their sums as they grow."""

    def __init__(self, first: RandomEffects, second: RandomEffects) -> None:
        keys = first.codes.astype(np.int64) * second.n_levels + second.codes
        distinct, self.where = np.unique(keys, return_inverse=True)
        self.first, self.second = distinct // second.n_levels, distinct % second.n_levels
        self.block = np.zeros((first.z.shape[1], second.z.shape[1], distinct.size))

    def add(self, wz: np.ndarray, z: np.ndarray, rows: slice) -> None:
        """Add a chunk of rows."""
        for i, j in np.ndindex(self.block.shape[:2]):
            np.add.at(self.block[i, j], self.where[rows], wz[i] * z[j])

    def sums(self) -> Pairs:
        """What was added up."""
        return Pairs(self.first, self.second, self.block)


def _within(design: Design, factor: FactorSums, frame: Frame) -> np.ndarray:
    """Triangular factor of F less its projection on each level's Z_g, from the rows, where nothing cancels."""
    coefficients = back_substitute(*lower_blocks(factor.zz, factor.zf))
    triangle = np.zeros((0, frame.shift.size))
    for chunk in _chunks(design, frame, [factor.frame]):
        rest, codes = chunk.f, chunk.codes[0]
        for i, j in np.ndindex(coefficients.shape[:2]):
            rest[j] -= chunk.z[0][i] * coefficients[i, j][codes]
        triangle = _stacked(triangle, chunk.panel(rest))
    return squared(triangle)


def _stacked(triangle: np.ndarray, panel: np.ndarray) -> np.ndarray:
    """Triangular factor of both, one above the other."""
    return np.asarray(np.linalg.qr(np.vstack([triangle, panel]), mode="r"))


def squared(triangle: np.ndarray) -> np.ndarray:
    """Rows of zeros added to a triangle of few rows."""
    return np.vstack([triangle, np.zeros((triangle.shape[1] - triangle.shape[0], triangle.shape[1]))])


def triangle_of(rows: np.ndarray) -> np.ndarray:
    """Triangular factor (m, m) of a tall matrix (n, m)."""
    triangle = np.zeros((0, rows.shape[1]))
    for begin in range(0, max(rows.shape[0], 1), ROWS):
        triangle = _stacked(triangle, rows[begin : begin + ROWS])
    return squared(triangle)
