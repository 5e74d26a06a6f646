"""Lanes of `krylov` plans: each is a fit of its own, with as many probes as its own Monte Carlo error asks for.

They share the arrays of the design, and begin with as many probes as the fit that they resemble needed. So a lane is what a
single fit of its response is, whatever lanes are fitted beside it. Called by `lanes`.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from jaxlmm.errors import ConvergenceError
from jaxlmm.fit.batch import EXACT_FIT, STALLED, TO_FIT, Batch, LaneFits, as_lane, joined, lane_of, unknown_lanes
from jaxlmm.fit.krylov_uncertainty import Estimated
from jaxlmm.fit.record import Model, MonteCarlo
from jaxlmm.fit.single import Control, fit_at, reproduced
from jaxlmm.fit.threads import one_blas_thread, side_by_side


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
    assert batch.known is not None
    p = model.coordinates.n_fixed
    wanted = np.eye(p) if combinations is None else combinations
    nothing = unknown_lanes(1, model.plan.n_theta, p, len(wanted))
    parts = [replace(nothing, status=np.array([status])) for status in batch.known]

    def one(lane: int) -> None:
        coordinates = replace(model.coordinates, scale=float(batch.scale[lane]), beta=batch.beta[:, lane])
        own = replace(model, coordinates=coordinates, reduced=lane_of(model, batch, lane))
        try:
            fit = fit_at(own, np.array(start[:, lane]), reml, control, like=like)
        except ConvergenceError:  # conjugate gradients stalled: this lane alone has no numbers
            parts[lane] = replace(nothing, status=np.array([STALLED]))
            return
        found = as_lane(fit)
        status = np.array([EXACT_FIT]) if reproduced(own, fit) else found.status
        error = fit.sigma * np.sqrt(np.einsum("mp,pq,mq->m", wanted, fit.unscaled_vcov, wanted))
        df = np.full(len(wanted), np.nan)
        if satterthwaite and status[0] < EXACT_FIT:
            df = Estimated(own, fit).satterthwaite(wanted @ coordinates.transform)
        parts[lane] = replace(found, status=status, std_error=error[None], df=df[None])

    with one_blas_thread():
        side_by_side(one, np.flatnonzero(batch.known == TO_FIT).tolist(), (model.plan, "krylov lanes"))
    return joined(parts)
