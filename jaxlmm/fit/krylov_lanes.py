"""Lanes of `krylov` plans: each is a fit of its own, with as many probes as its own Monte Carlo error asks for.

They share the arrays of the design, and begin with as many probes as the fit that they resemble needed. So a lane is what a
single fit of its response is, whatever lanes are fitted beside it. Called by `lanes`.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from jaxlmm.errors import JaxlmmError
from jaxlmm.fit.batch import EXACT_FIT, NOT_IDENTIFIED, STALLED, TO_FIT, Batch, LaneFits, as_lane, joined, lane_of
from jaxlmm.fit.krylov_uncertainty import Estimated
from jaxlmm.fit.record import Model, MonteCarlo
from jaxlmm.fit.single import EXACT, Control, fit_at
from jaxlmm.fit.threads import one_blas_thread, side_by_side

NEAR = 1.0
"""Radius of the first trust region."""


def fit_each(
    model: Model,
    batch: Batch,
    reml: bool,
    start: np.ndarray,
    control: Control,
    combinations: np.ndarray | None,
    satterthwaite: bool,
    like: MonteCarlo | None,
) -> LaneFits:
    """Fit every lane; arguments and answer are those of `lanes.fit_lanes`, `start` (n_theta, R)."""
    lanes = batch.scale.size
    known = np.full(lanes, TO_FIT) if batch.known is None else batch.known
    wanted = np.eye(model.coordinates.n_fixed) if combinations is None else combinations
    parts = [_nothing(model, len(wanted), status) for status in known]

    def one(lane: int) -> None:
        coordinates = replace(model.coordinates, scale=float(batch.scale[lane]), beta=batch.beta[:, lane])
        own = replace(model, coordinates=coordinates, reduced=lane_of(model, batch, lane))
        try:
            fit = fit_at(own, np.array(start[:, lane]), reml, control, NEAR, like)
        except JaxlmmError:  # conjugate gradients stalled: this lane alone has no numbers
            parts[lane] = _nothing(model, len(wanted), STALLED)
            return
        found = as_lane(fit)
        status = found.status if fit.sigma > EXACT * coordinates.scale else np.array([EXACT_FIT])
        error = fit.sigma * np.sqrt(np.einsum("mp,pq,mq->m", wanted, fit.unscaled_vcov, wanted))
        df = np.full(len(wanted), np.nan)
        if satterthwaite and status[0] < EXACT_FIT:
            df = Estimated(own, fit).satterthwaite(wanted @ coordinates.transform)
        parts[lane] = replace(found, status=status, std_error=error[None], df=df[None])

    with one_blas_thread():
        side_by_side(one, np.flatnonzero(known == TO_FIT).tolist(), (model.plan, "krylov lanes"))
    return joined(parts)


def _nothing(model: Model, n_combinations: int, status: int) -> LaneFits:
    """One lane without numbers."""

    def unknown(*shape: int) -> np.ndarray:
        return np.full((1, *shape), np.nan)

    p, m = model.coordinates.n_fixed, n_combinations
    zero = np.zeros(1, dtype=int)
    return LaneFits(
        unknown(model.plan.n_theta),
        unknown(),
        unknown(),
        unknown(p),
        unknown(m),
        unknown(m),
        zero + (NOT_IDENTIFIED if status == TO_FIT else status),
        zero.copy(),
        zero > 0,
        zero > 0,
    )
