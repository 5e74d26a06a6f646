"""What many responses are fitted to, and the loop over them: columns are read, fitted and forgotten, a round at a time."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from jaxlmm.design import Frame
from jaxlmm.design.build import build, offset_matrix
from jaxlmm.design.columns import Columns, check_positive, chunks_of
from jaxlmm.errors import DataError
from jaxlmm.fit import LaneFits, Settings, Shared, fit_columns, fitted_lanes, joined
from jaxlmm.formula import parse_formula
from jaxlmm.formula.where import quote
from jaxlmm.resample import Checkpoint, Round, digest_of, run
from jaxlmm.results.fitting import fit_frame
from jaxlmm.results.model import MixedModelResults

ROUND_NUMBERS = 2**21
"""So many numbers a round of columns may hold."""

LARGEST_ROUND, ALONE_ROUND = 8192, 64
"""Most responses of a round: of lanes in lock-step, and of lanes that are fitted one by one."""


@dataclass
class ManySource:
    """A design and its responses.

    Attributes
    ----------
    formula : str
        One-sided, as the user wrote it.
    frame : Frame
        Names and rows; its response is a stand-in.
    shared : Shared
        The design, reduced.
    settings : Settings
        How responses are fitted.
    tests : list of str
        Names of the linear combinations besides the coefficients.
    ddf : str
        Degrees of freedom of the tables.
    parts : list of (Columns, Columns or None)
        Responses and their weights, where they can be read again.
    means, n_rows : (R,) arrays
        Mean of each response, and how many rows it has.
    """

    formula: str
    frame: Frame
    shared: Shared
    settings: Settings
    tests: list[str]
    ddf: str
    parts: list[tuple[Columns, Columns | None]] = field(default_factory=list)
    means: np.ndarray = field(default_factory=lambda: np.zeros(0))
    n_rows: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=int))

    @property
    def n_obs(self) -> int:
        """Rows of the design."""
        return self.frame.design.n_obs

    @property
    def terms(self) -> list[str]:
        """Coefficients, then tests."""
        return [*self.frame.fixed.names, *self.tests]

    def fit_all(
        self, responses: Any, weights: Any, labels: pd.Index | None, progress: bool, checkpoint: Checkpoint | None
    ) -> tuple[pd.Index, LaneFits]:
        """Read and fit all responses; those of an iterator are gone afterwards."""
        lasting = not isinstance(responses, Iterator) and not isinstance(weights, Iterator)
        names: list[pd.Index] = []
        means: list[np.ndarray] = []
        counts: list[np.ndarray] = []

        seen: set[Hashable] = set()

        def rounds() -> Iterator[Round]:
            begin = 0
            for columns, own in self._pairs(responses, weights, labels):
                if lasting:
                    self.parts.append((columns, own))
                again = [name for name in columns.names if name in seen]
                if again:
                    raise DataError(f"two chunks of responses have a column called {again[0]!r}; rename one")
                seen.update(columns.names)
                for part in _cuts(len(columns), self._width(own)):
                    y = columns.read(*part)
                    w = None if own is None else own.read(*part)
                    if w is not None:
                        check_positive(w, y, columns.names[slice(*part)], self.frame.rows.index)
                    digest = "" if checkpoint is None else digest_of([y] if w is None else [y, w])
                    names.append(columns.names[slice(*part)])
                    means.append(y.mean(axis=0))
                    counts.append(np.full(y.shape[1], len(y)))
                    if np.isnan(means[-1]).any():
                        counts[-1] = (~np.isnan(y)).sum(axis=0)
                        means[-1] = np.nansum(y, axis=0) / np.maximum(counts[-1], 1)
                    end = begin + y.shape[1]
                    yield Round(begin, end, functools.partial(self._fit, y, w), digest)
                    begin = end

        total = None
        if not isinstance(responses, Iterator | list | tuple):
            responses = Columns(responses, "responses", self.frame.rows, labels)
            total = len(responses)
        parts = run(rounds(), total, "responses", progress, checkpoint)
        if not parts:
            raise DataError("responses has no columns, so there is nothing to fit")
        # What was read but not fitted, because the user interrupted, is forgotten.
        names, means, counts = names[: len(parts)], means[: len(parts)], counts[: len(parts)]
        self.means, self.n_rows = np.concatenate(means), np.concatenate(counts)
        found = names[0].append(names[1:]) if len(names) > 1 else names[0]
        return found, joined(parts)

    def fit_one(self, position: int, name: Hashable) -> MixedModelResults:
        """One response as ordinary results."""
        y, w = self.columns(np.array([position]))
        rows = self.frame.table
        called = str(name)
        if called in rows or "`" in called:
            called = f"response {position}"
        used = np.isfinite(y[:, 0])
        if used.sum() < 2:
            raise DataError(f"response {name!r} has {used.sum()} values, so there is nothing to fit")
        table = rows.assign(**{called: y[:, 0]})[used]
        shared = self.frame.design.weights
        arguments = {
            **self.frame.arguments,
            "weights": w[used, 0] if w is not None else None if shared is None else shared[used],
            "offset": self._given_offset(used),
        }
        text = f"{quote(called)} {self.formula.strip()}"
        parsed = parse_formula(text, trusted=self.frame.formula.trusted)
        frame = build(parsed, table, **arguments)
        fitted = fit_frame(frame, self.settings.reml, self.settings.control, self.ddf, 0.0)
        return MixedModelResults(fitted, self.settings.control, table)

    def columns(self, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Responses (n, c) and their weights, read again.

        Raises
        ------
        DataError
            When they came from an iterator.
        """
        if not self.parts:
            raise DataError("the responses came from an iterator and are gone; fit those that you want again")
        y = np.empty((self.n_obs, positions.size))
        w = None if self.parts[0][1] is None else np.empty_like(y)
        ends = np.cumsum([0, *(len(columns) for columns, _ in self.parts)])
        for j, position in enumerate(positions):
            part = int(np.searchsorted(ends, position, side="right")) - 1
            columns, own = self.parts[part]
            at = int(position - ends[part])
            y[:, j] = columns.read(at, at + 1)[:, 0]
            if w is not None and own is not None:
                w[:, j] = own.read(at, at + 1)[:, 0]
        return y, w

    def rows(self, positions: np.ndarray, fits: LaneFits, residuals: bool) -> np.ndarray:
        """Fitted values or residuals (n, c) of some responses."""
        y, w = self.columns(positions)
        offset = 0.0 if self.frame.offset is None else self.frame.offset[:, None]
        design = self.frame.design
        if len(design.random) == 1:
            fitted = fitted_lanes(design, y - offset, w, fits.theta, fits.beta) + offset
            fitted[:, ~np.isfinite(fits.sigma)] = np.nan
        else:
            fitted = np.full(y.shape, np.nan)
            names = [self._name(int(position)) for position in positions]
            for j, name in enumerate(names):
                if np.isfinite(fits.sigma[j]):
                    own = self.fit_one(int(positions[j]), name)
                    fitted[np.isfinite(y[:, j]), j] = own.fittedvalues
        return y - fitted if residuals else fitted

    def _name(self, position: int) -> Hashable:
        return next(itertools.islice(itertools.chain(*(c.names for c, _ in self.parts)), position, None))

    def _fit(self, y: np.ndarray, w: np.ndarray | None) -> LaneFits:
        offset = self.frame.offset
        return fit_columns(self.shared, y if offset is None else y - offset[:, None], w, self.settings)

    def _given_offset(self, used: np.ndarray) -> np.ndarray | None:
        """Values of the argument offset= on some rows: all offsets less those of the formula."""
        frame = self.frame
        if frame.arguments["offset"] is None or frame.offset is None:
            return None
        own = [offset_matrix(text, frame.table, frame.codings).values[:, 0] for text in frame.formula.offsets]
        return (frame.offset - np.sum(own, axis=0) if own else frame.offset)[used]

    def _width(self, weights: Columns | None) -> int:
        """Responses of a round."""
        if not self.shared.in_lock_step and weights is not None:
            return ALONE_ROUND
        if self.shared.model.plan.kind != "grouped":
            return ALONE_ROUND
        block = self.frame.design.random[0]
        numbers = (
            self.n_obs
            if weights is None
            else self.n_obs + self.frame.design.n_fixed * block.z.shape[1] * block.n_levels
        )
        return int(np.clip(ROUND_NUMBERS // numbers, 16, LARGEST_ROUND))

    def _pairs(self, responses: Any, weights: Any, labels: pd.Index | None) -> Iterator[tuple[Columns, Columns | None]]:
        """Responses with their weights, chunk by chunk."""
        chunks = chunks_of(responses, "responses", self.frame.rows, labels)
        if weights is None:
            yield from ((columns, None) for columns in chunks)
            return
        own = chunks_of(weights, "weights", self.frame.rows, labels)
        for columns, weight in itertools.zip_longest(chunks, own):
            if columns is None or weight is None:
                raise DataError("responses and weights come in different numbers of chunks; each must have its own")
            if not weight.names.equals(columns.names):
                raise DataError(
                    "weights must have the columns of the responses, in their order: "
                    f"{columns.names[:4].tolist()} against {weight.names[:4].tolist()}, {len(columns)} against {len(weight)}"
                )
            yield columns, weight


def _cuts(total: int, width: int) -> Iterator[tuple[int, int]]:
    for begin in range(0, total, width):
        yield begin, min(begin + width, total)
