"""Variances of what a fit estimates, read off the factor at its θ; computed when asked for.

The caller holds the double-precision scope. Called by `inference` and `results`.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxlmm import pls
from jaxlmm.fit import programs
from jaxlmm.fit.krylov_uncertainty import Estimated
from jaxlmm.fit.record import Fit, Model
from jaxlmm.fit.row_forms import row_forms
from jaxlmm.fit.second_order import LARGEST, SecondOrder

SMALL, MANY = 1500, 2000
"""Columns of a component that is inverted for any number of rows, and number of rows for which a larger one is."""

CHUNK = 256
"""Vectors per call of `prediction_variances`; bounds memory at CHUNK times the number of random effects."""


def expanded_reduction(model: Model, blocks: bool = False) -> tuple[pls.Plan, pls.Reduced]:
    """Plan and reduced data in which every level stands on its own; with `blocks`, its cross-products too."""
    plan = pls.expanded(model.plan, blocks)
    if plan == model.plan:
        return plan, model.reduced
    reduced = pls.reduce(plan, model.gram, model.response, model.coordinates)
    return plan, jax.tree.map(jnp.asarray, reduced)


def conditional_variances(model: Model, fit: Fit) -> tuple[np.ndarray, ...]:
    """Var(b | y) (levels, k, k) of each grouping factor at known β, in the user's units."""
    return measured_variances(model, fit)[0]


def measured_variances(model: Model, fit: Fit) -> tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...] | None]:
    """The same, and their standard deviations over other probes, of a fit whose criterion is estimated; else None."""
    errors = None
    if model.plan.kind == "krylov":
        values, errors = Estimated(model, fit).conditional_variances()
    else:
        plan, reduced = expanded_reduction(model, blocks=True)
        values = programs.conditional_variances(plan, reduced, jnp.asarray(fit.standard_theta))
    unit, maps = fit.sigma**2 / model.coordinates.weight_scale, model.coordinates.factor_maps
    found = tuple(
        unit * np.einsum("ia,abl,jb->lij", a, v, a) for a, v in zip(maps, pls.trim(values, model.n_levels), strict=True)
    )
    if errors is None:
        return found, None
    return found, tuple(
        unit * np.sqrt(np.einsum("ia,abl,jb->lij", a**2, e**2, a**2)) for a, e in zip(maps, errors, strict=True)
    )


def prediction_variances(
    model: Model, fit: Fit, x: np.ndarray, z: Sequence[np.ndarray | None], codes: Sequence[np.ndarray | None]
) -> np.ndarray:
    """Variance (r,) of x'(β̂ - β) + Σ z_t'(b̂_t - b_t) for rows of columns.

    Parameters
    ----------
    x : (r, p) array
        Kept fixed-effects columns.
    z : list of (r, k) arrays or None
        Columns of each grouping factor; None leaves the factor out.
    codes : list of (r,) int arrays or None
        Levels; a negative one leaves the row's factor out (a new level's b is not estimated).
    """
    coordinates = model.coordinates
    fixed = x @ coordinates.transform
    if model.plan.kind == "krylov":
        standard = [None if own is None else own @ a for own, a in zip(z, coordinates.factor_maps, strict=True)]
        unit = fit.sigma**2 / coordinates.weight_scale
        return unit * Estimated(model, fit).forms(fixed, standard, list(codes))
    size = pls.largest_component(model.gram)
    if size <= SMALL or (len(x) > MANY and size <= LARGEST):
        standard = [None if own is None else own @ a for own, a in zip(z, coordinates.factor_maps, strict=True)]
        return (
            fit.sigma**2
            / coordinates.weight_scale
            * row_forms(SecondOrder(model, fit), fit.standard_vcov, fixed, standard, codes)
        )
    plan, reduced = expanded_reduction(model)
    fixed = np.pad(fixed, [(0, 0), (0, pls.bucket(fixed.shape[1]) - fixed.shape[1])])
    theta = jnp.asarray(fit.standard_theta)
    answer = np.empty(len(x))
    for begin in range(0, len(x), CHUNK):
        rows = range(begin, min(begin + CHUNK, len(x)))
        vectors = [_vector(model, plan, reduced, z, codes, row) for row in rows]
        vectors += [vectors[-1]] * (CHUNK - len(vectors) if len(x) > CHUNK else 0)
        batch = jax.tree.map(lambda *leaves: jnp.asarray(np.stack(leaves)), *vectors)
        part = fixed[begin : begin + CHUNK]
        part = np.pad(part, [(0, len(vectors) - len(part)), (0, 0)])
        forms = programs.quadratic_forms(plan, reduced, theta, batch, jnp.asarray(part))
        answer[begin : begin + CHUNK] = np.asarray(forms)[: len(rows)]
    return fit.sigma**2 / coordinates.weight_scale * answer


def _vector(model, plan, reduced, z, codes, row):
    """The row's random-effects columns in the place of ZᵀWy."""
    zy = []
    for t, block in enumerate(model.response.zy):
        vector = np.zeros_like(block)
        if z[t] is not None and codes[t] is not None and codes[t][row] >= 0:
            vector[:, codes[t][row]] = z[t][row] @ model.coordinates.factor_maps[t]
        zy.append(vector)
    return plan.module.compress_response(plan, reduced.layout, model.gram, pls.Response(tuple(zy), 0.0, None))
