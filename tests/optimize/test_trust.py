"""The trust region on functions whose minima are known, with the loop around `propose` and `accept` written out."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlmm import optimize
from jaxlmm.optimize import State
from tests.fit.quick import quick

pytestmark = pytest.mark.usefixtures("double")

PROPOSE, ACCEPT = quick(optimize.propose), quick(optimize.accept)


@functools.cache
def evaluation(f: Callable) -> Callable:
    """Value, gradient and Hessian."""
    return quick(lambda theta: evaluate(f, theta))


def evaluate(f: Callable, theta: jax.Array) -> optimize.Evaluation:
    return f(theta), jax.grad(f)(theta), jax.hessian(f)(theta)


def minimize(f: Callable, start: list[float], scale: float = 1.0, limit: int = 200) -> State:
    """Run one lane to its end; never does an accepted step raise the function by more than rounding."""

    theta, at = jnp.asarray(start), evaluation(f)
    state = started(theta, at(theta))
    while int(state.status) == optimize.RUNNING and int(state.iteration) < limit:
        proposal = PROPOSE(state, jnp.full(theta.shape, scale))
        after = ACCEPT(state, proposal, at(proposal.theta))
        assert after.value <= state.value + 1e-13 * max(abs(float(state.value)), 1.0)
        state = after
    return state


def started(theta: jax.Array, there: optimize.Evaluation) -> State:
    """A state that has been evaluated at its start."""
    state = optimize.initial(theta)
    return optimize.accept(state, optimize.propose(state, jnp.ones(theta.shape)), there)


def quadratic(t):
    away = t - jnp.array([1.0, -2.0, 5.0])
    return 3.0 + 0.5 * jnp.sum(jnp.array([1.0, 10.0, 1e4]) * away**2)


def rosenbrock(t):
    return 100.0 * (t[1] - t[0] ** 2) ** 2 + (1.0 - t[0]) ** 2


def two_wells(t):
    """Minima at (1, 0) and (-1, 0) of value -1; a saddle at the origin."""
    return t[0] ** 4 - 2.0 * t[0] ** 2 + t[1] ** 2


def flat(t):
    """Only the sum is identified, as with one partition given twice."""
    return (t[0] + t[1] - 3.0) ** 2


def boundary(t):
    """A variance at its bound: theta^4 and nothing below it."""
    return t[0] ** 4 + (t[1] - 1.0) ** 2


def logarithm(t):
    """Undefined (NaN) for t <= 0; the minimum is 1 at t = 1."""
    return jnp.sum(t - jnp.log(t))


# Decrease predicted at the end is below 1e-9; with curvature h, theta is within sqrt(2e-9 / h) before that last step,
# which is taken too and squares the error: the tolerances below are for theta, from the smallest curvature.
TABLE = [
    ("quadratic", quadratic, [0.0, 0.0, 0.0], 3.0, [1.0, -2.0, 5.0], 1e-8),
    ("a minimum to begin with", quadratic, [1.0, -2.0, 5.0], 3.0, [1.0, -2.0, 5.0], 1e-12),
    ("Rosenbrock", rosenbrock, [-1.2, 1.0], 0.0, [1.0, 1.0], 1e-6),
    ("a saddle, gradient zero", two_wells, [0.0, 0.0], -1.0, None, 0.0),
    ("near a saddle", two_wells, [1e-9, 3.0], -1.0, [1.0, 0.0], 1e-6),
    ("negative curvature", two_wells, [-0.3, 0.1], -1.0, [-1.0, 0.0], 1e-6),
    # Newton on t^4 converges by a factor 2/3 and stops at a predicted decrease of 1e-9, about t = 5e-3.
    ("a fourth power", boundary, [1.0, 4.0], 0.0, [0.0, 1.0], 1e-2),
    ("not defined everywhere", logarithm, [30.0, 0.01], 2.0, [1.0, 1.0], 1e-6),
]


@pytest.mark.parametrize(("name", "f", "start", "value", "theta", "tolerance"), TABLE, ids=[row[0] for row in TABLE])
@pytest.mark.parametrize("scale", [1.0, 10.0])
def test_minima(name, f, start, value, theta, tolerance, scale) -> None:
    state = minimize(f, start, scale)
    assert optimize.STATUS_NAMES[int(state.status)] == "converged"
    assert state.value == pytest.approx(value, abs=1e-8)
    if theta is not None:
        np.testing.assert_allclose(state.theta, theta, rtol=0, atol=tolerance)


def test_a_flat_direction_is_left_alone() -> None:
    """The fit comes to rest where the line of minima is nearest, and goes nowhere along it."""
    state = minimize(flat, [1.0, 0.0])
    assert int(state.status) == optimize.CONVERGED
    np.testing.assert_allclose(state.theta, [2.0, 1.0], rtol=0, atol=1e-6)


def test_few_steps() -> None:
    """One Newton step and one to see that there is nothing left; the region grows where it is too small."""
    assert int(minimize(quadratic, [0.9, -2.1, 5.1]).iteration) <= 2
    assert int(minimize(quadratic, [1e3, 1e3, 1e3]).iteration) <= 20


def test_undefined_at_the_proposal_only_shrinks_the_region() -> None:
    value = (jnp.asarray(1.0), jnp.array([1.0]), jnp.array([[1.0]]))
    state = started(jnp.array([0.0]), value)
    nothing = tuple(jnp.full_like(v, jnp.nan) for v in value)
    after = ACCEPT(state, PROPOSE(state, jnp.ones(1)), nothing)
    assert (after.theta, after.value, int(after.status)) == (0.0, 1.0, optimize.RUNNING)
    assert after.radius < state.radius


def test_a_lane_that_is_undefined_everywhere_stalls() -> None:
    value = (jnp.asarray(1.0), jnp.array([1.0]), jnp.array([[1.0]]))
    state = started(jnp.array([0.0]), value)
    nothing = tuple(jnp.full_like(v, jnp.nan) for v in value)
    for _ in range(60):
        state = ACCEPT(state, PROPOSE(state, jnp.ones(1)), nothing)
    assert int(state.status) == optimize.STALLED
    assert (state.theta, state.value) == (0.0, 1.0)


def test_a_start_where_nothing_is_defined_stalls() -> None:
    nothing = jnp.asarray(jnp.nan), jnp.full(1, jnp.nan), jnp.full((1, 1), jnp.nan)
    assert int(started(jnp.array([0.0]), nothing).status) == optimize.STALLED


def test_a_lane_that_is_done_stays_as_it_is() -> None:
    done = minimize(rosenbrock, [-1.2, 1.0])
    again = ACCEPT(done, PROPOSE(done, jnp.ones(2)), (jnp.asarray(-9.0), jnp.ones(2), jnp.eye(2)))
    jax.tree.map(np.testing.assert_array_equal, done, again)


def test_lanes_equal_single_lanes() -> None:
    """A batch steps as its lanes do alone."""
    starts = jnp.array([[-1.2, 1.0], [0.0, 0.0], [3.0, -2.0]])

    def step(state):
        proposal = optimize.propose(state, jnp.ones(2))
        return optimize.accept(state, proposal, evaluate(rosenbrock, proposal.theta))

    lanes = quick(jax.vmap(lambda t: started(t, evaluate(rosenbrock, t))))(starts)
    together = quick(jax.vmap(step))
    for _ in range(40):
        lanes = together(lanes)
    for i, start in enumerate(starts):
        alone = minimize(rosenbrock, start.tolist())
        assert int(lanes.status[i]) == int(alone.status) == optimize.CONVERGED
        # XLA may fuse the batch otherwise, and Rosenbrock's valley magnifies a last digit: compare the minima.
        np.testing.assert_allclose(lanes.theta[i], alone.theta, rtol=0, atol=1e-6)


def test_symmetric_rank_one_finds_a_quadratics_hessian() -> None:
    """After n independent steps the update has the Hessian of a quadratic exactly (Nocedal & Wright, theorem 6.1)."""
    hessian = np.array([[4.0, 1.0, 0.5], [1.0, 3.0, -1.0], [0.5, -1.0, 2.0]])
    scale = jnp.array([1.0, 0.5, 2.0])
    state = started(jnp.zeros(3), (jnp.asarray(0.0), jnp.ones(3), jnp.eye(3)))
    for step in np.eye(3):
        move = np.asarray(scale) * step
        proposal = optimize.Proposal(state.theta + move, jnp.asarray(step), scale, jnp.asarray(1.0), jnp.asarray(True))
        gradient = state.gradient + hessian @ move
        updated = optimize.symmetric_rank_one(state, proposal, jnp.asarray(0.0), gradient)
        state = started(proposal.theta, (jnp.asarray(0.0), gradient, updated))
    np.testing.assert_allclose(state.hessian, hessian, rtol=0, atol=1e-12)


# Values with fewer digits than the decrease that a step promises, and gradients that are exact.

NOISE = 1e-4


def hidden(theta: np.ndarray, noise: float = NOISE) -> optimize.Evaluation:
    """(t - 1)² with a value that is wrong by up to `noise`, most where the step to the minimum leads."""
    away = theta - 1.0
    wrong = noise * np.exp(-np.abs(away) / 1e-4).sum()
    return jnp.asarray((away**2).sum() + wrong), jnp.asarray(2.0 * away), 2.0 * jnp.eye(theta.size)


@pytest.mark.parametrize(("noise", "taken"), [(NOISE, True), (5e-3, False)])
def test_steps_that_the_value_does_not_show(noise: float, taken: bool) -> None:
    """From 1.005 Newton's step wins 2.5e-5 and the value rises by 1e-4: the gradient, which falls, says that it is right. A
    rise that no rounding explains is not taken."""
    theta = np.array([1.005])
    state = started(jnp.asarray(theta), hidden(theta, noise))
    proposal = PROPOSE(state, jnp.ones(1))
    assert float(proposal.predicted) == pytest.approx(2.5e-5)
    after = ACCEPT(state, proposal, hidden(np.asarray(proposal.theta), noise))
    assert float(after.value) > float(state.value) or not taken
    assert (float(after.theta[0]) == pytest.approx(1.0, abs=1e-12)) is taken


def test_a_gradient_that_does_not_fall_is_no_evidence() -> None:
    theta = np.array([1.005])
    state = started(jnp.asarray(theta), hidden(theta))
    proposal = PROPOSE(state, jnp.ones(1))
    value, _, hessian = hidden(np.asarray(proposal.theta))
    after = ACCEPT(state, proposal, (value, state.gradient, hessian))
    np.testing.assert_array_equal(after.theta, theta)


def test_the_last_step_needs_no_evaluation() -> None:
    """From 1 + 1e-5 a step wins 1e-10, less than is worth an evaluation; from 1.1 it does not."""
    for start, last in ((1.0 + 1e-5, True), (1.1, False)):
        theta = jnp.array([start])
        state = started(theta, hidden(np.asarray(theta), 0.0))
        proposal = PROPOSE(state, jnp.ones(1))
        assert bool(optimize.is_last(state, proposal)) is last
        if last:
            settled = optimize.settle(state, proposal)
            assert float(settled.theta[0]) == pytest.approx(1.0, abs=1e-12)
            assert int(settled.status) == optimize.CONVERGED
            assert int(settled.iteration) == int(state.iteration) + 1
    # The start itself is always evaluated.
    begin = optimize.initial(np.array([1.0]))
    assert not bool(optimize.is_last(begin, PROPOSE(begin, jnp.ones(1))))
