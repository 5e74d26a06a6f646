"""Refits of a fit's own resamples: the bootstrap, and the jackknife over groups, as lanes.

For one grouping factor a parametric replicate is drawn as sufficient statistics (`sufficient`), and one of whole groups
(cases) as multiplicities of the levels; for other designs, and for the residual bootstrap, responses or rows are drawn and
reduced. Every lane starts at the fit's own θ. Called by `results`; the caller holds the double-precision scope.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass

import jax
import numpy as np

from jaxlmm import pls
from jaxlmm.design import Design
from jaxlmm.errors import DataError
from jaxlmm.fit import (
    NARROW,
    Batch,
    Control,
    Fit,
    LaneFits,
    Shared,
    batch_of,
    batch_of_sums,
    chunks,
    fit_lanes,
    joined,
    lane_of_rows,
    lifted,
)
from jaxlmm.resample import sufficient
from jaxlmm.resample.cases import drawn_counts, top_factor, with_repeats, without
from jaxlmm.resample.simulate import draw_residuals, draw_responses

KINDS = ("parametric", "residual", "cases")

DRAWN_TOGETHER = 4096
"""Replicates that one program draws."""

ROUND_NUMBERS = 2**22
"""So many numbers the responses of one round may hold, compressed or not."""

LARGEST_ROUND, ALONE_ROUND = 8192, 64
"""Most replicates of a round: of lanes in lock-step, and of lanes that are fitted one by one."""


@dataclass(frozen=True)
class Resampler:
    """Draws replicates by their numbers and fits them.

    Attributes
    ----------
    shared : Shared
        Design and model; rows are read only where responses or rows are drawn.
    fit : Fit
        What is drawn from.
    seed : int
        Of all replicates.
    kind : str
        One of `KINDS`.
    control : Control
        Settings of the refits.
    """

    shared: Shared
    fit: Fit
    seed: int
    kind: str
    control: Control

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise DataError(f"kind={self.kind!r} is not known; write " + " or ".join(map(repr, KINDS)))
        if self.kind == "cases":
            top_factor(self.shared.model)  # raises where groups are not independent

    @property
    def round_size(self) -> int:
        """Replicates that are drawn and fitted before the next."""
        plan, model = self.shared.model.plan, self.shared.model
        if plan.kind != "grouped":
            return ALONE_ROUND
        numbers = self.shared.design.n_obs
        if self.kind == "parametric":
            numbers = sum(np.size(leaf) for leaf in jax.tree.leaves(model.reduced.response))
        if self.kind == "cases":
            numbers = 4 * sum(model.n_levels)
        return int(np.clip(ROUND_NUMBERS // max(numbers, 1), NARROW, LARGEST_ROUND))

    def replicates(self, numbers: np.ndarray) -> LaneFits:
        """Draw the replicates with these numbers and fit them."""
        model, design = self.shared.model, self.shared.design
        if self.kind == "cases":
            return self._cases(numbers)
        if self.kind == "parametric" and model.plan.kind == "grouped":
            return self._fit(self._sufficient(numbers))
        mean = design.x[:, model.coordinates.kept] @ self.fit.beta
        draw = draw_responses if self.kind == "parametric" else draw_residuals
        y = draw(design, self.fit, mean, numbers, self.seed)
        return self._fit(batch_of(model, self.shared.sums, self.shared.responder.reduce(y)))

    def jackknife(self) -> LaneFits:
        """The fit without each level of the grouping factor (of the top one of a chain), exactly: multiplicity zero."""
        model = self.shared.model
        factor = top_factor(model)
        levels = model.n_levels[factor]
        if model.plan.kind == "grouped":
            return self._repeated(1.0 - np.eye(levels))
        return self._rows(without(self.shared.design, factor, level) for level in range(levels))

    @functools.cached_property
    def _sampler(self) -> sufficient.Source:
        return sufficient.sampler(self.shared.model, self.fit)

    def _sufficient(self, numbers: np.ndarray) -> Batch:
        """Parametric replicates of one grouping factor."""
        wide = min(DRAWN_TOGETHER, max(NARROW, 2 ** int(np.log2(self.round_size))))
        model = self.shared.model
        pieces = [sufficient.draw(model, self.fit, self._sampler, self.seed, part) for part in chunks(numbers, wide)]
        return jax.tree.map(lambda *leaves: np.concatenate(leaves, axis=-1)[..., : numbers.size], *pieces)

    def _cases(self, numbers: np.ndarray) -> LaneFits:
        """Replicates of whole groups."""
        model = self.shared.model
        factor = top_factor(model)
        counts = drawn_counts(model.n_levels[factor], numbers, self.seed)
        if model.plan.kind == "grouped":
            return self._repeated(counts)
        return self._rows(with_repeats(self.shared.design, factor, own) for own in counts.T)

    def _rows(self, designs: Iterable[Design]) -> LaneFits:
        """Designs with other rows, each fitted by itself."""
        return joined([lane_of_rows(own, self.shared.model, self.fit.reml, self.control) for own in designs])

    @functools.cached_property
    def _level_sums(self) -> tuple[pls.Residuals, pls.LevelSums]:
        """The fit's own response, and what each level adds."""
        responder = self.shared.responder
        found = responder.residuals(self.shared.design.y[:, None])
        return found, pls.LevelSums.of(responder, found)

    def _repeated(self, counts: np.ndarray) -> LaneFits:
        """Lanes in which level g stands counts[g] times, counts (levels, R)."""
        (found, sums), lanes = self._level_sums, counts.shape[1]
        own = pls.repeated_lanes(sums, counts, self.shared.model.coordinates.weight_scale)
        beta = np.repeat(found.beta, lanes, axis=1)
        return self._fit(batch_of_sums(own, np.repeat(found.scale, lanes), beta, np.repeat(found.exact, lanes)))

    def _fit(self, batch: Batch) -> LaneFits:
        model = self.shared.model
        start = lifted(model.plan, self.fit.standard_theta)
        return fit_lanes(model, batch, self.fit.reml, start, self.control, like=self.fit.monte_carlo)
