"""The dense tail of a crossed design: which of its entries the eliminated levels fill, and how they are summed.

The tail is one symmetric matrix over all effects of the factors that are not eliminated blockwise; only its lower triangle
is kept. Row a L + l of a factor with L (padded) levels is its column a of level l. A level g of an eliminated factor that
touches entries i and j of the tail takes C_giᵀC_gj off the block (i, j). Four ways to sum that, the cheapest of which is
chosen once, on the host:

- *classes*: a random intercept whose levels fall into few classes of equal Z_gᵀWZ_g. All levels of a class share their
  pivot, so their products Z_iᵀWZ_g Z_gᵀWZ_j are added up beforehand, and an evaluation scales and scatters them;
- *pairs*: the list of (i, j) that share a level;
- *tiles*: the same pairs where their list would be long, found while they are summed (see `tiles`);
- *product*: the border written out with its zeros, and one matrix product.

Called by `crossed`.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from scipy import sparse

from jaxlmm.pls.bucket import bucket, pad_last
from jaxlmm.pls.nested import index, pair_of
from jaxlmm.pls.standard import Gram

LISTED = 2**22
"""Pairs of which a list is made; more are found anew each time, in tiles, which is a tenth slower."""

PRODUCT_ADVANTAGE = 16
"""How many multiplications of a matrix product take as long as one of a scattered pair."""


IN_BOUNDS: dict[str, Any] = {"mode": "promise_in_bounds", "wrap_negative_indices": False}
"""A layout's indices need no check."""

RUN = 16
"""Products of one class that stand together, so that its share is looked up, and its derivative summed, once for all."""


class PairList(NamedTuple):
    """For two tail factors: entries first, second (P,), and of each element its place (k_s, k_t, P) and 1 or 0."""

    first: Any
    second: Any
    place: Any
    counts: Any


class ClassList(NamedTuple):
    """Sums over the levels of a class, in columns that belong to one class: its first level (R,), places, values (RUN, R)."""

    level: Any
    place: Any
    value: Any


class Tail:
    """Numbering of the tail's rows.

    Parameters
    ----------
    columns, levels : sequence of int
        Columns and padded levels of each tail factor.
    """

    def __init__(self, columns, levels):
        self.columns, self.levels = tuple(columns), tuple(levels)
        self.starts = np.concatenate([[0], np.cumsum([k * n for k, n in zip(self.columns, self.levels, strict=True)])])
        self.size = int(self.starts[-1])

    def rows(self, t: int, level: np.ndarray) -> np.ndarray:
        """Rows (k_t, n) of levels of the t-th tail factor."""
        return self.starts[t] + np.arange(self.columns[t])[:, None] * self.levels[t] + np.asarray(level)

    def place(self, s: int, first: np.ndarray, t: int, second: np.ndarray) -> np.ndarray:
        """Flat places (k_s, k_t, n) in the lower triangle of the elements of blocks."""
        a, b = self.rows(s, first)[:, None, :], self.rows(t, second)[None, :, :]
        return np.maximum(a, b) * self.size + np.minimum(a, b)


def ways(gram: Gram, order, tails, columns) -> tuple[str, ...]:
    """For each position of the chain, the cheapest of "classes", "pairs", "tiles" and "product".

    The ancestors of levels that touch most of the tail do so, too: after a product come products.
    """
    q = sum(columns[t] * gram.zz[t].shape[2] for t in tails)
    answer = []
    for s in order:
        n_levels = gram.zz[s].shape[2]
        touched = sum(np.bincount(pair_of(gram, s, t)[0], minlength=n_levels) * columns[t] for t in tails)
        pairs = 0.5 * float(np.sum(np.square(touched, dtype=float)))
        if "product" in answer or PRODUCT_ADVANTAGE * pairs >= n_levels * float(q) ** 2:
            answer.append("product")
        elif pairs > LISTED:
            answer.append("tiles")
        elif len(order) == 1 and columns[s] == 1:
            answer.append("classes")
        else:
            answer.append("pairs")
    return tuple(answer)


def dense_tail(gram: Gram, tails, tail: Tail) -> np.ndarray:
    """ZᵀWZ of the tail factors (q, q); elimination reads its lower triangle only."""
    matrix = np.zeros(tail.size * tail.size)
    for a, s in enumerate(tails):
        levels = np.arange(gram.zz[s].shape[2])
        matrix[tail.place(a, levels, a, levels)] = gram.zz[s]
        for b, t in enumerate(tails[:a]):
            first, second, block = pair_of(gram, s, t)
            matrix[tail.place(a, first, b, second)] = block
    lower = matrix.reshape(tail.size, tail.size)
    return lower + np.tril(lower, -1).T


def pair_lists(entries, tail: Tail) -> dict[tuple[int, int], PairList]:
    """Pairs of entries of each two tail factors that share a level; `entries[t]` = (levels, tail levels, blocks)."""
    lists = {}
    for s, t, i, j, place, counts in _shared(entries, tail):
        size = bucket(i.size)
        first, second, where = (index(pad_last(v, size)) for v in (i, j, place))
        lists[s, t] = PairList(first, second, where, pad_last(counts, size))
    return lists


