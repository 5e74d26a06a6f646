"""How well a model describes its rows: shares of variance, leverages, Cook's distances. Called by `results`.

Shares of variance are those of Nakagawa & Schielzeth (2013, Methods Ecol. Evol. 4(2)), with random slopes averaged over the
rows (Johnson 2014, Methods Ecol. Evol. 5(9)). Leverages are the diagonal of the matrix that makes fitted values of responses
at the estimated variances, and Cook's distances follow from them as in linear models (Cook & Weisberg 1982, ch. 3).
"""

from __future__ import annotations

import numpy as np

from jaxlmm.design import Design
from jaxlmm.fit import Fit, Model, SecondOrder, row_forms


def variance_parts(design: Design, model: Model, fit: Fit) -> tuple[float, list[float], float]:
    """Variance of the fixed part over the rows, mean variance of each factor's random part, residual variance."""
    fixed = design.x[:, model.coordinates.kept] @ fit.beta
    parts = []
    for block, lam in zip(design.random, fit.lambdas, strict=True):
        spread = block.z @ lam
        parts.append(float(fit.sigma**2 * np.mean(np.sum(spread**2, axis=1))))
    return float(np.var(fixed, ddof=1)), parts, fit.sigma**2


def leverages(design: Design, second: SecondOrder) -> np.ndarray:
    """∂ŷ_i/∂y_i (n,) at the estimated variances; they add up to the effective number of coefficients."""
    coordinates = second.model.coordinates
    z = [block.z @ a for block, a in zip(design.random, coordinates.factor_maps, strict=True)]
    x = design.x[:, coordinates.kept] @ coordinates.transform
    forms = row_forms(second, second.phi, x, z, [block.codes for block in design.random])
    return design.row_weights / coordinates.weight_scale * forms


def standardized(design: Design, fit: Fit, resid: np.ndarray, hat: np.ndarray) -> np.ndarray:
    """Residuals (n,) over σ √((1 - h)/w); NaN where a row decides its own fitted value."""
    left = np.where(hat < 1.0, 1.0 - hat, np.nan)
    return resid * np.sqrt(design.row_weights) / (fit.sigma * np.sqrt(left))


def cooks_distances(standard: np.ndarray, hat: np.ndarray, p: int) -> np.ndarray:
    """Cook's distances (n,) from standardized residuals; NaN without coefficients."""
    if p == 0:
        return np.full(hat.shape, np.nan)
    return standard**2 * hat / (1.0 - hat) / p
