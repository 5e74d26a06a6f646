"""Value, gradient and exact Hessian of the criterion for one grouping factor, in two passes over the levels.

In the notation of `grouped`, with h_g = L_gT_g⁻¹N_g (k, p + 1) the border of level g, M_g = L_gT_g⁻¹L_gᵀ, S = ΛΛᵀ and
A = within + Σ N_gᵀT_g⁻¹N_g the Schur complement of [X y], directions E and F of S change

    log|T_g| by tr(M_gE),         twice: -tr(M_gE M_gF),
    A        by -Σ h_gᵀE h_g,     twice:  Σ h_gᵀ(E M_gF + F M_gE)h_g.

The criterion is Σ log|T_g| + f(A), f(A) = r log|A_xx| + ν log r²(A). Once A is known, [X y] is turned so that A_xx is the
identity and y is its own residual; then ∂f/∂A is diagonal, φ = (r, ..., r, ν/r²), and with Q_g = h_g diag(φ) h_gᵀ
everything is in four sums over the levels,

    Σ M_g,    Σ M_g ⊗ M_g,    Σ M_g ⊗ Q_g,    Σ h_g ⊗ h_g,

two matrix products of what stands side by side for each level. No tape is kept and no level is touched twice in a pass, so
that a million levels cost memory for one chunk of them. Called by `information.curvature`.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxlmm.covariance import lambda_, positions
from jaxlmm.linalg import inverse_factor, logdet, matmul, transpose
from jaxlmm.pls.criterion import assemble
from jaxlmm.pls.protocol import Reduced

CHUNK = 4096
"""Levels that are in the processor's cache together."""


class Sums(NamedTuple):
    """The criterion at S, and the sums over the levels that its derivatives are made of.

    Attributes
    ----------
    value, pwrss : () arrays
        d and r².
    phi : (p + 1,) array
        Diagonal of ∂f/∂A in the turned columns; the last is ν/r².
    m : (k, k) array
        Σ M_g.
    mm, mq : (k, k, k, k) arrays
        Σ M_g ⊗ M_g and Σ M_g ⊗ Q_g.
    hh : (k, p + 1, k, p + 1) array
        Σ h_g ⊗ h_g, h_g in the turned columns.
    """

    value: jax.Array
    pwrss: jax.Array
    phi: jax.Array
    m: jax.Array
    mm: jax.Array
    mq: jax.Array
    hh: jax.Array


