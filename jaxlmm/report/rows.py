"""Per-row quantities: fitted values and residuals. Here the n axis returns, once per question."""

from __future__ import annotations

import numpy as np

from jaxlmm.report.record import Fitted


def fitted_values(fitted: Fitted, random: bool = True) -> np.ndarray:
    """X β̂ + Z b̂ + offset (n,) on the rows of the fit."""
    design = fitted.frame.with_rows()
    values = design.x[:, fitted.model.coordinates.kept] @ fitted.fit.beta
    if random:
        for block, b in zip(design.random, fitted.fit.b, strict=True):
            values = values + np.einsum("nk,nk->n", block.z, b[block.codes])
    return values if fitted.frame.offset is None else values + fitted.frame.offset


def scaled_residuals(fitted: Fitted) -> np.ndarray:
    """√w r / σ (n,), lme4's scaled residuals."""
    residuals = response(fitted) - fitted_values(fitted)
    return np.sqrt(fitted.frame.with_rows().row_weights) * residuals / fitted.fit.sigma


def response(fitted: Fitted) -> np.ndarray:
    """The response (n,), offset included."""
    y = fitted.frame.with_rows().y
    return y if fitted.frame.offset is None else y + fitted.frame.offset
