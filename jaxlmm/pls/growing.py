"""Sums over rows that arrive in parts, with columns and levels that appear on the way.

The same sums as `rows` makes of a whole design, over F = [1 y D] with D the raw columns that stand behind each other as they
appear. The frame is that of the first rows, and is changed when the sums show that it fits no longer (Chan, Golub & LeVeque
1983). Random-effects columns that are fixed-effects columns too are summed once. Memory is that of the sums: levels, and
pairs of levels that occur together. Called by `results.cross_products` with the parts that `design.stream` makes.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jax.sharding import Mesh

from jaxlmm.design import Part
from jaxlmm.pls.crossprod import CrossProducts
from jaxlmm.pls.frames import ROWS, SHIFT_BITS, Frame, power_of_two
from jaxlmm.pls.growing_levels import GrowingFactor, GrowingPairs, padded
from jaxlmm.pls.rows import FactorSums, squared, triangle_of
from jaxlmm.pls.sharded import level_sums

FIRST = 4096
"""Rows that are waited for before anything is summed: they make the frame."""

FAR, WIDE = 8.0, 2.0**10
"""A frame is changed when a column's mean is farther from its shift than so many standard deviations, or its size from its
scale by more than this factor."""


class Growing:
    """Sums that grow.

    Parameters
    ----------
    n_factors : int
        Number of grouping factors.
    mesh : Mesh, optional
        Devices that the rows of each part are spread over; the sums by level are made there.
    """

    def __init__(self, n_factors: int, mesh: Mesh | None = None):
        self._mesh = mesh
        self._waiting: list[Part] = []
        self._frame: Frame | None = None
        self._ff = self._triangle = np.zeros((0, 0))
        self._factors: list[GrowingFactor] = []
        self._pairs = {(s, t): GrowingPairs() for t in range(n_factors) for s in range(t)}
        self._within_ss = self._sum_log_weights = 0.0
        self._n_obs = 0
        self._ones = -1

    def add(self, part: Part) -> None:
        """Add rows; few of them wait for more."""
        self._waiting.append(part)
        if sum(own.y.size for own in self._waiting) >= FIRST:
            self._flush()

    def sums(self) -> CrossProducts:
        """What was added so far, over [1 D y].

        Raises
        ------
        ValueError
            When nothing was added.
        """
        self._flush()
        if self._frame is None:
            raise ValueError("no rows were added")
        m = self._ff.shape[0]
        # The column of ones stands in F once, and in D where the formula has it.
        order = [0, *range(2, m), 1]
        if self._ones >= 0:
            order.insert(1 + self._ones, 0)
        own, frame = np.array(order), self._frame
        constant = np.where(frame.constant[own] >= 0, 0, -1)
        ff, triangle = self._ff.copy(), squared(self._triangle)
        if self._within_ss:
            inside = self._within_ss / frame.scale[1] ** 2
            ff[1, 1] += inside
            row = np.zeros((1, m))
            row[0, 1] = np.sqrt(inside)
            triangle = np.asarray(np.linalg.qr(np.vstack([triangle, row]), mode="r"))
        for f in self._factors:
            f.complete()
        factors = tuple(
            FactorSums(
                f.squares(),
                f.zf[:, own][:, :, : f.n_levels],
                f.frame,
                (),
                f.count(),
            )
            for f in self._factors
        )
        return CrossProducts(
            factors,
            {key: pairs.sums() for key, pairs in self._pairs.items()},
            ff[np.ix_(own, own)],
            triangle_of(triangle[:, own]),
            None,
            Frame(frame.shift[own], frame.scale[own], constant),
            self._sum_log_weights,
            self._n_obs,
        )

    def _flush(self) -> None:
        """Sum what waits."""
        if not self._waiting:
            return
        last, parts, self._waiting = self._waiting[-1], self._waiting, []
        part = last if len(parts) == 1 else _joined(parts)
        counts = part.counts
        self._n_obs += part.y.size if counts is None else int(counts.sum())
        if part.weights is not None:
            logs = np.log(part.weights)
            self._sum_log_weights += float(logs.sum() if counts is None else counts @ logs)
        if part.within_ss is not None:
            self._within_ss += float(part.within_ss.sum() if part.weights is None else part.within_ss @ part.weights)
        weights = part.weights if counts is None else counts if part.weights is None else counts * part.weights
        self._make_room(part)
        for begin in range(0, part.y.size, ROWS):
            self._add_rows(part, slice(begin, min(begin + ROWS, part.y.size)), weights)
        if self._mesh is not None:
            self._add_levels(part, slice(None), weights, self._mesh)
        for key, pairs in self._pairs.items():
            s, t = key
            frames = [self._factors[f].frame for f in key]
            z = [frame.stored(part.z[f].copy()) for f, frame in zip(key, frames, strict=True)]
            pairs.add(part.codes[s], part.codes[t], z[0] if weights is None else z[0] * weights, z[1], counts)
        self._follow()

    def _add_rows(self, part: Part, rows: slice, weights: np.ndarray | None) -> None:
        """Add some rows that fit the cache."""
        assert self._frame is not None
        w = None if weights is None else weights[rows]
        f = self._frame.stored(self._columns(part, rows))
        wf = f if w is None else f * w
        self._ff += wf @ f.T
        panel = (f if w is None else f * np.sqrt(w)).T
        self._triangle = np.asarray(np.linalg.qr(np.vstack([self._triangle, panel]), mode="r"))
        if self._mesh is not None:
            return
        for t, factor in enumerate(self._factors):
            codes, inside = part.codes[t][rows], factor.inside
            z = f[inside]
            rest = np.flatnonzero(inside < 0)
            if rest.size:
                z[rest] = part.z[t][rest][:, rows] / factor.frame.scale[rest, None]
            for i, own in enumerate(z):
                for j in range(f.shape[0]):
                    if factor.twice(i, j) is None:
                        np.add.at(factor.zf[i, j], codes, wf[j] if i == part.z_ones[t] else own * wf[j])
                for j in range(i, len(z)):
                    if inside[i] < 0 and inside[j] < 0:
                        np.add.at(factor.zz[i, j], codes, own * z[j] if w is None else own * z[j] * w)
            if factor.ones < 0:
                np.add.at(factor.rows, codes, 1.0 if part.counts is None else part.counts[rows])

    def _add_levels(self, part: Part, rows: slice, weights: np.ndarray | None, mesh: Mesh) -> None:
        """Add all rows of a part to their levels, on the devices of a mesh."""
        assert self._frame is not None
        f = self._frame.stored(self._columns(part, rows))
        wf = f if weights is None else f * weights
        ones = np.ones((1, f.shape[1])) if part.counts is None else part.counts[None]
        for t, factor in enumerate(self._factors):
            codes, n = part.codes[t], part.n_levels[t]
            z = factor.frame.stored(part.z[t].copy())
            factor.zf[:, :, :n] += level_sums(mesh, codes, z, wf, n)
            own = np.flatnonzero(factor.inside < 0)
            if own.size:
                wz = z[own] if weights is None else z[own] * weights
                upper = np.triu(np.ones((own.size, own.size)))[:, :, None]
                factor.zz[np.ix_(own, own, np.arange(n))] += upper * level_sums(mesh, codes, z[own], wz, n)
            if factor.ones < 0:
                factor.rows[:n] += level_sums(mesh, codes, ones, np.ones((1, f.shape[1])), n)[0, 0]

    def _columns(self, part: Part, rows: slice) -> np.ndarray:
        """[1 y D] (m, c) of some rows."""
        x, ones = part.x[:, rows], part.ones
        f = np.empty((2 + len(x) - (ones >= 0), x.shape[1]))
        f[0], f[1] = 1.0, part.y[rows]
        if ones < 0:
            f[2:] = x
        else:
            f[2 : 2 + ones], f[2 + ones :] = x[:ones], x[ones + 1 :]
        return f

    def _inside(self, part: Part, t: int) -> np.ndarray:
        """Which column of F each column of z is, in the same frame; -1 where none is."""
        assert self._frame is not None
        x, ones = part.z_in_x[t], part.z_ones[t]
        # Where a column of D stands in F, which has its ones in front.
        places = np.where(x < 0, -1, x + 2 - (part.ones >= 0) * (x > part.ones))
        if ones >= 0:
            places[ones] = 0
        shifted = self._frame.constant[places] >= 0
        return np.where((places >= 0) & (shifted <= (ones >= 0)), places, -1)

    def _make_room(self, part: Part) -> None:
        """Frames, columns and levels for what appears in a part."""
        plain = np.delete(part.plain, part.ones) if part.ones >= 0 else part.plain
        m = 2 + plain.size
        if self._frame is None:
            self._ones = part.ones
            columns = self._columns(part, slice(None))
            constant = np.where(np.append([True, True], plain), 0, -1)
            self._frame = _about_constants(Frame.of(list(columns), constant), columns)
            self._ff, self._triangle = np.zeros((m, m)), np.zeros((0, m))
            nothing = Frame(np.zeros(0), np.ones(0), np.zeros(0, dtype=int))
            none = np.zeros((0, 0, 0))
            self._factors = [GrowingFactor(none, none, np.zeros(0), nothing, np.zeros(0, dtype=int)) for _ in part.z]
        new = m - self._ff.shape[0]
        if new:
            columns = self._columns(part, slice(None))[-new:]
            self._frame = _extended(self._frame, Frame.of(list(columns), np.full(new, -1)))
            self._ff = np.pad(self._ff, (0, new))
            self._triangle = np.pad(self._triangle, [(0, 0), (0, new)])
        for t, factor in enumerate(self._factors):
            k, n_levels, known = part.z[t].shape[0], part.n_levels[t], factor.zf.shape[0]
            if factor.zf.size:
                factor.complete()
            factor.inside = self._inside(part, t)
            # Without precision weights, ones times ones counts.
            factor.ones = part.z_ones[t] if part.weights is None else -1
            if k > known:
                own = Frame.of(list(part.z[t][known:]), np.full(k - known, -1))
                factor.frame = self._of_factor(_extended(factor.frame, own), factor.inside, part.z_ones[t])
            room = factor.rows.size
            room = max(n_levels, min(2 * room, room + 2**22)) if n_levels > room else room
            grown = (k, m, room)
            if factor.zf.shape != grown:
                factor.zf, factor.zz, factor.rows = (
                    padded(factor.zf, grown),
                    padded(factor.zz, (k, k, room)),
                    padded(factor.rows, (room,)),
                )
            factor.n_levels = max(factor.n_levels, n_levels)

    def _of_factor(self, frame: Frame, inside: np.ndarray, ones: int) -> Frame:
        """The frame of a factor's columns: that of F, where they stand there."""
        assert self._frame is not None
        of_f, there = self._frame, inside >= 0
        constant = np.where(there & (of_f.constant[inside] >= 0), ones, -1)
        return Frame(
            np.where(there, of_f.shift[inside], frame.shift), np.where(there, of_f.scale[inside], frame.scale), constant
        )

    def _follow(self) -> None:
        """Change the frame where it no longer fits."""
        assert self._frame is not None
        old, count = self._frame, self._ff[0, 0]
        self._frame = _fitting(old, self._ff[0] / count, np.diagonal(self._ff) / count)
        if self._frame is old:
            return
        change = old.map_to(self._frame)
        self._ff, self._triangle = change.T @ self._ff @ change, self._triangle @ change
        changes: list[np.ndarray] = []
        for factor in self._factors:
            ones = int(factor.frame.constant.max(initial=-1))
            frame = self._of_factor(factor.frame, factor.inside, ones)
            changes.append(factor.frame.map_to(frame))
            factor.complete()
            factor.zf = np.einsum("ia,iml,mj->ajl", changes[-1], factor.zf, change)
            factor.frame = frame
        for (s, t), pairs in self._pairs.items():
            pairs.change(changes[s], changes[t])


