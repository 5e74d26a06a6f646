"""What is left of sums when rows were taken out: levels that no row has any more are gone, as if they had never been."""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np

from jaxlmm.design import Combinations, Dictionary, Learnt, RawColumns
from jaxlmm.pls import CrossProducts, restricted

GONE = 1e-12
"""Part of a column's sum of squares below which what is left of it is rounding."""


def remaining(learnt: Learnt, left: CrossProducts, before: CrossProducts) -> tuple[Learnt, CrossProducts]:
    """Names and sums without the levels, and without the columns of cells, that have no row left.

    Parameters
    ----------
    learnt : Learnt
        What was known of all rows; it is changed.
    left, before : CrossProducts
        Sums afterwards and before, over the same columns and levels.
    """
    squares, known = np.diagonal(left.ff)[1:-1], np.diagonal(before.ff)[1:-1]
    fixed = np.flatnonzero(learnt.fixed.plain | (squares > GONE * known))
    levels = [np.flatnonzero(_rows(f.rows) > 0) for f in left.factors]
    random = []
    for group, old, new in zip(learnt.groups, before.factors, left.factors, strict=True):
        was, now = (np.einsum("iil->i", own.zz) for own in (old, new))
        random.append(np.flatnonzero(learnt.random[group].plain | (now > GONE * was)))
    if fixed.size == squares.size and all(
        own.size == f.zz.shape[2] and kept.size == f.zz.shape[0]
        for own, kept, f in zip(levels, random, left.factors, strict=True)
    ):
        return learnt, left
    parts = [
        [part[own] for part in learnt.combinations[group].parts(learnt.n_levels(group))]
        for group, own in zip(learnt.groups, levels, strict=True)
    ]
    learnt.fixed = _chosen(learnt.fixed, fixed)
    for group, kept in zip(learnt.groups, random, strict=True):
        learnt.random[group] = _chosen(learnt.random[group], kept)
    _fewer_levels(learnt, parts)
    return learnt, restricted(left, fixed, random, levels)


def _rows(rows: np.ndarray | None) -> np.ndarray:
    assert rows is not None
    return rows


def _chosen(raw: RawColumns, kept: np.ndarray) -> RawColumns:
    columns = raw.columns
    return RawColumns(raw.spots, [columns[i] for i in kept.tolist()])


def _fewer_levels(learnt: Learnt, parts: list[list[np.ndarray]]) -> None:
    """Number anew the values that columns and levels still name."""
    used: dict[str, set[Hashable]] = {name: set() for name in learnt.dictionaries}
    named: set[str] = set()
    for raw in (learnt.fixed, *learnt.random.values()):
        for column in raw.columns:
            for name, value in zip(column.spot.factors, column.cell, strict=True):
                used[name].add(value)
                named.add(name)
    for group, own in zip(learnt.groups, parts, strict=True):
        for name, part in zip(group, own, strict=True):
            values = learnt.dictionaries[name].values
            used[name].update(values[i] for i in np.unique(part).tolist())
            named.add(name)
    renumbered: dict[str, np.ndarray] = {}
    for name in named:
        values = learnt.dictionaries[name].values
        kept = np.array([value in used[name] for value in values])
        learnt.dictionaries[name] = Dictionary([value for value, own in zip(values, kept, strict=True) if own])
        renumbered[name] = np.cumsum(kept) - 1
    for group, own in zip(learnt.groups, parts, strict=True):
        learnt.combinations[group] = Combinations(len(group))
        learnt.combinations[group].of([renumbered[name][part] for name, part in zip(group, own, strict=True)])
