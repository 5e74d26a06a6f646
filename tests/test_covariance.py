"""Covariance structures: theta to Lambda, and back to the canonical theta.

Tolerance: products of 4 x 4 matrices of size one, in float64: 1e-13.
"""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxlmm import covariance
from jaxlmm.covariance import STRUCTURES, Diagonal, Unstructured, canonical_theta, lambda_, lower_factor

pytestmark = pytest.mark.usefixtures("double")

CLOSE = 1e-13

LAMBDAS = [
    ("one effect", (Unstructured(1),), [2.0], [[2.0]]),
    ("us, column by column as lme4", (Unstructured(2),), [1.0, 2.0, 3.0], [[1, 0], [2, 3]]),
    ("us of three", (Unstructured(3),), [1, 2, 3, 4, 5, 6], [[1, 0, 0], [2, 4, 0], [3, 5, 6]]),
    ("diag", (Diagonal(3),), [1, 2, 3], [[1, 0, 0], [0, 2, 0], [0, 0, 3]]),
    ("two terms", (Unstructured(2), Diagonal(1)), [1, 2, 3, 4], [[1, 0, 0], [2, 3, 0], [0, 0, 4]]),
    ("two terms", (Diagonal(1), Unstructured(2)), [1, 2, 3, 4], [[1, 0, 0], [0, 2, 0], [0, 3, 4]]),
]


@pytest.mark.parametrize(("name", "terms", "theta", "expected"), LAMBDAS)
def test_lambda(name, terms, theta, expected) -> None:
    np.testing.assert_array_equal(lambda_(terms, jnp.asarray(theta, dtype=float)), expected)
    assert covariance.n_theta(terms) == len(theta)
    assert covariance.n_columns(terms) == len(expected)
    np.testing.assert_array_equal(np.asarray(expected)[covariance.positions(terms)], theta)


CANONICAL = [
    ("canonical already", [[1.0, 0.0], [2.0, 3.0]], [[1.0, 0.0], [2.0, 3.0]]),
    ("signs of columns", [[-1.0, 0.0], [2.0, -3.0]], [[1.0, 0.0], [-2.0, 3.0]]),
    ("zero", [[0.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]),
    ("correlation one", [[1.0, 0.0], [2.0, 0.0]], [[1.0, 0.0], [2.0, 0.0]]),
    ("correlation one, spread over two columns", [[0.6, 0.8], [1.2, 1.6]], [[1.0, 0.0], [2.0, 0.0]]),
    ("no variance of the first", [[0.0, 0.0], [3.0, 4.0]], [[0.0, 0.0], [0.0, 5.0]]),
    ("upper triangular", [[3.0, 4.0], [0.0, 5.0]], [[5.0, 0.0], [4.0, 3.0]]),
]


@pytest.mark.parametrize(("name", "factor", "expected"), CANONICAL, ids=[row[0] for row in CANONICAL])
def test_canonical_factor(name, factor, expected) -> None:
    np.testing.assert_allclose(lower_factor(np.array(factor)), expected, rtol=0, atol=CLOSE)


@pytest.mark.parametrize("rank", [0, 1, 2, 3, 4])
def test_lower_factor_of_any_rank(rank: int) -> None:
    """The same covariance matrix, triangular, non-negative on the diagonal, as many columns as its rank; unique."""
    rng = np.random.default_rng(rank)
    factor = rng.normal(size=(4, rank)) @ rng.normal(size=(rank, 4))
    rotation = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    lower, turned = lower_factor(factor), lower_factor(factor @ rotation)
    np.testing.assert_allclose(lower @ lower.T, factor @ factor.T, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(np.triu(lower, 1), 0.0)
    assert np.all(np.diagonal(lower) >= 0)
    assert np.sum(lower.any(axis=0)) == rank
    np.testing.assert_allclose(turned, lower, rtol=0, atol=1e-12)


def test_lower_factor_is_cholesky_whatever_the_units() -> None:
    factor = np.random.default_rng(1).normal(size=(4, 4))
    units = np.array([1e-8, 1.0, 1e4, 1e8])
    expected = units[:, None] * np.linalg.cholesky(factor @ factor.T)
    np.testing.assert_allclose(lower_factor(units[:, None] * factor), expected, rtol=1e-11)


def test_canonical_theta_by_terms() -> None:
    factor = np.zeros((3, 3))
    factor[:2, :2] = [[-1.0, 0.0], [2.0, -3.0]]
    factor[2, 2] = -4.0
    np.testing.assert_allclose(
        canonical_theta((Unstructured(2), Diagonal(1)), factor), [1.0, -2.0, 3.0, 4.0], atol=CLOSE
    )


def test_names_and_what_may_be_shifted() -> None:
    """Moving a covariate by a constant keeps the family of all covariance matrices, and no other."""
    assert {name: structure.shiftable for name, structure in STRUCTURES.items()} == {"us": True, "diag": False}
    assert all(structure.name == name for name, structure in STRUCTURES.items())