def _about_constants(frame: Frame, columns: np.ndarray) -> Frame:
    """The same, where a column that does not vary so far is stored as its distance from what it was."""
    still = (frame.constant >= 0) & (np.arange(len(columns)) > 0) & (np.ptp(columns, axis=1) == 0)
    return Frame(np.where(still, columns[:, 0], frame.shift), np.where(still, 1.0, frame.scale), frame.constant)


def _fitting(frame: Frame, means: np.ndarray, squares: np.ndarray) -> Frame:
    """A frame that fits columns of these means and mean squares as stored; the same one where it does."""
    spread = np.sqrt(np.maximum(squares - means**2, 0.0))
    shiftable = (frame.constant >= 0) & (np.arange(means.size) > 0) & (spread > 0)
    size = np.where(shiftable, spread, np.sqrt(squares))
    far = shiftable & (np.abs(means) > FAR * spread)
    wide = (size > 0) & ((size > WIDE) | (size < 1.0 / WIDE))
    if not (far | wide).any():
        return frame
    shift, scale = frame.shift.copy(), frame.scale.copy()
    for j in np.flatnonzero(far):
        grid = np.exp2(np.floor(np.log2(spread[j] * scale[j])) - SHIFT_BITS)
        shift[j] = np.round((shift[j] + means[j] * scale[j]) / grid) * grid
        scale[j] = power_of_two(spread[j] * scale[j])
    for j in np.flatnonzero(wide & ~far):
        scale[j] = power_of_two(size[j] * scale[j])
    return Frame(shift, scale, frame.constant)


def _joined(parts: list[Part]) -> Part:
    """Several parts as one; columns that appeared on the way are zero before."""
    last = parts[-1]

    def stacked(arrays: list[np.ndarray]) -> np.ndarray:
        height = arrays[-1].shape[0]
        return np.concatenate([np.pad(a, [(0, height - a.shape[0]), (0, 0)]) for a in arrays], axis=1)

    def chained(name: str) -> np.ndarray | None:
        return None if getattr(last, name) is None else np.concatenate([getattr(part, name) for part in parts])

    return replace(
        last,
        x=stacked([part.x for part in parts]),
        y=np.concatenate([part.y for part in parts]),
        weights=chained("weights"),
        counts=chained("counts"),
        within_ss=chained("within_ss"),
        codes=[np.concatenate([part.codes[t] for part in parts]) for t in range(len(last.codes))],
        z=[stacked([part.z[t] for part in parts]) for t in range(len(last.z))],
    )


def _extended(frame: Frame, more: Frame) -> Frame:
    """A frame of further columns behind those of the first."""
    return Frame(
        np.append(frame.shift, more.shift), np.append(frame.scale, more.scale), np.append(frame.constant, more.constant)
    )
