"""One large symmetric positive definite matrix: factor, solve, log-determinant, with cheap derivatives.

Differentiating through a Cholesky factor costs about eight times the factor itself. Here the factor L is an
auxiliary that carries no derivative; the derivatives are those of the quantities that are read off it,

    d log|S| = tr(S⁻¹ dS),       d(S⁻¹B) = S⁻¹(dB - dS S⁻¹B),       d(S⁻¹) = -S⁻¹ dS S⁻¹,

written with products by S⁻¹, so that a batch of tangents is a batch of matrix products and never batched
LAPACK. Batches of matrices themselves (lanes) go through a sequential loop, since several batched LAPACK
calls in flight can hang on a CPU. Called by the plans with a dense tail.
"""

import itertools

import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap, sequential_vmap
from jax.scipy.linalg import solve_triangular

from jaxlmm.pytrees import pytree


@pytree
class SpdFactor:
    """A matrix together with its lower Cholesky factor.

    Attributes
    ----------
    matrix : (q, q) array
        S, of which the lower triangle is read; derivatives flow through it.
    chol : (q, q) array
        L with S = L Lᵀ; an auxiliary without derivative.
    """

    matrix: jax.Array
    chol: jax.Array


def spd_factor(s: jax.Array) -> SpdFactor:
    """Factor a symmetric positive definite (q, q) matrix, its lower triangle given; NaN where it is not definite."""
    return SpdFactor(s, _cholesky(jax.lax.stop_gradient(s)))


def spd_logdet(factor: SpdFactor) -> jax.Array:
    """Log-determinant of the matrix."""
    return _logdet(factor.matrix, factor.chol)


def spd_solve(factor: SpdFactor, b: jax.Array) -> jax.Array:
    """Solve S x = b for b of shape (q, m)."""

    def multiply(x):
        return _mirrored(factor.matrix) @ x

    def solve(_, right):
        return _cholesky_solve(factor.chol, right)

    return jax.lax.custom_linear_solve(multiply, b, solve, symmetric=True)


def _mirrored(s):
    """The symmetric matrix of a lower triangle."""
    return jnp.tril(s) + jnp.tril(s, -1).T


@sequential_vmap
def _cholesky(s):
    return jnp.linalg.cholesky(s, symmetrize_input=False)


@custom_vmap
def _cholesky_solve(chol, b):
    half = solve_triangular(chol, b, lower=True)
    return solve_triangular(chol, half, lower=True, trans=1)


@_cholesky_solve.def_vmap
def _cholesky_solve_batch(size, batched, chol, b):
    """Right-hand sides of one matrix become its columns; matrices take turns."""
    if not batched[0]:
        columns = jnp.moveaxis(b, 0, -1)
        solved = _cholesky_solve(chol, columns.reshape(columns.shape[0], -1))
        return jnp.moveaxis(solved.reshape(columns.shape), -1, 0), True
    b = b if batched[1] else jnp.broadcast_to(b, (size, *b.shape))
    return jax.lax.map(lambda pair: _cholesky_solve(*pair), (chol, b)), True


LEAF = 192
"""Triangles up to this size are not divided any more."""

STRIPS = 8
"""Into so many strips of rows at most a product of triangles is cut: XLA holds what each of them reads at once."""


@jax.custom_jvp
def _logdet(s, chol):
    return 2.0 * jnp.sum(jnp.log(jnp.diagonal(chol)))


@_logdet.defjvp
def _logdet_jvp(primals, tangents):
    s, chol = primals
    ds, _ = tangents
    inverse = _inverse(s, chol)
    return _logdet(s, chol), jnp.sum((2.0 * inverse - jnp.diag(jnp.diagonal(inverse))) * ds)


@jax.custom_jvp
def _inverse(s, chol):
    """The lower triangle of the inverse."""
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
    """Lower triangle of LᵀL for a lower triangle L, in strips of rows without most of the zeros."""
    upper, n = lower.T, lower.shape[0]
    ends = [*range(0, n, max(LEAF, -(-n // STRIPS))), n]
    square = jnp.zeros_like(lower)
    for a, b in itertools.pairwise(ends):
        square = square.at[a:b, :b].set(upper[a:b, a:] @ upper[:b, a:].T)
    return jnp.tril(square)


@_inverse.defjvp
def _inverse_jvp(primals, tangents):
    s, chol = primals
    ds, _ = tangents
    inverse = _inverse(s, chol)
    full = _mirrored(inverse)
    return inverse, -jnp.tril(full @ _mirrored(ds) @ full)
