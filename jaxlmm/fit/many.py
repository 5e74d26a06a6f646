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
from jaxlmm.fit.batch import (
    EXACT_FIT,
    NOT_IDENTIFIED,
    Batch,
    LaneFits,
    as_lane,
    batch_of,
    batch_of_sums,
    joined,
    unknown_lanes,
)
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
    def of(cls, design: Design, plan: str = "auto") -> "Shared":
        """Reduce a design, for many lanes."""
        return cls(design, prepare(design, plan, many_lanes=True))

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
    lanes = y.shape[1]
    answer = _unknown(shared, settings, lanes)

    def fit(part: np.ndarray) -> None:
        own = slice(part[0], part[-1] + 1)
        _write(answer, part, _fit_part(shared, y[:, own], None if weights is None else weights[:, own], settings))

    _ = shared.responder, shared.sums, shared.in_lock_step and weights is not None and shared.products  # made once
    with one_blas_thread():
        parts = np.array_split(np.arange(lanes), cores() if lanes >= MANY * cores() else 1)
        side_by_side(fit, parts, (shared.model.plan, weights is None, "columns"))
    return answer


def _fit_part(shared: Shared, y: np.ndarray, weights: np.ndarray | None, settings: Settings) -> LaneFits:
    """Fit responses on one thread: those that have the same rows together, or each with weights of its own."""
    missing = np.isnan(y)
    if weights is None and not missing.any():
        return _fit_complete(shared, y, settings)
    answer = _unknown(shared, settings, y.shape[1])
    weighted = np.zeros(y.shape[1], dtype=bool)
    for absent, lanes in _patterns(missing):
        few = weights is not None or (absent.any() and lanes.size < MANY)
        if few and shared.in_lock_step:
            weighted[lanes] = True
        else:
            _write(answer, lanes, _fit_rows(shared, ~absent, y[:, lanes], _columns(weights, lanes), settings))
    if weighted.any():
        lanes = np.flatnonzero(weighted)
        given = np.ones((len(y), lanes.size)) if weights is None else weights[:, lanes]
        present = np.where(missing[:, lanes], 0.0, given)
        _write(answer, lanes, _fit_weighted(shared, y[:, lanes], present, settings))
        # Rows that are missing may take columns of X along: then a design of its own drops those.
        lost = lanes[answer.status[lanes] == NOT_IDENTIFIED]
        for absent, among in _patterns(missing[:, lost]) if lost.size else ():
            own = lost[among]
            _write(answer, own, _fit_rows(shared, ~absent, y[:, own], _columns(weights, own), settings))
    return answer


def _columns(weights: np.ndarray | None, lanes: np.ndarray) -> np.ndarray | None:
    """Weights of some lanes, where there are any."""
    return None if weights is None else weights[:, lanes]


def _fit_complete(shared: Shared, y: np.ndarray, settings: Settings) -> LaneFits:
    """Fit responses (n, R) that share all rows and weights."""
    responses = shared.responder.reduce(y)
    return _fit_batch(shared, batch_of(shared.model, shared.sums, responses), responses, settings)


def _fit_weighted(shared: Shared, y: np.ndarray, weights: np.ndarray, settings: Settings) -> LaneFits:
    """Fit responses with weights (n, R) of their own, zero where a value is missing."""
    present = weights > 0
    means = np.where(present, y, 0.0).sum(axis=0) / np.maximum(present.sum(axis=0), 1)
    found = shared.responder.residuals(np.where(present, y, means))
    sums = pls.weighted_lanes(shared.responder, shared.products, found, weights)
    return _fit_batch(shared, batch_of_sums(sums, found.scale, found.beta, found.exact), found, settings)


