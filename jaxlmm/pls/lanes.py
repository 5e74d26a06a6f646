"""Value, gradient and exact Hessian of many lanes that share one grouping factor and its gram; the lane is the last axis.

The formulas are those of `grouped_curvature`. What differs between lanes is θ and the response, so every T_g is a lane's own,
but N_x is everybody's: with S_g any k by k matrix of a level and lane,

    Σ_g N_xgᵀ S_g N_xg = G s,    G (p², k² levels) fixed,    s (k² levels, lanes),

is one matrix product for all lanes, and so is its adjoint, Σ_pq K_pq N_xg ⊗ N_xg. The rest is elementwise over
(levels, lanes). Sums over k and over small p are written out, so that each is one vectorized loop over the lanes. Called by
`fit.lanes`.

Responses keep `grouped`'s form with a last axis of lanes: N_y (k, levels, R), or for classes Σ N_x ⊗ N_y
(k, k, p, classes, R) and Σ N_y ⊗ N_y (k, k, classes, R); then XᵀWy (p, R) and yᵀWy (R,) within the levels.
"""

import functools
import operator
from collections.abc import Iterable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxlmm.covariance import lambda_, positions
from jaxlmm.linalg import inverse_factor, logdet, transpose
from jaxlmm.pls.protocol import Reduced


class LaneProfile(NamedTuple):
    """`criterion.Profile` of lanes: value, pwrss (R,), beta (p, R) and the inverse factor of R_XᵀR_X (p, p, R)."""

    value: jax.Array
    pwrss: jax.Array
    beta: jax.Array
    w: jax.Array


class _Pass(NamedTuple):
    """What both passes need: per level and lane lower L, L wᵀw, and the shared outer products as a matrix."""

    share: jax.Array
    left: jax.Array
    outer: jax.Array
    profile: LaneProfile


def profile(plan, reduced: Reduced, lam: jax.Array, reml) -> LaneProfile:
    """The criterion at square factors Λ (k, k, R)."""
    return _first(plan, reduced, lam, reml).profile


def curvature(plan, reduced: Reduced, theta: jax.Array, reml) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Value (R,), gradient (n_theta, R) and exact Hessian (n_theta, n_theta, R) of every lane."""
    terms = plan.terms[0]
    rows, columns = positions(terms)
    lam = lambda_(terms, theta)
    found = _first(plan, reduced, lam, reml)
    m, q, residual = _second(plan, reduced, found, reml)
    count = reduced.gram.count[:, None]
    g = jnp.sum(count * m - q, axis=-2)
    gradient = 2.0 * _product(g, lam)[rows, columns]

    # tr(E_a M E_b (2Q - M)) with E_a = e_r λ_cᵀ + λ_c e_rᵀ, summed over the levels.
    k = lam.shape[0]
    pair = _level_sums(m, 2.0 * q - count * m)
    e = jnp.zeros((rows.size, *lam.shape)).at[np.arange(rows.size), rows].set(jnp.swapaxes(lam, 0, 1)[columns])
    e = e + jnp.swapaxes(e, 1, 2)
    inner = _added(e[:, i, j, None, None] * pair[j, :, :, i][None] for i in range(k) for j in range(k))
    hessian = _added(inner[:, None, i, j] * e[None, :, i, j] for i in range(k) for j in range(k))
    same = (columns[:, None] == columns)[:, :, None]
    hessian = hessian + 2.0 * same * g[rows[:, None], rows[None, :]]
    hessian = hessian + _of_fixed_effects(plan, reduced, found, residual, lam, (rows, columns), reml)
    return found.profile.value, gradient, 0.5 * (hessian + jnp.swapaxes(hessian, 0, 1))


def slopes(plan, reduced: Reduced, lam: jax.Array, reml) -> jax.Array:
    """∂d/∂(ΛΛᵀ) (k, k, R) at square factors Λ."""
    found = _first(plan, reduced, lam, reml)
    m, q, _ = _second(plan, reduced, found, reml)
    return jnp.sum(reduced.gram.count[:, None] * m - q, axis=-2)


def _first(plan, reduced: Reduced, lam: jax.Array, reml) -> _Pass:
    """Factor every T_g of every lane, and profile out β and σ."""
    gram, k = reduced.gram, lam.shape[0]
    lower = gram.lower[..., None]
    half = _product(jnp.swapaxes(lam, 0, 1)[:, :, None], lower)
    t = _product(transpose(half), half) + jnp.eye(k)[:, :, None, None]
    levels, lanes = t.shape[2:]
    w = inverse_factor(t.reshape(k, k, -1)).reshape(t.shape)
    log_determinant = jnp.sum(gram.count[:, None] * logdet(w.reshape(k, k, -1)).reshape(levels, lanes), axis=0)
    share = _product(transpose(w), w)
    p = gram.within.shape[0]
    outer = _shared_outer(plan, gram).transpose(2, 3, 0, 1, 4).reshape(p * p, -1)
    xx = gram.within[:, :, None] + (outer @ share.reshape(-1, lanes)).reshape(p, p, lanes)
    response, xy, yy = reduced.response
    if plan.unique:
        cross, own = response
        xy = xy + _added(jnp.sum(share[i, j] * cross[i, j], axis=-2) for i in range(k) for j in range(k))
        yy = yy + _added(jnp.sum(share[i, j] * own[i, j], axis=-2) for i in range(k) for j in range(k))
    else:
        solved = _added(share[:, j] * response[j] for j in range(k))
        xy = xy + gram.nx.transpose(1, 0, 2).reshape(p, -1) @ solved.reshape(-1, lanes)
        yy = yy + jnp.sum(solved * response, axis=(0, 1))

    inverse = inverse_factor(xx)
    whitened = _apply(inverse, xy)
    pwrss = yy - jnp.sum(whitened**2, axis=0)
    degrees = reduced.n_obs - reml * reduced.n_fixed
    value = (
        log_determinant
        - 2.0 * reml * _added(jnp.log(inverse[j, j]) for j in range(p))
        + degrees * (1.0 + jnp.log(2.0 * jnp.pi * pwrss / degrees))
        - reduced.sum_log_weights
    )
    found = LaneProfile(value, pwrss, _apply(transpose(inverse), whitened), inverse)
    return _Pass(share, _product(lower, share), outer, found)


def _second(plan, reduced: Reduced, found: _Pass, reml):
    """M_g and Q_g (k, k, levels, R), and what Q_g is made of: the residual's outer products, or the residual itself."""
    gram, (k, _, levels) = reduced.gram, reduced.gram.lower.shape
    lanes, p = found.profile.value.size, gram.within.shape[0]
    lower = gram.lower[..., None]
    m = _product(found.left, transpose(lower))
    beta, w = found.profile.beta, found.profile.w
    ratio = (reduced.n_obs - reml * reduced.n_fixed) / found.profile.pwrss
    response = reduced.response[0]

    def adjoint(kernel):
        return (found.outer.T @ kernel.reshape(p * p, lanes)).reshape(k, k, levels, lanes)

    fixed = reml * _product(transpose(w), w)
    if plan.unique:
        cross, own = response
        along = _added(cross[:, :, j] * beta[j] for j in range(p))
        residual = own - along - jnp.swapaxes(along, 0, 1) + adjoint(beta[:, None] * beta[None])
        middle = adjoint(fixed) + ratio * residual
    else:
        residual = response - (gram.nx.transpose(0, 2, 1).reshape(-1, p) @ beta).reshape(k, levels, lanes)
        middle = adjoint(fixed) + ratio * residual[:, None] * residual[None]
    q = _product(_product(found.left, middle), transpose(found.left))
    return m, q, residual


