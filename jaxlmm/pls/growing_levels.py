"""Sums by level, and by pairs of levels, that grow with the levels. Called by `growing`."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from jaxlmm.pls.crossprod import merge_pairs
from jaxlmm.pls.frames import Frame
from jaxlmm.pls.rows import Pairs


@dataclass
class GrowingFactor:
    """Sums of one grouping factor, with room for levels to come.

    Attributes
    ----------
    zf : (K, m, room) array
        ZᵀWF.
    zz : (K, K, room) array
        ZᵀWZ of the pairs of columns that do not stand in F; of the others it is in `zf`.
    rows : (room,) array
        Number of rows; where `ones` says so, it is in `zf`.
    frame : Frame
        Of the columns of Z: that of F where they stand there; else they are not shifted.
    inside : (K,) int array
        Where each column stands in F, or -1.
    ones : int
        The column whose products with ones count the rows, or -1.
    n_levels : int
        Levels so far.
    """

    zf: np.ndarray
    zz: np.ndarray
    rows: np.ndarray
    frame: Frame
    inside: np.ndarray
    ones: int = -1
    n_levels: int = 0

    def twice(self, i: int, j: int) -> int | None:
        """The earlier column of Z that is column j of F, where column i stands in F, too: their product is in its row."""
        found = np.flatnonzero(self.inside[:i] == j) if self.inside[i] >= 0 else np.zeros(0, dtype=int)
        return int(found[0]) if found.size else None

    def complete(self) -> None:
        """Fill in what `zf` has elsewhere."""
        for i, j in np.ndindex(self.zf.shape[:2]):
            other = self.twice(i, j)
            if other is not None:
                self.zf[i, j] = self.zf[other, self.inside[i]]

    def count(self) -> np.ndarray:
        """Number of rows of each level."""
        return (self.rows if self.ones < 0 else self.zf[self.ones, 0])[: self.n_levels].copy()

    def squares(self) -> np.ndarray:
        """ZᵀWZ (K, K, levels)."""
        own = self.zz[:, :, : self.n_levels].copy()
        for i in range(len(own)):
            for j in range(len(own)):
                if self.inside[j] >= 0:
                    own[i, j] = self.zf[i, self.inside[j], : self.n_levels]
                elif self.inside[i] >= 0:
                    own[i, j] = self.zf[j, self.inside[i], : self.n_levels]
                elif i > j:
                    own[i, j] = own[j, i]
        return own


class GrowingPairs:
    """Sums over pairs of levels that occur together: sorted runs, of which the last are merged once they are as long."""

    def __init__(self) -> None:
        self._runs: list[Pairs] = []

    def add(
        self, first: np.ndarray, second: np.ndarray, wz: np.ndarray, z: np.ndarray, counts: np.ndarray | None
    ) -> None:
        """Add rows: their levels (n,), and the columns (k, n) of both factors, one of them weighted."""
        keys, where = np.unique((first.astype(np.int64) << 32) + second, return_inverse=True)
        block, rows = np.zeros((wz.shape[0], z.shape[0], keys.size)), np.zeros(keys.size)
        for i, j in np.ndindex(block.shape[:2]):
            np.add.at(block[i, j], where, wz[i] * z[j])
        np.add.at(rows, where, 1.0 if counts is None else counts)
        self._runs.append(Pairs(keys >> 32, keys & 0xFFFFFFFF, block, rows))
        while len(self._runs) > 1 and self._runs[-2].first.size <= 2 * self._runs[-1].first.size:
            self._merge_last()

    def sums(self) -> Pairs:
        """All of them, by the first level and then the second."""
        while len(self._runs) > 1:
            self._merge_last()
        return self._runs[0]

    def change(self, first: np.ndarray, second: np.ndarray) -> None:
        """Change the frames of both factors' columns."""
        self._runs = [replace(run, block=np.einsum("ia,ijl,jb->abl", first, run.block, second)) for run in self._runs]

    def _merge_last(self) -> None:
        shape = self._runs[-1].block.shape[:2]
        # Columns may have appeared between the two runs.
        last = [replace(run, block=padded(run.block, (*shape, run.first.size))) for run in self._runs[-2:]]
        self._runs[-2:] = [merge_pairs(*last)]


def padded(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """An array with zeros behind, up to a shape."""
    return np.pad(array, [(0, new - old) for old, new in zip(array.shape, shape, strict=True)])
