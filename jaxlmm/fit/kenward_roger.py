"""Kenward and Roger's covariance of the coefficients, and the scale and degrees of freedom of their F tests.

Kenward & Roger (1997, Biometrics 53(3), 983-997), in the notation of Halekoh & Højsgaard (2014, J. Stat. Softw. 59(9)). The
covariance matrix is linear in the parameters, so that the term with second derivatives of V is zero. Called by `inference`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from jaxlmm.errors import DesignError
from jaxlmm.fit.second_order import SecondOrder


class Adjusted(NamedTuple):
    """What the tests need, in standard coordinates and over σ².

    Attributes
    ----------
    phi : (p, p) array
        Φ, the covariance of β̂ at known variances.
    adjusted : (p, p) array
        Φ_A, with the uncertainty of the variances.
    slopes : (m + 1, p, p) array
        Φ P_i Φ, P_i the derivatives of Φ⁻¹.
    w : (m + 1, m + 1) array
        Covariance of the variance parameters.
    """

    phi: np.ndarray
    adjusted: np.ndarray
    slopes: np.ndarray
    w: np.ndarray


def adjust(second: SecondOrder, kind: str = "expected") -> Adjusted:
    """Φ_A and its parts.

    Raises
    ------
    DesignError
        When the fit is not by REML, or the information about the variances is singular.
    """
    if not second.fit.reml:
        raise DesignError("Kenward-Roger's adjustment is defined for REML fits; write fit.update(reml=True)")
    information = second.information(kind)
    values, vectors = np.linalg.eigh(_scaled(information))
    if values[0] <= 1e-10 * values[-1]:
        raise DesignError(
            f"the {kind} information about the variances is not positive definite, so Kenward-Roger's adjustment is not "
            + (
                "defined; write information='expected'"
                if kind == "observed"
                else "defined; simplify the random effects"
            )
        )
    size = np.sqrt(np.diagonal(information))
    w = (vectors / values) @ vectors.T / size / size[:, None]
    phi, slopes = second.phi, second.slopes
    bend = second.expansion.bend[0][:, :, :-1, :-1]
    inner = np.einsum("ij,ijpq->pq", w[1:, 1:], bend)
    inner -= np.einsum("ij,ipq,qr,jrs->ps", w[1:, 1:], slopes, phi, slopes, optimize=True)
    more = phi @ (inner + inner.T) @ phi
    return Adjusted(phi, phi + more, np.concatenate([-phi[None], -phi @ slopes @ phi]), w)


def _scaled(information: np.ndarray) -> np.ndarray:
    """With ones on the diagonal."""
    size = np.sqrt(np.maximum(np.diagonal(information), np.finfo(float).tiny))
    return information / size / size[:, None]


def f_test(adjusted: Adjusted, combinations: np.ndarray) -> tuple[float, float]:
    """Scale λ and denominator degrees of freedom m of the F test that independent combinations (ℓ, p) are zero."""
    rank = len(combinations)
    middle = np.linalg.inv(combinations @ adjusted.phi @ combinations.T)
    theta = combinations.T @ middle @ combinations
    moved = np.einsum("pq,iqr->ipr", theta, adjusted.slopes)
    traces = np.einsum("ipp->i", moved)
    a1 = float(traces @ adjusted.w @ traces)
    a2 = float(np.einsum("ij,ipq,jqp->", adjusted.w, moved, moved, optimize=True))
    if rank == 1:
        return 1.0, 2.0 / a2
    b = (a1 + 6.0 * a2) / (2.0 * rank)
    g = ((rank + 1.0) * a1 - (rank + 4.0) * a2) / ((rank + 2.0) * a2)
    below = 3.0 * rank + 2.0 * (1.0 - g)
    c1, c2, c3 = g / below, (rank - g) / below, (rank + 2.0 - g) / below
    # E* = 1 / (1 - a2/ℓ) and V* = (2/ℓ)(1 + c1 b) / ((1 - c2 b)²(1 - c3 b)) of the approximate moments of F.
    short = 1.0 - a2 / rank
    ratio = short / (1.0 - c2 * b) if abs(1.0 - c2 * b) > 1e-12 else 1.0
    rho = ratio**2 * (1.0 + c1 * b) / (1.0 - c3 * b) / rank
    df = 4.0 + (rank + 2.0) / (rank * rho - 1.0)
    return df * short / (df - 2.0), df
