"""Sums moved: to other columns and another order of levels, into a larger model, and apart again.

`recast` makes of sums over raw columns those over the columns of the model, X = D C and Z = E K, by congruences. `placed`
puts the sums of one place where they belong among the columns and levels of several. `without` takes rows out again, as
far as the digits allow. Called by `results.cross_products`.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from jaxlmm.covariance import Structure
from jaxlmm.errors import DataError
from jaxlmm.linalg import lower_blocks
from jaxlmm.pls.crossprod import CrossProducts
from jaxlmm.pls.frames import Frame, power_of_two
from jaxlmm.pls.rows import FactorSums, Pairs, triangle_of

LOST = 1e-6
"""Rows may be taken out as long as what is left is more than this fraction of a column's sum of squares."""


def recast(
    sums: CrossProducts,
    fixed: np.ndarray,
    random: list[np.ndarray],
    factors: list[int],
    levels: list[np.ndarray],
    terms: list[tuple[Structure, ...]],
) -> CrossProducts:
    """Sums over the columns of the model.

    Parameters
    ----------
    sums : CrossProducts
        Over raw columns, [1 D y].
    fixed : (P, p) array
        Fixed-effects columns in raw columns.
    random : list of (K, k) arrays
        The same of each grouping factor, in the new order of factors.
    factors : list of int
        Which of the old factors each new one is.
    levels : list of int arrays
        Which old level each new one is, by new factor.
    terms : list of tuple of Structure
        Covariance structures of each new factor.
    """
    p = fixed.shape[1]
    columns = np.zeros((fixed.shape[0] + 2, p + 2))
    columns[0, 0] = columns[-1, -1] = 1.0
    columns[1:-1, 1:-1] = fixed
    frame, change = _reframed(sums.frame, columns, np.zeros(p + 2, dtype=int))
    new, changes = [], []
    for t, (made_of, own, structures) in enumerate(zip(random, levels, terms, strict=True)):
        old = sums.factors[factors[t]]
        own_frame, own_change = _reframed(old.frame, made_of, _leaning_on(made_of, old.frame, structures))
        changes.append(own_change)
        zz, zf = old.zz, old.zf
        if not _same(own_change):
            zz, zf = np.einsum("ia,ijl,jb->abl", own_change, zz, own_change), np.einsum("ia,iml->aml", own_change, zf)
        if not _same(change):
            zf = np.einsum("iml,mj->ijl", zf, change)
        straight = bool(np.array_equal(own, np.arange(own.size)))
        rows = old.rows
        if not straight:
            zz, zf, rows = zz[:, :, own], zf[:, :, own], None if rows is None else rows[own]
        new.append(FactorSums(zz, zf, own_frame, structures, rows))
    triangle = triangle_of(sums.triangle @ change)
    ranks = [np.argsort(own) for own in levels]
    cross = CrossProducts(
        tuple(new),
        {
            (s, t): _turned(sums.pairs, (factors[s], factors[t]), (changes[s], changes[t]), (ranks[s], ranks[t]))
            for t in range(len(new))
            for s in range(t)
        },
        change.T @ sums.ff @ change,
        triangle,
        None,
        frame,
        sums.sum_log_weights,
        sums.n_obs,
    )
    return replace(cross, within=within_root(cross)) if len(new) == 1 else cross


def within_root(cross: CrossProducts) -> np.ndarray:
    """A root of FᵀWF after every level's Z_g is projected out, as the difference that it is.

    It has as many digits fewer as the sums within the levels are smaller than those in all; `rows` finds it from rows, where
    nothing cancels.
    """
    (factor,) = cross.factors
    _, projected = lower_blocks(factor.zz, factor.zf)
    total = cross.triangle.T @ cross.triangle
    rest = total - np.einsum("kml,kjl->mj", projected, projected)
    size = np.sqrt(np.diagonal(total))
    size = np.where(size > 0, size, 1.0)
    values, vectors = np.linalg.eigh(rest / size / size[:, None])
    return np.sqrt(np.maximum(values, 0.0))[:, None] * vectors.T * size


