"""Many responses over the rows of one design: which of them share a gram, and their fits.

Responses without missing values and weights share everything but themselves. With one grouping factor, a response with
weights of its own has a gram of its own, and one that misses values has weights of zero there; where many responses miss the
same rows, those rows are left out of the design once for all. Other designs are reduced again for every set of weights and
every pattern of missing values. Called by `results`; the caller holds the double-precision scope.
"""

import functools
from dataclasses import dataclass, replace

import jax
import numpy as np

from jaxlmm import optimize, pls
from jaxlmm.design import Design
from jaxlmm.errors import DesignError
from jaxlmm.fit.batch import EXACT_FIT, NOT_IDENTIFIED, LaneFits, as_lane, batch_of, batch_of_sums
from jaxlmm.fit.lanes import fit_lanes
from jaxlmm.fit.record import Model
from jaxlmm.fit.single import Control, fit_model, prepare
from jaxlmm.fit.threads import cores, one_blas_thread, side_by_side

MANY = 64
"""So many responses that miss the same rows are fitted to a design without those rows, together."""


@dataclass(frozen=True)
class Settings:
    """How responses are fitted.

    Attributes
    ----------
    reml : bool
        REML, or maximum likelihood.
    control : Control
        Plan and iteration limit.
    combinations : (m, p) array
        Linear combinations of all columns of X, redundant ones included, whose standard errors are wanted.
    satterthwaite : bool
        Whether their degrees of freedom are wanted.
    """

    reml: bool
    control: Control
    combinations: np.ndarray
    satterthwaite: bool


@dataclass(frozen=True)
class Shared:
    """A design that responses share, reduced once.

    Attributes
    ----------
    design : Design
        Its response is a stand-in.
    model : Model
        The reduced design.
    """

    design: Design
    model: Model

    @classmethod
    def of(cls, design: Design, plan: str) -> "Shared":
        """Reduce a design, for many lanes."""
        model = prepare(design, plan)
        chosen = pls.for_many_lanes(model.plan, model.gram)
        if chosen != model.plan:
            reduced = jax.device_put(pls.reduce(chosen, model.gram, model.response, model.coordinates))
            model = replace(model, plan=chosen, reduced=reduced)
        return cls(design, model)

    @functools.cached_property
    def responder(self) -> pls.Responder:
        """What reduces responses."""
        return pls.Responder.of(self.design, self.model.gram, self.model.coordinates)

    @functools.cached_property
    def sums(self) -> pls.ClassSums | None:
        """How levels are added up into classes."""
        return pls.class_sums(self.model.plan, self.model.gram)

    @functools.cached_property
    def products(self) -> pls.Products:
        """What weights are multiplied with."""
        return pls.Products.of(self.responder)

    @property
    def in_lock_step(self) -> bool:
        """Whether lanes of this design may have grams of their own."""
        plan = self.model.plan
        return plan.kind == "grouped" and plan.n_theta <= optimize.JACOBI and self.design.weights is None


def fit_columns(shared: Shared, y: np.ndarray, weights: np.ndarray | None, settings: Settings) -> LaneFits:
    """Fit responses (n, R), NaN where missing, from which an offset has been subtracted already.

    Parameters
    ----------
    weights : (n, R) array or None
        Weights of each response; None: those of the design.
    """
    lanes, p, m = y.shape[1], shared.design.n_fixed, len(settings.combinations)
    answer = _empty(lanes, shared.model.plan.n_theta, p, m)

    def fit(part: np.ndarray) -> None:
        own = None if weights is None else weights[:, part[0] : part[-1] + 1]
        _write(answer, part, _fit_columns(shared, y[:, part[0] : part[-1] + 1], own, settings))

    _ = shared.responder, shared.sums, shared.in_lock_step and weights is not None and shared.products  # made once
    with one_blas_thread():
        parts = np.array_split(np.arange(lanes), cores() if lanes >= MANY * cores() else 1)
        side_by_side(fit, parts, (shared.model.plan, weights is None, "columns"))
    return answer


def _fit_columns(shared: Shared, y: np.ndarray, weights: np.ndarray | None, settings: Settings) -> LaneFits:
    missing = np.isnan(y)
    if weights is None and not missing.any():
        return fit_complete(shared, y, settings)
    lanes, p, m = y.shape[1], shared.design.n_fixed, len(settings.combinations)
    answer = _empty(lanes, shared.model.plan.n_theta, p, m)
    own = np.ones(lanes, dtype=bool)
    for pattern, members in _patterns(missing):
        together = weights is None and (not pattern.any() or members.size >= MANY or not shared.in_lock_step)
        if together or not shared.in_lock_step:
            own[members] = False
            _fit_pattern(shared, y, weights, settings, answer, (~pattern, members))
    if own.any():
        of_lanes = np.flatnonzero(own)
        weighed = np.ones((len(y), of_lanes.size)) if weights is None else weights[:, of_lanes]
        weighed = np.where(missing[:, of_lanes], 0.0, weighed)
        _write(answer, of_lanes, _fit_weighted(shared, y[:, of_lanes], weighed, settings))
        # Rows that are missing may take columns of X along: then a design of its own drops those.
        lost = of_lanes[answer.status[of_lanes] == NOT_IDENTIFIED]
        for pattern, members in _patterns(missing[:, lost]) if lost.size else ():
            _fit_pattern(shared, y, weights, settings, answer, (~pattern, lost[members]))
    return answer


