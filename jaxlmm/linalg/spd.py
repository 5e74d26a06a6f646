"""One large symmetric positive definite matrix: factor, solve, log-determinant, with cheap derivatives.

Differentiating through a Cholesky factor costs about eight times the factor itself. Here the factor L is an
auxiliary that carries no derivative; the derivatives are those of the quantities that are read off it,

    d log|S| = tr(S⁻¹ dS),       d(S⁻¹B) = S⁻¹(dB - dS S⁻¹B),       d(S⁻¹) = -S⁻¹ dS S⁻¹,

written with products by S⁻¹, so that a batch of tangents is a batch of matrix products and never batched
LAPACK. Batches of matrices themselves (lanes) go through a sequential loop, since several batched LAPACK
calls in flight can hang on a CPU. Called by the plans with a dense tail.
"""

import jax
import jax.numpy as jnp
from jax.custom_batching import sequential_vmap
from jax.scipy.linalg import solve_triangular

from jaxlmm.pytrees import pytree


@pytree
class SpdFactor:
    """A matrix together with its lower Cholesky factor.

    Attributes
    ----------
    matrix : (q, q) array
        S; derivatives flow through it.
    chol : (q, q) array
        L with S = L Lᵀ; an auxiliary without derivative.
    """

    matrix: jax.Array
    chol: jax.Array


def spd_factor(s: jax.Array) -> SpdFactor:
    """Factor a symmetric positive definite (q, q) matrix; NaN where it is not positive definite."""
    return SpdFactor(s, _cholesky(jax.lax.stop_gradient(s)))


def spd_logdet(factor: SpdFactor) -> jax.Array:
    """Log-determinant of the matrix."""
    return _logdet(factor.matrix, factor.chol)


def spd_solve(factor: SpdFactor, b: jax.Array) -> jax.Array:
    """Solve S x = b for b of shape (q, m)."""
    return _solve(factor.matrix, factor.chol, b)


@sequential_vmap
def _cholesky(s):
    return jnp.linalg.cholesky(s, symmetrize_input=False)


@sequential_vmap
def _cholesky_solve(chol, b):
    half = solve_triangular(chol, b, lower=True)
    return solve_triangular(chol, half, lower=True, trans=1)


LEAF = 192
"""Triangles up to this size are not divided any more."""


@jax.custom_jvp
def _logdet(s, chol):
    return 2.0 * jnp.sum(jnp.log(jnp.diagonal(chol)))


@_logdet.defjvp
def _logdet_jvp(primals, tangents):
    s, chol = primals
    ds, _ = tangents
    return _logdet(s, chol), jnp.sum(_inverse(s, chol) * ds)


@jax.custom_jvp
def _solve(s, chol, b):
    return _cholesky_solve(chol, b)


@_solve.defjvp
def _solve_jvp(primals, tangents):
    s, chol, b = primals
    ds, _, db = tangents
    x = _solve(s, chol, b)
    return x, _inverse(s, chol) @ (db - ds @ x)


@jax.custom_jvp
def _inverse(s, chol):
    return _inverse_from(chol)


@sequential_vmap
def _inverse_from(chol):
    return _square(_triangular_inverse(chol))


def _triangular_inverse(lower):
    """Inverse of a lower triangle by halves, so that nearly all of it is matrix products without zeros."""
    n = lower.shape[0]
    if n <= LEAF:
        return solve_triangular(lower, jnp.eye(n, dtype=lower.dtype), lower=True)
    h = n // 2
    first, last = _triangular_inverse(lower[:h, :h]), _triangular_inverse(lower[h:, h:])
    return jnp.block([[first, jnp.zeros((h, n - h), lower.dtype)], [-last @ (lower[h:, :h] @ first), last]])


def _square(lower):
    """LᵀL of a lower triangle by halves."""
    n = lower.shape[0]
    if n <= LEAF:
        return lower.T @ lower
    h = n // 2
    below, last = lower[h:, :h], lower[h:, h:]
    corner = below.T @ last
    return jnp.block([[_square(lower[:h, :h]) + below.T @ below, corner], [corner.T, _square(last)]])


@_inverse.defjvp
def _inverse_jvp(primals, tangents):
    s, chol = primals
    ds, _ = tangents
    inverse = _inverse(s, chol)
    return inverse, -inverse @ ds @ inverse
