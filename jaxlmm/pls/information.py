"""Value, gradient and average-information Hessian of the criterion: the curvature for the price of a few solves.

With V = Var(y)/σ², Σ_t = Λ_tΛ_tᵀ, e = Py the residual in the metric of V, A = P for REML and V⁻¹ for ML, ν residual
degrees of freedom, and subscripts for derivatives with respect to θ, the exact Hessian is

    d_ij = [tr(A V_ij) - ν eᵀV_ije/r²]  +  [2ν eᵀV_iPV_je/r² - tr(A V_iA V_j)]  -  ν (eᵀV_ie)(eᵀV_je)/r⁴.

The second bracket has the expectation of tr(A V_iA V_j), which takes products of matrices; its observed part alone has it
too, and takes only solves (Gilmour, Thompson & Cullis 1995, Biometrics 51(4): average information). So it is replaced by
ν eᵀV_iPV_je/r². The first bracket is exact: it is the slope G_t = ∂d/∂Σ_t times the curvature of Σ_t = ΛΛᵀ, and G_t comes
from the gradient, ∂d/∂Λ = 2GΛ. Without it the Hessian would be zero along a vanishing column of Λ. Where Λ is nearly
singular, that slope is taken at ΛΛᵀ + δ²I, a second gradient.

With s = Zᵀe and V_i = Z(E_iΛᵀ + ΛE_iᵀ)Zᵀ, all of eᵀV_iPV_je comes from the vectors w_i = (E_iΛᵀ + ΛE_iᵀ)s, put through
the plan's `solve` as if Zw_i were the response. Called by `fit` for the plans that have `energy`.
"""

import jax
import jax.numpy as jnp

from jaxlmm.covariance import positions
from jaxlmm.linalg import inverse_factor
from jaxlmm.pls import grouped_curvature
from jaxlmm.pls.criterion import derivatives, lambdas, profile, profile_of
from jaxlmm.pls.plan import Plan
from jaxlmm.pls.protocol import Reduced

NEAR = 1e-4
"""δ: where a singular value of Λ is below it, the slope G is taken at a Λ that has none below."""

TOGETHER = 2**22
"""Numbers in all directions w_i up to which they are solved for at once; beyond, one after another."""


def curvature(plan: Plan, reduced: Reduced, theta: jax.Array, reml) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Value, gradient and the Hessian that the optimizer's steps use: the plan says which."""
    if plan.kind == "grouped":
        return grouped_curvature.curvature(plan, reduced, theta, reml)
    return (derivatives if plan.kind == "dense" else information)(plan, reduced, theta, reml)


def slopes(plan: Plan, reduced: Reduced, factors, reml) -> list[jax.Array]:
    """∂d/∂Λ (k, k) of each grouping factor at square factors Λ."""
    if plan.kind == "grouped":
        return [grouped_curvature.slopes(plan, reduced, factors[0], reml)]
    return jax.grad(lambda at: profile(plan, reduced, at, reml).objective)(factors)


