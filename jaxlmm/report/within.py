"""Within-group estimates: what each level would say of its own effects if nothing shrank them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from jaxlmm.report.components import ranef
from jaxlmm.report.record import Fitted
from jaxlmm.report.rows import fitted_values, response

DETERMINED = 1e-7
"""Relative singular value below which a level's rows do not determine its effects."""


def within(fitted: Fitted, group: str) -> pd.DataFrame:
    """Effects of each level of a grouping factor by least squares on its own rows, everything else as the fit has it.

    For level g the effects b_g minimize Σ w_i (r_i - z_iᵀb_g)² over its rows, with r the response less Xβ̂, offset and the
    modes of all other factors: the limit of the conditional modes as the level's own variances grow. Rows of the answer are
    levels, columns effects; NaN where a level's rows do not determine all its effects.
    """
    labels = [factor.grouping.name for factor in fitted.factors]
    position = labels.index(group)
    design = fitted.frame.with_rows()
    block, b = design.random[position], fitted.fit.b[position]
    rest = response(fitted) - fitted_values(fitted) + np.einsum("nk,nk->n", block.z, b[block.codes])
    root = np.ones(len(rest)) if design.weights is None else np.sqrt(design.weights)
    order = np.argsort(block.codes, kind="stable")
    begin = np.searchsorted(block.codes[order], np.arange(block.n_levels + 1))
    found = np.full(b.shape, np.nan)
    for level in range(block.n_levels):
        rows = order[begin[level] : begin[level + 1]]
        z, r = block.z[rows] * root[rows, None], rest[rows] * root[rows]
        u, s, vt = np.linalg.svd(z, full_matrices=False)
        if len(s) == z.shape[1] and s[-1] > DETERMINED * s[0]:
            found[level] = vt.T @ (u.T @ r / s)
    modes = ranef(fitted, [group])[group]
    return pd.DataFrame(found, index=modes.index, columns=modes.columns)