def fit_complete(shared: Shared, y: np.ndarray, settings: Settings) -> LaneFits:
    """Fit responses (n, R) that share all rows and weights."""
    model, responses = shared.model, shared.responder.reduce(y)
    start = pls.starting_theta(model.gram, responses, model.plan.terms)
    batch = batch_of(model, shared.sums, responses)
    return _estimable(
        shared, settings, lambda own: fit_lanes(model, batch, settings.reml, start, settings.control, *own)
    )


def _fit_weighted(shared: Shared, y: np.ndarray, weights: np.ndarray, settings: Settings) -> LaneFits:
    """Fit responses with weights (n, R) of their own, zero where a value is missing."""
    model, responder = shared.model, shared.responder
    present = weights > 0
    means = np.where(present, y, 0.0).sum(axis=0) / np.maximum(present.sum(axis=0), 1)
    found = responder.residuals(np.where(present, y, means))
    start = pls.starting_theta(model.gram, _responses(found), model.plan.terms)
    sums = pls.weighted_lanes(responder, shared.products, found, weights)
    batch = batch_of_sums(sums, found.scale, found.beta, found.exact)
    return _estimable(
        shared, settings, lambda own: fit_lanes(model, batch, settings.reml, start, settings.control, *own)
    )


def _responses(found: pls.Residuals) -> pls.Responses:
    """What a start is estimated from."""
    return pls.Responses(found.zy, found.square / found.scale**2, None, found.beta, found.scale, found.exact)


def _fit_pattern(shared: Shared, y, weights, settings: Settings, answer: LaneFits, where) -> None:
    """Fit responses that have the same rows, on a design of those rows; one by one if each has weights of its own."""
    used, members = where
    if weights is None and used.all():
        _write(answer, members, fit_complete(shared, y[:, members], settings))
        return
    rows = slice(None) if used.all() else np.flatnonzero(used)
    for part in [members] if weights is None else members[:, None]:
        design = shared.design.rows(rows)
        if weights is not None:
            design = replace(design, weights=weights[rows, part[0]])
        if not _identified(design):
            answer.status[part] = NOT_IDENTIFIED
            continue
        try:
            own = Shared.of(design, settings.control.plan)
        except DesignError:
            answer.status[part] = NOT_IDENTIFIED
            continue
        _write(answer, part, fit_complete(own, y[rows][:, part], settings))


def lane_of_rows(design: Design, like: Model, reml: bool, control: Control) -> LaneFits:
    """The fit of a design of its own as a lane beside those of a model; a status where it cannot be fitted.

    Rows that do not identify every coefficient of the model are of no use to it.
    """
    lane = _empty(1, like.plan.n_theta, like.coordinates.n_fixed, like.coordinates.n_fixed)
    try:
        own = prepare(design)
        if np.array_equal(own.coordinates.kept, like.coordinates.kept) and _identified(design):
            return as_lane(fit_model(own, reml, control))
        lane.status[:] = NOT_IDENTIFIED
    except DesignError:
        lane.status[:] = EXACT_FIT
    return lane


def _identified(design: Design) -> bool:
    """Whether rows that are left can tell the variances apart, as far as counting says."""
    counts = [np.unique(block.codes).size for block in design.random]
    return all(1 < count < design.n_obs for count in counts)


def _estimable(shared: Shared, settings: Settings, fit) -> LaneFits:
    """Fit with the combinations that the kept columns can estimate; NaN for the others, in all columns of X."""
    kept, dropped = shared.model.coordinates.kept, shared.model.coordinates.dropped
    possible = ~settings.combinations[:, dropped].any(axis=1)
    found: LaneFits = fit((settings.combinations[np.ix_(possible, kept)], settings.satterthwaite))
    lanes, p, m = found.sigma.size, shared.design.n_fixed, len(settings.combinations)
    beta, error, df = np.full((lanes, p), np.nan), np.full((lanes, m), np.nan), np.full((lanes, m), np.nan)
    beta[:, kept], error[:, possible], df[:, possible] = found.beta, found.std_error, found.df
    return replace(found, beta=beta, std_error=error, df=df)


def _patterns(missing: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Distinct columns of missing (n, R), and the lanes that have each."""
    packed = np.ascontiguousarray(np.packbits(missing, axis=0).T)
    keys = packed.view(np.dtype((np.void, packed.shape[1])))[:, 0]
    _, first, where = np.unique(keys, return_index=True, return_inverse=True)
    order = np.argsort(where, kind="stable")
    ends = np.cumsum(np.bincount(where))[:-1]
    return [(missing[:, i], lanes) for i, lanes in zip(first, np.split(order, ends), strict=True)]


def _empty(lanes: int, n_theta: int, p: int, m: int) -> LaneFits:
    """Lanes that nothing is known of yet."""

    def unknown(*shape: int) -> np.ndarray:
        return np.full((lanes, *shape), np.nan)

    zero = np.zeros(lanes, dtype=int)
    return LaneFits(
        unknown(n_theta),
        unknown(),
        unknown(),
        unknown(p),
        unknown(m),
        unknown(m),
        zero,
        zero.copy(),
        zero > 0,
        zero > 0,
    )


def _write(answer: LaneFits, lanes: np.ndarray, found: LaneFits) -> None:
    """Put lanes where they belong."""
    for old, new in zip(jax.tree.leaves(answer), jax.tree.leaves(found), strict=True):
        old[lanes] = new
