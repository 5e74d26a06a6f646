"""Resampling whole groups: rows that belong together stay together (Davison & Hinkley 1997, §3.8).

A group that is drawn twice is two groups of the same rows. Called by `bootstrap`.
"""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np

from jaxlmm.design import Design
from jaxlmm.errors import DataError
from jaxlmm.fit import Model
from jaxlmm.pls import is_nested


def top_factor(model: Model) -> int:
    """The grouping factor whose levels are independent of each other: the only one, or the top of a chain.

    Raises
    ------
    DataError
        When factors are crossed.
    """
    factors = range(len(model.plan.terms))
    for top in factors:
        if all(t == top or is_nested(model.gram, t, top) for t in factors):
            return top
    raise DataError(
        "whole groups can be resampled, or left out, only where groups are independent: with one grouping factor, or nested "
        "ones; here they are crossed. Write kind='parametric' or kind='residual', and another interval than 'bca'"
    )


@jax.threefry_partitionable(True)
def drawn_counts(levels: int, numbers: np.ndarray, seed: int) -> np.ndarray:
    """How often each level is drawn (levels, R), with replacement; replicate i by `fold_in(key(seed), i)`."""
    key = jax.random.key(seed, impl="threefry2x32")

    def draw(i):
        return jax.random.randint(jax.random.fold_in(key, i), (levels,), 0, levels, jnp.int32)

    drawn = np.asarray(jax.vmap(draw)(numbers))
    counts = np.zeros((levels, numbers.size))
    np.add.at(counts, (drawn, np.arange(numbers.size)[:, None]), 1.0)
    return counts


def with_repeats(design: Design, factor: int, counts: np.ndarray) -> Design:
    """The design in which level g of a factor stands counts[g] times, every copy a level of its own, in all factors."""
    codes = design.random[factor].codes
    order = np.argsort(codes, kind="stable")
    begins = np.searchsorted(codes[order], np.arange(counts.size + 1))
    groups = np.repeat(np.arange(counts.size), counts.astype(int))
    rows = np.concatenate([order[begins[g] : begins[g + 1]] for g in groups])
    copy = np.repeat(np.arange(groups.size), np.diff(begins)[groups])
    return _renumbered(design.rows(rows), copy)


def without(design: Design, factor: int, level: int) -> Design:
    """The design without one level of a factor."""
    rows = np.flatnonzero(design.random[factor].codes != level)
    return _renumbered(design.rows(rows), np.zeros(rows.size, dtype=int))


def _renumbered(design: Design, copy: np.ndarray) -> Design:
    """Levels numbered anew, those of different copies apart."""
    blocks = []
    for block in design.random:
        found, codes = np.unique(copy.astype(np.int64) * block.n_levels + block.codes, return_inverse=True)
        blocks.append(replace(block, codes=codes, n_levels=found.size))
    return replace(design, random=tuple(blocks))
