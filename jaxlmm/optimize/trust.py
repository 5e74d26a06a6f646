"""Trust-region Newton: a step, a region, a status.

One step minimizes the quadratic model g·s + ½ s·Hs within a ball, exactly, from the eigendecomposition of H
(Moré & Sorensen 1983, SIAM J. Sci. Stat. Comput. 4(3); Nocedal & Wright 2006, §4.3): negative curvature is
followed, a flat direction is left alone. A lane has converged when the decrease that Newton's step predicts is
below a tolerance in units of the objective; that last step is still taken. The change of the objective is no
criterion: near the boundary of the parameter space the objective behaves like θ⁴, and Newton's method turns
linear there with small changes long before the end.

`propose` and `accept` are pure JAX with the evaluation of the objective between them, so that one lane and a
vmapped batch share them; the loop around them is the caller's.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxlmm.optimize.eigen import eigh
from jaxlmm.pytrees import pytree

RUNNING, CONVERGED, STALLED = 0, 1, 2
STATUS_NAMES = {RUNNING: "iteration limit", CONVERGED: "converged", STALLED: "no further decrease"}

TOLERANCE = 1e-9
"""Predicted decrease of the objective at which a lane stops: for a deviance, 3e-5 standard errors of θ."""

ACCEPT = 1e-4
"""Smallest ratio of actual to predicted decrease at which a step is taken."""

FLAT = 1e-11
"""Curvature below this fraction of the largest is rounding error: a flat direction, not followed."""

Evaluation = tuple[jax.Array, jax.Array, jax.Array]
"""Value (), gradient (n,) and Hessian (n, n) of the objective at a point."""


class Proposal(NamedTuple):
    """A step to try.

    Attributes
    ----------
    theta : (n,) array
        Where to evaluate the objective.
    step : (n,) array
        The way there, in units of `scale`.
    scale : (n,) array
        Natural size of a change of each parameter.
    predicted : () array
        Decrease that the model predicts.
    newton : () bool array
        Whether the region did not shorten the step.
    """

    theta: jax.Array
    step: jax.Array
    scale: jax.Array
    predicted: jax.Array
    newton: jax.Array


@pytree
class State:
    """Where one lane stands.

    Attributes
    ----------
    theta : (n,) array
        Current point.
    value, gradient, hessian : (), (n,), (n, n) arrays
        Objective there.
    radius : () array
        Of the trust region.
    predicted : () array
        Decrease that the last Newton step predicted.
    iteration, status : () int arrays
        Number of steps tried, the evaluation at the start not counted; one of RUNNING, CONVERGED, STALLED.
    """

    theta: Any
    value: Any
    gradient: Any
    hessian: Any
    radius: Any
    predicted: Any
    iteration: Any
    status: Any


def initial(theta, iteration=0, radius: float = 1.0) -> State:
    """State before the first evaluation: the first proposal is `theta` itself, and it is taken if it is defined there.

    Arrays are NumPy's, so that a program that begins with it has nothing to compute before.
    """
    return State(
        theta,
        np.asarray(np.inf),
        np.zeros(theta.shape),
        np.eye(theta.shape[0]),
        np.asarray(radius),
        np.asarray(np.inf),
        np.asarray(iteration - 1),
        np.asarray(RUNNING),
    )


def propose(state: State, scale: jax.Array) -> Proposal:
    """The step that minimizes the quadratic model within the trust region.

    Parameters
    ----------
    scale : (n,) array
        Natural size of a change of each parameter; the region is a ball in units of it.
    """
    gradient, hessian = state.gradient * scale, state.hessian * scale[:, None] * scale
    step, predicted, newton = _model_step(gradient, hessian, state.radius)
    return Proposal(state.theta + scale * step, step, scale, predicted, newton)


def accept(state: State, proposal: Proposal, evaluation: Evaluation) -> State:
    """Take the proposed step or not, and resize the region; a lane that is done stays as it is."""
    value, gradient, hessian = evaluation
    finite = jnp.isfinite(value) & jnp.all(jnp.isfinite(gradient)) & jnp.all(jnp.isfinite(hessian))
    actual = jnp.where(finite, state.value - value, -jnp.inf)
    noise = 64 * jnp.finfo(state.theta.dtype).eps * jnp.maximum(jnp.abs(state.value), 1.0)
    predicted = proposal.predicted
    ratio = jnp.where(predicted > noise, actual / predicted, jnp.where(actual >= -noise, 1.0, -1.0))
    taken = finite & (ratio > ACCEPT)
    length = jnp.linalg.norm(proposal.step)
    radius = jnp.where(
        ratio < 0.25,
        0.25 * length,
        jnp.where((ratio > 0.75) & (length > 0.9 * state.radius), 2.5 * state.radius, state.radius),
    )
    first = jnp.isinf(state.value)
    converged = ~first & proposal.newton & (predicted <= jnp.maximum(TOLERANCE, noise))
    stalled = ~taken & (first | (radius < 1e-9))
    status = jnp.where(converged, CONVERGED, jnp.where(stalled, STALLED, RUNNING))
    moved = State(
        jnp.where(taken, proposal.theta, state.theta),
        jnp.where(taken, value, state.value),
        jnp.where(taken, gradient, state.gradient),
        jnp.where(taken, hessian, state.hessian),
        radius,
        predicted,
        state.iteration + 1,
        status,
    )
    running = state.status == RUNNING
    return jax.tree.map(lambda new, old: jnp.where(running, new, old), moved, state)


def symmetric_rank_one(state: State, proposal: Proposal, value: jax.Array, gradient: jax.Array) -> jax.Array:
    """Hessian of the next model from two gradients (SR1; Nocedal & Wright 2006, §6.2), for costly Hessians."""
    step = proposal.step * proposal.scale
    misfit = gradient - state.gradient - state.hessian @ step
    curvature = misfit @ step
    usable = jnp.abs(curvature) > 1e-8 * jnp.linalg.norm(misfit) * jnp.linalg.norm(step)
    usable &= jnp.isfinite(value) & jnp.all(jnp.isfinite(gradient))
    return state.hessian + jnp.where(usable, jnp.outer(misfit, misfit) / jnp.where(usable, curvature, 1.0), 0.0)


def _model_step(gradient, hessian, radius):
    """Minimizer of the quadratic model in the ball, its predicted decrease, and whether it is Newton's step."""
    values, vectors = eigh(hessian)
    slopes = vectors.T @ gradient
    floor = FLAT * jnp.max(jnp.abs(values)) + jnp.finfo(values.dtype).tiny
    flat = jnp.abs(values) <= floor
    curvature = jnp.where(flat, floor, values)
    lowest = jnp.min(curvature)
    newton_step = -slopes / jnp.where(curvature > 0, curvature, jnp.inf)
    newton = (lowest > 0) & (jnp.linalg.norm(newton_step) <= radius)

    def length(shift):
        return jnp.linalg.norm(slopes / (curvature + shift))

    low = jnp.maximum(0.0, -lowest) * (1.0 + 1e-12) + 0.5 * floor
    high = low + jnp.linalg.norm(slopes) / radius + floor

    def bisect(_, bounds):
        low, high = bounds
        middle = 0.5 * (low + high)
        long = length(middle) > radius
        return jnp.where(long, middle, low), jnp.where(long, high, middle)

    shift = jax.lax.fori_loop(0, 60, bisect, (low, high))[1]
    inside = -slopes / (curvature + shift)
    # The hard case: no slope along the lowest curvature, so that the shifted step stays inside the ball.
    missing = jnp.sqrt(jnp.maximum(radius**2 - jnp.sum(inside**2), 0.0))
    toward = jnp.where(slopes[0] > 0, -1.0, 1.0)
    inside = inside.at[0].add(jnp.where(lowest < 0, toward * missing, 0.0))
    coordinates = jnp.where(newton, newton_step, inside)
    predicted = -(slopes @ coordinates + 0.5 * coordinates @ (jnp.where(flat, 0.0, values) * coordinates))
    return vectors @ coordinates, predicted, newton