def curvature(plan, reduced: Reduced, theta: jax.Array, reml) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Value (), gradient (n_theta,) and exact Hessian (n_theta, n_theta) of d(θ)."""
    terms = plan.terms[0]
    lam, (rows, columns) = lambda_(terms, theta), positions(terms)
    sums = sums_over_levels(plan, reduced, lam, reml)
    g = _slope(sums)
    # ∂S/∂θ_a = e_r λ_cᵀ + λ_c e_rᵀ, where θ_a stands in row r and column c of Λ.
    e = jnp.zeros((rows.size, *lam.shape)).at[np.arange(rows.size), rows].set(lam.T[columns])
    e = e + e.swapaxes(1, 2)
    of_curved_factor = 2.0 * g[rows[:, None], rows] * (columns[:, None] == columns)
    hessian = _second(sums, e, reml) + of_curved_factor
    return sums.value, 2.0 * (g @ lam)[rows, columns], 0.5 * (hessian + hessian.T)


def slopes(plan, reduced: Reduced, lam: jax.Array, reml) -> jax.Array:
    """∂d/∂Λ (k, k) at a square factor Λ."""
    return 2.0 * _slope(sums_over_levels(plan, reduced, lam, reml)) @ lam


def sums_over_levels(plan, reduced: Reduced, lam: jax.Array, reml) -> Sums:
    """Both passes at ΛΛᵀ."""
    first, second, levels = _passes(plan, reduced, lam)
    log_determinant, bordered = _over_chunks(first, levels)
    _, xy, yy = reduced.response
    a = bordered + jnp.block([[reduced.gram.within, xy[:, None]], [xy[None, :], yy[None, None]]])
    found = assemble(reduced, log_determinant, a[:-1, :-1], a[:-1, -1], a[-1, -1], reml)
    p = xy.size
    turn = jnp.block([[found.fixed_inverse_factor.T, -found.beta[:, None]], [jnp.zeros((1, p)), jnp.ones((1, 1))]])
    phi = jnp.append(jnp.full(p, reml), (reduced.n_obs - reml * reduced.n_fixed) / found.pwrss)

    products, hh = _over_chunks(lambda *level: second(turn, phi, *level), levels)
    index = _symmetric_index(lam.shape[0])
    n = products.shape[0]
    mm, mq = (part[index][:, :, index] for part in (products[:, :n], products[:, n : 2 * n]))
    return Sums(found.objective, found.pwrss, phi, products[:, -1][index], mm, mq, hh)


def _slope(sums: Sums) -> jax.Array:
    """∂d/∂S (k, k)."""
    return sums.m - jnp.einsum("ipjp,p->ij", sums.hh, sums.phi)


def _second(sums: Sums, e: jax.Array, reml) -> jax.Array:
    """Second derivatives of d in the directions e (m, k, k) of S."""
    change = -jnp.einsum("ipjq,aij->apq", sums.hh, e)
    xx, xy, yy = change[:, :-1, :-1], change[:, :-1, -1], change[:, -1, -1]
    ratio = sums.phi[-1]
    return (
        jnp.einsum("aij,jkli,bkl->ab", e, 2.0 * sums.mq - sums.mm, e)
        - reml * jnp.einsum("apq,bqp->ab", xx, xx)
        - 2.0 * ratio * xy @ xy.T
        - ratio / sums.pwrss * jnp.outer(yy, yy)
    )


def _passes(plan, reduced: Reduced, lam: jax.Array):
    """The two passes as functions of a chunk of levels (or of classes of equal levels), and the arrays to cut in chunks."""
    gram, k = reduced.gram, lam.shape[0]
    upper = np.triu_indices(k)

    def whitener(lower):
        half = matmul(lam.T[:, :, None], lower)
        return inverse_factor(matmul(transpose(half), half) + jnp.eye(k)[:, :, None])

    def products(m, q, count):
        side = jnp.concatenate([count * m[upper], q[upper], count[None]])
        return m[upper] @ side.T

    def first_of_levels(lower, border, count):
        w = whitener(lower)
        c = matmul(w, border)
        return jnp.sum(count * logdet(w)), sum(part @ (count * part).T for part in c)

    def second_of_levels(turn, phi, lower, border, count):
        w = whitener(lower)
        to_border = matmul(w, transpose(lower))
        h = jnp.einsum("kpl,pq->kql", matmul(transpose(to_border), matmul(w, border)), turn)
        q = count * matmul(h * phi[None, :, None], transpose(h))
        flat = h.reshape(-1, h.shape[2])
        gram_of_borders = (flat @ (count * flat).T).reshape(*h.shape[:2], *h.shape[:2])
        return products(matmul(transpose(to_border), to_border), q, count), gram_of_borders

    def first_of_classes(lower, outer, count):
        w = whitener(lower)
        share = matmul(transpose(w), w)
        return jnp.sum(count * logdet(w)), jnp.einsum("iju,ijpqu->pq", share, outer)

    def second_of_classes(turn, phi, lower, outer, count):
        w = whitener(lower)
        to_border = matmul(w, transpose(lower))
        left = matmul(transpose(to_border), w)
        turned = jnp.einsum("abpqu,pr,qs->abrsu", outer, turn, turn)
        q = jnp.einsum("iau,jbu,abu->iju", left, left, jnp.einsum("abppu,p->abu", turned, phi))
        return products(matmul(transpose(to_border), to_border), q, count), jnp.einsum(
            "iau,jbu,abpqu->ipjq", left, left, turned
        )

    if not plan.unique:
        border = jnp.concatenate([gram.nx, reduced.response[0][:, None]], axis=1)
        return first_of_levels, second_of_levels, (gram.lower, border, gram.count)
    cross, own = reduced.response[0]
    above = jnp.concatenate([gram.nn, cross[:, :, :, None]], axis=3)
    below = jnp.concatenate([cross.swapaxes(0, 1)[:, :, None], own[:, :, None, None]], axis=3)
    return first_of_classes, second_of_classes, (gram.lower, jnp.concatenate([above, below], axis=2), gram.count)


def _over_chunks(function, arrays):
    """The sum of a function of levels over all of them, a chunk at a time where there are many."""
    size = arrays[0].shape[-1]
    if size <= 2 * CHUNK:
        return function(*arrays)
    # Sizes are bucketed: beyond 64, multiples of an eighth of a power of two.
    width = min(CHUNK, 2 ** (int(np.floor(np.log2(size - 1))) - 3))

    def chunk(i):
        return function(*(jax.lax.dynamic_slice_in_dim(a, i * width, width, a.ndim - 1) for a in arrays))

    nothing = jax.tree.map(lambda shape: jnp.zeros(shape.shape, shape.dtype), jax.eval_shape(chunk, 0))
    return jax.lax.fori_loop(0, size // width, lambda i, total: jax.tree.map(jnp.add, total, chunk(i)), nothing)


def _symmetric_index(k: int) -> np.ndarray:
    """Position (k, k) of each element of a symmetric matrix among those of its upper triangle."""
    index = np.zeros((k, k), dtype=int)
    upper = np.triu_indices(k)
    index[upper] = np.arange(upper[0].size)
    index[upper[::-1]] = index[upper]
    return index
