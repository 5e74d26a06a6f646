"""Satterthwaite's degrees of freedom at a minimum: of one fit, or of lanes.

The variance of a linear combination cᵀβ̂ is f = σ² cᵀ(XᵀV⁻¹X)⁻¹c, its degrees of freedom 2f²/Var(f̂) (Satterthwaite 1946;
Giesbrecht & Burns 1985, Biometrics 41(2); Kuznetsova, Brockhoff & Christensen 2017, J. Stat. Softw. 82(13)), with the
covariance of (θ, σ) from the observed information. Profiling σ out of the Hessian makes it

    df = 1 / (gᵀ H⁻¹ g + 1/ν),    g = ∂ log f / ∂θ along σ̂(θ),    ν = n - p for REML, n for ML,

H the Hessian of the profiled criterion; a parameter that the data say nothing about on the boundary has g = 0. Called by
`inference` and `lane_estimates`; the caller holds the double-precision scope.
"""

import jax
import numpy as np

from jaxlmm import pls
from jaxlmm.fit import boundary, programs
from jaxlmm.fit.record import Fit, Model
from jaxlmm.fit.threads import LARGE, one_blas_thread

FLAT = 1e-10
"""Curvature below this fraction of the largest carries no information: Satterthwaite's formula leaves its direction out."""


def satterthwaite_df(model: Model, fit: Fit, combinations: np.ndarray) -> np.ndarray:
    """Degrees of freedom (m,) of linear combinations (m, p) of the kept coefficients of a fit."""
    plan, coordinates = model.plan, model.coordinates
    theta = boundary.theta_of(plan, boundary.numpy_lambdas(plan, fit.standard_theta))
    padded = padded_combinations(coordinates.transform.T @ combinations.T)
    flag, degrees = float(fit.reml), float(coordinates.n_obs - (coordinates.n_fixed if fit.reml else 0))
    if plan.kind == "grouped":
        reduced = model.reduced._replace(response=jax.tree.map(lambda leaf: leaf[..., None], model.reduced.response))
        hessian, change = jax.device_get(programs.satterthwaite_lanes(plan, reduced, theta[:, None], flag, padded))
        return from_derivatives(hessian, change, np.array([degrees]))[:, 0]
    with one_blas_thread(wanted=plan.n_dense < LARGE):
        found = jax.device_get(programs.satterthwaite(plan, model.reduced, theta, flag, padded))
    hessian, change = (np.asarray(part)[..., None] for part in found)
    return from_derivatives(hessian, change, np.array([degrees]))[:, 0]


def padded_combinations(standard: np.ndarray) -> np.ndarray:
    """Combinations (p, m) in standard coordinates, with zeros for the columns that pad X."""
    padded = np.zeros((pls.bucket(len(standard)), standard.shape[1]))
    padded[: len(standard)] = standard
    return padded


def from_derivatives(hessian: np.ndarray, change: np.ndarray, degrees: np.ndarray) -> np.ndarray:
    """df (m, R) from H (n, n, R), g (n, m, R) and ν (R,)."""
    values, vectors = np.linalg.eigh(np.moveaxis(hessian, -1, 0))
    known = values > FLAT * np.abs(values).max(axis=1, initial=0.0)[:, None]
    inverse = np.where(known, 1.0, 0.0) / np.where(known, values, 1.0)
    along = np.einsum("rij,imr->rjm", vectors, change)
    return 1.0 / (np.einsum("rj,rjm->mr", inverse, along**2) + 1.0 / degrees)