def class_list(entries, zz: np.ndarray, tail: Tail) -> ClassList:
    """The products of all pairs, added up over levels of a random intercept with the same ZᵀWZ, (L,).

    With B (L, q) the border and B_c the same with each level's columns moved to the block of its class, they are the lower
    triangles of the blocks of B_cᵀB: one sparse product.
    """
    _, first_of, where = np.unique(zz, return_index=True, return_inverse=True)
    level = np.concatenate([np.broadcast_to(e[0], e[2][0].shape).ravel() for e in entries])
    column = np.concatenate([tail.rows(t, e[1]).ravel() for t, e in enumerate(entries)])
    value = np.concatenate([e[2][0].ravel() for e in entries])
    border = sparse.csr_array((value, (level, column)), shape=(zz.size, tail.size))
    by_class = (where[level] * tail.size + column, level)
    products = sparse.csr_array((value, by_class), shape=(first_of.size * tail.size, zz.size)) @ border
    row = np.repeat(np.arange(products.shape[0]), np.diff(products.indptr))
    lower = products.indices <= row % tail.size
    group, place = np.divmod(row[lower] * tail.size + products.indices[lower], tail.size**2)
    runs = -(-np.bincount(group, minlength=first_of.size) // RUN)
    within = np.arange(group.size) - np.searchsorted(group, group)
    target = (np.cumsum(runs) - runs)[group] * RUN + within
    size = bucket(int(runs.sum()))
    places, totals = np.zeros(size * RUN, dtype=np.int64), np.zeros(size * RUN)
    places[target], totals[target] = place, products.data[lower]
    first = pad_last(np.repeat(first_of, runs), size)
    return ClassList(index(first), index(places.reshape(size, RUN).T), totals.reshape(size, RUN).T)


def congruence(matrix, lambdas, tail: Tail):
    """ΛᵀMΛ of the lower triangle of a symmetric matrix, with the same Λ at every level of a factor."""
    if max(tail.columns) == 1:
        scale = jnp.concatenate([jnp.full(n, lam[0, 0]) for lam, n in zip(lambdas, tail.levels, strict=True)])
        return matrix * scale[:, None] * scale
    rows = []
    for s, lam_s in enumerate(lambdas):
        row = []
        for t, lam_t in enumerate(lambdas):
            block = matrix[tail.starts[s] : tail.starts[s + 1], tail.starts[t] : tail.starts[t + 1]]
            if t > s:
                row.append(jnp.zeros_like(block))
                continue
            if s == t:
                block = jnp.tril(block) + jnp.tril(block, -1).T
            left = lam_s.T @ block.reshape(lam_s.shape[0], -1)
            left = left.reshape(-1, lam_t.shape[0], tail.levels[t])
            row.append(jnp.einsum("mjl,jb->mbl", left, lam_t).reshape(block.shape))
        rows.append(jnp.concatenate(row, axis=1))
    return jnp.concatenate(rows)


def less_classes(matrix, entries: ClassList, share):
    """Take the classes' products, each times the `share` (L,) of its level, off the tail."""
    flat = matrix.ravel().at[entries.place].add(-share[entries.level] * entries.value, **IN_BOUNDS)
    return flat.reshape(matrix.shape)


def less_pairs(matrix, lists: dict[tuple[int, int], PairList], across):
    """Take C_iᵀC_j of every listed pair off the tail; across[t] (k, k_t, E) are the whitened entries C."""
    flat = matrix.ravel()
    for (s, t), pairs in lists.items():
        left, right = across[s][:, :, pairs.first], across[t][:, :, pairs.second]
        flat = flat.at[pairs.place].add(-jnp.einsum("kap,kbp->abp", left, right) * pairs.counts, **IN_BOUNDS)
    return flat.reshape(matrix.shape)


def written_out(across):
    """Whitened borders that are grids as one matrix (k L, q)."""
    return jnp.concatenate([grid.reshape(grid.shape[0] * grid.shape[1], -1) for grid in across], axis=1)


def _shared(entries, tail: Tail):
    """For each two tail factors s <= t: pairs of entries i, j that share a level, where their elements go, and 1 or 0.

    A block on the diagonal is symmetric, so that each of its places is met from both sides: one of them counts.
    """
    for s in range(len(entries)):
        for t in range(s, len(entries)):
            i, j = _joined(entries[s][0], entries[t][0])
            if s == t:
                i, j = i[i <= j], j[i <= j]
            place = tail.place(s, entries[s][1][i], t, entries[t][1][j])
            counts = np.ones(place.shape)
            if s == t and tail.columns[t] > 1:
                above = np.triu(np.ones(place.shape[:2]), 1)[:, :, None]
                counts -= above * (entries[s][1][i] == entries[t][1][j])
            yield s, t, i, j, place, counts


def _joined(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All pairs of positions (i, j) with first[i] = second[j]; both lists are sorted."""
    begin, end = np.searchsorted(second, first, "left"), np.searchsorted(second, first, "right")
    count = end - begin
    i = np.repeat(np.arange(first.size), count)
    within = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    return i, np.repeat(begin, count) + within
