"""log|A| of a matrix that is only multiplied with, and its derivative: what is dominant exactly, the rest by fixed probes.

With F(A) = log A + I - A, small where eigenvalues are near one,

    log|A| = tr(A - I) + tr QᵀF(A)Q + E z̄ᵀF(A)z̄,        z̄ = (I - QQᵀ)z, z of independent signs:

the trace is known exactly, Q spans the few dominant directions of F (Gambhir, Stathopoulos & Orginos 2017, SIAM J. Sci.
Comput. 39(2); Meyer, Musco, Musco & Woodruff 2021, Hutch++), and the probes z stay the same while θ moves, so that the
estimate is a smooth function. Each form is a Gauss quadrature from Lanczos' method (Golub & Meurant 2010). Its exact
derivative is that of the quadrature: with Ritz pairs (μ_i, y_i) and weights c_i of the start,

    d(z̄ᵀF z̄) = Σ_ij c_ic_j F[μ_i, μ_j] y_iᵀ dA y_j,

F[·,·] divided differences, a matrix of low rank: five products wᵀ dA w replace one for every pair. Called by
`krylov_criterion`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxlmm.linalg import namespace, to_device


class Accuracy(NamedTuple):
    """Where forms stop.

    Attributes
    ----------
    residual : float
        Of the shifted systems, relative, at which Lanczos' method stops; quadratures have its square.
    negligible : float
        Relative size of a term of a derivative that is left out.
    """

    residual: float
    negligible: float


EXACT, ESTIMATED = Accuracy(1e-9, 1e-10), Accuracy(1e-7, 1e-7)
"""Where nothing is left to probes, and where their error is a million times larger."""

MOST = 400
"""Steps after which it stops in any case."""

TOGETHER = 2**27
"""Numbers in the Krylov bases that are kept at once."""

ROUNDING = 1e-12
"""Eigenvalue of A, whose largest is near one, below which it is rounding error."""

POWERS = 4
"""Products of the iteration that finds dominant directions."""


class Forms(NamedTuple):
    """Quadratic forms of some starts, and what their derivatives are made from.

    Attributes
    ----------
    value : (c,) array
        vᵀF(A)v.
    vectors : (N, m) array
        w.
    weights : (m,) array
        σ.
    owner : (m,) int array
        Which start each w belongs to: d(vᵀFv) = Σ σ wᵀ dA w.
    """

    value: np.ndarray
    vectors: Any
    weights: np.ndarray
    owner: np.ndarray


def signs(size: int, numbers: Sequence[int] | np.ndarray, seed: int = 0) -> np.ndarray:
    """Probes (N, c) of independent signs; probe i is the same whatever else is drawn."""
    answer = np.empty((size, len(numbers)))
    for column, number in enumerate(numbers):
        answer[:, column] = np.where(np.random.default_rng([seed, number]).random(size) < 0.5, -1.0, 1.0)
    return answer


def dominant(apply, size: int, count: int, seed: int = 0) -> np.ndarray:
    """Orthonormal directions (N, m) in which A is farthest from one, by subspace iteration with Rayleigh and Ritz."""
    count = min(count, size)
    basis = np.linalg.qr(np.random.default_rng([seed, 2**31]).normal(size=(size, count)))[0]
    for _ in range(POWERS):
        basis = np.linalg.qr(basis - np.asarray(apply(to_device(basis))))[0]
    small = basis.T @ np.asarray(apply(to_device(basis)))
    _, turn = np.linalg.eigh(0.5 * (small + small.T))
    return np.ascontiguousarray(basis @ turn)


def forms(apply, starts: np.ndarray, accuracy: Accuracy = EXACT) -> list[Forms]:
    """vᵀF(A)v of columns (N, c), as many at once as fit."""
    if not starts.shape[1]:
        return []
    wide = max(1, TOGETHER // (starts.shape[0] * 40))
    return [_forms(apply, starts[:, a : a + wide], a, accuracy) for a in range(0, starts.shape[1], wide)]


def _forms(apply, starts: np.ndarray, first: int, accuracy: Accuracy) -> Forms:
    basis, diagonal, beside, norms = _lanczos(apply, to_device(starts), accuracy.residual)
    steps = len(basis)
    t = np.zeros((norms.size, steps, steps))
    t[:, np.arange(steps), np.arange(steps)] = diagonal.T
    t[:, np.arange(1, steps), np.arange(steps - 1)] = t[:, np.arange(steps - 1), np.arange(1, steps)] = beside[:-1].T
    ritz, turn = np.linalg.eigh(t)
    # What is not positive up to rounding has no logarithm: the optimizer is told so, and stays away.
    lost = ritz.min(axis=1) <= ROUNDING
    ritz = np.maximum(ritz, ROUNDING)
    own = np.where(lost[:, None], np.nan, turn[:, 0, :] * norms[:, None])
    if lost.any():
        return Forms(own.sum(axis=1), starts[:, :0], np.zeros(0), np.zeros(0, dtype=int))
    value = np.sum(own**2 * (np.log(ritz) + 1.0 - ritz), axis=1)
    # Σ_ij c_i c_j F[μ_i, μ_j] as a sum of squares.
    sigma, mixed = np.linalg.eigh(own[:, :, None] * own[:, None, :] * (_differences(ritz) - 1.0))
    kept = np.abs(sigma) > accuracy.negligible * np.abs(sigma).max()
    combos = turn @ mixed
    owner, which = np.nonzero(kept)
    chosen = combos[owner, :, which]
    xp = namespace(basis[0])
    vectors = sum(column[:, owner] * xp.asarray(chosen[:, step]) for step, column in enumerate(basis))
    return Forms(value, vectors, sigma[kept], owner + first)


def _differences(ritz: np.ndarray) -> np.ndarray:
    """(log a - log b)/(a - b) of all pairs (c, m, m), 1/a where they are equal."""
    a, b = ritz[:, :, None], ritz[:, None, :]
    ratio = (a - b) / (a + b)
    near = np.abs(ratio) < 1e-3
    # log a - log b = 2 artanh(ratio), and its series.
    series = 2.0 * (1.0 + ratio**2 / 3.0 + ratio**4 / 5.0) / (a + b)
    with np.errstate(divide="ignore", invalid="ignore"):
        plain = (np.log(a) - np.log(b)) / (a - b)
    return np.where(near, series, plain)


def _lanczos(apply, starts, enough: float):
    """Basis (list of (N, c)), diagonal and subdiagonal (m, c) of the tridiagonal matrices, and norms (c,)."""
    xp = namespace(starts)
    norms = np.sqrt(np.asarray(xp.einsum("nc,nc->c", starts, starts)))
    current = starts / xp.asarray(np.where(norms > 0, norms, 1.0))
    before, link = current * 0.0, np.zeros(norms.size)
    basis, diagonal, beside = [], [], []
    pivot, residual = np.ones(norms.size), np.ones(norms.size)
    for step in range(MOST):
        image = apply(current) - before * xp.asarray(link)
        along = np.asarray(xp.einsum("nc,nc->c", current, image))
        rest = image - current * xp.asarray(along)
        size = np.sqrt(np.asarray(xp.einsum("nc,nc->c", rest, rest)))
        used = size < 1e-13
        basis.append(current)
        # A column that is used up goes on with zeros and ones, which add nothing.
        diagonal.append(np.where(along != 0, along, 1.0))
        size = np.where(used, 0.0, size)
        beside.append(size)
        pivot = diagonal[-1] - (link**2 / pivot if step else 0.0)
        residual = residual * size / np.abs(pivot)
        if residual.max() < enough:
            break
        before, link = current, size
        current = xp.where(xp.asarray(used), 0.0, rest / xp.asarray(np.where(used, 1.0, size)))
    return basis, np.array(diagonal), np.array(beside), norms
