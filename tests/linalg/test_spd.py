"""One large matrix: values, first and second derivatives against JAX's own through `jnp.linalg`.

Tolerance: the condition number is below 1e3, so errors stay below 1e-12 relative; 1e-10 leaves two digits of room.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlmm.linalg import spd_factor, spd_logdet, spd_solve
from tests.fit.quick import quick

pytestmark = pytest.mark.usefixtures("double")

CLOSE = 1e-10
Q, M, N_THETA = 6, 2, 3

RNG = np.random.default_rng(5)
BASE = [root @ root.T for root in RNG.normal(size=(N_THETA, Q, Q))]
BORDER = RNG.normal(size=(Q, M))
THETA = np.array([0.7, 1.1, 0.4])


def matrix(theta):
    """A smooth family of matrices: the identity and squares of the parameters."""
    return jnp.eye(Q) + sum(t**2 * b for t, b in zip(theta, BASE, strict=True))


def border(theta):
    return jnp.sin(theta[0]) * BORDER


def ours(theta):
    # Only the lower triangle is read.
    factor = spd_factor(jnp.tril(matrix(theta)) + jnp.triu(jnp.full((Q, Q), 7.0), 1))
    return jnp.append(spd_solve(factor, border(theta)).ravel(), spd_logdet(factor))


def exact(theta):
    s = matrix(theta)
    return jnp.append(jnp.linalg.solve(s, border(theta)).ravel(), jnp.linalg.slogdet(s)[1])


ORDERS = {
    "value": lambda f: f,
    "gradient, forward": jax.jacfwd,
    "gradient, reverse": jax.jacrev,
    "Hessian, forward over reverse": lambda f: jax.jacfwd(jax.jacrev(f)),
    "Hessian, forward over forward": lambda f: jax.jacfwd(jax.jacfwd(f)),
}


@pytest.mark.parametrize("order", ORDERS)
def test_against_plain_jax(order: str) -> None:
    a, b = (np.asarray(quick(ORDERS[order](f))(THETA)) for f in (ours, exact))
    np.testing.assert_allclose(a, b, rtol=0, atol=CLOSE * np.abs(b).max())


def test_lanes_equal_single_matrices() -> None:
    lanes = THETA * np.array([[1.0], [0.5], [2.0]])
    batched = quick(jax.vmap(jax.jacrev(ours)))(lanes)
    alone = quick(jax.jacrev(exact))
    single = np.stack([alone(lane) for lane in lanes])
    np.testing.assert_allclose(batched, single, rtol=0, atol=CLOSE * np.abs(single).max())


def test_not_positive_definite_is_nan() -> None:
    assert np.isnan(spd_logdet(spd_factor(-jnp.eye(3))))
