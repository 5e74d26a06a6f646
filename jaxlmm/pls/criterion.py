"""The profiled ML deviance and REML criterion as functions of θ (Bates et al. 2015, eqs. 34 and 41).

    d(θ) = log|L|² + r log|R_X|² + ν (1 + log(2π r²(θ)/ν)) - Σ log w,    ν = n - r p,  r = 1 for REML else 0,

read off the plan's elimination. `reml` is a traced number, so that ML and REML share one compiled program.
Called by `fit` and `estimates`, one lane at a time; batches vmap it.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxlmm.covariance import Structure, lambda_, n_theta, positions
from jaxlmm.linalg import inverse_factor
from jaxlmm.pls.plan import Plan
from jaxlmm.pls.protocol import Factor, Reduced
from jaxlmm.pls.standard import Coordinates, Gram, Response


class Profile(NamedTuple):
    """The criterion and what it is made of.

    Attributes
    ----------
    objective : () array
        d(θ).
    pwrss : () array
        Penalized weighted residual sum of squares r²(θ).
    beta : (p,) array
        Coefficients that minimize it, in standard coordinates.
    fixed_inverse_factor : (p, p) array
        W with W R_XᵀR_X Wᵀ = I: the covariance of β̂ is σ² WᵀW.
    logdet : () array
        log|L|².
    """

    objective: jax.Array
    pwrss: jax.Array
    beta: jax.Array
    fixed_inverse_factor: jax.Array
    logdet: jax.Array


def reduce(plan: Plan, gram: Gram, response: Response, coordinates: Coordinates) -> Reduced:
    """Compress cross-products to what one iteration of the plan needs."""
    compressed, layout = plan.module.compress(plan, gram)
    return Reduced(
        layout,
        compressed,
        plan.module.compress_response(plan, layout, gram, response),
        np.float64(coordinates.n_obs),
        np.float64(coordinates.n_fixed),
        np.float64(coordinates.sum_log_weights),
    )


def split_theta(terms: tuple[tuple[Structure, ...], ...], theta):
    """The part of θ that belongs to each grouping factor."""
    ends = np.cumsum([0, *(n_theta(t) for t in terms)])
    return [theta[ends[i] : ends[i + 1]] for i in range(len(terms))]


def lambdas(plan: Plan, theta: jax.Array) -> tuple[jax.Array, ...]:
    """Λ of each grouping factor, in the design's order."""
    return tuple(lambda_(terms, part) for terms, part in zip(plan.terms, split_theta(plan.terms, theta), strict=True))


def natural_scale(plan: Plan, theta: jax.Array) -> jax.Array:
    """Size (n_theta, ...) of a natural change of each parameter: that of its row of Λ, at least one.

    A row of Λ is the effect that one column has on the response; where it is a thousand times the residual's standard
    deviation, a change by one is nothing.
    """
    pieces = []
    for terms, part in zip(plan.terms, split_theta(plan.terms, theta), strict=True):
        rows, _ = positions(terms)
        largest = jax.ops.segment_max(jnp.abs(part), rows, num_segments=int(rows.max()) + 1)
        pieces.append(jnp.maximum(largest, 1.0)[rows])
    return jnp.concatenate(pieces)


def profile(plan: Plan, reduced: Reduced, relative_factors, reml) -> Profile:
    """Evaluate the criterion at the relative covariance factors Λ (any square factors will do)."""
    return profile_of(plan, reduced, plan.module.factor(plan, reduced.layout, reduced.gram, relative_factors), reml)


def profile_of(plan: Plan, reduced: Reduced, factor: Factor, reml) -> Profile:
    """The criterion at the Λ that was factored."""
    xy, yy = plan.module.solve(plan, reduced.layout, factor, reduced.response)
    return assemble(reduced, factor.logdet, factor.xx, xy, yy, reml)


def assemble(reduced: Reduced, logdet, xx, xy, yy, reml) -> Profile:
    """The criterion from log|L|² and the Schur complement of [X y]."""
    w = inverse_factor(xx[:, :, None])[:, :, 0]
    half = w @ xy
    pwrss = yy - half @ half
    logdet_fixed = -2.0 * jnp.sum(jnp.log(jnp.diagonal(w)))
    degrees = reduced.n_obs - reml * reduced.n_fixed
    objective = (
        logdet
        + reml * logdet_fixed
        + degrees * (1.0 + jnp.log(2.0 * jnp.pi * pwrss / degrees))
        - reduced.sum_log_weights
    )
    return Profile(objective, pwrss, w.T @ half, w, logdet)


def objective(plan: Plan, reduced: Reduced, theta: jax.Array, reml) -> jax.Array:
    """d(θ) in standard coordinates."""
    return profile(plan, reduced, lambdas(plan, theta), reml).objective


def derivatives(plan: Plan, reduced: Reduced, theta: jax.Array, reml) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Value (), gradient (n_theta,) and exact Hessian (n_theta, n_theta) of d(θ), forward over reverse."""
    value_and_gradient = jax.value_and_grad(lambda t: objective(plan, reduced, t, reml))
    (value, gradient), tangent_map = jax.linearize(value_and_gradient, theta)
    _, hessian = jax.vmap(tangent_map)(jnp.eye(theta.size, dtype=theta.dtype))
    return value, gradient, 0.5 * (hessian + hessian.T)


def satterthwaite(plan: Plan, reduced: Reduced, theta: jax.Array, reml, combinations: jax.Array):
    """Exact Hessian (n_theta, n_theta) of d, and derivatives (n_theta, m) of the logarithm of r²(θ) cᵀ(XᵀV⁻¹X)⁻¹c.

    Parameters
    ----------
    combinations : (p, m) array
        The vectors c, in standard coordinates.
    """

    def log_variances(t):
        found = profile(plan, reduced, lambdas(plan, t), reml)
        return jnp.log(jnp.sum((found.fixed_inverse_factor @ combinations) ** 2, axis=0)) + jnp.log(found.pwrss)

    _, _, hessian = derivatives(plan, reduced, theta, reml)
    return hessian, jax.jacrev(log_variances)(theta).T


def quadratic_forms(plan: Plan, reduced: Reduced, relative_factors, responses, xy: jax.Array) -> jax.Array:
    """vᵀC⁻¹v for vectors v = (v_z, v_x), C the coefficient matrix of Henderson's mixed-model equations.

    With yᵀWy = 0, Zᵀ Wy = v_z and XᵀWy = v_x, minus the penalized residual sum of squares is that form. So it
    is the variance over σ² of v_xᵀ(β̂ - β) + v_zᵀ(b̂ - b) (Henderson 1975, Biometrics 31(2)).

    Parameters
    ----------
    responses : pytree
        Reduced responses with a leading axis of vectors and yy = 0.
    xy : (r, p) array
        The parts v_x.
    """
    factor = plan.module.factor(plan, reduced.layout, reduced.gram, relative_factors)
    w = inverse_factor(factor.xx[:, :, None])[:, :, 0]

    def form(vector):
        response, fixed = vector
        more, yy = plan.module.solve(plan, reduced.layout, factor, response)
        half = w @ (fixed + more)
        return half @ half - yy

    return jax.lax.map(form, (responses, xy))