def _fit_rows(
    shared: Shared, used: np.ndarray, y: np.ndarray, weights: np.ndarray | None, settings: Settings
) -> LaneFits:
    """Fit responses (n, R) that all have the rows `used`, on a design of those; one by one if each has its own weights."""
    if weights is None and used.all():
        return _fit_complete(shared, y, settings)
    rows = np.flatnonzero(used)
    design = shared.design.rows(rows)
    if weights is not None:
        alone = ((replace(design, weights=weights[rows, lane]), y[rows, lane][:, None]) for lane in range(y.shape[1]))
        return joined([_fit_design(own, response, settings) for own, response in alone])
    return _fit_design(design, y[rows], settings)


def _fit_design(design: Design, y: np.ndarray, settings: Settings) -> LaneFits:
    """Fit responses on a design of their own, with whatever plan its rows allow."""
    if _identified(design):
        try:
            return _fit_complete(Shared.of(design), y, settings)
        except DesignError:  # not even the stand-in leaves anything to the random effects: as many columns as rows
            pass
    lanes = unknown_lanes(y.shape[1], _n_theta(design), design.n_fixed, len(settings.combinations))
    lanes.status[:] = NOT_IDENTIFIED
    return lanes


def _n_theta(design: Design) -> int:
    """Number of covariance parameters."""
    return sum(term.n_theta for block in design.random for term in block.terms)


def lane_of_rows(design: Design, like: Model, reml: bool, control: Control) -> LaneFits:
    """The fit of a design of its own as a lane beside those of a model; a status where it cannot be fitted.

    Rows that do not identify every coefficient of the model are of no use to it.
    """
    lane = unknown_lanes(1, like.plan.n_theta, like.coordinates.n_fixed, like.coordinates.n_fixed)
    try:
        own = prepare(design)
        if np.array_equal(own.coordinates.kept, like.coordinates.kept) and _identified(design):
            return as_lane(fit_model(own, reml, control))
        lane.status[:] = NOT_IDENTIFIED
    except DesignError:  # whatever the plan: the response is reproduced
        lane.status[:] = EXACT_FIT
    return lane


def _identified(design: Design) -> bool:
    """Whether rows that are left can tell the variances apart, as far as counting says."""
    counts = [np.unique(block.codes).size for block in design.random]
    return all(1 < count < design.n_obs for count in counts)


def _fit_batch(shared: Shared, batch: Batch, response: pls.Responses | pls.Residuals, settings: Settings) -> LaneFits:
    """Fit lanes with the combinations that the kept columns can estimate; NaN for the others, in all columns of X."""
    model = shared.model
    kept, dropped = model.coordinates.kept, model.coordinates.dropped
    possible = ~settings.combinations[:, dropped].any(axis=1)
    wanted = settings.combinations[np.ix_(possible, kept)]
    start = pls.starting_theta(model.gram, response, model.plan.terms)
    found = fit_lanes(model, batch, settings.reml, start, settings.control, wanted, settings.satterthwaite)
    whole = _unknown(shared, settings, found.sigma.size)
    whole.beta[:, kept], whole.std_error[:, possible], whole.df[:, possible] = found.beta, found.std_error, found.df
    return replace(found, beta=whole.beta, std_error=whole.std_error, df=whole.df)


def _patterns(missing: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Distinct columns of missing (n, R), and the lanes that have each."""
    packed = np.ascontiguousarray(np.packbits(missing, axis=0).T)
    keys = packed.view(np.dtype((np.void, packed.shape[1])))[:, 0]
    _, first, where = np.unique(keys, return_index=True, return_inverse=True)
    order = np.argsort(where, kind="stable")
    ends = np.cumsum(np.bincount(where))[:-1]
    return [(missing[:, i], lanes) for i, lanes in zip(first, np.split(order, ends), strict=True)]


def _unknown(shared: Shared, settings: Settings, lanes: int) -> LaneFits:
    """Responses of a design that nothing is known of yet."""
    return unknown_lanes(lanes, shared.model.plan.n_theta, shared.design.n_fixed, len(settings.combinations))


def _write(answer: LaneFits, lanes: np.ndarray, found: LaneFits) -> None:
    """Put lanes where they belong."""
    for old, new in zip(jax.tree.leaves(answer), jax.tree.leaves(found), strict=True):
        old[lanes] = new
