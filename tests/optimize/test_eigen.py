"""Jacobi's eigenvalues and vectors against LAPACK's.

Tolerance: backward stable methods agree to a few eps times the norm of the matrix in the eigenvalues; 1e-13 leaves two
digits. Vectors are judged by what they must do (A v = lambda v, V'V = 1), so that repeated eigenvalues need no exception.
"""

import jax
import numpy as np
import pytest

from jaxlmm.optimize import eigh
from tests.fit.quick import quick

pytestmark = pytest.mark.usefixtures("double")

CLOSE = 1e-13
EIGH = quick(eigh)


def symmetric(n: int, seed: int = 0) -> np.ndarray:
    a = np.random.default_rng([n, seed]).normal(size=(n, n))
    return a + a.T


def with_eigenvalues(values: list[float]) -> np.ndarray:
    q = np.linalg.qr(symmetric(len(values), 7))[0]
    return q @ np.diag(values) @ q.T


def scaled(n: int) -> np.ndarray:
    """A positive definite matrix of parameters in units from 1e-4 to 1e4: entries from 1e-8 to 1e8."""
    unit = np.logspace(-4, 4, n)
    root = symmetric(n, 1) + 3.0 * np.eye(n)
    return unit[:, None] * (root @ root.T) * unit


MATRICES = {
    **{f"random {n}": symmetric(n) for n in range(1, 13)},
    "diagonal": np.diag([3.0, -1.0, 2.0, 0.0]),
    "zero": np.zeros((4, 4)),
    "identity": np.eye(5),
    "repeated": with_eigenvalues([1.0, 1.0, 1.0, 2.0, 2.0, -3.0]),
    "rank one": np.ones((6, 6)),
    "indefinite": with_eigenvalues([-5.0, -1e-6, 1e-6, 4.0]),
    "badly scaled": scaled(6),
    "badly scaled, indefinite": scaled(5) - 1e-3 * np.eye(5),
    "tiny": 1e-150 * symmetric(4),
    "huge": 1e150 * symmetric(4),
    "pairs at the second diagonal": np.fliplr(np.diag([1.0, 2.0, 2.0, 1.0])),
}


@pytest.mark.parametrize("name", MATRICES)
def test_eigh(name: str) -> None:
    a = MATRICES[name]
    a = 0.5 * (a + a.T)
    values, vectors = map(np.asarray, EIGH(a))
    norm = max(np.abs(a).max(), np.finfo(float).tiny)
    np.testing.assert_allclose(values, np.linalg.eigvalsh(a), rtol=0, atol=CLOSE * len(a) * norm)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(len(a)), rtol=0, atol=CLOSE)
    np.testing.assert_allclose(a @ vectors, vectors * values, rtol=0, atol=CLOSE * len(a) * norm)


def test_lanes_equal_single_matrices() -> None:
    lanes = np.stack([symmetric(5, seed) for seed in range(4)])
    values, _ = quick(jax.vmap(eigh))(lanes)
    np.testing.assert_allclose(values, np.linalg.eigvalsh(lanes), rtol=0, atol=1e-12)
