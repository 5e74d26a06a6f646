"""The compiled programs of a fit: everything that is jitted, but for the draws of `resample`, in one place.

A program's identity is the plan (static) and the shapes, which are bucketed; ML and REML, true sizes and the
data are traced. So a second fit of a similar shape compiles nothing.
"""

from dataclasses import replace

import jax
import jax.numpy as jnp

from jaxlmm import optimize, pls
from jaxlmm.fit.compiling import program


def _while_running(step, state, limit):
    """Steps until the lane stops or has tried `limit` of them."""

    def running(state):
        return (state.status == optimize.RUNNING) & (state.iteration < limit)

    return jax.lax.while_loop(running, step, state)


@program(0)
def minimize(plan, reduced, state, reml, limit):
    """Trust-region steps until the lane stops, or has tried `limit` of them; the first evaluates where it stands."""

    def step(state):
        proposal = optimize.propose(state, pls.natural_scale(plan, state.theta))

        def evaluated():
            return optimize.accept(state, proposal, pls.curvature(plan, reduced, proposal.theta, reml))

        if not plan.dear:
            return evaluated()
        return jax.lax.cond(optimize.is_last(state, proposal), lambda: optimize.settle(state, proposal), evaluated)

    return _while_running(step, state, limit)


@program(0)
def propose(plan, state):
    """The next step of a lane whose evaluations are no program."""
    return optimize.propose(state, pls.natural_scale(plan, state.theta))


@program()
def accept(state, proposal, evaluation):
    """Whether that step is taken."""
    return optimize.accept(state, proposal, evaluation)


@program(0)
def minimize_by_gradients(plan, reduced, state, reml, limit):
    """The same with a Hessian that is updated from gradients, beginning at an evaluated state."""

    def step(state):
        proposal = optimize.propose(state, pls.natural_scale(plan, state.theta))
        value, gradient = jax.value_and_grad(lambda t: pls.objective(plan, reduced, t, reml))(proposal.theta)
        # A step that is not taken teaches the Hessian, too.
        hessian = optimize.symmetric_rank_one(state, proposal, value, gradient)
        return replace(optimize.accept(state, proposal, (value, gradient, hessian)), hessian=hessian)

    return _while_running(step, state, limit)


@program(0)
def minimize_lanes(plan, reduced, state, reml, limit):
    """`minimize` for lanes of one grouping factor on the last axis, in lock-step; those that have stopped stay."""

    def step(state):
        proposal = optimize.propose(state, pls.natural_scale(plan, state.theta))
        return optimize.accept(state, proposal, pls.lanes.curvature(plan, reduced, proposal.theta, reml))

    def running(state):
        return jnp.any((state.status == optimize.RUNNING) & (state.iteration < limit))

    return jax.lax.while_loop(running, step, state)


@program(0)
def profile_lanes(plan, reduced, lam, reml):
    """The criterion and its parts at relative covariance factors (k, k, lanes)."""
    return pls.lanes.profile(plan, reduced, lam, reml)


@program(0)
def slopes_lanes(plan, reduced, lam, reml):
    """The criterion (lanes,) at relative covariance factors (k, k, lanes), and ∂d/∂(ΛΛᵀ) there."""
    return pls.lanes.slopes(plan, reduced, lam, reml)


@program(0)
def satterthwaite_lanes(plan, reduced, theta, reml, combinations):
    """Hessian of the profiled criterion and derivatives of log variances, of lanes of one grouping factor."""
    return pls.lanes.satterthwaite(plan, reduced, theta, reml, combinations)


@program(0)
def satterthwaite(plan, reduced, theta, reml, combinations):
    """The same of one lane, of any plan, by differentiating the criterion."""
    return pls.satterthwaite(plan, reduced, theta, reml, combinations)


@program(0)
def profile(plan, reduced, lambdas, reml):
    """The criterion and its parts at relative covariance factors."""
    return pls.profile(plan, reduced, lambdas, reml)


@program(0)
def estimates(plan, reduced, theta, reml):
    """The criterion's parts and b̂ at θ (nothing where the host computes b̂)."""
    return pls.estimates(plan, reduced, theta, reml)


@program(0)
def conditional_variances(plan, reduced, theta):
    """Var(b | y) / σ² at θ."""
    return pls.conditional_variances(plan, reduced, theta)


@program(0)
def quadratic_forms(plan, reduced, theta, responses, xy):
    """vᵀC⁻¹v of a batch of vectors at θ."""
    return pls.quadratic_forms(plan, reduced, pls.lambdas(plan, theta), responses, xy)


@program(0)
def slopes(plan, reduced, lambdas, reml):
    """∂d/∂Λ (k, k) of each factor at square factors Λ."""
    return pls.slopes(plan, reduced, lambdas, reml)


@program(0)
def krylov_base(plan, layout, chain, zz, lambdas, inverses):
    """The eliminated chain of a `krylov` plan, and tr(P⁻¹S)."""
    return pls.krylov.base(plan, layout, chain, zz, lambdas, inverses)


@program(0)
def krylov_slopes(plan, layout, chain, zz, lambdas, inverses):
    """Derivatives of log|Ψ_CC| + tr(P⁻¹S) in every Λ."""

    def known(factors):
        found = pls.krylov.base(plan, layout, chain, zz, factors, inverses)
        return found.logdet + found.trace

    return jax.grad(known)(lambdas)


@program(0)
def krylov_diagonal(plan, layout, chain, zz, lambdas, inverses):
    """Derivatives of tr(P⁻¹S) in P⁻¹ of each level: the diagonal blocks of S."""
    return jax.grad(lambda given: pls.krylov.base(plan, layout, chain, zz, lambdas, given).trace)(inverses)
