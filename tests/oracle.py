"""The marginal likelihood of a linear mixed model, written out as n x n matrices in plain NumPy.

This module shares no line of code and no idea of an algorithm with the package that it judges: no
cross-products, no sparse or blocked structure, no derivative by autodiff. It forms

    Sigma_t = Lambda_t Lambda_t'                                (k_t, k_t)   one per grouping factor
    V       = W^-1 + sum_t Z_t (I (x) Sigma_t) Z_t'             (n, n)       Var(y) / sigma^2
    P       = V^-1 - V^-1 X (X'V^-1X)^-1 X'V^-1                 (n, n)
    r2      = y'Py                                              ()           y with the offset taken off

and answers the profiled criteria of DESIGN.md, section 1 (log|V| = log|L|^2 - sum log w there):

    ML    d = log|V|                + n     (1 + log(2 pi r2 / n))
    REML  d = log|V| + log|X'V^-1X| + (n-p) (1 + log(2 pi r2 / (n-p)))

Differentials, with N = n or n-p, A = V^-1 for ML or P for REML, and e = Py:

    d_i  = tr(A V_i) - N e'V_i e / r2
    d_ij = tr(A V_ij) - tr(A V_i A V_j)
           + N (2 e'V_i P V_j e - e'V_ij e) / r2 - N (e'V_i e)(e'V_j e) / r2^2

    V_i  = Z (E_i L' + L E_i') Z',   V_ij = Z (E_i E_j' + E_j E_i') Z',   E_i = dLambda / dtheta_i.

theta is ordered by factor, then by term, then within the term: for "us" the lower triangle column by
column, for "diag" the diagonal. Digits are lost in proportion to cond(V), which grows like
max(w) theta^2 |z|^2, so keep problems small and thetas of moderate size.

Called by the tests of every plan, through the table in `tests/designs.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import block_diag, solve_triangular

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Factor:
    """One grouping factor: row i has the random-effects row z[i] of level codes[i].

    codes (n,) integers in [0, n_levels); z (n, k); terms (kind, size), with kind "us" or "diag" and
    sizes adding up to k. Levels without any row are allowed.
    """

    codes: NDArray[np.integer]
    n_levels: int
    z: Array
    terms: tuple[tuple[str, int], ...]

    @property
    def k(self) -> int:
        """Random effects per level."""
        return self.z.shape[1]

    @property
    def n_theta(self) -> int:
        """Covariance parameters of this factor."""
        return len(self.basis())

    def basis(self) -> Array:
        """The matrices dLambda / dtheta_i, shape (n_theta, k, k): one 1 in each, the rest 0."""
        cells, start = [], 0
        for kind, size in self.terms:
            if kind == "us":
                cells += [(start + row, start + col) for col in range(size) for row in range(col, size)]
            elif kind == "diag":
                cells += [(start + col, start + col) for col in range(size)]
            else:
                raise ValueError(f"unknown kind of term {kind!r}: write 'us' or 'diag'")
            start += size
        if start != self.k:
            raise ValueError(f"terms {self.terms} describe {start} columns, z has {self.k}")
        out = np.zeros((len(cells), self.k, self.k))
        for i, (row, col) in enumerate(cells):
            out[i, row, col] = 1.0
        return out

    def matrix(self) -> Array:
        """Z as an ordinary matrix, (n, n_levels * k); the k columns of one level stand together."""
        n = len(self.codes)
        out = np.zeros((n, self.n_levels, self.k))
        out[np.arange(n), self.codes] = self.z
        return out.reshape(n, self.n_levels * self.k)


@dataclass(frozen=True, eq=False)
class Problem:
    """y (n,), x (n, p) of full column rank, the factors, positive weights (n,) and an offset (n,)."""

    y: Array
    x: Array
    factors: tuple[Factor, ...]
    weights: Array | None = None
    offset: Array | None = None

    @property
    def n_theta(self) -> int:
        """Covariance parameters of all factors together."""
        return sum(factor.n_theta for factor in self.factors)

    @property
    def response(self) -> Array:
        """y without the offset."""
        return self.y if self.offset is None else self.y - self.offset

    @property
    def w(self) -> Array:
        """The weights, ones where none were given."""
        return np.ones(len(self.y)) if self.weights is None else self.weights


@dataclass(frozen=True, eq=False)
class _Gls:
    """Generalized least squares at one V; names as in the module's docstring."""

    v_inv: Array
    p: Array
    e: Array  # P y = V^-1 (y - X beta)
    r2: float
    beta: Array
    vcov_unscaled: Array  # (X'V^-1X)^-1
    logdet_v: float
    logdet_xvx: float


def split_theta(problem: Problem, theta: ArrayLike) -> list[Array]:
    """theta cut into one piece per factor."""
    theta = np.asarray(theta, dtype=float)
    if theta.shape != (problem.n_theta,):
        raise ValueError(f"theta has shape {theta.shape}, the problem has {problem.n_theta} parameters")
    return np.split(theta, np.cumsum([factor.n_theta for factor in problem.factors])[:-1])


