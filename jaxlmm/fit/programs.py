"""The compiled programs of a fit: everything that is jitted, in one place.

A program's identity is the plan (static) and the shapes, which are bucketed; ML and REML, true sizes and the
data are traced. So a second fit of a similar shape compiles nothing.
"""

from dataclasses import replace

import jax
import jax.numpy as jnp

from jaxlmm import optimize, pls
from jaxlmm.fit.compiling import program


@program(0)
def derivatives(plan, reduced, theta, reml):
    """Value, gradient and Hessian."""
    return pls.derivatives(plan, reduced, theta, reml)


@program(0)
def minimize(plan, reduced, state, reml, limit):
    """Trust-region steps until the lane stops, or has tried `limit` of them; the first evaluates where it stands."""

    def running(state):
        return (state.status == optimize.RUNNING) & (state.iteration < limit)

    def step(state):
        proposal = optimize.propose(state, pls.natural_scale(plan, state.theta))
        return optimize.accept(state, proposal, pls.curvature(plan, reduced, proposal.theta, reml))

    return jax.lax.while_loop(running, step, state)


@program(0)
def minimize_by_gradients(plan, reduced, state, reml, limit):
    """The same with a Hessian that is updated from gradients, beginning at an evaluated state."""

    def running(state):
        return (state.status == optimize.RUNNING) & (state.iteration < limit)

    def step(state):
        proposal = optimize.propose(state, pls.natural_scale(plan, state.theta))
        value, gradient = jax.value_and_grad(lambda t: pls.objective(plan, reduced, t, reml))(proposal.theta)
        # A step that is not taken teaches the Hessian, too.
        hessian = optimize.symmetric_rank_one(state, proposal, value, gradient)
        return replace(optimize.accept(state, proposal, (value, gradient, hessian)), hessian=hessian)

    return jax.lax.while_loop(running, step, state)


@program(0)
def profile(plan, reduced, lambdas, reml):
    """The criterion and its parts at relative covariance factors."""
    return pls.profile(plan, reduced, lambdas, reml)


@program(0)
def conditional_modes(plan, reduced, theta):
    """b̂ at θ."""
    return pls.conditional_modes(plan, reduced, theta)


@program(0)
def conditional_variances(plan, reduced, theta):
    """Var(b | y) / σ² at θ."""
    return pls.conditional_variances(plan, reduced, theta)


@program(0)
def quadratic_forms(plan, reduced, theta, responses, xy):
    """vᵀC⁻¹v of a batch of vectors at θ."""
    return pls.quadratic_forms(plan, reduced, pls.lambdas(plan, theta), responses, xy)


@program(0)
def column_curvature(plan, reduced, lambdas, columns, reml):
    """Hessian of the criterion along one more column of Λ for every term: list over pairs of factors of (k, k).

    Row i of a factor's Λ moves in its column `columns[t][i]`. Where that column of Λ is zero, moving it by v
    adds v vᵀ to ΛΛᵀ, so that half of the Hessian is the derivative of the criterion with respect to ΛΛᵀ.
    """

    def moved(offsets):
        changed = [
            lam.at[jnp.arange(lam.shape[0]), column].add(offset)
            for lam, column, offset in zip(lambdas, columns, offsets, strict=True)
        ]
        return pls.profile(plan, reduced, changed, reml).objective

    return jax.hessian(moved)([jnp.zeros(lam.shape[0]) for lam in lambdas])
