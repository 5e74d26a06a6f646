"""Many fits of one design, a lane for each response.

Lanes of one grouping factor run in chunks, in lock-step on the last axis of every array: a few steps for all, then those
that have not stopped are brought together and run on, twice as far each time. A minimum with a small singular value of Λ is
tried on the boundary, as `boundary` does for one fit, by one more evaluation of all such lanes. Whatever is left, lanes whose
slope says that they must leave the boundary and lanes that stopped without a minimum, takes the path of a single fit. Other
designs take that path for every lane, from the start they are given.

No lane is dropped: each ends with a status. Called by `resample`; the caller holds the double-precision scope.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxlmm import optimize, pls
from jaxlmm.covariance import canonical_lanes, lambda_lanes, n_columns
from jaxlmm.fit import boundary, programs
from jaxlmm.fit.record import Model
from jaxlmm.fit.single import EXACT, ROUNDING, Control, search
from jaxlmm.pytrees import pytree

FIRST = 6
"""Steps that all lanes of a chunk take before the unfinished are brought together."""

WIDEST, LEAST = 2048, 16
"""Lanes of a wide chunk, at most and at least."""

NARROW = 16
"""A wide chunk has so many times the lanes of a narrow one: two widths, so that two programs do for any number of lanes."""

CHUNK_BYTES = 2**25
"""Memory that the arrays of one chunk may take, roughly."""

ARRAYS = 16
"""Arrays (k, k, levels, lanes) that an evaluation holds at once, roughly."""

STATUSES = ("converged", "rounding error", "iteration limit", "no further decrease", "exact fit")
"""What a lane may end with; the first two are minima. The last: the model reproduces the response."""
CONVERGED, ROUNDING_ERROR, LIMIT, STALLED, EXACT_FIT = range(5)


class Batch(NamedTuple):
    """Responses of lanes in standard coordinates.

    Attributes
    ----------
    response : pytree
        The plan's compressed response with a last axis of R lanes.
    scale : (R,) array
        Units of the responses.
    beta : (p, R) array
        Coefficients (user's columns) to which those of the lane are added.
    """

    response: Any
    scale: np.ndarray
    beta: np.ndarray


@pytree
class LaneFits:
    """What R lanes estimated, in the user's units.

    Attributes
    ----------
    theta : (R, n_theta) array
        Canonical covariance parameters, in the design's order.
    objective, sigma : (R,) arrays
        Deviance or REML criterion, residual standard deviation.
    beta, std_error : (R, p) arrays
        Coefficients of the kept columns, and their standard errors.
    status : (R,) int array
        Positions in `STATUSES`.
    iterations : (R,) int array
        Steps tried.
    singular, retried : (R,) bool arrays
        Whether a direction has no variance; whether the lane took the path of a single fit.
    """

    theta: np.ndarray
    objective: np.ndarray
    sigma: np.ndarray
    beta: np.ndarray
    std_error: np.ndarray
    status: np.ndarray
    iterations: np.ndarray
    singular: np.ndarray
    retried: np.ndarray


def batch_of(model: Model, sums: pls.ClassSums | None, responses: pls.Responses) -> Batch:
    """Responses as lanes; `sums` are the model's `pls.class_sums`."""
    plan, layout = model.plan, model.reduced.layout
    if plan.kind == "grouped":
        assert responses.within is not None
        response = pls.compress_lanes(sums, model.gram, responses.zy[0], responses.within)
    else:
        lanes = range(responses.scale.size)
        one = [plan.module.compress_response(plan, layout, model.gram, responses.one(lane)) for lane in lanes]
        response = jax.tree.map(lambda *leaves: np.stack(leaves, axis=-1), *one)
    return Batch(response, responses.scale, responses.beta)


def fit_lanes(model: Model, batch: Batch, reml: bool, start: np.ndarray, control: Control) -> LaneFits:
    """Fit every lane.

    Parameters
    ----------
    model : Model
        Whose gram and plan the lanes share.
    batch : Batch
        The lanes' responses.
    start : (n_theta,) or (n_theta, R) array
        Where lanes start, in standard coordinates.
    """
    plan, lanes = model.plan, batch.scale.size
    start = np.broadcast_to(start.reshape(plan.n_theta, -1), (plan.n_theta, lanes))
    together = plan.kind == "grouped" and plan.n_theta <= optimize.JACOBI
    lam, status, iterations, retried = (
        _together(model, batch, start, reml, control) if together else _nothing(model, lanes)
    )
    for lane in np.flatnonzero(retried):
        theta, status[lane], iterations[lane] = _alone(model, batch, start, int(lane), reml, control)
        for own, found in zip(lam, boundary.numpy_lambdas(plan, theta), strict=True):
            own[lane] = found
    return _in_users_units(model, batch, lam, status, iterations, retried, reml)


def _nothing(model: Model, lanes: int):
    """Every lane still to be fitted alone."""
    sizes = [n_columns(terms) for terms in model.plan.terms]
    empty = np.zeros(lanes, dtype=int)
    return [np.zeros((lanes, k, k)) for k in sizes], empty, empty.copy(), np.ones(lanes, dtype=bool)


def _together(model: Model, batch: Batch, start: np.ndarray, reml: bool, control: Control):
    """All lanes in lock-step: Λ (R, k, k), status, iterations, and which lanes must be fitted alone."""
    lanes, limit, flag = batch.scale.size, FIRST, float(reml)
    state: optimize.State = optimize.initial(np.array(start))
    running = np.arange(lanes)
    while running.size:
        for part in _chunks(model, running):
            found = programs.minimize_lanes(
                model.plan, _reduced(model, batch, part), _at(state, part), flag, min(limit, control.max_iterations)
            )
            _put(state, part, jax.device_get(found))
        running = np.flatnonzero(state.status == optimize.RUNNING) if limit < control.max_iterations else running[:0]
        limit *= 2
    converged = state.status == optimize.CONVERGED
    negligible = state.predicted <= ROUNDING * np.sqrt(np.maximum(np.abs(state.value), 1.0))
    status = np.where(
        converged, CONVERGED, np.where(negligible & (state.status == optimize.STALLED), ROUNDING_ERROR, STALLED)
    )
    lam = lambda_lanes(model.plan.terms[0], state.theta)
    alone = status == STALLED
    small = np.flatnonzero(_smallest(model, lam) < boundary.SMALL)
    for part in _chunks(model, small):
        settled, leave, there = _on_boundary(model, batch, lam, state.value, part, flag)
        lam[part[settled]] = there[settled]
        alone[part[leave]] = True
    return [lam], status, np.array(state.iteration), alone


def _on_boundary(model: Model, batch: Batch, lam: np.ndarray, values: np.ndarray, part: np.ndarray, flag: float):
    """Try lanes with their small singular values at zero: which settle there, which must leave, and Λ (lanes, k, k)."""
    plan = model.plan
    factors, zeros, turns = _truncated(model, lam[part], boundary.SMALL)
    found, g = jax.device_get(
        programs.profile_lanes(plan, _reduced(model, batch, part), np.moveaxis(factors, 0, -1), flag)
    )
    g = np.moveaxis(g, -1, 0)
    slope = np.full(part.size, np.inf)
    largest = np.ones(part.size)
    for (begin, end, diagonal), zero, turn in zip(_terms(model), zeros, turns, strict=True):
        inner = turn.swapaxes(1, 2) @ g[:, begin:end, begin:end] @ turn
        if diagonal:
            inner = inner * np.eye(end - begin)
        both = zero[:, :, None] & zero[:, None, :]
        own = np.where(both, inner, 0.0)
        largest = np.maximum(largest, np.abs(own).max(axis=(1, 2)))
        own = own + np.eye(end - begin) * np.where(zero, 0.0, 1e300)[:, :, None]
        slope = np.minimum(slope, np.linalg.eigvalsh(own)[:, 0])
    better = found.value <= values[part] + boundary.INDIFFERENT
    leave = better & (slope < -boundary.ESCAPE * largest)
    return better & ~leave, leave, factors


def _terms(model: Model) -> Iterator[tuple[int, int, bool]]:
    """Where each term's columns begin and end, and whether its covariance is diagonal; of the one grouping factor."""
    terms = model.plan.terms[0]
    for term, block in zip(terms, boundary.term_slices(terms), strict=True):
        yield block.start, block.stop, term.name == "diag"


def _truncated(model: Model, lam: np.ndarray, below: float):
    """Square factors (lanes, k, k) with small singular values at zero; which are, and the directions, of each term."""
    factors, zeros, turns = np.zeros_like(lam), [], []
    for begin, end, diagonal in _terms(model):
        block = lam[:, begin:end, begin:end]
        if diagonal:
            values, turn = np.einsum("rii->ri", block), np.broadcast_to(np.eye(end - begin), block.shape)
        else:
            turn, values, _ = np.linalg.svd(block)
        zero = np.abs(values) < below
        factors[:, begin:end, begin:end] = turn * np.where(zero, 0.0, values)[:, None, :]
        zeros.append(zero)
        turns.append(turn)
    return factors, zeros, turns


def _smallest(model: Model, lam: np.ndarray) -> np.ndarray:
    """Smallest singular value (lanes,) over the terms of one grouping factor."""
    smallest = np.full(len(lam), np.inf)
    for begin, end, diagonal in _terms(model):
        block = lam[:, begin:end, begin:end]
        values = np.abs(np.einsum("rii->ri", block)) if diagonal else np.linalg.svd(block, compute_uv=False)
        smallest = np.minimum(smallest, values.min(axis=1))
    return smallest


def _alone(model: Model, batch: Batch, start: np.ndarray, lane: int, reml: bool, control: Control):
    """One lane by the path of a single fit: θ, status and iterations."""
    response = jax.tree.map(lambda leaf: np.array(leaf[..., lane]), batch.response)
    own = replace(model, reduced=model.reduced._replace(response=response))
    state, _ = search(own, np.array(start[:, lane]), float(reml), control)
    status = {optimize.CONVERGED: CONVERGED, optimize.STALLED: STALLED}.get(int(state.status), LIMIT)
    if status == STALLED and float(state.predicted) <= ROUNDING * np.sqrt(max(abs(float(state.value)), 1.0)):
        status = ROUNDING_ERROR
    return np.asarray(state.theta), status, int(state.iteration)


def _in_users_units(model: Model, batch: Batch, lam, status, iterations, retried, reml: bool) -> LaneFits:
    """Estimates at the minima."""
    plan, coordinates, lanes = model.plan, model.coordinates, batch.scale.size
    p, root, flag = coordinates.n_fixed, np.sqrt(coordinates.weight_scale), float(reml)
    value, pwrss = np.empty(lanes), np.empty(lanes)
    beta, w = np.empty((p, lanes)), np.empty((p, p, lanes))
    if plan.kind == "grouped":
        for part in _chunks(model, np.arange(lanes)):
            found, _ = jax.device_get(
                programs.profile_lanes(plan, _reduced(model, batch, part), np.moveaxis(lam[0][part], 0, -1), flag)
            )
            value[part], pwrss[part], beta[:, part], w[:, :, part] = (
                found.value,
                found.pwrss,
                found.beta[:p],
                found.w[:p, :p],
            )
    else:
        for lane in range(lanes):
            response = jax.tree.map(lambda leaf, lane=lane: np.array(leaf[..., lane]), batch.response)
            factors = [own[lane] for own in lam]
            found = jax.device_get(programs.profile(plan, model.reduced._replace(response=response), factors, flag))
            value[lane], pwrss[lane] = found.objective, found.pwrss
            beta[:, lane], w[:, :, lane] = found.beta[:p], found.fixed_inverse_factor[:p, :p]
    degrees = coordinates.n_obs - (p if reml else 0)
    sigma = batch.scale * root * np.sqrt(pwrss / degrees)
    status = np.where(sigma > EXACT * batch.scale * root, status, EXACT_FIT)
    back = np.einsum("ijr,kj->ikr", w, coordinates.transform) / root
    user = [a @ own / root for a, own in zip(coordinates.factor_maps, lam, strict=True)]
    singular = np.zeros(lanes, dtype=bool)
    for terms, own in zip(plan.terms, lam, strict=True):
        for block in boundary.term_slices(terms):
            singular |= np.linalg.svd(own[:, block, block], compute_uv=False).min(axis=1) < boundary.SINGULAR
    objective = value + degrees * 2.0 * np.log(batch.scale) - (2.0 * coordinates.log_det if reml else 0.0)
    return LaneFits(
        np.concatenate([canonical_lanes(terms, own) for terms, own in zip(plan.terms, user, strict=True)], axis=1),
        objective,
        sigma,
        (batch.beta + batch.scale * (coordinates.transform @ beta)).T,
        (sigma * np.sqrt(np.sum(back**2, axis=0))).T,
        status,
        iterations,
        singular,
        retried,
    )


def _width(model: Model) -> int:
    """Lanes of a wide chunk, a power of two."""
    k, levels = model.reduced.gram.lower.shape[1:]
    p = model.reduced.gram.within.shape[0]
    most = CHUNK_BYTES / (8 * ARRAYS * (k * k * levels + p * p))
    return int(2 ** np.floor(np.log2(np.clip(most, LEAST, WIDEST))))


def chunks(lanes: np.ndarray, wide: int) -> Iterator[np.ndarray]:
    """Lanes in wide chunks, what is left in narrow ones; the last is filled up with its first lane."""
    narrow, begin = max(wide // NARROW, 1), 0
    while begin < lanes.size:
        left = lanes.size - begin
        width = wide if left > wide // 2 else narrow
        part = lanes[begin : begin + width]
        yield np.concatenate([part, np.full(width - part.size, part[0])])
        begin += width


def _chunks(model: Model, lanes: np.ndarray) -> Iterator[np.ndarray]:
    """The same, as wide as memory allows."""
    return chunks(lanes, _width(model))


def _reduced(model: Model, batch: Batch, part: np.ndarray) -> pls.Reduced:
    """What an evaluation of these lanes reads."""
    return model.reduced._replace(response=jax.tree.map(lambda leaf: leaf[..., part], batch.response))


def _at(state: optimize.State, part: np.ndarray) -> optimize.State:
    """The states of some lanes."""
    return jax.tree.map(lambda leaf: leaf[..., part], state)


def _put(state: optimize.State, part: np.ndarray, found: optimize.State) -> None:
    """Write the states of some lanes."""
    for old, new in zip(jax.tree.leaves(state), jax.tree.leaves(found), strict=True):
        old[..., part] = new
