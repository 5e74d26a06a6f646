"""Value, gradient and exact Hessian of many lanes of one grouping factor; the lane is the last axis.

The formulas are those of `grouped_curvature`. What differs between lanes is θ and the response, so every T_g is a
lane's own; the borders N_x are everybody's or a lane's own, which `borders` hides. The rest is elementwise over (levels,
lanes). Sums over k and over small p are written out, so that each is one vectorized loop over the lanes. Called by `fit`.

Responses keep `grouped`'s form with a last axis of lanes: N_y (k, levels, R), or for classes Σ N_x ⊗ N_y
(k, k, p, U, R) and Σ N_y ⊗ N_y (k, k, U, R); XᵀWy (p, R) and yᵀWy (R,) within the levels. Lanes with weights or
multiplicities of their own have such an axis in the gram, too: `lower`, `nx` (where it is the first) and `within`, or `count`
and `within`; n and Σ log w may be (R,).
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
from jaxlmm.pls.borders import Borders
from jaxlmm.pls.grouped import Levels
from jaxlmm.pls.protocol import Reduced


class LaneProfile(NamedTuple):
    """`criterion.Profile` of lanes: value, pwrss (R,), beta (p, R) and the inverse factor of R_XᵀR_X (p, p, R)."""

    value: jax.Array
    pwrss: jax.Array
    beta: jax.Array
    w: jax.Array


class _First(NamedTuple):
    """What the first pass leaves: the borders, L (k, k, levels, 1 or R), Lwᵀw of each level and lane, and the criterion."""

    borders: Borders
    lower: jax.Array
    left: jax.Array
    profile: LaneProfile


class _Second(NamedTuple):
    """Sums over the levels of a class M_g, Q_g (k, k, levels, R), and what Q_g is made of: e or Σ e ⊗ e, e = N_y - N_x β."""

    m: jax.Array
    q: jax.Array
    residual: jax.Array


class _Changes(NamedTuple):
    """First derivatives in θ of W XᵀV⁻¹X Wᵀ (p, p, n, R), of W XᵀV⁻¹e (p, n, R) and of eᵀV⁻¹e (n, R), e = y - Xβ̂ held."""

    xx: jax.Array
    xe: jax.Array
    ee: jax.Array


def profile(plan, reduced: Reduced, lam: jax.Array, reml) -> LaneProfile:
    """The criterion at square factors Λ (k, k, R)."""
    return _first(plan, reduced, lam, reml).profile


def curvature(plan, reduced: Reduced, theta: jax.Array, reml) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Value (R,), gradient (n_theta, R) and exact Hessian (n_theta, n_theta, R) of every lane."""
    return _derivatives(plan, reduced, theta, reml)[:3]


def satterthwaite(plan, reduced: Reduced, theta: jax.Array, reml, contrasts: jax.Array):
    """What degrees of freedom are made of, at θ: see `fit.satterthwaite`.

    Parameters
    ----------
    contrasts : (p, m) array
        Linear combinations of the coefficients, in standard coordinates.

    Returns
    -------
    hessian : (n_theta, n_theta, R) array
        Of the profiled criterion.
    change : (n_theta, m, R) array
        Derivative of the logarithm of each combination's profiled variance, r²(θ) cᵀ(XᵀV⁻¹X)⁻¹c.
    """
    _, _, hessian, first, changes = _derivatives(plan, reduced, theta, reml)
    w = first.profile.w
    half = _added(w[:, j, None] * contrasts[j, None, :, None] for j in range(w.shape[0]))  # (p, m, R)
    along = -jnp.einsum("pmr,pqnr,qmr->nmr", half, changes.xx, half)
    return hessian, along / jnp.sum(half**2, axis=0) + (changes.ee / first.profile.pwrss)[:, None]


def slopes(plan, reduced: Reduced, lam: jax.Array, reml) -> tuple[jax.Array, jax.Array]:
    """The criterion (R,) and ∂d/∂(ΛΛᵀ) (k, k, R) at square factors Λ."""
    first = _first(plan, reduced, lam, reml)
    second = _second(plan, reduced, first, reml)
    return first.profile.value, jnp.sum(second.m - second.q, axis=-2)


