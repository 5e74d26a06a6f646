"""The borders N_g of many lanes, in the three forms that lanes can share them: sums over levels, and their adjoints.

With S_g a symmetric k by k matrix of a level and lane, and K a symmetric p by p matrix of a lane, an evaluation needs

    gather(S) = Σ_g m_g N_gᵀ S_g N_g    (p, p, R),        spread(K) = N_g K N_gᵀ    (k, k, levels, R),

and the same with a vector on one side. Where all lanes share the borders, or sums of them over classes of equal levels, both
are one matrix product for all lanes with the same symmetric matrix of outer products; where each lane has borders of its own
(weights by response), they are a batch of small products. Multiplicities m_g may differ between lanes. Called by `lanes`.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


class Borders(NamedTuple):
    """N_x of one grouping factor.

    Attributes
    ----------
    outer : (p(p+1)/2, k(k+1)/2, levels) array or None
        Symmetric parts of N_g ⊗ N_g, or of their sums over classes; None where lanes have their own.
    own : (k, p, levels) or (R, p, k, levels) array or None
        N_x itself, of all lanes or of each, then with the lane first, as batches of products want it; None for classes.
    count : (levels, 1) or (levels, R) array or None
        Multiplicities m_g; None for classes, whose sums hold them.
    """

    outer: Any
    own: Any
    count: Any

    @classmethod
    def of(cls, plan, gram) -> "Borders":
        """From a reduced gram of `grouped`, with a last axis of lanes where lanes differ."""
        if plan.unique:
            return cls(_symmetric(gram.nn), None, None)
        count = gram.count if gram.count.ndim == 2 else gram.count[:, None]
        if gram.nx.ndim == 4:
            return cls(None, gram.nx, count)
        return cls(_symmetric(gram.nx[:, None, :, None] * gram.nx[None, :, None, :]), gram.nx, count)

    def counted(self, a: jax.Array) -> jax.Array:
        """a (..., levels, R) times the multiplicities."""
        return a if self.count is None else self.count * a

    def gather(self, s: jax.Array) -> jax.Array:
        """Σ_g m_g N_gᵀ S_g N_g (p, p, n, R) of n matrices S_g (n, k, k, levels, R)."""
        s, (n, k), lanes = self.counted(s), s.shape[:2], s.shape[-1]
        if self.outer is None:
            p = self.own.shape[1]
            sides = jnp.moveaxis(s, -1, 0)[:, :, None]  # (R, n, 1, k, k, levels)
            left = sum(sides[:, :, :, :, j] * self.own[:, None, :, None, j] for j in range(k))
            found = left.reshape(lanes, n * p, -1) @ jnp.swapaxes(self.own.reshape(lanes, p, -1), 1, 2)
            return found.reshape(lanes, n, p, p).transpose(2, 3, 1, 0)
        rows, columns = np.triu_indices(k)
        packed = jnp.where((rows == columns)[:, None, None], 1.0, 2.0) * s[:, rows, columns]
        flat = jnp.moveaxis(packed, 0, -2).reshape(-1, n * lanes)
        return _unpacked((self.outer.reshape(self.outer.shape[0], -1) @ flat).reshape(-1, n, lanes))

    def spread(self, kernel: jax.Array) -> jax.Array:
        """N_g K N_gᵀ (k, k, levels, R); for classes their sums."""
        if self.outer is None:
            (lanes, p, k, _), own = self.own.shape, self.own
            half = (jnp.moveaxis(kernel, 2, 0) @ own.reshape(lanes, p, -1)).reshape(own.shape)
            return jnp.moveaxis(jnp.stack([_lane_dot(own, half[:, :, j, None]) for j in range(k)], axis=2), 0, -1)
        rows, columns = np.triu_indices(kernel.shape[0])
        packed = jnp.where((rows == columns)[:, None], 1.0, 2.0) * kernel[rows, columns]
        found = self.outer.reshape(self.outer.shape[0], -1).T @ packed
        return _unpacked(found.reshape(*self.outer.shape[1:], -1))

    def gather_vector(self, v: jax.Array) -> jax.Array:
        """Σ_g m_g N_gᵀ v_g (p, n, R), v (n, k, levels, R)."""
        v, (n, *_, lanes) = self.counted(v), v.shape
        if self.outer is None:
            flat = jnp.moveaxis(v, -1, 0).reshape(lanes, n, -1)
            return (self.own.reshape(lanes, self.own.shape[1], -1) @ jnp.swapaxes(flat, 1, 2)).transpose(1, 2, 0)
        flat = jnp.moveaxis(v, 0, -2).reshape(-1, n * lanes)
        return (self.own.transpose(1, 0, 2).reshape(self.own.shape[1], -1) @ flat).reshape(-1, n, lanes)

    def times(self, beta: jax.Array) -> jax.Array:
        """N_g β (k, levels, R), β (p, R)."""
        if self.outer is None:
            return jnp.moveaxis(_lane_dot(self.own, beta.T[:, :, None, None]), 0, -1)
        k, p, levels = self.own.shape
        return (self.own.transpose(0, 2, 1).reshape(-1, p) @ beta).reshape(k, levels, -1)


def _symmetric(nn: jax.Array) -> jax.Array:
    """The distinct elements (p(p+1)/2, k(k+1)/2, levels) of (k, k, p, p, levels), symmetric in each pair."""
    k, p = nn.shape[0], nn.shape[2]
    (i, j), (a, b) = np.triu_indices(k), np.triu_indices(p)
    both = 0.5 * (nn + jnp.swapaxes(nn, 0, 1))
    return jnp.swapaxes(both[i, j][:, a, b], 0, 1)


def _unpacked(packed: jax.Array) -> jax.Array:
    """Symmetric (n, n, ...) from its upper triangle (n(n+1)/2, ...)."""
    n = int((np.sqrt(8 * packed.shape[0] + 1) - 1) / 2)
    index = np.zeros((n, n), dtype=int)
    upper = np.triu_indices(n)
    index[upper] = np.arange(upper[0].size)
    index[upper[::-1]] = index[upper]
    return packed[index]


def _lane_dot(a: jax.Array, b: jax.Array) -> jax.Array:
    """Σ_p a_rpkl b_rpkl (R, k, levels); b broadcasts."""
    return jnp.sum(a * b, axis=1)
