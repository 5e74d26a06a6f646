"""What a fit knows to second order: covariance of its variance parameters, and how that of β̂ depends on them.

Everything is read off the expansion of log|V| and [X y]ᵀV⁻¹[X y] at the estimates. Parameters are (τ, δ) with
V = σ̂²(τ V̂ + Σ δ_i V_i): the residual variance and the elements of the covariance matrices in a linear change of coordinates
that makes every formula short. With P = V⁻¹ - V⁻¹X(XᵀV⁻¹X)⁻¹XᵀV⁻¹ and A = P for REML, V⁻¹ for ML, the information is

    expected  ½ tr(A V_i A V_j)        observed  yᵀPV_iPV_jPy - ½ tr(A V_i A V_j)

(Searle, Casella & McCulloch 1992, ch. 6). Called by `inference`; the caller holds the double-precision scope.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from jaxlmm import pls
from jaxlmm.covariance import n_theta, square_derivatives
from jaxlmm.errors import DesignError
from jaxlmm.fit import boundary
from jaxlmm.fit.record import Fit, Model
from jaxlmm.fit.satterthwaite import from_derivatives
from jaxlmm.fit.threads import LARGE, one_blas_thread

INFORMATION = ("observed", "expected")

LARGEST = 12_000
"""Columns of random effects in one component, above which its dense matrices are not made."""


@dataclass(frozen=True)
class SecondOrder:
    """A fit, expanded in its variance parameters; everything in standard coordinates.

    Attributes
    ----------
    model, fit : Model, Fit
        What was fitted.
    """

    model: Model
    fit: Fit

    @functools.cached_property
    def components(self) -> pls.Components:
        """The model's cross-products by component.

        Raises
        ------
        DesignError
            When a component is too large for dense matrices.
        """
        size = pls.largest_component(self.model.gram)
        if size > LARGEST:
            raise DesignError(
                f"{size:,} random effects are connected by the rows, and this needs dense matrices of that size; the limit "
                f"is {LARGEST:,}"
            )
        model = self.model
        return pls.components(model.gram, model.response, model.plan.terms, model.coordinates.n_obs)

    @functools.cached_property
    def factors(self) -> list[np.ndarray]:
        """Λ (k, k) of each grouping factor."""
        return boundary.numpy_lambdas(self.model.plan, self.fit.standard_theta)

    @functools.cached_property
    def expansion(self) -> pls.Expansion:
        """Of log|V| and [X y]ᵀV⁻¹[X y] at the estimates, as one lane."""
        found = self.components
        with one_blas_thread(wanted=max(stack.zz.shape[1] for stack in found.stacks) < LARGE):
            return pls.expand(found, [(lam @ lam.T)[None] for lam in self.factors])

    @property
    def degrees(self) -> int:
        """ν: n - p for REML, n for ML."""
        return self.model.coordinates.n_obs - (self.model.coordinates.n_fixed if self.fit.reml else 0)

    @functools.cached_property
    def phi(self) -> np.ndarray:
        """Φ = (XᵀV⁻¹X)⁻¹ (p, p), over σ²."""
        inverse = np.linalg.inv(self.expansion.f[0][:-1, :-1])
        return 0.5 * (inverse + inverse.T)

    @functools.cached_property
    def slopes(self) -> np.ndarray:
        """XᵀV⁻¹V_iV⁻¹X (m, p, p): minus the derivatives of Φ⁻¹."""
        return self.expansion.down[0][:, :-1, :-1]

    @functools.cached_property
    def scores(self) -> np.ndarray:
        """yᵀPV_iPy / σ̂² (m,)."""
        return np.einsum("a,iab,b->i", self._rest, self.expansion.down[0], self._rest) / self._sigma2

    @functools.cached_property
    def traces(self) -> np.ndarray:
        """tr(A V_i) (m,)."""
        plain = self.expansion.d_logdet[0]
        return plain - np.einsum("pq,iqp->i", self.phi, self.slopes) if self.fit.reml else plain

    def information(self, kind: str) -> np.ndarray:
        """Information (m + 1, m + 1) about (τ, δ), of the kind "observed" or "expected"."""
        m, e = self.scores.size, self.expansion
        double, bend = -e.dd_logdet[0], e.bend[0]
        if self.fit.reml:
            through = np.einsum("pq,iqr->ipr", self.phi, self.slopes)
            double = double - 2.0 * np.einsum("pq,ijqp->ij", self.phi, bend[:, :, :-1, :-1])
            double = double + np.einsum("ipr,jrp->ij", through, through)
        expected = np.empty((m + 1, m + 1))
        expected[0, 0] = 0.5 * self.degrees
        expected[0, 1:] = expected[1:, 0] = 0.5 * self.traces
        expected[1:, 1:] = 0.25 * (double + double.T)
        if kind == "expected":
            return expected
        along = (e.down[0] @ self._rest)[:, :-1]
        forms = np.einsum("a,ijab,b->ij", self._rest, bend, self._rest) - along @ self.phi @ along.T
        average = np.empty((m + 1, m + 1))
        average[0, 0] = self.degrees
        average[0, 1:] = average[1:, 0] = self.scores
        average[1:, 1:] = 0.5 * (forms + forms.T) / self._sigma2
        return average - expected

    def hessian(self, kind: str = "observed") -> np.ndarray:
        """Hessian (n_theta, n_theta) of the profiled criterion in standard θ, exact, or with its expectation."""
        jacobian, curvature = self._of_theta
        information = self.information(kind)
        half, cross = information[0, 0], information[0, 1:]
        slope = self.traces - self.scores
        if kind == "observed":
            # σ² multiplies all of V in the criterion, where τ does not multiply δ: the same where the slope in θ is zero.
            cross = cross + 0.5 * slope
        inner = jacobian.T @ (information[1:, 1:] - np.outer(cross, cross) / half) @ jacobian
        if kind == "observed":
            inner = inner + 0.5 * np.einsum("i,ijk->jk", slope, curvature)
        return 2.0 * inner

    def satterthwaite(self, combinations: np.ndarray, kind: str = "observed") -> np.ndarray:
        """Degrees of freedom (r,) of combinations (r, p) of the coefficients, in standard coordinates.

        In the parameters θ, so that a parameter that the data say nothing about on the boundary is left out.
        """
        information = self.information(kind)
        half = information[0, 0]
        spread = combinations @ self.phi
        size = np.einsum("rp,rp->r", spread, combinations)
        change = np.einsum("rp,ipq,rq->ir", spread, self.slopes, spread) / size
        change = self._of_theta[0].T @ (change - information[1:, :1] / half)
        return from_derivatives(self.hessian(kind)[..., None], change[..., None], np.array([2.0 * half]))[:, 0]

    @functools.cached_property
    def _of_theta(self) -> tuple[np.ndarray, np.ndarray]:
        """∂δ/∂θ (m, n_theta), and second derivatives (m, n_theta, n_theta), of Σ = ΛΛᵀ."""
        m = self.scores.size
        jacobian, curvature, begin = np.zeros((m, m)), np.zeros((m, m, m)), 0
        for terms, lam in zip(self.model.plan.terms, self.factors, strict=True):
            end = begin + n_theta(terms)
            own = slice(begin, end)
            first, curvature[own, own, own] = square_derivatives(terms, lam[None])
            jacobian[own, own] = first[0]
            begin = end
        return jacobian, curvature

    @property
    def _sigma2(self) -> float:
        """σ̂² in standard coordinates."""
        return self._pwrss / self.degrees

    @functools.cached_property
    def _rest(self) -> np.ndarray:
        """(-β̂, 1): [X y] times it is y - Xβ̂."""
        f = self.expansion.f[0]
        return np.append(-self.phi @ f[:-1, -1], 1.0)

    @functools.cached_property
    def _pwrss(self) -> float:
        return float(self._rest @ self.expansion.f[0] @ self._rest)