def chunk(gram: Levels, part: np.ndarray) -> Levels:
    """Some lanes of a gram that differs between lanes."""
    return Levels(
        gram.lower[..., part] if gram.lower.ndim == 4 else gram.lower,
        np.ascontiguousarray(gram.nx[part]) if gram.nx.ndim == 4 else gram.nx,
        gram.within[..., part],
        gram.count[..., part] if gram.count.ndim == 2 else gram.count,
    )


def single(gram: Levels, lane: int) -> Levels:
    """One lane of it, without the axis of lanes: what `grouped` reads."""
    own = chunk(gram, np.array([lane]))
    nx = np.moveaxis(own.nx[0], 1, 0) if own.nx.ndim == 4 else own.nx
    lower = own.lower[..., 0] if own.lower.ndim == 4 else own.lower
    return Levels(lower, nx, own.within[..., 0], own.count[..., 0] if own.count.ndim == 2 else own.count)


def _derivatives(plan, reduced: Reduced, theta: jax.Array, reml):
    """Value, gradient, Hessian; the first pass and the changes that the Hessian is made of."""
    terms = plan.terms[0]
    rows, columns = positions(terms)
    lam = lambda_(terms, theta)
    first = _first(plan, reduced, lam, reml)
    second = _second(plan, reduced, first, reml)
    g = jnp.sum(second.m - second.q, axis=-2)
    gradient = 2.0 * _product(g, lam)[rows, columns]

    # tr(E_a M E_b (2Q - M)) with E_a = e_r λ_cᵀ + λ_c e_rᵀ, summed over the levels.
    k = lam.shape[0]
    one = _product(first.left, transpose(first.lower))
    pair = _level_sums(one, 2.0 * second.q - second.m)
    e = jnp.zeros((rows.size, *lam.shape)).at[np.arange(rows.size), rows].set(jnp.swapaxes(lam, 0, 1)[columns])
    e = e + jnp.swapaxes(e, 1, 2)
    inner = _added(e[:, i, j, None, None] * pair[j, :, :, i][None] for i in range(k) for j in range(k))
    hessian = _added(inner[:, None, i, j] * e[None, :, i, j] for i in range(k) for j in range(k))
    same = (columns[:, None] == columns)[:, :, None]
    hessian = hessian + 2.0 * same * g[rows[:, None], rows[None, :]]
    changes = _changes(plan, reduced, first, second.residual, lam, (rows, columns))
    hessian = hessian + _of_fixed_effects(reduced, first.profile.pwrss, changes, reml)
    return first.profile.value, gradient, 0.5 * (hessian + jnp.swapaxes(hessian, 0, 1)), first, changes


def _first(plan, reduced: Reduced, lam: jax.Array, reml) -> _First:
    """Factor every T_g of every lane, and profile out β and σ."""
    gram, k = reduced.gram, lam.shape[0]
    borders, lower = Borders.of(plan, gram), _with_lanes(gram.lower, 4)
    half = _product(jnp.swapaxes(lam, 0, 1)[:, :, None], lower)
    t = _product(transpose(half), half) + jnp.eye(k)[:, :, None, None]
    levels, lanes = t.shape[2:]
    w = inverse_factor(t.reshape(k, k, -1)).reshape(t.shape)
    log_determinant = jnp.sum(_with_lanes(gram.count, 2) * logdet(w.reshape(k, k, -1)).reshape(levels, lanes), axis=0)
    share = _product(transpose(w), w)
    xx = _with_lanes(gram.within, 3) + borders.gather(share[None])[:, :, 0]
    p = xx.shape[0]
    response, xy, yy = reduced.response
    if plan.unique:
        cross, own = response
        xy = xy + _added(jnp.sum(share[i, j] * cross[i, j], axis=-2) for i in range(k) for j in range(k))
        yy = yy + _added(jnp.sum(share[i, j] * own[i, j], axis=-2) for i in range(k) for j in range(k))
    else:
        solved = _added(share[:, j] * response[j] for j in range(k))
        xy = xy + borders.gather_vector(solved[None])[:, 0]
        yy = yy + jnp.sum(borders.counted(solved * response), axis=(0, 1))

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
    return _First(borders, lower, _product(lower, share), found)