def placed(
    sums: CrossProducts,
    fixed: np.ndarray,
    random: list[np.ndarray],
    levels: list[np.ndarray],
    sizes: list[tuple[int, int]],
    n_fixed: int,
) -> CrossProducts:
    """Sums among more columns and levels.

    Parameters
    ----------
    sums : CrossProducts
        Over [1 D y].
    fixed : int array
        Where each column of D stands.
    random, levels : list of int arrays
        Where the columns and levels of each factor stand.
    sizes : list of (int, int)
        Numbers of columns and of levels of each factor.
    n_fixed : int
        Number of columns of D.
    """
    where = np.concatenate([[0], 1 + fixed, [n_fixed + 1]])
    m = n_fixed + 2
    triangle, ff = np.zeros((sums.triangle.shape[0], m)), np.zeros((m, m))
    triangle[:, where], ff[np.ix_(where, where)] = sums.triangle, sums.ff
    factors = []
    for f, own, places, (k, n_levels) in zip(sums.factors, random, levels, sizes, strict=True):
        zz, zf, rows = np.zeros((k, k, n_levels)), np.zeros((k, m, n_levels)), np.zeros(n_levels)
        zz[np.ix_(own, own, places)] = f.zz
        zf[np.ix_(own, where, places)] = f.zf
        rows[places] = 0.0 if f.rows is None else f.rows
        frame = _wider(f.frame, own, k)
        factors.append(replace(f, zz=zz, zf=zf, frame=frame, rows=None if f.rows is None else rows))
    pairs = {}
    for (s, t), pair in sums.pairs.items():
        block = np.zeros((sizes[s][0], sizes[t][0], pair.first.size))
        block[np.ix_(random[s], random[t], np.arange(pair.first.size))] = pair.block
        pairs[s, t] = _sorted(Pairs(levels[s][pair.first], levels[t][pair.second], block, pair.rows))
    frame = _wider(sums.frame, where, m)
    return replace(sums, factors=tuple(factors), pairs=pairs, ff=ff, triangle=triangle_of(triangle), frame=frame)


def restricted(
    sums: CrossProducts, fixed: np.ndarray, random: list[np.ndarray], levels: list[np.ndarray]
) -> CrossProducts:
    """Sums over some of the columns, and the levels that still have rows; the others' sums are zero or not wanted."""
    m = sums.ff.shape[0]
    where = np.concatenate([[0], 1 + fixed, [m - 1]])
    factors, ranks = [], []
    for f, own, kept in zip(sums.factors, random, levels, strict=True):
        rank = np.full(f.zz.shape[2], -1)
        rank[kept] = np.arange(kept.size)
        ranks.append(rank)
        zz, zf = f.zz[np.ix_(own, own, kept)], f.zf[np.ix_(own, where, kept)]
        rows = None if f.rows is None else f.rows[kept]
        factors.append(replace(f, zz=zz, zf=zf, frame=_narrower(f.frame, own), rows=rows))
    pairs = {}
    for (s, t), pair in sums.pairs.items():
        there = (ranks[s][pair.first] >= 0) & (ranks[t][pair.second] >= 0)
        block = pair.block[np.ix_(random[s], random[t], there)]
        counted = None if pair.rows is None else pair.rows[there]
        pairs[s, t] = Pairs(ranks[s][pair.first[there]], ranks[t][pair.second[there]], block, counted)
    return replace(
        sums,
        factors=tuple(factors),
        pairs=pairs,
        ff=sums.ff[np.ix_(where, where)],
        triangle=triangle_of(sums.triangle[:, where]),
        frame=_narrower(sums.frame, where),
    )


def _narrower(frame: Frame, where: np.ndarray) -> Frame:
    """A frame of some of its columns, the column of ones that others lean on among them."""
    rank = np.full(frame.shift.size + 1, -1)
    rank[where] = np.arange(where.size)
    return Frame(frame.shift[where], frame.scale[where], rank[frame.constant[where]])


def without(sums: CrossProducts, other: CrossProducts) -> CrossProducts:
    """Sums less those of rows that are among them; both over the same columns and levels.

    Raises
    ------
    DataError
        When rows are taken out that are not there, or so nearly all of them that nothing but rounding errors would be left.
    """
    other = other.reframe(sums.frame, tuple(f.frame for f in sums.factors))
    n_obs = sums.n_obs - other.n_obs
    ff = sums.ff - other.ff
    before, after = np.diagonal(sums.ff), np.diagonal(ff)
    if n_obs == 0:
        raise DataError(f"all {sums.n_obs:,} rows would be taken out, and nothing be left")
    if n_obs < 0 or (after < -LOST * before).any():
        raise DataError(f"{other.n_obs:,} rows cannot be taken from {sums.n_obs:,}: they are not all among them")
    # What is left of a column is how it varies; where it stood in the frame of all rows is no part of that.
    plain = (sums.frame.constant >= 0) & (np.arange(before.size) > 0) & (before > 0)
    left = np.where(plain, after - ff[0] ** 2 / ff[0, 0], after)
    ones = np.abs(before * sums.ff[0, 0] - sums.ff[0] ** 2) <= 1e-12 * before * sums.ff[0, 0]
    if (left[plain & ~ones] < LOST * before[plain & ~ones]).any():
        raise DataError(
            f"taking {other.n_obs:,} rows from {sums.n_obs:,} leaves so little of a column that only rounding errors would "
            "remain; sum the remaining rows themselves"
        )
    values, vectors = np.linalg.eigh(ff / np.sqrt(np.outer(after, after) + (np.outer(after, after) == 0)))
    # Sums of squares of rows are not negative in any direction; how far rounding may go, the largest share taken out says.
    share = float((before[after > 0] / after[after > 0]).max(initial=1.0))
    if values.min(initial=0.0) < -(1e-9 + 1e-12 * share):
        raise DataError(f"{other.n_obs:,} rows cannot be taken from {sums.n_obs:,}: they are not all among them")
    root = np.sqrt(np.maximum(values, 0.0))[:, None] * vectors.T * np.sqrt(np.maximum(after, 0.0))
    factors = []
    for a, b in zip(sums.factors, other.factors, strict=True):
        rows = None if a.rows is None or b.rows is None else a.rows - b.rows
        _check_rows(rows)
        there = 1.0 if rows is None else (rows > 0).astype(float)
        factors.append(replace(a, zz=(a.zz - b.zz) * there, zf=(a.zf - b.zf) * there, rows=rows))
    pairs = {key: _pairs_without(sums.pairs[key], other.pairs[key]) for key in sums.pairs}
    return replace(
        sums,
        factors=tuple(factors),
        pairs=pairs,
        ff=ff,
        triangle=triangle_of(root),
        within=None,
        sum_log_weights=sums.sum_log_weights - other.sum_log_weights,
        n_obs=n_obs,
    )


