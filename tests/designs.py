"""A table of small random designs, on which every plan must equal `tests/oracle.py`.

    from tests.designs import random_designs

    @pytest.mark.parametrize("design", random_designs(), ids=str)

Rows of the data are shuffled in every design, so that nothing may lean on sorted codes; factors stand in
lme4's order (levels never increase from one factor to the next). The same call gives the same numbers
anywhere: NumPy's PCG64 with one seed per row of the table.

`structure` says how the factors lie to each other:

    grouped            one grouping factor
    nested             a chain, finest factor first: a level of one lies in one level of the next
    crossed            no factor nested in another
    nested x crossed   a chain, and a factor crossed with it
    partly nested      a chain but for a few rows
    identical          two factors that are one partition, labelled differently
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from tests.oracle import Array, Factor, Problem

Codes = NDArray[np.int64]
Terms = tuple[tuple[str, int], ...]

INTERCEPT: Terms = (("us", 1),)
CORRELATED: Terms = (("us", 2),)
UNCORRELATED: Terms = (("diag", 2),)


@dataclass(frozen=True, eq=False)
class Design:
    """One row of the table, made into a problem, with two places to look at it."""

    id: str
    structure: str
    problem: Problem
    theta: Array  # generic: every Lambda of full rank, signs of all kinds below the diagonal
    theta_singular: Array  # the same with one column of one Lambda zero

    def __str__(self) -> str:
        return self.id


@dataclass(frozen=True)
class _Row:
    """One row of the table, before any number is drawn."""

    id: str
    structure: str
    codes: Callable[[np.random.Generator], list[Codes]]
    terms: tuple[Terms, ...]
    zero: tuple[int, int] = (0, 0)  # (factor, column) of Lambda that theta_singular kills
    fixed: str = "line"  # mean: 1; line: 1 + t; cells: factor(3) * factor(2) without one of the cells
    time: str = "normal"  # normal: t drawn; integer: occasion 0, 1, ... within the first factor's level
    intercept: bool = True  # does z begin with a column of ones
    weights: bool = False
    offset: bool = False
    empty_levels: int = 0  # levels of the first factor that own no row


def random_designs() -> list[Design]:
    """All designs of the table, in its order."""
    return [_design(row, seed) for seed, row in enumerate(TABLE, start=101)]


# How rows are laid out over levels.


def _one(*sizes: int) -> Callable[[np.random.Generator], list[Codes]]:
    """One factor with these level sizes."""
    return lambda rng: [np.repeat(np.arange(len(sizes)), sizes)]


def _ragged(levels: int, low: int, high: int) -> Callable[[np.random.Generator], list[Codes]]:
    """One factor with level sizes drawn from low to high."""
    return lambda rng: [np.repeat(np.arange(levels), rng.integers(low, high + 1, levels))]


def _balanced(*counts: int) -> Callable[[np.random.Generator], list[Codes]]:
    """A chain where every level has as many below it: counts from the top down, rows per leaf last."""

    def layout(rng: np.random.Generator) -> list[Codes]:
        rows = np.arange(np.prod(counts))
        return [rows // np.prod(counts[depth:]).astype(int) for depth in range(len(counts) - 1, 0, -1)]

    return layout


def _unbalanced(n: int, *levels: int) -> Callable[[np.random.Generator], list[Codes]]:
    """A chain of these numbers of levels, finest first; who lies in whom is drawn, no level is empty."""

    def layout(rng: np.random.Generator) -> list[Codes]:
        codes = [_surjection(rng, n, levels[0])]
        for below, above in pairwise(levels):
            codes.append(_surjection(rng, below, above)[codes[-1]])
        return codes

    return layout


def _crossed(*levels: int, keep: float = 1.0) -> Callable[[np.random.Generator], list[Codes]]:
    """One row per cell of the crossing, of which the share `keep` is kept (and every level seen)."""

    def layout(rng: np.random.Generator) -> list[Codes]:
        cells = np.indices(levels).reshape(len(levels), -1)
        n = round(keep * cells.shape[1])
        while True:
            codes = list(cells[:, rng.permutation(cells.shape[1])[:n]])
            if all(len(np.unique(c)) == size for c, size in zip(codes, levels, strict=True)):
                return codes

    return layout


def _chain_by_item(items: int, *levels: int, keep: float = 1.0) -> Callable[[np.random.Generator], list[Codes]]:
    """A chain of these numbers of levels whose finest units each meet the items; items come where
    their number of levels puts them."""

    def layout(rng: np.random.Generator) -> list[Codes]:
        unit, item = _crossed(levels[0], items, keep=keep)(rng)
        codes = [unit]
        for below, above in pairwise(levels):
            codes.append(_surjection(rng, below, above)[codes[-1]])
        return sorted([*codes, item], key=lambda c: -int(c.max()))

    return layout


def _partly_nested(n: int, *levels: int, movers: int) -> Callable[[np.random.Generator], list[Codes]]:
    """A chain of two factors in which the last row of each of a few levels moved to another parent."""

    def layout(rng: np.random.Generator) -> list[Codes]:
        fine, coarse = _unbalanced(n, *levels)(rng)
        several = np.flatnonzero(np.bincount(fine) > 1)[:movers]
        rows = [np.flatnonzero(fine == level)[-1] for level in several]
        coarse[rows] = (coarse[rows] + 1) % levels[1]
        return [fine, coarse]

    return layout


def _twice(
    layout: Callable[[np.random.Generator], list[Codes]],
) -> Callable[[np.random.Generator], list[Codes]]:
    """The partition of a one-factor layout, and the same partition under other labels."""

    def layout_twice(rng: np.random.Generator) -> list[Codes]:
        (codes,) = layout(rng)
        return [codes, rng.permutation(codes.max() + 1)[codes]]

    return layout_twice


def _surjection(rng: np.random.Generator, n: int, levels: int) -> Codes:
    """n labels in random order, each of the levels at least once."""
    return rng.permutation(np.concatenate([np.arange(levels), rng.integers(0, levels, n - levels)]))


TABLE = (
    # one grouping factor
    _Row("one_intercept", "grouped", _balanced(8, 5), (INTERCEPT,), fixed="mean"),
    _Row("one_ragged", "grouped", _ragged(12, 1, 9), (INTERCEPT,)),
    _Row("one_us2_balanced", "grouped", _balanced(10, 6), (CORRELATED,), time="integer", zero=(0, 1)),
    _Row("one_us2_ragged", "grouped", _ragged(11, 1, 9), (CORRELATED,)),
    _Row("one_diag2", "grouped", _ragged(9, 2, 8), (UNCORRELATED,), time="integer"),
    _Row("one_us3", "grouped", _ragged(9, 3, 9), ((("us", 3),),), zero=(0, 2)),
    _Row("one_us4", "grouped", _ragged(12, 2, 9), ((("us", 4),),), zero=(0, 1)),
    _Row("one_us2_diag2", "grouped", _ragged(10, 2, 9), ((("us", 2), ("diag", 2)),), zero=(0, 2)),
    _Row("one_us1_us2", "grouped", _ragged(10, 2, 9), ((("us", 1), ("us", 2)),), zero=(0, 1)),
    _Row("one_weights", "grouped", _ragged(10, 2, 8), (CORRELATED,), weights=True, zero=(0, 1)),
    _Row("one_offset", "grouped", _ragged(10, 2, 8), (CORRELATED,), weights=True, offset=True),
    _Row("one_singletons", "grouped", _one(*[1] * 24), (INTERCEPT,), intercept=False),
    _Row("one_empty_cells", "grouped", _ragged(12, 2, 7), (INTERCEPT,), fixed="cells"),
    _Row("one_dominant", "grouped", _one(70, 2, 1, 3, 1, 2, 4, 1), (CORRELATED,), zero=(0, 1)),
    _Row("one_empty_levels", "grouped", _ragged(8, 1, 6), (CORRELATED,), empty_levels=3),
    # nested chains
    _Row("nested2_balanced", "nested", _balanced(4, 3, 4), (INTERCEPT, INTERCEPT), fixed="mean"),
    _Row("nested2_unbalanced", "nested", _unbalanced(80, 20, 6), (INTERCEPT, INTERCEPT), zero=(1, 0)),
    _Row("nested2_slopes", "nested", _unbalanced(100, 14, 4), (CORRELATED, UNCORRELATED), zero=(0, 1)),
    _Row("nested3_balanced", "nested", _balanced(3, 2, 3, 4), (INTERCEPT,) * 3, time="integer", zero=(1, 0)),
    _Row(
        "nested3_slopes",
        "nested",
        _unbalanced(110, 24, 9, 4),
        (INTERCEPT, CORRELATED, (("us", 2), ("diag", 1))),
        weights=True,
        zero=(2, 1),
    ),
    # crossed factors
    _Row("crossed2_balanced", "crossed", _crossed(8, 6), (INTERCEPT, INTERCEPT), fixed="mean", zero=(1, 0)),
    _Row("crossed2_partial", "crossed", _crossed(16, 9, keep=0.4), (INTERCEPT, INTERCEPT)),
    _Row("crossed2_slopes", "crossed", _crossed(12, 8, keep=0.9), (CORRELATED, CORRELATED), zero=(1, 1)),
    _Row("crossed2_weights", "crossed", _crossed(10, 7, keep=0.8), (INTERCEPT, CORRELATED), weights=True),
    _Row("crossed3", "crossed", _crossed(7, 5, 3), (INTERCEPT,) * 3, zero=(2, 0)),
    _Row("crossed3_slopes", "crossed", _crossed(9, 6, 4, keep=0.5), (CORRELATED, UNCORRELATED, INTERCEPT)),
    # both
    _Row("nested2_x_item", "nested x crossed", _chain_by_item(5, 20, 6), (INTERCEPT,) * 3, zero=(1, 0)),
    _Row(
        "nested3_x_item",
        "nested x crossed",
        _chain_by_item(6, 24, 8, 3, keep=0.8),
        (INTERCEPT, CORRELATED, INTERCEPT, INTERCEPT),
        zero=(1, 1),
    ),
    _Row("partly_nested", "partly nested", _partly_nested(90, 24, 7, movers=3), (INTERCEPT, CORRELATED)),
    _Row("identical", "identical", _twice(_ragged(11, 2, 8)), (INTERCEPT, INTERCEPT), zero=(1, 0)),
    _Row("identical_slopes", "identical", _twice(_ragged(9, 2, 8)), (INTERCEPT, CORRELATED)),
)


def _design(row: _Row, seed: int) -> Design:
    rng = np.random.default_rng(seed)
    codes = row.codes(rng)
    n = len(codes[0])
    order = rng.permutation(n)
    codes = [c[order] for c in codes]
    t = rng.normal(size=(n, 3))
    if row.time == "integer":
        t[:, 0] = _occasion(codes[0])
    columns = np.column_stack([np.ones(n), t]) if row.intercept else t
    n_levels = [int(c.max()) + 1 for c in codes]
    if row.empty_levels:
        n_levels[0] += row.empty_levels
        codes[0] = rng.permutation(n_levels[0])[codes[0]]
    factors = tuple(
        Factor(c, levels, columns[:, : sum(size for _, size in terms)], terms)
        for c, levels, terms in zip(codes, n_levels, row.terms, strict=True)
    )
    x = _fixed(row.fixed, t[:, 0], rng)
    weights = rng.uniform(0.3, 3.0, n) if row.weights else None
    offset = 5.0 * rng.normal(size=n) if row.offset else None
    theta = _generic_theta(factors, rng)
    y = _response(x, factors, weights, offset, rng)
    problem = Problem(y=y, x=x, factors=factors, weights=weights, offset=offset)
    return Design(row.id, row.structure, problem, theta, _kill_column(theta, factors, *row.zero))


def _fixed(kind: str, t: Array, rng: np.random.Generator) -> Array:
    n = len(t)
    if kind == "mean":
        return np.ones((n, 1))
    if kind == "line":
        return np.column_stack([np.ones(n), t])
    if kind == "cells":
        # The cell (2, 1) of factor(3) * factor(2) is empty, so its interaction column is left out.
        cell = np.array([(0, 0), (0, 1), (1, 0), (1, 1), (2, 0)])[_surjection(rng, n, 5)]
        f, g = cell.T
        return np.column_stack([np.ones(n), f == 1, f == 2, g == 1, (f == 1) & (g == 1)]).astype(float)
    raise ValueError(kind)


def _occasion(codes: Codes) -> Array:
    """0, 1, 2, ... for the rows of each level in the order they come."""
    out = np.empty(len(codes))
    for level in np.unique(codes):
        rows = np.flatnonzero(codes == level)
        out[rows] = np.arange(len(rows))
    return out


def _generic_theta(factors: tuple[Factor, ...], rng: np.random.Generator) -> Array:
    """Diagonals from 0.3 to 1.5, entries below them normal with standard deviation 0.5."""
    parts = []
    for factor in factors:
        on_diagonal = np.einsum("tii->t", factor.basis()) == 1.0
        size = len(on_diagonal)
        parts.append(np.where(on_diagonal, rng.uniform(0.3, 1.5, size), 0.5 * rng.normal(size=size)))
    return np.concatenate(parts)


def _kill_column(theta: Array, factors: tuple[Factor, ...], which: int, column: int) -> Array:
    """theta with every parameter in one column of one factor's Lambda set to zero."""
    in_column = [
        np.any(f.basis()[:, :, column] != 0.0, axis=1) if i == which else np.zeros(f.n_theta, dtype=bool)
        for i, f in enumerate(factors)
    ]
    return np.where(np.concatenate(in_column), 0.0, theta)


def _response(
    x: Array,
    factors: tuple[Factor, ...],
    weights: Array | None,
    offset: Array | None,
    rng: np.random.Generator,
) -> Array:
    """A draw from a model of this shape with sigma = 2 (its theta is not the one that is tested)."""
    n = len(x)
    mean = x @ rng.normal(3.0, 2.0, x.shape[1]) + (0.0 if offset is None else offset)
    for factor in factors:
        b = 1.5 * rng.normal(size=(factor.n_levels, factor.k))
        mean = mean + np.sum(factor.z * b[factor.codes], axis=1)
    return mean + 2.0 * rng.normal(size=n) / np.sqrt(np.ones(n) if weights is None else weights)
