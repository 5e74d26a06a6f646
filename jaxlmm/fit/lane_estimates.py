"""What lanes estimated, read off at their minima: back to the user's units, with Satterthwaite's degrees of freedom.

Called by `lanes`, for every plan with compiled programs.
"""

import jax
import numpy as np

from jaxlmm.covariance import canonical_lanes
from jaxlmm.fit import boundary, programs
from jaxlmm.fit.batch import EXACT_FIT, NOT_IDENTIFIED, Batch, LaneFits, lane_of, over_chunks, placed, reduced_of
from jaxlmm.fit.directions import smallest_values
from jaxlmm.fit.record import Model
from jaxlmm.fit.satterthwaite import from_derivatives, padded_combinations
from jaxlmm.fit.single import EXACT
from jaxlmm.fit.threads import one_blas_thread, side_by_side


def in_users_units(
    model: Model, batch: Batch, lam: list[np.ndarray], state, reml: bool, combinations: np.ndarray | None, with_df: bool
) -> LaneFits:
    """Estimates at Λ (R, k, k) of each grouping factor; `state` holds status, iterations and retried of the lanes."""
    plan, coordinates, lanes = model.plan, model.coordinates, batch.scale.size
    status, iterations, retried = state
    p, flag = coordinates.n_fixed, float(reml)
    of_weights = np.full(lanes, coordinates.weight_scale) if batch.weight_scale is None else batch.weight_scale
    root = np.sqrt(of_weights)
    n_obs = np.full(lanes, float(coordinates.n_obs)) if batch.n_obs is None else batch.n_obs
    value, pwrss = np.full(lanes, np.nan), np.full(lanes, np.nan)
    beta, w = np.full((p, lanes), np.nan), np.full((p, p, lanes), np.nan)
    fitted = np.flatnonzero(status != NOT_IDENTIFIED)

    def read(part: np.ndarray) -> None:
        factors = placed(np.moveaxis(lam[0][part], 0, -1))
        found = jax.device_get(programs.profile_lanes(plan, reduced_of(model, batch, part), factors, flag))
        value[part], pwrss[part] = found.value, found.pwrss
        beta[:, part], w[:, :, part] = found.beta[:p], found.w[:p, :p]

    def read_one(lane: int) -> None:
        factors = [own[lane] for own in lam]
        found = jax.device_get(programs.profile(plan, lane_of(model, batch, lane), factors, flag))
        value[lane], pwrss[lane] = found.objective, found.pwrss
        beta[:, lane], w[:, :, lane] = found.beta[:p], found.fixed_inverse_factor[:p, :p]

    if plan.kind == "grouped":
        over_chunks(model, batch, fitted, read)
    else:
        with one_blas_thread():
            side_by_side(read_one, fitted.tolist(), (plan, "profile"))
    degrees = n_obs - (p if reml else 0)
    sigma = batch.scale * root * np.sqrt(pwrss / degrees)
    status = np.where((status != NOT_IDENTIFIED) & ~(sigma > EXACT * batch.scale * root), EXACT_FIT, status)
    combined = np.eye(p) if combinations is None else combinations
    standard = coordinates.transform.T @ combined.T  # (p, m)
    spread = np.sqrt(np.sum(np.einsum("ijr,jm->imr", w, standard) ** 2, axis=0))
    df = np.full((len(combined), lanes), np.nan)
    if with_df:
        certified = np.flatnonzero(status < EXACT_FIT)
        _degrees_of_freedom(model, batch, lam, certified, standard, degrees, flag, df)
    user = [a @ own / root[:, None, None] for a, own in zip(coordinates.factor_maps, lam, strict=True)]
    singular = np.zeros(lanes, dtype=bool)
    for terms, own in zip(plan.terms, lam, strict=True):
        singular |= smallest_values(terms, own) < boundary.SINGULAR
    objective = value + degrees * 2.0 * np.log(batch.scale) - (2.0 * coordinates.log_det if reml else 0.0)
    return LaneFits(
        np.concatenate([canonical_lanes(terms, own) for terms, own in zip(plan.terms, user, strict=True)], axis=1),
        objective,
        sigma,
        (batch.beta + batch.scale * (coordinates.transform @ beta)).T,
        (sigma / root * spread).T,
        df.T,
        status,
        iterations,
        singular,
        retried,
    )


def _degrees_of_freedom(model: Model, batch: Batch, lam, lanes, standard, degrees, flag: float, df: np.ndarray) -> None:
    """Write Satterthwaite's degrees of freedom (m, R) of some lanes."""
    plan = model.plan
    padded = padded_combinations(standard)
    theta = np.concatenate([canonical_lanes(terms, own) for terms, own in zip(plan.terms, lam, strict=True)], axis=1).T

    def write(part: np.ndarray, hessian: np.ndarray, change: np.ndarray) -> None:
        df[:, part] = from_derivatives(hessian, change, degrees[part])

    def together(part: np.ndarray) -> None:
        reduced = reduced_of(model, batch, part)
        found = programs.satterthwaite_lanes(plan, reduced, placed(theta[:, part]), flag, padded)
        write(part, *jax.device_get(found))

    if plan.kind == "grouped":
        over_chunks(model, batch, lanes, together)
        return

    def alone(lane: int) -> None:
        found = programs.satterthwaite(plan, lane_of(model, batch, lane), theta[:, lane], flag, padded)
        write(np.array([lane]), *(np.asarray(part)[..., None] for part in jax.device_get(found)))

    with one_blas_thread():
        side_by_side(alone, lanes.tolist(), (plan, "satterthwaite"))
