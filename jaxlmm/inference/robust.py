"""Cluster-robust covariance of the coefficients, and tests with few clusters.

CR0 is the sandwich of Liang & Zeger (1986, Biometrika 73(1)), CR1 the same times m/(m - 1) for m clusters. CR2 makes each
cluster's part unbiased where the model is right (Bell & McCaffrey 2002, Survey Methodology 28(2)), in the form of Pustejovsky
& Tipton (2018, J. Bus. Econ. Stat. 36(4)) with the fitted covariance as working model: for cluster i with V_i = DᵀD,

    A_i = Dᵀ [D (V_i - X_iΦX_iᵀ) Dᵀ]^(-1/2) D,      cov = Φ (Σ X_iᵀV_i⁻¹A_i e_ie_iᵀ A_iᵀV_i⁻¹X_i) Φ.

Degrees of freedom are Satterthwaite's for the quadratic form that the variance estimate is, under the working model. Rows of
a cluster meet in dense matrices; nothing larger is made. Called by `results`.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve_triangular

from jaxlmm.design import Design
from jaxlmm.errors import DesignError
from jaxlmm.fit import LARGEST, Fit, Model

KINDS = ("CR0", "CR1", "CR2")

NO_VARIANCE = 1e-12
"""Eigenvalue of a cluster's matrix, relative to the largest, below which its direction is one that X explains."""


@dataclass(frozen=True)
class Robust:
    """A cluster-robust covariance.

    Attributes
    ----------
    covariance : (p, p) array
        Of the coefficients.
    degrees : (p,) array
        Degrees of freedom of each coefficient's t statistic.
    n_clusters : int
        Number of clusters.
    """

    covariance: np.ndarray
    degrees: np.ndarray
    n_clusters: int


def robust(design: Design, model: Model, fit: Fit, clusters: np.ndarray, kind: str, names: list[str]) -> Robust:
    """Covariance and degrees of freedom; `clusters` (n,) numbers the clusters from 0, `names` the grouping factors.

    Raises
    ------
    DesignError
        When the kind is not known, there are fewer than two clusters, or a grouping factor crosses them.
    """
    if kind not in KINDS:
        raise DesignError(f"kind={kind!r} is not known; write " + ", ".join(map(repr, KINDS)))
    m = int(clusters.max()) + 1
    if m < 2:
        raise DesignError("there is only one cluster, so nothing varies between clusters")
    for name, block in zip(names, design.random, strict=True):
        first = np.full(block.n_levels, -1)
        first[block.codes] = clusters
        if np.any(first[block.codes] != clusters):
            raise DesignError(
                f"levels of the grouping factor {name!r} stand in several clusters, whose rows are then correlated: robust "
                "covariances need clusters that contain every grouping factor"
            )
    coordinates = model.coordinates
    rest = design.y - design.x[:, coordinates.kept] @ fit.beta
    # Standard coordinates: no origin of a covariate costs digits.
    x = design.x[:, coordinates.kept] @ coordinates.transform
    phi = fit.sigma**2 / coordinates.weight_scale * fit.standard_vcov
    order = np.argsort(clusters, kind="stable")
    ends = np.searchsorted(clusters[order], np.arange(m + 1))
    largest = int(np.diff(ends).max())
    if largest > LARGEST:
        raise DesignError(
            f"the largest cluster has {largest:,} rows, and this needs dense matrices of that size; the limit is {LARGEST:,}"
        )
    meat, own, shared = np.zeros((x.shape[1],) * 2), [], []
    for begin, end in itertools.pairwise(ends):
        rows = order[begin:end]
        covariance = _covariance(design, fit, rows)
        lower = np.linalg.cholesky(covariance)
        weighted = _solved(lower, x[rows])
        if kind == "CR2":
            weighted = _adjusted(lower, covariance, x[rows], phi).T @ weighted
        score = weighted.T @ rest[rows]
        meat += np.outer(score, score)
        along = weighted @ phi @ coordinates.transform.T
        own.append(np.einsum("na,nm,ma->a", along, covariance, along, optimize=True))
        shared.append(x[rows].T @ along)
    unit = m / (m - 1.0) if kind == "CR1" else 1.0
    back = coordinates.transform @ phi
    return Robust(unit * back @ meat @ back.T, _degrees(np.array(own), np.array(shared), phi), m)


def _covariance(design: Design, fit: Fit, rows: np.ndarray) -> np.ndarray:
    """Var(y) of some rows."""
    answer = np.diag(1.0 / design.row_weights[rows])
    for block, lam in zip(design.random, fit.lambdas, strict=True):
        spread, codes = block.z[rows] @ lam, block.codes[rows]
        answer += np.where(codes[:, None] == codes, spread @ spread.T, 0.0)
    return fit.sigma**2 * answer


def _solved(lower: np.ndarray, right: np.ndarray) -> np.ndarray:
    """(LLᵀ)⁻¹ times a matrix."""
    return solve_triangular(lower.T, solve_triangular(lower, right, lower=True), lower=False)


def _adjusted(lower: np.ndarray, covariance: np.ndarray, x: np.ndarray, phi: np.ndarray) -> np.ndarray:
    """A_i (n_i, n_i)."""
    upper = lower.T
    middle = upper @ (covariance - x @ phi @ x.T) @ upper.T
    values, vectors = np.linalg.eigh(0.5 * (middle + middle.T))
    present = values > NO_VARIANCE * values[-1]
    root = (vectors * (np.where(present, 1.0, 0.0) / np.sqrt(np.where(present, values, 1.0)))) @ vectors.T
    return upper.T @ root @ upper


def _degrees(own: np.ndarray, shared: np.ndarray, phi: np.ndarray) -> np.ndarray:
    """(Σ P_ii)² / Σ P_ij² of P_ij = [i = j] a_i - u_iᵀΦu_j, for each coefficient: a (m, p), u (m, p, p) with columns last.

    Of all pairs of clusters only sums are needed: Σ_ij (u_iᵀΦu_j)² = tr (ΦUᵀU)².
    """
    answer = []
    for a, u in zip(own.T, np.moveaxis(shared, 2, 0), strict=True):
        middle = phi @ (u.T @ u)
        forms = np.einsum("ma,ab,mb->m", u, phi, u)
        squares = np.sum(a**2) - 2.0 * np.sum(a * forms) + np.sum(middle * middle.T)
        answer.append((np.sum(a) - np.trace(middle)) ** 2 / squares)
    return np.array(answer)
