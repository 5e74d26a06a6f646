"""Eigenvalues and eigenvectors of a small symmetric matrix, safe under `vmap` on a CPU.

Jacobi's method in the parallel order of Brent & Luk (1985, SIAM J. Sci. Stat. Comput. 6(1)): the n/2 disjoint
pairs of a round-robin tournament are rotated at once, n - 1 rounds make a sweep, and convergence is quadratic.
LAPACK's `eigh` would be a batched call once lanes are vmapped, which can hang; larger matrices get it one lane after
another. Called by `trust`.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_batching import sequential_vmap

SWEEPS = 12
"""At most; convergence is quadratic, and four or five are usual."""

DIAGONAL = 1e-16
"""Off-diagonal elements below this fraction of the largest diagonal one are left."""

JACOBI = 6
"""Largest size that is rotated; above it, a single LAPACK call per lane is faster, also lane after lane."""


def eigh(a: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Eigendecomposition of one symmetric matrix.

    Parameters
    ----------
    a : (n, n) array
        Symmetric.

    Returns
    -------
    values : (n,) array
        Eigenvalues, ascending.
    vectors : (n, n) array
        Orthonormal eigenvectors in columns.
    """
    n = a.shape[0]
    if n == 1:
        return a[0], jnp.ones((1, 1), a.dtype)
    if n > JACOBI:
        return _lapack(a)
    size = n + n % 2
    padded = jnp.zeros((size, size), a.dtype).at[:n, :n].set(a)
    rounds = jnp.asarray(_tournament(size))

    def unfinished(carry):
        step, matrix, _ = carry
        off = jnp.max(jnp.abs(matrix - jnp.diag(jnp.diagonal(matrix))))
        return (step < SWEEPS * (size - 1)) & (off > DIAGONAL * jnp.max(jnp.abs(jnp.diagonal(matrix))))

    def rotate(carry):
        step, matrix, vectors = carry
        pairs = rounds[step % (size - 1)]
        rotation = _rotations(matrix, pairs[:, 0], pairs[:, 1])
        return step + 1, rotation.T @ matrix @ rotation, vectors @ rotation

    start = (jnp.zeros((), int), padded, jnp.eye(size, dtype=a.dtype))
    _, matrix, vectors = jax.lax.while_loop(unfinished, rotate, start)
    values = jnp.diagonal(matrix)[:n]
    order = jnp.argsort(values)
    return values[order], vectors[:n, :n][:, order]


@sequential_vmap
def _lapack(a):
    vectors, values = jax.lax.linalg.eigh(a, symmetrize_input=False)
    return values, vectors


def _rotations(a, p, q):
    """The orthogonal matrix whose disjoint plane rotations zero the entries (p, q) of `a`."""
    app, aqq, apq = a[p, p], a[q, q], a[p, q]
    small = jnp.abs(apq) <= jnp.finfo(a.dtype).tiny
    tau = (aqq - app) / jnp.where(small, 1.0, 2.0 * apq)
    tangent = jnp.where(tau >= 0, 1.0, -1.0) / (jnp.abs(tau) + jnp.sqrt(1.0 + tau**2))
    tangent = jnp.where(small, 0.0, tangent)
    cosine = 1.0 / jnp.sqrt(1.0 + tangent**2)
    sine = tangent * cosine
    rotation = jnp.zeros_like(a)
    rotation = rotation.at[p, p].set(cosine).at[q, q].set(cosine)
    return rotation.at[p, q].set(sine).at[q, p].set(-sine)


def _tournament(n: int) -> np.ndarray:
    """Rounds of a round-robin tournament of n (even) players: (n - 1, n / 2, 2), every pair once."""
    players = list(range(n))
    rounds = []
    for _ in range(n - 1):
        half = n // 2
        rounds.append([sorted((players[i], players[n - 1 - i])) for i in range(half)])
        players = [players[0], players[-1], *players[1:-1]]
    return np.asarray(rounds, dtype=np.int32)
