"""Pairs of entries of a crossed design's tail, found while they are summed: memory for one tile of them at a time.

The list of all pairs (i, j) of entries that share an eliminated level (see `tail`) takes some 60 bytes each, and a level with
a thousand entries has half a million of them. But entries are sorted by level, so the partners of entry i stand together:
it suffices to know where they begin, and how many pairs there are before i. A tile is a run of `TILE` pairs; its (i, j) are
found by bisection, its products taken off the tail, and nothing of it is kept, also not for derivatives.

Called by `crossed`.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxlmm.pls.bucket import bucket, pad_last
from jaxlmm.pls.tail import IN_BOUNDS, Tail

TILE = 1 << 18
"""Pairs at a time."""


class Tiles(NamedTuple):
    """Of two tail factors: each first entry's first partner, and the pairs before it (E,); tiles, and pairs in one."""

    partner: Any
    before: Any
    numbers: Any
    within: Any


def tiles(entries, tail: Tail, tile: int = TILE) -> dict[tuple[int, int], Tiles]:
    """Where the partners of all entries stand; `entries[t]` = (levels, tail levels, blocks), sorted by level."""
    found = {}
    for s in range(len(entries)):
        for t in range(s, len(entries)):
            own, other = entries[s][0], entries[t][0]
            begin = np.arange(own.size) if s == t else np.searchsorted(other, own, "left")
            count = np.searchsorted(other, own, "right") - begin
            before = np.concatenate([[0], np.cumsum(count)])
            size, total = bucket(own.size + 1), int(before[-1])
            numbers = np.arange(bucket(-(-total // tile)))
            padded = np.concatenate([before[:-1], np.full(size - own.size, total)])
            found[s, t] = Tiles(pad_last(begin, size), padded, numbers, np.arange(tile))
    return found


def less_tiles(matrix, found: dict[tuple[int, int], Tiles], across, columns, tail: Tail):
    """Take C_iᵀC_j of every pair off the tail's lower triangle.

    Parameters
    ----------
    matrix : (q, q) array
        The tail.
    found : dict
        What `tiles` found.
    across : sequence of (k, k_t, E_t) arrays
        Whitened entries C of each tail factor.
    columns : sequence of (E_t,) int arrays
        Levels of the tail factor of each entry.
    tail : Tail
        The numbering of the tail's rows.
    """
    for (s, t), own in found.items():

        def step(matrix, number, s=s, t=t, own=own):
            return _less_tile(matrix, number, own, (s, t), across, columns, tail), None

        matrix, _ = jax.lax.scan(jax.checkpoint(step, prevent_cse=False), matrix, jnp.asarray(own.numbers))
    return matrix


def _less_tile(matrix, number, own: Tiles, which, across, columns, tail: Tail):
    """Take one tile off; pairs beyond the last count nothing."""
    (s, t), before = which, jnp.asarray(own.before)
    pair = number * own.within.size + jnp.asarray(own.within)
    counts = jnp.asarray(pair < before[-1], matrix.dtype)
    pair = jnp.minimum(pair, before[-1] - 1)
    i = jnp.searchsorted(before, pair, side="right") - 1
    j = jnp.asarray(own.partner)[i] + pair - before[i]
    products = jnp.einsum("kap,kbp->abp", across[s][:, :, i], across[t][:, :, j])
    a = tail.starts[s] + np.arange(tail.columns[s])[:, None, None] * tail.levels[s] + jnp.asarray(columns[s])[i]
    b = tail.starts[t] + np.arange(tail.columns[t])[:, None] * tail.levels[t] + jnp.asarray(columns[t])[j]
    if s == t and tail.columns[t] > 1:
        above = np.triu(np.ones((tail.columns[t], tail.columns[t])), 1)[:, :, None]
        counts = counts * (1.0 - above * (i == j))
    return matrix.at[jnp.maximum(a, b), jnp.minimum(a, b)].add(-products * counts, **IN_BOUNDS)
