"""Many fits of one design, a lane for each response.

Lanes of one grouping factor run in chunks, in lock-step on the last axis of every array: a few steps for all, then those
that have not stopped are brought together and run on, twice as far each time. A minimum with a small singular value of Λ is
tried on the boundary, as `boundary` does for one fit, by one more evaluation of all such lanes. Whatever is left, lanes whose
slope says that they must leave the boundary and lanes that stopped without a minimum, takes the path of a single fit. Other
designs take that path for every lane, from the start they are given.

No lane is dropped: each ends with a status. Called by `many` and by `resample`; the caller holds the double-precision scope.
"""

from dataclasses import replace

import jax
import numpy as np

from jaxlmm import optimize
from jaxlmm.covariance import lambda_lanes, n_columns
from jaxlmm.fit import boundary, krylov_lanes, programs
from jaxlmm.fit.batch import (
    CONVERGED,
    LIMIT,
    ROUNDING_ERROR,
    STALLED,
    TO_FIT,
    Batch,
    LaneFits,
    lane_of,
    over_chunks,
    placed,
    reduced_of,
)
from jaxlmm.fit.directions import smallest_slopes, smallest_values, with_values
from jaxlmm.fit.lane_estimates import in_users_units
from jaxlmm.fit.record import Model, MonteCarlo
from jaxlmm.fit.single import Control, at_rounding_error, search
from jaxlmm.fit.threads import one_blas_thread, side_by_side

NEAR = 0.1
"""Radius of the first trust region of a lane that is fitted alone: its start is that of a similar fit."""

FIRST = 6
"""Steps that all lanes of a chunk take before the unfinished are brought together."""


def fit_lanes(
    model: Model,
    batch: Batch,
    reml: bool,
    start: np.ndarray,
    control: Control,
    combinations: np.ndarray | None = None,
    satterthwaite: bool = False,
    like: MonteCarlo | None = None,
) -> LaneFits:
    """Fit every lane.

    Parameters
    ----------
    model : Model
        Whose plan the lanes share, and whose gram, unless the batch brings its own.
    batch : Batch
        The lanes' responses.
    start : (n_theta,) or (n_theta, R) array
        Where lanes start, in standard coordinates.
    combinations : (m, p) array, optional
        Linear combinations of the coefficients whose standard errors are wanted; by default the coefficients themselves.
    satterthwaite : bool
        Whether their degrees of freedom are wanted, too.
    like : MonteCarlo, optional
        Of the fit that lanes resemble, if its criterion is estimated: how many probes they begin with.
    """
    if batch.gram is not None:
        model = replace(model, plan=replace(model.plan, unique=False))
    plan, lanes = model.plan, batch.scale.size
    start = np.broadcast_to(start.reshape(plan.n_theta, -1), (plan.n_theta, lanes))
    if plan.kind == "krylov":
        return krylov_lanes.fit_each(model, batch, reml, start, control, combinations, satterthwaite, like)
    together = plan.kind == "grouped" and plan.n_theta <= optimize.JACOBI
    todo = np.ones(lanes, dtype=bool) if batch.known is None else batch.known == TO_FIT
    lam, status, iterations, retried = (
        _together(model, batch, start, todo, reml, control) if together else _nothing(model, todo)
    )

    def alone(lane: int) -> None:
        theta, status[lane], iterations[lane] = _alone(model, batch, start, lane, reml, control)
        for own, found in zip(lam, boundary.numpy_lambdas(plan, theta), strict=True):
            own[lane] = found

    with one_blas_thread():
        side_by_side(alone, np.flatnonzero(retried).tolist(), (plan, "search"))
    if batch.known is not None:
        status = np.where(todo, status, batch.known)
    state = (status, iterations, retried)
    return in_users_units(model, batch, lam, state, reml, combinations, satterthwaite)