def _second(plan, reduced: Reduced, first: _First, reml) -> _Second:
    """M_g and Q_g, times their multiplicities."""
    borders, beta, w = first.borders, first.profile.beta, first.profile.w
    m = _with_lanes(reduced.gram.count, 2) * _product(first.left, transpose(first.lower))
    ratio = (reduced.n_obs - reml * reduced.n_fixed) / first.profile.pwrss
    response, p = reduced.response[0], beta.shape[0]
    middle = borders.spread(reml * _product(transpose(w), w))
    if plan.unique:
        cross, own = response
        along = _added(cross[:, :, j] * beta[j] for j in range(p))
        residual = own - along - jnp.swapaxes(along, 0, 1) + borders.spread(beta[:, None] * beta[None])
        middle = middle + ratio * residual
    else:
        residual = response - borders.times(beta)
        middle = borders.counted(middle + ratio * residual[:, None] * residual[None])
    return _Second(m, _product(_product(first.left, middle), transpose(first.left)), residual)


def _changes(plan, reduced: Reduced, first: _First, residual, lam, where) -> _Changes:
    """First derivatives of the Schur complement in every parameter, from ∂T_g⁻¹/∂θ_a."""
    borders, (rows, columns), k = first.borders, where, lam.shape[0]
    turned = _product(jnp.swapaxes(lam, 0, 1)[:, :, None], first.left)
    a, b = first.left[rows], turned[columns]
    sides = a[:, :, None] * b[:, None] + b[:, :, None] * a[:, None]  # (n, k, k, levels, R)
    beta, w = first.profile.beta, first.profile.w
    p, n = beta.shape[0], rows.size
    xx = -borders.gather(sides)  # (p, p, n, R)
    if plan.unique:
        cross = reduced.response[0][0]
        both = [(i, j) for i in range(k) for j in range(k)]
        xy = -_added(jnp.sum(sides[:, i, j, None] * cross[i, j], axis=-2) for i, j in both)
        xe = jnp.swapaxes(xy, 0, 1) - _added(xx[:, j] * beta[j] for j in range(p))
        ee = -_added(jnp.sum(sides[:, i, j] * residual[i, j], axis=-2) for i, j in both)
    else:
        along = _added(sides[:, :, j] * residual[j] for j in range(k))  # (n, k, levels, R)
        xe = -borders.gather_vector(along)
        ee = -jnp.sum(borders.counted(along * residual), axis=(1, 2))
    xe = _added(w[:, None, j] * xe[j] for j in range(p))
    xx = _product(_product(w[:, :, None], xx), transpose(w)[:, :, None])
    return _Changes(xx, xe, ee.reshape(n, -1))


def _of_fixed_effects(reduced: Reduced, pwrss, changes: _Changes, reml) -> jax.Array:
    """The part of the Hessian that the first derivatives of the Schur complement make."""
    xx, xe, ee = changes
    p = xx.shape[0]
    ratio = (reduced.n_obs - reml * reduced.n_fixed) / pwrss
    crossed = _added(xe[j, :, None] * xe[j, None] for j in range(p))
    both_ways = (
        jnp.sum(xx[:, :, :, None] * xx[:, :, None], axis=(0, 1))
        if p > 4
        else _added(xx[i, j, :, None] * xx[i, j, None] for i in range(p) for j in range(p))
    )
    return -reml * both_ways - 2.0 * ratio * crossed - ratio / pwrss * ee[:, None] * ee[None]


def _with_lanes(a: jax.Array, ndim: int) -> jax.Array:
    """An array with an axis of lanes, of length one where it has none."""
    return a if a.ndim == ndim else a[..., None]


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
