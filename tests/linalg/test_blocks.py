"""Batches of small blocks against NumPy, and their derivatives against JAX's own through `jnp.linalg` on single blocks.

Tolerance: blocks have a condition number below 1e3, so that a factor errs by less than 1e-12 relative; derivatives are
products of a few factors. 1e-10 leaves two digits of room.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlmm import linalg
from tests.fit.quick import quick

pytestmark = pytest.mark.usefixtures("double")

CLOSE = 1e-10
BATCH = 5


def blocks(k: int, seed: int = 0) -> np.ndarray:
    """Well-conditioned symmetric positive definite blocks (k, k, BATCH)."""
    rng = np.random.default_rng([k, seed])
    root = rng.normal(size=(BATCH, k, k))
    return (root @ root.transpose(0, 2, 1) + 0.5 * np.eye(k)).transpose(1, 2, 0)


@pytest.mark.parametrize("k", range(1, 9))
def test_inverse_factor_and_logdet(k: int) -> None:
    a = blocks(k)
    w = np.asarray(quick(linalg.inverse_factor)(a))
    for g in range(BATCH):
        exact = np.linalg.inv(np.linalg.cholesky(a[:, :, g]))
        np.testing.assert_allclose(w[:, :, g], exact, rtol=0, atol=CLOSE * np.abs(exact).max())
        np.testing.assert_array_equal(np.triu(w[:, :, g], 1), 0.0)
    np.testing.assert_allclose(linalg.logdet(jnp.asarray(w)), np.linalg.slogdet(a.transpose(2, 0, 1))[1], atol=CLOSE)


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_inverse_factor_derivatives(k: int) -> None:
    """First and second derivative along two directions, of every entry of L^-1."""
    a = blocks(k)
    da, db = (d + d.transpose(1, 0, 2) for d in (blocks(k, 1), blocks(k, 2) - 3.0))

    def exact(block):
        return jnp.linalg.inv(jnp.linalg.cholesky(block))

    @quick
    def ours(x):
        return second(linalg.inverse_factor, x, da, db)

    @quick
    def theirs(x, u, v):
        return second(exact, x, u, v)

    first_ours, second_ours = ours(a)
    for g in range(BATCH):
        first_exact, second_exact = theirs(a[:, :, g], da[:, :, g], db[:, :, g])
        np.testing.assert_allclose(first_ours[:, :, g], first_exact, atol=CLOSE * np.abs(first_exact).max())
        np.testing.assert_allclose(second_ours[:, :, g], second_exact, atol=CLOSE * np.abs(second_exact).max())


def second(f, x, u, v):
    """df(x)[u] and d2f(x)[u, v]."""
    return jax.jvp(lambda y: jax.jvp(f, (y,), (u,))[1], (x,), (v,))


def test_a_block_that_is_not_positive_definite_is_nan_and_spares_the_others() -> None:
    a = blocks(2)
    a[:, :, 3] = [[1.0, 2.0], [2.0, 1.0]]
    w = np.asarray(linalg.inverse_factor(jnp.asarray(a)))
    assert np.isnan(w[:, :, 3]).any()
    assert np.isfinite(np.delete(w, 3, axis=2)).all()


def test_products() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=(2, 3, BATCH)), rng.normal(size=(3, 4, BATCH))
    np.testing.assert_allclose(linalg.matmul(a, b), np.einsum("ijl,jml->iml", a, b), atol=1e-14)
    np.testing.assert_array_equal(linalg.transpose(a), a.transpose(1, 0, 2))
    square = rng.normal(size=(3, 3, BATCH))
    np.testing.assert_allclose(linalg.mirror(square), 0.5 * (square + square.transpose(1, 0, 2)), atol=1e-15)