def _nothing(model: Model, todo: np.ndarray):
    """Every lane still to be fitted alone."""
    sizes = [n_columns(terms) for terms in model.plan.terms]
    empty = np.zeros(todo.size, dtype=int)
    return [np.zeros((todo.size, k, k)) for k in sizes], empty, empty.copy(), todo.copy()


def _together(model: Model, batch: Batch, start: np.ndarray, todo: np.ndarray, reml: bool, control: Control):
    """All lanes in lock-step: Λ (R, k, k), status, iterations, and which lanes must be fitted alone."""
    limit, flag = FIRST, float(reml)
    state: optimize.State = optimize.initial(np.array(start))
    running = np.flatnonzero(todo)

    def advance(part: np.ndarray) -> None:
        reduced, most = reduced_of(model, batch, part), min(limit, control.max_iterations)
        _put(state, part, jax.device_get(programs.minimize_lanes(model.plan, reduced, _at(state, part), flag, most)))

    while running.size:
        over_chunks(model, batch, running, advance)
        unfinished = todo & (state.status == optimize.RUNNING)
        running = np.flatnonzero(unfinished & (limit < control.max_iterations))
        limit *= 2
    rounded = (state.status == optimize.STALLED) & at_rounding_error(state.predicted, state.value)
    status = np.where(state.status == optimize.CONVERGED, CONVERGED, np.where(rounded, ROUNDING_ERROR, STALLED))
    lam = lambda_lanes(model.plan.terms[0], state.theta)
    alone = todo & (status == STALLED)

    def settle(part: np.ndarray) -> None:
        settled, leave, there = _on_boundary(model, batch, lam, state.value, part, flag)
        lam[part[settled]] = there[settled]
        alone[part[leave]] = True

    small = todo & (smallest_values(model.plan.terms[0], lam) < boundary.SMALL)
    over_chunks(model, batch, np.flatnonzero(small), settle)
    return [lam], status, np.array(state.iteration), alone


def _on_boundary(model: Model, batch: Batch, lam: np.ndarray, values: np.ndarray, part: np.ndarray, flag: float):
    """Try lanes with their small singular values at zero: which settle there, which must leave, and Λ (lanes, k, k)."""
    plan, below = model.plan, boundary.SMALL
    factors, found = with_values(plan.terms[0], lam[part], lambda small: np.where(small < below, 0.0, small))
    there = placed(np.moveaxis(factors, 0, -1))
    value, g = jax.device_get(programs.slopes_lanes(plan, reduced_of(model, batch, part), there, flag))
    slope, largest = np.full(part.size, np.inf), np.ones(part.size)
    for own in found:
        steepest, size, _ = smallest_slopes(own, np.moveaxis(g, -1, 0), below)
        slope, largest = np.minimum(slope, steepest), np.maximum(largest, size)
    better = value <= values[part] + boundary.INDIFFERENT
    leave = better & (slope < -boundary.ESCAPE * largest)
    return better & ~leave, leave, factors


def _alone(model: Model, batch: Batch, start: np.ndarray, lane: int, reml: bool, control: Control):
    """One lane by the path of a single fit: θ, status and iterations."""
    own = replace(model, reduced=lane_of(model, batch, lane))
    state, _ = search(own, np.array(start[:, lane]), float(reml), control, NEAR, certify=False)
    status = {optimize.CONVERGED: CONVERGED, optimize.STALLED: STALLED}.get(int(state.status), LIMIT)
    if status == STALLED and at_rounding_error(state.predicted, state.value):
        status = ROUNDING_ERROR
    return np.asarray(state.theta), status, int(state.iteration)


def _at(state: optimize.State, part: np.ndarray) -> optimize.State:
    """The states of some lanes, on the devices that share them."""
    return jax.tree.map(lambda leaf: placed(leaf[..., part]), state)


def _put(state: optimize.State, part: np.ndarray, found: optimize.State) -> None:
    """Write the states of some lanes."""
    for old, new in zip(jax.tree.leaves(state), jax.tree.leaves(found), strict=True):
        old[..., part] = new
