"""Blocks of many levels on the host, where they are made once: NumPy, batch on the last axis, singular blocks allowed.

Called by `pls`, before and after the iterations.
"""

import numpy as np

SINGULAR_PIVOT = 1e-12
"""A pivot of a level's Z_gᵀWZ_g below this fraction of its diagonal is the rounding error of a zero."""


def lower_blocks(zz: np.ndarray, zf: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Factor L (k, k, levels) of each level's Z_gᵀWZ_g = LLᵀ, and L⁻¹Z_gᵀWF (k, m, levels).

    With Z_g = Q Lᵀ the second is QᵀF, the part of F that lies in the space of the level's random effects. A level with
    fewer rows than columns has a singular block; its missing directions get zero rows and columns.
    """
    rest, right = zz.copy(), zf.copy()
    lower = np.zeros_like(rest)
    for j in range(rest.shape[0]):
        pivot = rest[j, j].copy()
        present = pivot > SINGULAR_PIVOT * zz[j, j]
        inverse = np.where(present, 1.0, 0.0) / np.sqrt(np.where(present, pivot, 1.0))
        lower[j:, j] = rest[j:, j] * inverse
        right[j] *= inverse
        for i in range(j + 1, rest.shape[0]):
            rest[i, j + 1 :] -= lower[i, j] * lower[j + 1 :, j]
            right[i] -= lower[i, j] * right[j]
    return lower, right


def back_substitute(lower: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Solve Lᵀ x = b for each level; zero where a pivot is zero."""
    x = right.copy()
    for j in reversed(range(lower.shape[0])):
        pivot = lower[j, j]
        x[j] *= np.where(pivot > 0, 1.0, 0.0) / np.where(pivot > 0, pivot, 1.0)
        for i in range(j):
            x[i] -= lower[j, i] * x[j]
    return x
