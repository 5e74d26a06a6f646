"""Eigenvalues and eigenvectors of a small symmetric matrix, safe under `vmap` on a CPU.

Jacobi's method in the parallel order of Brent & Luk (1985, SIAM J. Sci. Stat. Comput. 6(1)): the n/2 disjoint
pairs of a round-robin tournament are rotated at once, n - 1 rounds make a sweep, and convergence is quadratic.
LAPACK's `eigh` would be a batched call once lanes are vmapped, which can hang; larger matrices get it one lane after
another. Called by `trust`.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_batching import sequential_vmap

SWEEPS = 12
"""At most; convergence is quadratic, and four or five are usual."""

DIAGONAL = 1e-16
"""Off-diagonal elements below this fraction of the largest diagonal one are left."""

WRITTEN_OUT = 3
"""Largest size whose rotations are written out one by one."""

JACOBI = 6
"""Largest size that is rotated; above it, a single LAPACK call per lane is faster, also lane after lane."""


def eigh(a: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Eigendecomposition of one symmetric matrix, or of a batch on the last axes.

    Parameters
    ----------
    a : (n, n, ...) array
        Symmetric; a batch only up to n = JACOBI.

    Returns
    -------
    values : (n, ...) array
        Eigenvalues, ascending.
    vectors : (n, n, ...) array
        Orthonormal eigenvectors in columns.
    """
    n = a.shape[0]
    if n == 1:
        return a[0], jnp.ones_like(a)
    if n > JACOBI:
        return _lapack(a)
    values, vectors = _cyclic(a) if n <= WRITTEN_OUT else _in_rounds(a)
    order = jnp.argsort(values, axis=0)
    return jnp.take_along_axis(values, order, 0), jnp.take_along_axis(vectors, order[None], 1)


def _cyclic(a: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Rotations one after another, written out element by element: one loop over the batch for each sweep."""
    n = a.shape[0]
    zero, one = jnp.zeros_like(a[0, 0]), jnp.ones_like(a[0, 0])

    def unfinished(carry):
        step, m, _ = carry
        off = sum(jnp.abs(m[i][j]) for i in range(n) for j in range(i + 1, n))
        return (step < SWEEPS) & jnp.any(
            off > DIAGONAL * functools.reduce(jnp.maximum, (jnp.abs(m[i][i]) for i in range(n)))
        )

    def sweep(carry):
        step, m, v = carry
        m, v = [list(row) for row in m], [list(row) for row in v]
        for p in range(n):
            for q in range(p + 1, n):
                cosine, sine, tangent = _angle(m[p][p], m[q][q], m[p][q])
                m[p][p], m[q][q] = m[p][p] - tangent * m[p][q], m[q][q] + tangent * m[p][q]
                m[p][q] = m[q][p] = zero
                for i in range(n):
                    if i not in (p, q):
                        x, y = m[i][p], m[i][q]
                        m[i][p] = m[p][i] = cosine * x - sine * y
                        m[i][q] = m[q][i] = sine * x + cosine * y
                    v[i][p], v[i][q] = cosine * v[i][p] - sine * v[i][q], sine * v[i][p] + cosine * v[i][q]
        return step + 1, m, v

    matrix = [[a[i, j] for j in range(n)] for i in range(n)]
    identity = [[one if i == j else zero for j in range(n)] for i in range(n)]
    _, matrix, vectors = jax.lax.while_loop(unfinished, sweep, (jnp.zeros((), int), matrix, identity))
    return jnp.stack([matrix[i][i] for i in range(n)]), jnp.stack([jnp.stack(row) for row in vectors])


def _in_rounds(a: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Disjoint rotations at once, as a product with one orthogonal matrix."""
    n = a.shape[0]
    size = n + n % 2
    padded = jnp.zeros((size, size, *a.shape[2:]), a.dtype).at[:n, :n].set(a)
    identity = jnp.eye(size, dtype=a.dtype).reshape(size, size, *(1 for _ in a.shape[2:]))
    rounds = jnp.asarray(_tournament(size))

    def unfinished(carry):
        step, matrix, _ = carry
        off = jnp.max(jnp.abs(matrix * (1.0 - identity)), axis=(0, 1))
        largest = jnp.max(jnp.abs(matrix * identity), axis=(0, 1))
        return (step < SWEEPS * (size - 1)) & jnp.any(off > DIAGONAL * largest)

    def rotate(carry):
        step, matrix, vectors = carry
        pairs = rounds[step % (size - 1)]
        rotation = _rotations(matrix, pairs[:, 0], pairs[:, 1])
        turned = small_product(jnp.swapaxes(rotation, 0, 1), small_product(matrix, rotation))
        return step + 1, turned, small_product(vectors, rotation)

    start = (jnp.zeros((), int), padded, jnp.broadcast_to(identity, padded.shape))
    _, matrix, vectors = jax.lax.while_loop(unfinished, rotate, start)
    return jnp.stack([matrix[i, i] for i in range(n)]), vectors[:n, :n]


def small_product(a: jax.Array, b: jax.Array) -> jax.Array:
    """Product of small matrices (n, m, ...) and (m, l, ...), the sum written out so that the batch stays in one loop."""
    product = a[:, 0, None] * b[None, 0]
    for j in range(1, a.shape[1]):
        product = product + a[:, j, None] * b[None, j]
    return product


@sequential_vmap
def _lapack(a):
    vectors, values = jax.lax.linalg.eigh(a, symmetrize_input=False)
    return values, vectors


def _rotations(a, p, q):
    """The orthogonal matrix whose disjoint plane rotations zero the entries (p, q) of `a`."""
    cosine, sine, _ = _angle(a[p, p], a[q, q], a[p, q])
    rotation = jnp.zeros_like(a)
    rotation = rotation.at[p, p].set(cosine).at[q, q].set(cosine)
    return rotation.at[p, q].set(sine).at[q, p].set(-sine)


def _angle(app, aqq, apq):
    """Cosine, sine and tangent of the smaller rotation that zeroes an entry."""
    small = jnp.abs(apq) <= jnp.finfo(apq.dtype).tiny
    tau = (aqq - app) / jnp.where(small, 1.0, 2.0 * apq)
    tangent = jnp.where(tau >= 0, 1.0, -1.0) / (jnp.abs(tau) + jnp.sqrt(1.0 + tau**2))
    tangent = jnp.where(small, 0.0, tangent)
    cosine = 1.0 / jnp.sqrt(1.0 + tangent**2)
    return cosine, tangent * cosine, tangent


def _tournament(n: int) -> np.ndarray:
    """Rounds of a round-robin tournament of n (even) players: (n - 1, n / 2, 2), every pair once."""
    players = list(range(n))
    rounds = []
    for _ in range(n - 1):
        half = n // 2
        rounds.append([sorted((players[i], players[n - 1 - i])) for i in range(half)])
        players = [players[0], players[-1], *players[1:-1]]
    return np.asarray(rounds, dtype=np.int32)