def lambdas(problem: Problem, theta: ArrayLike) -> list[Array]:
    """The relative covariance factor Lambda (k, k) of each grouping factor."""
    pieces = split_theta(problem, theta)
    return [np.tensordot(part, f.basis(), axes=1) for part, f in zip(pieces, problem.factors, strict=True)]


def deviance(problem: Problem, theta: ArrayLike, reml: bool) -> float:
    """The profiled REML criterion (reml=True) or deviance at theta."""
    return deviance_lambda(problem, lambdas(problem, theta), reml)


def deviance_lambda(problem: Problem, lambdas: Sequence[Array], reml: bool) -> float:
    """The same with any square Lambda (k, k) per factor, triangular or not."""
    gls = _gls(problem, [lam @ lam.T for lam in lambdas])
    dof = _dof(problem, reml)
    logdets = gls.logdet_v + (gls.logdet_xvx if reml else 0.0)
    return float(logdets + dof * (1.0 + np.log(2.0 * np.pi * gls.r2 / dof)))


def ols_deviance(problem: Problem, reml: bool) -> float:
    """What theta -> 0 must give: the likelihood of weighted least squares without random effects."""
    root = np.sqrt(problem.w)
    x, y = problem.x * root[:, None], problem.response * root
    coef = np.linalg.lstsq(x, y, rcond=None)[0]
    dof = _dof(problem, reml)
    d = dof * (1.0 + np.log(2.0 * np.pi * np.sum((y - x @ coef) ** 2) / dof)) - np.sum(np.log(problem.w))
    return float(d + (np.linalg.slogdet(x.T @ x)[1] if reml else 0.0))


def gradient(problem: Problem, theta: ArrayLike, reml: bool) -> Array:
    """First derivatives of `deviance`, (n_theta,)."""
    lams = lambdas(problem, theta)
    gls, dof = _gls(problem, [lam @ lam.T for lam in lams]), _dof(problem, reml)
    a = gls.p if reml else gls.v_inv
    v_i = _first_differentials(problem, lams)
    return np.array([np.sum(a * v) - dof * gls.e @ v @ gls.e / gls.r2 for v in v_i])


def hessian(problem: Problem, theta: ArrayLike, reml: bool) -> Array:
    """Second derivatives of `deviance`, (n_theta, n_theta)."""
    lams = lambdas(problem, theta)
    gls, dof = _gls(problem, [lam @ lam.T for lam in lams]), _dof(problem, reml)
    a, p, e, r2 = (gls.p if reml else gls.v_inv), gls.p, gls.e, gls.r2
    v_i = _first_differentials(problem, lams)
    av = [a @ v for v in v_i]
    ve = [v @ e for v in v_i]
    out = np.empty((len(v_i), len(v_i)))
    for i in range(len(v_i)):
        for j in range(i + 1):
            value = -np.sum(av[i] * av[j].T)
            value += dof * (2.0 * ve[i] @ p @ ve[j] / r2 - (e @ ve[i]) * (e @ ve[j]) / r2**2)
            out[i, j] = out[j, i] = value
    # V_ij is zero unless both parameters belong to the same factor.
    start = 0
    for factor in problem.factors:
        basis = factor.basis()
        for i, e_i in enumerate(basis):
            for j, e_j in enumerate(basis):
                v_ij = _spread(factor, e_i @ e_j.T + e_j @ e_i.T)
                out[start + i, start + j] += np.sum(a * v_ij) - dof * e @ v_ij @ e / r2
        start += len(basis)
    return out


def expected_less_observed(problem: Problem, theta: ArrayLike, reml: bool) -> Array:
    """tr(A V_i A V_j) - N e'V_i P V_j e / r2, (n_theta, n_theta): what average information adds to the exact Hessian."""
    lams = lambdas(problem, theta)
    gls, dof = _gls(problem, [lam @ lam.T for lam in lams]), _dof(problem, reml)
    v_i = _first_differentials(problem, lams)
    av = [(gls.p if reml else gls.v_inv) @ v for v in v_i]
    ve = [v @ gls.e for v in v_i]
    return np.array(
        [
            [np.sum(a * b.T) - dof * c @ gls.p @ d / gls.r2 for b, d in zip(av, ve, strict=True)]
            for a, c in zip(av, ve, strict=True)
        ]
    )