def _check_rows(rows: np.ndarray | None) -> None:
    if rows is not None and (rows < 0).any():
        raise DataError(
            "the rows to be taken out are not all among those that were summed: a level would have fewer than none"
        )


def _pairs_without(a: Pairs, b: Pairs) -> Pairs:
    """Pairs less those of other rows; pairs of which no row is left are gone."""
    width = int(max(a.second.max(initial=0), b.second.max(initial=0))) + 1
    keys, taken = a.first * width + a.second, b.first * width + b.second
    places = np.searchsorted(keys, taken)
    if (places >= keys.size).any() or not np.array_equal(keys[places], taken) or a.rows is None or b.rows is None:
        raise DataError("the rows to be taken out are not all among those that were summed: two levels never met there")
    block, rows = a.block.copy(), a.rows.copy()
    block[:, :, places] -= b.block
    rows[places] -= b.rows
    _check_rows(rows)
    kept = rows > 0
    return Pairs(a.first[kept], a.second[kept], block[:, :, kept], rows[kept])


def _reframed(frame: Frame, made_of: np.ndarray, constant: np.ndarray) -> tuple[Frame, np.ndarray]:
    """A frame for new columns (user's units) and the matrix that makes them, as stored, of the old ones as stored."""
    user = frame.to_user() @ made_of
    shift = np.where(constant >= 0, frame.shift @ made_of, 0.0)
    # A constant column, and the one of ones itself, stays where it is.
    own = (made_of != 0).sum(axis=0) == 1
    size = np.abs(made_of * frame.scale[:, None]).max(axis=0, initial=0.0)
    scale = np.where(size > 0, power_of_two(np.where(size > 0, size, 1.0)), 1.0)
    ones = constant == np.arange(constant.size)
    shift, scale = np.where(ones, 0.0, shift), np.where(ones, 1.0, np.where(own, size, scale))
    new = Frame(shift, scale, constant)
    change = user / scale
    for j in np.flatnonzero((constant >= 0) & ~ones & (shift != 0)):
        change[:, j] -= user[:, constant[j]] * shift[j] / scale[j]
    return new, change


def _leaning_on(made_of: np.ndarray, frame: Frame, structures: tuple[Structure, ...]) -> np.ndarray:
    """For each column the column of ones of its term, if that may absorb a shift, or -1."""
    answer = np.full(made_of.shape[1], -1)
    ones = np.flatnonzero(frame.constant == np.arange(frame.constant.size))
    begin = 0
    for structure in structures:
        columns = range(begin, begin + structure.size)
        found = [
            j for j in columns if ones.size and made_of[ones[0], j] == 1.0 and np.count_nonzero(made_of[:, j]) == 1
        ]
        if found and structure.shiftable:
            answer[list(columns)] = found[0]
        begin += structure.size
    return answer


def _same(change: np.ndarray) -> bool:
    return change.shape[0] == change.shape[1] and np.array_equal(change, np.eye(len(change)))


def _turned(pairs: dict[tuple[int, int], Pairs], which: tuple[int, int], changes, ranks) -> Pairs:
    """Pairs of two factors in other columns, with other numbers of the levels, and in the other order if need be."""
    s, t = which
    old = pairs[min(s, t), max(s, t)]
    if s > t:
        old = Pairs(old.second, old.first, old.block.transpose(1, 0, 2), old.rows)
    block = old.block
    if not (_same(changes[0]) and _same(changes[1])):
        block = np.einsum("ia,ijl,jb->abl", changes[0], block, changes[1])
    return _sorted(Pairs(ranks[0][old.first], ranks[1][old.second], block, old.rows))


def _sorted(pairs: Pairs) -> Pairs:
    """By the first level and then the second."""
    order = np.lexsort((pairs.second, pairs.first))
    rows = None if pairs.rows is None else pairs.rows[order]
    return Pairs(pairs.first[order], pairs.second[order], pairs.block[:, :, order], rows)


def _wider(frame: Frame, where: np.ndarray, size: int) -> Frame:
    """A frame whose columns stand among others."""
    shift, scale, constant = np.zeros(size), np.ones(size), np.full(size, -1)
    shift[where], scale[where] = frame.shift, frame.scale
    constant[where] = np.where(frame.constant >= 0, where[frame.constant], -1)
    return Frame(shift, scale, constant)
