"""A sparse matrix of small blocks between two sets of levels, times many vectors at once.

Vectors are arrays (levels, k, r), r of them, so that what one entry reads and writes is contiguous. On a CPU the product is
SciPy's, on an accelerator a gather and a segmented sum by XLA. Called by `pls`, outside compiled programs.
"""

from __future__ import annotations

import functools
import itertools
import math
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy import sparse

CORES = os.cpu_count() or 1

ALONE = 500_000
"""Entries times vectors below which one thread does it all."""


def on_accelerator() -> bool:
    """Whether arrays live on a device that is no CPU."""
    return jax.default_backend() != "cpu"


def namespace(array: Any) -> Any:
    """NumPy or JAX's, whichever an array is of."""
    return np if isinstance(array, np.ndarray) else jnp


def to_device(array: Any) -> Any:
    """An array where `SparseBlocks` multiplies."""
    return jnp.asarray(array) if on_accelerator() else np.ascontiguousarray(array)


class SparseBlocks:
    """A sparse matrix of blocks (a, b).

    Parameters
    ----------
    rows, columns : (E,) int arrays
        Where the blocks stand; no place twice.
    blocks : (a, b, E) array
        What they hold.
    shape : (int, int)
        Levels on either side.
    accelerated : bool, optional
        Whether the arrays are JAX's; by default where the device is no CPU.
    """

    def __init__(self, rows, columns, blocks: np.ndarray, shape: tuple[int, int], accelerated: bool | None = None):
        self.shape, self.size = shape, blocks.shape[:2]
        self.accelerated = on_accelerator() if accelerated is None else accelerated
        if self.accelerated:
            self._there: Any = _Listed(rows, columns, blocks, shape[0])
            self._back: Any = _Listed(columns, rows, blocks.swapaxes(0, 1), shape[1])
        else:
            matrix = _compressed(np.asarray(rows), np.asarray(columns), blocks, shape)
            self._there = _Compressed(matrix)
            self._back = _Compressed(matrix.T.tocsr())

    def times(self, vectors: Any) -> Any:
        """Product (rows, a, r) with vectors (columns, b, r)."""
        return self._there.product(vectors).reshape(self.shape[0], self.size[0], -1)

    def transposed(self, vectors: Any) -> Any:
        """Product (columns, b, r) of the transpose with vectors (rows, a, r)."""
        return self._back.product(vectors).reshape(self.shape[1], self.size[1], -1)


class _Compressed:
    """Rows of entries, for SciPy's product, which leaves the interpreter to others: a part of the rows for each core."""

    def __init__(self, matrix: sparse.csr_array):
        self._whole = matrix
        cuts = np.searchsorted(matrix.indptr, np.linspace(0, matrix.nnz, CORES + 1)[1:-1])
        ends = [0, *cuts.tolist(), matrix.shape[0]]
        # The parts share the whole's arrays.
        self._parts = [_rows(matrix, a, b) for a, b in itertools.pairwise(ends)]

    def product(self, vectors: np.ndarray) -> np.ndarray:
        flat = np.ascontiguousarray(vectors).reshape(math.prod(vectors.shape[:-1]), vectors.shape[-1])
        if self._whole.nnz * flat.shape[1] < ALONE:
            return self._whole @ flat
        return np.concatenate(list(_pool().map(lambda part: part @ flat, self._parts)))


@functools.cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(CORES)


def _rows(matrix: sparse.csr_array, begin: int, end: int) -> sparse.csr_array:
    """Some rows, without a copy of their entries."""
    first, last = matrix.indptr[begin], matrix.indptr[end]
    entries = (matrix.data[first:last], matrix.indices[first:last], matrix.indptr[begin : end + 1] - first)
    return sparse.csr_array(entries, shape=(end - begin, matrix.shape[1]), copy=False)


class _Listed:
    """Blocks in the order of their rows, for a segmented sum."""

    def __init__(self, rows, columns, blocks, n_rows: int):
        order = np.lexsort((columns, rows))
        self._rows, self._columns = jnp.asarray(rows[order]), jnp.asarray(columns[order])
        self._blocks, self._n_rows = jnp.asarray(np.moveaxis(blocks, -1, 0)[order]), n_rows

    def product(self, vectors):
        parts = jnp.einsum("eab,ebr->ear", self._blocks, vectors[self._columns])
        return jax.ops.segment_sum(parts, self._rows, self._n_rows, indices_are_sorted=True)


def _compressed(rows: np.ndarray, columns: np.ndarray, blocks: np.ndarray, shape: tuple[int, int]) -> sparse.csr_array:
    a, b, _ = blocks.shape
    size = (shape[0] * a, shape[1] * b)
    kind = np.int32 if max(*size, blocks.size) < np.iinfo(np.int32).max else np.int64
    where = np.broadcast_to(rows * a + np.arange(a)[:, None, None], blocks.shape).ravel()
    across = np.broadcast_to(columns * b + np.arange(b)[None, :, None], blocks.shape).ravel()
    matrix = sparse.csr_array((blocks.ravel(), (where.astype(kind), across.astype(kind))), shape=size)
    matrix.sort_indices()
    return matrix