def information(plan: Plan, reduced: Reduced, theta: jax.Array, reml) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Value (), gradient (n_theta,) and average-information Hessian (n_theta, n_theta) of d(θ)."""
    factors = lambdas(plan, theta)
    away, near = off_boundary(factors)

    def look(trip, seen):
        """Beside the boundary first, where that is wanted, and then here: one program for both."""
        here = trip == 1
        at = jax.tree.map(lambda a, b: jnp.where(here, a, b), factors, away)
        value, observed, slopes = _look(plan, reduced, at, reml, here)
        beside = jax.tree.map(lambda old, new: jnp.where(here & near, old, new), seen[-1], slopes)
        return value, observed, slopes, beside

    nothing = jnp.zeros((), theta.dtype), jnp.zeros((theta.size, theta.size), theta.dtype), factors, factors
    value, observed, slopes, beside = jax.lax.fori_loop(jnp.where(near, 0, 1), 2, look, nothing)
    where = jax.tree.map(lambda here, there: jnp.where(near, there, here), factors, away)
    parts = [own_part(*row) for row in zip(plan.terms, slopes, where, beside, strict=True)]
    gradient = jnp.concatenate([part for part, _ in parts])
    hessian = observed + jax.scipy.linalg.block_diag(*(part for _, part in parts))
    return value, gradient, 0.5 * (hessian + hessian.T)


def _look(plan: Plan, reduced: Reduced, factors, reml, informed):
    """Value, observed information of the variances (n_theta, n_theta) if that is wanted, and ∂d/∂Λ of each factor."""

    def objective(relative_factors):
        factor = plan.module.factor(plan, reduced.layout, reduced.gram, relative_factors)
        found = profile_of(plan, reduced, factor, reml)
        return found.objective, (factor, found)

    (value, (factor, found)), slopes = jax.value_and_grad(objective, has_aux=True)(factors)
    observed = jax.lax.cond(
        informed,
        lambda: _observed(plan, reduced, factors, factor, found, reml),
        lambda: jnp.zeros((plan.n_theta, plan.n_theta), value.dtype),
    )
    return value, observed, slopes


def _observed(plan: Plan, reduced: Reduced, factors, factor, found, reml) -> jax.Array:
    """Observed information of the variances, ν eᵀV_iPV_je/r² - ν (eᵀV_ie)(eᵀV_je)/r⁴, from solves with the factor."""
    module, layout, gram = plan.module, reduced.layout, reduced.gram

    def explained(zy, xy):
        """Minus the part of a response's sum of squares that the model takes up; a quadratic form in (ZᵀWy, XᵀWy)."""
        more, rest = module.solve(plan, layout, factor, module.response_from(plan, zy))
        half = found.fixed_inverse_factor @ (xy + more)
        return rest - half @ half

    def energy(b, beta):
        return module.energy(plan, layout, gram, b, beta)

    damped = [damping(lam) for lam in factors]

    def scores_of(zy, xy):
        """Zᵀe for the response that has these cross-products.

        Its modes are b = Σs and its fitted values leave s = ZᵀWy - ZᵀWZb - ZᵀWXβ. Where Σ is large the second cancels
        and where it is small the first says nothing; (I + Σ)⁻¹(b + s) is right in both.
        """
        b, beta = jax.tree.map(lambda part: -0.5 * part, jax.grad(explained, argnums=(0, 1))(zy, xy))
        fitted = jax.grad(energy)(b, beta)
        return [
            jnp.einsum("ij,jl->il", a, mode + own - part)
            for a, mode, own, part in zip(damped, b, zy, fitted, strict=True)
        ]

    def through(direction):
        """ZᵀPZw of one direction."""
        return scores_of(*jax.grad(energy, argnums=(0, 1))(direction, jnp.zeros_like(found.beta)))

    scores = scores_of(module.response_by_factor(plan, reduced.response), jnp.zeros_like(found.beta))
    ways = directions(plan, factors, scores)
    together = sum(part.size for part in ways) <= TOGETHER
    images = jax.vmap(through)(ways) if together else jax.lax.map(through, ways)
    products = sum(jnp.einsum("ikl,jkl->ij", w, image) for w, image in zip(ways, images, strict=True))
    along = jnp.sum(jnp.stack([jnp.einsum("ikl,kl->i", w, s) for w, s in zip(ways, scores, strict=True)]), axis=0)
    ratio = (reduced.n_obs - reml * reduced.n_fixed) / found.pwrss
    return ratio * (products - jnp.outer(along, along) / found.pwrss)


def off_boundary(factors):
    """Factors of ΛΛᵀ + δ²I, and whether any Λ is so nearly singular that they are wanted."""
    away, near = [], jnp.asarray(False)
    for lam in factors:
        square = lam @ lam.T
        near |= ~(jnp.max(jnp.abs(inverse_factor(square[:, :, None]))) <= 1.0 / NEAR)
        moved = square + NEAR**2 * jnp.eye(square.shape[0])
        away.append(moved @ inverse_factor(moved[:, :, None])[:, :, 0].T)
    return tuple(away), near


def damping(lam):
    """(I + ΛΛᵀ)⁻¹."""
    w = inverse_factor((jnp.eye(lam.shape[0]) + lam @ lam.T)[:, :, None])[:, :, 0]
    return w.T @ w


def directions(plan: Plan, factors, scores):
    """w_i of every parameter: for each factor (n_theta, k, levels), zero where the parameter is another factor's."""
    answer, before = [], 0
    for terms, lam, score in zip(plan.terms, factors, scores, strict=True):
        rows, columns = positions(terms)
        spherical = lam.T @ score
        own = lam.T[columns][:, :, None] * score[rows][:, None, :]
        own = own.at[jnp.arange(rows.size), rows].add(spherical[columns])
        after = plan.n_theta - before - rows.size
        answer.append(jnp.pad(own, [(before, after), (0, 0), (0, 0)]))
        before += rows.size
    return answer


def own_part(terms, slope, lam, slope_there) -> tuple[jax.Array, jax.Array]:
    """Gradient of one factor's θ, and 2 G_ab where parameters (a, c) and (b, c) share a column of Λ."""
    rows, columns = positions(terms)
    w = inverse_factor((lam @ lam.T)[:, :, None])[:, :, 0]
    g = 0.5 * (slope_there @ lam.T @ w.T) @ w
    g = 0.5 * (g + g.T)
    return slope[rows, columns], 2.0 * g[rows[:, None], rows] * (columns[:, None] == columns)
