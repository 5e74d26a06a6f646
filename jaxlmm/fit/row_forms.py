"""Quadratic forms of rows in the inverse of Henderson's matrix: leverages, and variances of predictions, many at once.

For a row (z, x) with z in one component, and Ω = Σ - ΣSΣ the covariance of b given y at known β,

    (z, x)ᵀ C⁻¹ (z, x) = zᵀΩz + (x - TᵀΣz)ᵀ Φ (x - TᵀΣz)

(Henderson 1975, Biometrics 31(2)). Called by `uncertainty` and `inference`; the caller holds the double-precision scope.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jaxlmm import pls
from jaxlmm.fit.second_order import SecondOrder

ROWS = 2**20
"""So many numbers of rows' blocks of Ω are gathered at once."""


def row_forms(
    second: SecondOrder,
    phi: np.ndarray,
    x: np.ndarray,
    z: Sequence[np.ndarray | None],
    codes: Sequence[np.ndarray | None],
) -> np.ndarray:
    """Forms (r,) of rows in standard coordinates.

    Parameters
    ----------
    phi : (p, p) array
        Φ.
    x : (r, p) array
        Fixed-effects columns.
    z : list of (r, k) arrays or None
        Columns of each grouping factor; None leaves the factor out.
    codes : list of (r,) int arrays or None
        Levels; a negative one leaves the row's factor out.
    """
    components, answer, left = second.components, np.zeros(len(x)), x.copy()
    places = components.places()
    sigmas = [lam @ lam.T for lam in second.factors]
    known = {t: own for t, own in enumerate(codes) if own is not None and z[t] is not None}
    used = list(known)
    for s, stack in enumerate(components.stacks):
        for begin, solved in pls.component_solutions(components, stack, sigmas):
            omega, moved = solved
            here = [_here(places[t], known[t], s, begin, begin + len(omega)) for t in used]
            rows = np.flatnonzero(np.any(here, axis=0)) if here else np.zeros(0, dtype=int)
            width = sum(components.sizes[t] for t in used)
            step = max(1, ROWS // max(width**2, 1))
            for first in range(0, rows.size, step):
                part = rows[first : first + step]
                values, component, columns = _gathered(components, places, z, codes, used, here, part, begin)
                block = omega[component[:, :, None], columns[:, :, None], columns[:, None, :]]
                # Levels that never met in the fit may stand in different components, between which Ω is zero.
                block = np.where(component[:, :, None] == component[:, None], block, 0.0)
                answer[part] += np.einsum("ra,rab,rb->r", values, block, values)
                left[part] -= np.einsum("ra,rap->rp", values, moved[component, columns])
    return answer + np.einsum("rp,pq,rq->r", left, phi, left)


def _here(place: pls.Places, codes: np.ndarray, stack: int, begin: int, end: int) -> np.ndarray:
    """Which rows have their level of a factor in some components of a stack."""
    level = np.maximum(codes, 0)
    component = place.component[level]
    return (codes >= 0) & (place.stack[level] == stack) & (component >= begin) & (component < end)


def _gathered(components, places, z, codes, used, here, part, begin):
    """Values, components and columns (r, K) of some rows; what is not here has the value zero."""
    values, component, columns = [], [], []
    for t, there in zip(used, here, strict=True):
        present, level = there[part], np.maximum(codes[t][part], 0)
        k = components.sizes[t]
        component.append(np.repeat(np.where(present, places[t].component[level] - begin, 0)[:, None], k, axis=1))
        values.append(np.where(present[:, None], z[t][part], 0.0))
        first = np.where(present, places[t].column[level], 0)
        columns.append(first[:, None] + np.where(present[:, None], np.arange(k), 0))
    return tuple(np.concatenate(parts, axis=1) for parts in (values, component, columns))