def covariance_gradient(problem: Problem, lambdas: Sequence[Array], reml: bool) -> list[Array]:
    """One symmetric G_t (k, k) per factor: d deviance / d Sigma_t.

    It is the gradient for the inner product tr(G S): moving Sigma_t by h S, with S symmetric, moves the
    deviance by h tr(G_t S) + O(h^2). At a minimum over positive semidefinite Sigma_t of an unstructured
    factor, G_t is positive semidefinite and G_t Sigma_t = 0.
    """
    gls, dof = _gls(problem, [lam @ lam.T for lam in lambdas]), _dof(problem, reml)
    m = (gls.p if reml else gls.v_inv) - dof * np.outer(gls.e, gls.e) / gls.r2
    out = []
    for factor in problem.factors:
        z = factor.matrix()
        g = np.sum(_diagonal_blocks(z.T @ m @ z, factor), axis=0)
        out.append(0.5 * (g + g.T))
    return out


def estimates(problem: Problem, theta: ArrayLike, reml: bool) -> dict[str, Any]:
    """All that is estimated at theta, by the formulas for the marginal model.

    Keys: beta (p,); vcov (p, p) = sigma^2 (X'V^-1X)^-1; sigma (r2 / (n-p) or r2 / n under the root);
    r2; b, one (n_levels, k) per factor, = Sigma Z'V^-1(y - X beta); condvar, one (n_levels, k, k) per
    factor, the diagonal blocks of sigma^2 (Sigma - Sigma Z'V^-1Z Sigma), that is Var(b | y) with the
    parameters known, as lme4's ranef(condVar=TRUE) has it; fitted (n,) = offset + X beta + Z b.
    """
    sigmas = [lam @ lam.T for lam in lambdas(problem, theta)]
    gls = _gls(problem, sigmas)
    scale = gls.r2 / _dof(problem, reml)
    fitted = problem.y - problem.response + problem.x @ gls.beta
    modes, condvar = [], []
    for factor, sigma_t in zip(problem.factors, sigmas, strict=True):
        z, cov = factor.matrix(), np.kron(np.eye(factor.n_levels), sigma_t)
        b = cov @ z.T @ gls.e
        modes.append(b.reshape(factor.n_levels, factor.k))
        condvar.append(scale * _diagonal_blocks(cov - cov @ z.T @ gls.v_inv @ z @ cov, factor))
        fitted = fitted + z @ b
    return {
        "beta": gls.beta,
        "vcov": scale * gls.vcov_unscaled,
        "sigma": float(np.sqrt(scale)),
        "r2": gls.r2,
        "b": modes,
        "condvar": condvar,
        "fitted": fitted,
    }


def joint_lambda(problem: Problem, theta: ArrayLike) -> Array:
    """The whole Lambda (q, q), factor by factor and level by level, for tests that want it."""
    pairs = zip(problem.factors, lambdas(problem, theta), strict=True)
    return block_diag(*(np.kron(np.eye(f.n_levels), lam) for f, lam in pairs))


def _dof(problem: Problem, reml: bool) -> int:
    n, p = problem.x.shape
    return n - p if reml else n


def _gls(problem: Problem, sigmas: Sequence[Array]) -> _Gls:
    """V, its Cholesky factor C, and the QR of the whitened C^-1 X: P = C^-T (I - Q Q') C^-1."""
    n = len(problem.y)
    v = np.diag(1.0 / problem.w)
    for factor, sigma_t in zip(problem.factors, sigmas, strict=True):
        v = v + _spread(factor, sigma_t)
    c = np.linalg.cholesky(v)
    c_inv = solve_triangular(c, np.eye(n), lower=True)
    q, r = np.linalg.qr(c_inv @ problem.x)
    y_white = c_inv @ problem.response
    residual = y_white - q @ (q.T @ y_white)
    r_inv = np.linalg.inv(r)
    half_p = c_inv - q @ (q.T @ c_inv)
    return _Gls(
        v_inv=c_inv.T @ c_inv,
        p=half_p.T @ half_p,
        e=c_inv.T @ residual,
        r2=float(residual @ residual),
        beta=r_inv @ (q.T @ y_white),
        vcov_unscaled=r_inv @ r_inv.T,
        logdet_v=2.0 * float(np.sum(np.log(np.diag(c)))),
        logdet_xvx=2.0 * float(np.sum(np.log(np.abs(np.diag(r))))),
    )


def _first_differentials(problem: Problem, lams: Sequence[Array]) -> list[Array]:
    """V_i (n, n) for every parameter, in theta's order."""
    return [
        _spread(factor, e_i @ lam.T + lam @ e_i.T)
        for factor, lam in zip(problem.factors, lams, strict=True)
        for e_i in factor.basis()
    ]


def _spread(factor: Factor, m: Array) -> Array:
    """Z (I (x) M) Z', (n, n): the covariance between rows of a covariance M between effects."""
    z = factor.matrix()
    zm = (z.reshape(-1, factor.n_levels, factor.k) @ m).reshape(z.shape)
    return zm @ z.T


def _diagonal_blocks(m: Array, factor: Factor) -> Array:
    """The (n_levels, k, k) diagonal blocks of a matrix over all effects of one factor."""
    blocks = m.reshape(factor.n_levels, factor.k, factor.n_levels, factor.k)
    return np.einsum("gigj->gij", blocks).copy()
