"""What a batch of lanes is given and what it gives: arrays with an axis of lanes, cut in chunks.

Called by `lanes`, `resample` and `many`; the caller holds the double-precision scope.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxlmm import pls
from jaxlmm.fit.record import Fit, Model
from jaxlmm.fit.threads import side_by_side
from jaxlmm.pytrees import pytree

WIDEST, LEAST = 2048, 16
"""Lanes of a wide chunk on one device, at most and at least; an accelerator takes `FACTOR` times as many."""

FACTOR = 64

NARROW = 16
"""A wide chunk has so many times the lanes of a narrow one: two widths, so that two programs do for any number of lanes."""

CACHE_BYTES, SHARE = 2**23, 16
"""Memory for the arrays of one chunk, roughly: a processor's cache; of an accelerator's memory one part in `SHARE`."""

ARRAYS = 16
"""Arrays (k, k, levels, lanes) that an evaluation holds at once, roughly."""

STATUSES = (
    "converged",
    "rounding error",
    "iteration limit",
    "no further decrease",
    "exact fit",
    "not identified",
)
"""What a lane may end with; the first two are minima. The last two: the model reproduces the response, or the lane's rows do
not identify its coefficients and variances."""
CONVERGED, ROUNDING_ERROR, LIMIT, STALLED, EXACT_FIT, NOT_IDENTIFIED = range(6)
TO_FIT = -1


class Batch(NamedTuple):
    """Responses of lanes in standard coordinates; what is None is the model's own.

    Attributes
    ----------
    response : pytree
        The plan's compressed response with a last axis of R lanes.
    scale : (R,) array
        Units of the responses.
    beta : (p, R) array
        Coefficients (user's columns) to which those of the lane are added.
    gram : pls.Levels or None
        Cross-products of lanes that have weights or multiplicities of their own (see `pls.lanes`).
    n_obs, sum_log_weights : (R,) arrays or None
        Rows of a lane, and Σ log w̃.
    weight_scale : (R,) array or None
        ω, units of the weights.
    known : (R,) int array or None
        Status of lanes that there is no use in fitting, TO_FIT of the others; None: all are fitted.
    """

    response: Any
    scale: np.ndarray
    beta: np.ndarray
    gram: pls.Levels | None = None
    n_obs: np.ndarray | None = None
    sum_log_weights: np.ndarray | None = None
    weight_scale: np.ndarray | None = None
    known: np.ndarray | None = None


@pytree
class LaneFits:
    """What R lanes estimated, in the user's units.

    Attributes
    ----------
    theta : (R, n_theta) array
        Canonical covariance parameters, in the design's order.
    objective, sigma : (R,) arrays
        Deviance or REML criterion, residual standard deviation.
    beta : (R, p) array
        Coefficients of the kept columns.
    std_error : (R, m) array
        Standard errors of the coefficients, or of the linear combinations that were asked for.
    df : (R, m) array
        Satterthwaite's degrees of freedom of the same; NaN where they were not asked for.
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
    df: np.ndarray
    status: np.ndarray
    iterations: np.ndarray
    singular: np.ndarray
    retried: np.ndarray

    @property
    def certified(self) -> np.ndarray:
        """Which lanes (R,) ended at a minimum."""
        return self.status <= ROUNDING_ERROR

    @property
    def n_certified(self) -> int:
        """How many did."""
        return int(self.certified.sum())

    @property
    def n_singular(self) -> int:
        """How many of those have a direction without variance."""
        return int((self.certified & self.singular).sum())

    @property
    def status_names(self) -> np.ndarray:
        """What each lane (R,) ended with, in words."""
        return np.asarray(STATUSES, dtype=object)[self.status]

    def take(self, lanes: np.ndarray) -> LaneFits:
        """Some of the lanes."""
        return jax.tree.map(lambda leaf: leaf[lanes], self)


def unknown_lanes(lanes: int, n_theta: int, p: int, m: int) -> LaneFits:
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


def as_lane(fit: Fit) -> LaneFits:
    """A single fit as a lane of its own."""
    errors = fit.sigma * np.sqrt(np.diagonal(fit.unscaled_vcov))
    status = STATUSES.index(fit.certificate.status)
    return LaneFits(
        fit.theta[None],
        np.array([fit.objective]),
        np.array([fit.sigma]),
        fit.beta[None],
        errors[None],
        np.full((1, errors.size), np.nan),
        np.array([status]),
        np.array([fit.certificate.iterations]),
        np.array([bool(fit.certificate.singular)]),
        np.zeros(1, dtype=bool),
    )


def joined(parts: list[LaneFits]) -> LaneFits:
    """Lanes one after another."""
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)


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
    return Batch(response, responses.scale, responses.beta, known=np.where(responses.exact, EXACT_FIT, TO_FIT))