def _of_fixed_effects(plan, reduced: Reduced, found: _Pass, residual, lam, where, reml) -> jax.Array:
    """The part of the Hessian that the first derivatives of XᵀV⁻¹X, XᵀV⁻¹e and eᵀV⁻¹e make, e the residual at β̂."""
    gram, (rows, columns) = reduced.gram, where
    k, levels, lanes = lam.shape[0], gram.count.size, lam.shape[2]
    p, n = gram.within.shape[0], rows.size
    turned = _product(jnp.swapaxes(lam, 0, 1)[:, :, None], found.left)
    a, b = found.left[rows], turned[columns]
    sides = a[:, :, None] * b[:, None] + b[:, :, None] * a[:, None]  # (n, k, k, levels, lanes)
    flat = jnp.moveaxis(sides, 0, 3).reshape(k * k * levels, n * lanes)
    xx = -(found.outer @ flat).reshape(p, p, n, lanes)
    beta, w = found.profile.beta, found.profile.w
    if plan.unique:
        cross = reduced.response[0][0]
        both = [(i, j) for i in range(k) for j in range(k)]
        xy = -_added(jnp.sum(sides[:, i, j, None] * cross[i, j], axis=-2) for i, j in both)
        xe = jnp.swapaxes(xy, 0, 1) - _added(xx[:, j] * beta[j] for j in range(p))
        ee = -_added(jnp.sum(sides[:, i, j] * residual[i, j], axis=-2) for i, j in both)
    else:
        along = _added(sides[:, :, j] * residual[j] for j in range(k))  # (n, k, levels, lanes)
        flat = jnp.moveaxis(along, 0, 2).reshape(k * levels, n * lanes)
        xe = -(gram.nx.transpose(1, 0, 2).reshape(p, -1) @ flat).reshape(p, n, lanes)
        ee = -jnp.sum(along * residual, axis=(1, 2))
    xe = _added(w[:, None, j] * xe[j] for j in range(p))  # (p, n, lanes), whitened
    xx = _product(_product(w[:, :, None], xx), transpose(w)[:, :, None])
    ratio = (reduced.n_obs - reml * reduced.n_fixed) / found.profile.pwrss
    crossed = _added(xe[j, :, None] * xe[j, None] for j in range(p))
    both_ways = (
        jnp.sum(xx[:, :, :, None] * xx[:, :, None], axis=(0, 1))
        if p > 4
        else _added(xx[i, j, :, None] * xx[i, j, None] for i in range(p) for j in range(p))
    )
    return -reml * both_ways - 2.0 * ratio * crossed - ratio / found.profile.pwrss * ee[:, None] * ee[None]


def _shared_outer(plan, gram) -> jax.Array:
    """N_xg ⊗ N_xg (k, k, p, p, levels), or their sums over classes."""
    return gram.nn if plan.unique else gram.nx[:, None, :, None] * gram.nx[None, :, None, :]


def _level_sums(a: jax.Array, b: jax.Array) -> jax.Array:
    """Σ over levels of a ⊗ b: (k, k, levels, R) twice to (k, k, k, k, R)."""
    return jnp.sum(a[:, :, None, None] * b[None, None], axis=-2)


def _product(a: jax.Array, b: jax.Array) -> jax.Array:
    """Product of small matrices over the first two axes, written out; the others broadcast."""
    return _added(a[:, j, None] * b[None, j] for j in range(a.shape[1]))


def _apply(a: jax.Array, v: jax.Array) -> jax.Array:
    """Small matrices (n, m, R) times vectors (m, R)."""
    return _added(a[:, j] * v[j] for j in range(a.shape[1]))


def _added(parts: Iterable[jax.Array]) -> jax.Array:
    """The sum, written out."""
    return functools.reduce(operator.add, parts)
