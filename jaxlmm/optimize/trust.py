"""Trust-region Newton: a step, a region, a status.

One step minimizes the quadratic model g·s + ½ s·Hs within a ball, exactly, from the eigendecomposition of H
(Moré & Sorensen 1983, SIAM J. Sci. Stat. Comput. 4(3); Nocedal & Wright 2006, §4.3): negative curvature is
followed, a flat direction is left alone. A lane has converged when the decrease that Newton's step predicts is
below a tolerance in units of the objective; that last step is still taken (`accept`), without an evaluation where those
are dear (`settle`). The change of the objective is no criterion: near the boundary of the parameter space the objective
behaves like θ⁴, and Newton's method turns linear there with small changes long before the end.

`propose` and `accept` are pure JAX with the evaluation of the objective between them, and take a batch of lanes on the last
axis as they take one; the loop around them is the caller's.
"""

from dataclasses import replace
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

HIDDEN = 1e-3
"""Predicted decrease up to which a Newton step is also taken where the gradient is halved and the value rises by no
more than this: in an ill-conditioned problem the value has fewer digits than the gradient (Hager & Zhang 2005, SIAM J. Optim.
16(1), §4, approximate Wolfe conditions). For a deviance, 0.03 standard errors of θ."""

ACCEPT = 1e-4
"""Smallest ratio of actual to predicted decrease at which a step is taken."""

FLAT = 1e-11
"""Curvature below this fraction of the largest is rounding error: a flat direction, not followed."""

SHIFTS = 20
"""Iterations for the length of a step on the region's edge: five are usual, the others are for bad starts."""

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
    """Where one lane stands, or each of a batch on the last axes of all arrays.

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

    Arrays are NumPy's, so that a program that begins with it has nothing to compute before. `theta` (n, ...) may hold a
    batch.
    """
    n, lanes = theta.shape[0], theta.shape[1:]
    identity = np.eye(n).reshape(n, n, *(1 for _ in lanes))
    return State(
        theta,
        np.full(lanes, np.inf),
        np.zeros(theta.shape),
        np.array(np.broadcast_to(identity, (n, n, *lanes))),
        np.full(lanes, radius),
        np.full(lanes, np.inf),
        np.full(lanes, iteration - 1),
        np.full(lanes, RUNNING),
    )


def propose(state: State, scale: jax.Array) -> Proposal:
    """The step that minimizes the quadratic model within the trust region.

    Parameters
    ----------
    scale : (n,) array
        Natural size of a change of each parameter; the region is a ball in units of it.
    """
    gradient, hessian = state.gradient * scale, state.hessian * scale[:, None] * scale[None]
    step, predicted, newton = _model_step(gradient, hessian, state.radius)
    return Proposal(state.theta + scale * step, step, scale, predicted, newton)


def accept(state: State, proposal: Proposal, evaluation: Evaluation) -> State:
    """Take the proposed step or not, and resize the region; a lane that is done stays as it is."""
    value, gradient, hessian = evaluation
    finite = jnp.isfinite(value) & jnp.all(jnp.isfinite(gradient), 0) & jnp.all(jnp.isfinite(hessian), (0, 1))
    actual = jnp.where(finite, state.value - value, -jnp.inf)
    noise = _noise(state)
    predicted = proposal.predicted
    ratio = jnp.where(predicted > noise, actual / predicted, jnp.where(actual >= -noise, 1.0, -1.0))
    # Where the digits of the value do not show so little, the gradient does.
    slope, before = (_norm(g * proposal.scale) for g in (gradient, state.gradient))
    small = proposal.newton & (predicted <= HIDDEN) & (actual >= -HIDDEN) & (slope <= 0.5 * before)
    ratio = jnp.where(finite & small & jnp.isfinite(state.value), jnp.maximum(ratio, 1.0), ratio)
    taken = finite & (ratio > ACCEPT)
    length = _norm(proposal.step)
    radius = jnp.where(
        ratio < 0.25,
        0.25 * length,
        jnp.where((ratio > 0.75) & (length > 0.9 * state.radius), 2.5 * state.radius, state.radius),
    )
    first = jnp.isinf(state.value)
    converged = is_last(state, proposal)
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


def is_last(state: State, proposal: Proposal) -> jax.Array:
    """Whether what Newton's step promises is not worth an evaluation, so that the lane has converged."""
    enough = jnp.maximum(TOLERANCE, _noise(state))
    return jnp.isfinite(state.value) & proposal.newton & (proposal.predicted <= enough)


def settle(state: State, proposal: Proposal) -> State:
    """Take the last step without an evaluation: value, gradient and Hessian stay those of the point before it."""
    return replace(
        state,
        theta=proposal.theta,
        predicted=proposal.predicted,
        iteration=state.iteration + 1,
        status=jnp.full_like(state.status, CONVERGED),
    )


def _noise(state: State) -> jax.Array:
    """Change of the objective that is rounding error."""
    return 64 * jnp.finfo(state.theta.dtype).eps * jnp.maximum(jnp.abs(state.value), 1.0)


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
    slopes = jnp.sum(vectors * gradient[:, None], axis=0)
    floor = FLAT * jnp.max(jnp.abs(values), axis=0) + jnp.finfo(values.dtype).tiny
    flat = jnp.abs(values) <= floor
    curvature = jnp.where(flat, floor, values)
    lowest = jnp.min(curvature, axis=0)
    newton_step = -slopes / jnp.where(curvature > 0, curvature, jnp.inf)
    newton = (lowest > 0) & (_norm(newton_step) <= radius)

    low = jnp.maximum(0.0, -lowest) * (1.0 + 1e-12) + 0.5 * floor
    high = low + _norm(slopes) / radius + floor

    def closer(_, bounds):
        """Newton's method on 1/length - 1/radius, which is nearly linear in the shift, kept inside the bounds."""
        low, shift, high = bounds
        steps = slopes / (curvature + shift)
        square = jnp.sum(steps**2, axis=0)
        long = square > radius**2
        low, high = jnp.where(long, shift, low), jnp.where(long, high, shift)
        slope = jnp.sum(steps**2 / (curvature + shift), axis=0)
        tried = shift + square / jnp.where(slope > 0, slope, 1.0) * (jnp.sqrt(square) / radius - 1.0)
        inside = (slope > 0) & (tried > low) & (tried < high)
        return low, jnp.where(inside, tried, 0.5 * (low + high)), high

    _, shift, high = jax.lax.fori_loop(0, SHIFTS, closer, (low, high, high))
    shift = jnp.minimum(shift, high)
    inside = -slopes / (curvature + shift)
    # The hard case: no slope along the lowest curvature, so that the shifted step stays inside the ball.
    missing = jnp.sqrt(jnp.maximum(radius**2 - jnp.sum(inside**2, axis=0), 0.0))
    toward = jnp.where(slopes[0] > 0, -1.0, 1.0)
    inside = inside.at[0].add(jnp.where(lowest < 0, toward * missing, 0.0))
    coordinates = jnp.where(newton, newton_step, inside)
    predicted = -jnp.sum(coordinates * (slopes + 0.5 * jnp.where(flat, 0.0, values) * coordinates), axis=0)
    return jnp.sum(vectors * coordinates[None], axis=1), predicted, newton


def _norm(vector):
    """Euclidean length of vectors (n, ...)."""
    return jnp.sqrt(jnp.sum(vector**2, axis=0))
