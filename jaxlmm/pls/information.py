"""Value, gradient and average-information Hessian of the criterion: the curvature for the price of a few solves.

With V = Var(y)/σ², Σ_t = Λ_tΛ_tᵀ, e = Py the residual in the metric of V, A = P for REML and V⁻¹ for ML, ν residual
degrees of freedom, and subscripts for derivatives with respect to θ, the exact Hessian is

    d_ij = [tr(A V_ij) - ν eᵀV_ije/r²]  +  [2ν eᵀV_iPV_je/r² - tr(A V_iA V_j)]  -  ν (eᵀV_ie)(eᵀV_je)/r⁴.

The second bracket has the expectation of tr(A V_iA V_j), which takes products of matrices; its observed part alone has it
too, and takes only solves (Gilmour, Thompson & Cullis 1995, Biometrics 51(4): average information). So it is replaced by
ν eᵀV_iPV_je/r². The first bracket is exact: it is the slope G_t = ∂d/∂Σ_t times the curvature of Σ_t = ΛΛᵀ, and G_t comes
from the gradient, ∂d/∂Λ = 2GΛ. Without it the Hessian would be zero along a vanishing column of Λ.

With s = Zᵀe and V_i = Z(E_iΛᵀ + ΛE_iᵀ)Zᵀ, all of eᵀV_iPV_je comes from the vectors w_i = (E_iΛᵀ + ΛE_iᵀ)s, put through
the plan's `solve` as if Zw_i were the response. Called by `fit` for the plans that have `energy`.
"""

import jax
import jax.numpy as jnp

from jaxlmm.covariance import positions
from jaxlmm.linalg import inverse_factor
from jaxlmm.pls.criterion import derivatives, lambdas, profile_of
from jaxlmm.pls.plan import Plan
from jaxlmm.pls.protocol import Reduced

RIDGE = 1e-13
"""Directions of Λ whose square is below this fraction of the largest have no part in the slope G."""

TOGETHER = 2**22
"""Numbers in all directions w_i up to which they are solved for at once; beyond, one after another."""


def curvature(plan: Plan, reduced: Reduced, theta: jax.Array, reml) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Value, gradient and the Hessian that the optimizer's steps use: the plan says which."""
    return (information if plan.average_information else derivatives)(plan, reduced, theta, reml)


def information(plan: Plan, reduced: Reduced, theta: jax.Array, reml) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Value (), gradient (n_theta,) and average-information Hessian (n_theta, n_theta) of d(θ)."""
    module, layout, gram = plan.module, reduced.layout, reduced.gram
    factors = lambdas(plan, theta)

    def objective(relative_factors):
        factor = module.factor(plan, layout, gram, relative_factors)
        found = profile_of(plan, reduced, factor, reml)
        return found.objective, (factor, found)

    (value, (factor, found)), slopes = jax.value_and_grad(objective, has_aux=True)(factors)
    w_fixed = found.fixed_inverse_factor

    def explained(zy, xy):
        """Minus the part of a response's sum of squares that the model takes up; a quadratic form in (ZᵀWy, XᵀWy)."""
        more, rest = module.solve(plan, layout, factor, module.response_from(plan, zy))
        half = w_fixed @ (xy + more)
        return rest - half @ half

    def energy(b, beta):
        return module.energy(plan, layout, gram, b, beta)

    modes = [-0.5 * part for part in jax.grad(explained)(_zy(plan, reduced), jnp.zeros_like(found.beta))]
    fitted = jax.grad(energy)(modes, found.beta)
    scores = [zy - part for zy, part in zip(_zy(plan, reduced), fitted, strict=True)]

    def through(direction):
        """ZᵀWZw and XᵀWZw of one direction, and what `explained` makes of them."""
        zy, xy = jax.grad(energy, argnums=(0, 1))(direction, jnp.zeros_like(found.beta))
        zy_back, xy_back = jax.grad(explained, argnums=(0, 1))(zy, xy)
        return zy, xy, zy_back, xy_back

    directions = _directions(plan, factors, scores)
    together = sum(part.size for part in directions) <= TOGETHER
    zy, xy, zy_back, xy_back = (jax.vmap(through) if together else lambda x: jax.lax.map(through, x))(directions)
    products = _inner(directions, zy) + 0.5 * (_inner(zy, zy_back) + xy @ xy_back.T)
    along = sum(jnp.einsum("ikl,kl->i", w, s) for w, s in zip(directions, scores, strict=True))
    ratio = (reduced.n_obs - reml * reduced.n_fixed) / found.pwrss
    hessian = ratio * (products - jnp.outer(along, along) / found.pwrss)
    parts = [_own_part(*row) for row in zip(plan.terms, factors, slopes, strict=True)]
    gradient = jnp.concatenate([part for part, _ in parts])
    hessian = hessian + jax.scipy.linalg.block_diag(*(part for _, part in parts))
    return value, gradient, 0.5 * (hessian + hessian.T)


def _zy(plan: Plan, reduced: Reduced):
    """ZᵀWy of each factor, in the design's order."""
    return plan.module.response_by_factor(plan, reduced.response)


def _inner(left, right) -> jax.Array:
    """Inner products (n_theta, n_theta) of two lists of directions."""
    return sum(jnp.einsum("ikl,jkl->ij", a, b) for a, b in zip(left, right, strict=True))


def _directions(plan: Plan, factors, scores):
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


def _own_part(terms, lam, slope) -> tuple[jax.Array, jax.Array]:
    """Gradient of one factor's θ, and 2 G_ab where parameters (a, c) and (b, c) share a column of Λ."""
    rows, columns = positions(terms)
    square = lam @ lam.T
    ridge = RIDGE * jnp.max(jnp.diagonal(square)) + jnp.finfo(square.dtype).tiny
    w = inverse_factor((square + ridge * jnp.eye(square.shape[0]))[:, :, None])[:, :, 0]
    g = 0.5 * (slope @ lam.T @ w.T) @ w
    g = 0.5 * (g + g.T)
    return slope[rows, columns], 2.0 * g[rows[:, None], rows] * (columns[:, None] == columns)
