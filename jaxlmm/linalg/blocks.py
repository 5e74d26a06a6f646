"""Batches of small symmetric positive definite blocks, with the batch on the last axis.

A batch is an array (k, k, B): k is a handful, B up to millions. LAPACK is never called here: on a CPU its
batched calls are slow for such sizes and can deadlock in XLA's thread pool. The one primitive is

    W = inverse_factor(A),    A = L Lᵀ,  W = L⁻¹  (lower triangular),

and its derivative is written in terms of itself, so that it may be differentiated any number of times
without tracing the loop over columns again (Smith 1995, J. Comput. Graph. Stat. 4(2), in the form of
Murray 2016, arXiv:1602.07527, eq. 8):

    dW = -Φ(W dA Wᵀ) W,    Φ = lower triangle with the diagonal halved.

Everything else (whitened borders W B, log-determinants) follows by products. Called by every plan in `pls`.
"""

import jax
import jax.numpy as jnp

WRITTEN_OUT = 16
"""Products over up to this many terms are written out."""

UNROLLED = 3
"""Blocks up to this size are factored by straight-line code; larger ones by a loop over columns."""


def transpose(a: jax.Array) -> jax.Array:
    """Transpose each block of a batch: (i, j, B) to (j, i, B)."""
    return jnp.swapaxes(a, 0, 1)


def matmul(a: jax.Array, b: jax.Array) -> jax.Array:
    """Multiply block by block: (i, j, B) with (j, m, B) gives (i, m, B); a batch of one is shared by all.

    The sum over j is written out, so that XLA fuses it into one vectorized loop over the contiguous batch axis: a
    reduction over the middle axis takes ten times as long, and a batched matrix product calls a kernel per block.
    """
    if a.shape[2] == 1:
        return (a[:, :, 0] @ b.reshape(b.shape[0], -1)).reshape(a.shape[0], *b.shape[1:])
    if a.shape[1] > WRITTEN_OUT:
        return jnp.einsum("ijl,jml->iml", a, jnp.broadcast_to(b, (*b.shape[:2], a.shape[2])))
    product = a[:, 0, None, :] * b[None, 0]
    for j in range(1, a.shape[1]):
        product = product + a[:, j, None, :] * b[None, j]
    return product


def mirror(a: jax.Array) -> jax.Array:
    """Make each block exactly symmetric."""
    return 0.5 * (a + transpose(a))


@jax.custom_jvp
def inverse_factor(a: jax.Array) -> jax.Array:
    """Inverse of the lower Cholesky factor of each block.

    Parameters
    ----------
    a : (k, k, B) array
        Symmetric positive definite blocks. A block that is not positive definite gives NaN, not an error.

    Returns
    -------
    (k, k, B) array
        W with W A Wᵀ = I, lower triangular.
    """
    k = a.shape[0]
    identity = jnp.broadcast_to(jnp.eye(k, dtype=a.dtype)[:, :, None], a.shape)
    carry = (a, identity)
    if k <= UNROLLED:
        for column in range(k):
            carry = _eliminate_column(column, carry)
        return carry[1]
    return jax.lax.fori_loop(0, k, _eliminate_column, carry)[1]


def _eliminate_column(j, carry):
    """One step of Gauss-Jordan elimination on [A | I], which turns I into the inverse of the factor."""
    a, w = carry
    pivot_row = jax.lax.dynamic_index_in_dim(a, j, 0, keepdims=False)
    inverse_root = jax.lax.rsqrt(jax.lax.dynamic_index_in_dim(pivot_row, j, 0, keepdims=False))
    below = (jnp.arange(a.shape[0]) > j)[:, None]
    factor_column = jnp.where(below, pivot_row * inverse_root, 0.0)
    w_row = jax.lax.dynamic_index_in_dim(w, j, 0, keepdims=False) * inverse_root
    a = a - factor_column[:, None, :] * factor_column[None, :, :]
    w = w - factor_column[:, None, :] * w_row[None, :, :]
    return a, jax.lax.dynamic_update_index_in_dim(w, w_row, j, 0)


@inverse_factor.defjvp
def _inverse_factor_jvp(primals, tangents):
    (a,), (da,) = primals, tangents
    w = inverse_factor(a)
    inner = matmul(matmul(w, da), transpose(w))
    return w, -matmul(_half_lower(inner), w)


def _half_lower(a: jax.Array) -> jax.Array:
    """Φ: lower triangle of each block, the diagonal halved."""
    k = a.shape[0]
    mask = jnp.tril(jnp.ones((k, k), a.dtype), -1) + 0.5 * jnp.eye(k, dtype=a.dtype)
    return a * mask[:, :, None]


def logdet(w: jax.Array) -> jax.Array:
    """Log-determinant (B,) of each block, from its inverse factor."""
    return -2.0 * jnp.sum(jnp.log(jnp.diagonal(w, axis1=0, axis2=1)), axis=1)