def batch_of_sums(sums: pls.LaneSums, scale: np.ndarray, beta: np.ndarray, exact: np.ndarray) -> Batch:
    """Lanes with a gram of their own; the model's plan must not share blocks between levels."""
    known = np.where(sums.identified, np.where(exact, EXACT_FIT, TO_FIT), NOT_IDENTIFIED)
    return Batch(sums.response, scale, beta, sums.gram, sums.n_obs, sums.sum_log_weights, sums.weight_scale, known)


def reduced_of(model: Model, batch: Batch, part: np.ndarray) -> pls.Reduced:
    """What an evaluation of some lanes reads, on the devices that share them."""
    own = model.reduced._replace(response=jax.tree.map(lambda leaf: placed(leaf[..., part]), batch.response))
    if batch.gram is not None:
        cut = pls.lanes.chunk(batch.gram, part)
        own = own._replace(gram=cut._replace(**{f: placed(leaf) for f, leaf in cut._asdict().items() if f != "nx"}))
    if batch.n_obs is not None and batch.sum_log_weights is not None:
        own = own._replace(n_obs=placed(batch.n_obs[part]), sum_log_weights=placed(batch.sum_log_weights[part]))
    return own


def lane_of(model: Model, batch: Batch, lane: int) -> pls.Reduced:
    """The same of one lane, without the axis of lanes: what a single fit reads."""
    own = model.reduced._replace(response=jax.tree.map(lambda leaf: np.array(leaf[..., lane]), batch.response))
    if batch.gram is not None:
        own = own._replace(gram=pls.lanes.single(batch.gram, lane))
    if batch.n_obs is not None and batch.sum_log_weights is not None:
        own = own._replace(n_obs=batch.n_obs[lane], sum_log_weights=batch.sum_log_weights[lane])
    return own


def placed(leaf: np.ndarray) -> Any:
    """An array with its last axis, the lanes, divided between the devices; as it is where there is one."""
    devices = lane_devices()
    if devices == 1 or leaf.shape[-1] % devices:
        return leaf
    mesh = Mesh(np.array(jax.local_devices()[:devices]), ("lanes",))
    spec = PartitionSpec(*(None,) * (leaf.ndim - 1), "lanes")
    return jax.device_put(leaf, NamedSharding(mesh, spec))


def lane_devices() -> int:
    """Number of devices that lanes are divided between: a power of two, as the widths of chunks are."""
    return 1 << (jax.local_device_count().bit_length() - 1)


def width(model: Model, batch: Batch) -> int:
    """Lanes of a wide chunk, a power of two."""
    gram = model.reduced.gram if batch.gram is None else batch.gram
    (k, levels), p = gram.lower.shape[1:3], gram.within.shape[0]
    numbers = ARRAYS * (k * k * levels + p * p)
    if batch.gram is not None:
        numbers += 2 * k * p * levels
    memory, widest = _device_bytes()
    return int(2 ** np.floor(np.log2(np.clip(memory / (8 * numbers), LEAST, widest)))) * lane_devices()


@functools.cache
def _device_bytes() -> tuple[float, int]:
    """Memory for one chunk, and the most lanes of one, on each device."""
    device = jax.local_devices()[0]
    if device.platform == "cpu":
        return CACHE_BYTES, WIDEST
    found = device.memory_stats() or {}
    return found.get("bytes_limit", SHARE * 2**30) / SHARE, FACTOR * WIDEST


def chunks(lanes: np.ndarray, wide: int) -> Iterator[np.ndarray]:
    """Lanes in wide chunks, what is left in narrow ones; the last is filled up with its first lane."""
    narrow, begin = max(wide // NARROW, lane_devices()), 0
    while begin < lanes.size:
        left = lanes.size - begin
        size = wide if left > wide // 2 else narrow
        part = lanes[begin : begin + size]
        yield np.concatenate([part, np.full(size - part.size, part[0])])
        begin += size


def over_chunks(model: Model, batch: Batch, lanes: np.ndarray, function: Callable[[np.ndarray], None]) -> None:
    """Call a function with every chunk of some lanes, several at a time where a processor has idle cores."""
    wide = width(model, batch)
    parts = list(chunks(lanes, wide))
    side_by_side(function, parts, (model.plan, batch.gram is None, wide, function.__qualname__))
