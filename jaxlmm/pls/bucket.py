"""Bucketed sizes, so that data of similar shape run through the same compiled program.

Levels are padded with empty blocks, X with columns whose cross-product is the identity; neither changes a
value, since an empty block factors to I and contributes nothing. Called by every plan's `compress`.
"""

import numpy as np


def bucket(n: int) -> int:
    """The padded size for n: exact up to 4, then at most half more, at most an eighth more from 64 on."""
    if n <= 4:
        return max(n, 1)
    step = 2 ** max(int(np.floor(np.log2(n - 1))) - (1 if n <= 64 else 3), 0)
    return -(-n // step) * step


def pad_last(array: np.ndarray, size: int) -> np.ndarray:
    """Pad the last axis with zeros up to `size`."""
    missing = size - array.shape[-1]
    return np.pad(array, [(0, 0)] * (array.ndim - 1) + [(0, missing)]) if missing else array


def pad_columns(zx: np.ndarray, size: int) -> np.ndarray:
    """Pad the axis of the fixed-effects columns (the second) of (k, p, levels) with zeros."""
    return np.pad(zx, [(0, 0), (0, size - zx.shape[1]), (0, 0)])


def fixed_diagonal(xx: float, p: int) -> np.ndarray:
    """Diagonal of XᵀWX, with ones for the padded columns."""
    return np.concatenate([np.full(p, xx), np.ones(bucket(p) - p)])
