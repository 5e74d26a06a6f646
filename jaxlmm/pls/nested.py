"""A chain of nested factors (student in classroom in school), eliminated finest first.

A level g of the finest factor touches one level of every coarser factor, so its Schur complement falls into
the blocks of its own ancestors and the next factor is block diagonal again: work is linear in levels. For
chain position d, with C_* the whitened border L_g⁻¹Λ_dᵀZ_dᵀW[·]:

    A_d = Λ_dᵀZ_dᵀWZ_dΛ_d + I - Σ_{children} C_dᵀC_d = L Lᵀ,     A_e[ancestor] -= C_eᵀC_e,   e coarser than d,

and the same for pairs of ancestors and for X and y. A chain may also touch *tail* factors, which stay for
later (`crossed`): that border is a list of blocks, one per entry (level, tail level) that co-occur, or, where most of them
do, a grid of all. Because rows of a child are rows of its parent, the parent's entries already hold every fill.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxlmm.linalg import inverse_factor, logdet, matmul, transpose
from jaxlmm.pls.bucket import bucket, fixed_diagonal, pad_columns, pad_last
from jaxlmm.pls.protocol import Factor
from jaxlmm.pls.standard import Gram, Response


class Chain(NamedTuple):
    """Reduced gram of a chain of D factors and its borders; d is the position in the chain.

    zz[d] (k_d, k_d, L_d); zx[d] (k_d, p, L_d); up[d][e] (k_d, k_e, L_d) with each level's ancestor at the e-th
    coarser position; across[d][t] (k_d, k_t, E) with entries of tail factor t, or the grid (k_d, L_d, k_t, L_t); xx (p,).
    """

    zz: Any
    zx: Any
    up: Any
    across: Any
    xx: Any


class ChainLayout(NamedTuple):
    """Index arrays: ancestor[d][e] (L_d,); level[d][t], column[d][t] (E,); climb[d][e][t] (E,) the ancestor's entry.

    A grid needs none of the last three: None.
    """

    ancestor: Any
    level: Any
    column: Any
    climb: Any


class Stage(NamedTuple):
    """One eliminated factor: W = L⁻¹ and the whitened borders C."""

    w: Any
    x: Any
    up: Any
    across: Any


def compress(plan, gram: Gram):
    """Arrange the blocks along the chain."""
    return compress_chain(plan.order, (), (False,) * len(plan.order), gram)


def compress_response(plan, layout, gram: Gram, response: Response):
    """Zᵀ Wy of each chain position (k, L), and yy."""
    return chain_response(plan.order, response), np.asarray(response.yy)


def factor(plan, layout, gram: Chain, lambdas) -> Factor:
    """Eliminate the chain."""
    lambdas = [lambdas[t] for t in plan.order]
    log_determinant, stages, xx = eliminate(layout, gram, lambdas, ())
    return Factor(log_determinant, xx, (stages, lambdas))


def solve(plan, layout, factor: Factor, response):
    """Eliminate the random effects from the response's border."""
    zy, yy = response
    stages, lambdas = factor.parts
    _, xy, yy, _ = eliminate_response(layout, stages, lambdas, zy, yy, ())
    return xy, yy


def energy(plan, layout, gram: Chain, b, beta) -> jax.Array:
    """½ bᵀZᵀWZb + βᵀXᵀWZb for b (k, L) of each factor; its gradient multiplies by ZᵀWZ."""
    return chain_energy(layout, gram, [b[t] for t in plan.order], beta, ())


def compress_chain(order, tails, grids, gram: Gram) -> tuple[Chain, ChainLayout]:
    """Blocks and indices of the chain `order` (finest first) with borders to the factors `tails`.

    `grids` says at which positions the borders are grids; below a grid, towards coarser factors, all are.
    """
    p = gram.zx[0].shape[1]
    sizes = [bucket(gram.zz[t].shape[2]) for t in order]
    wide = [bucket(gram.zz[t].shape[2]) for t in tails]
    entries = [[pair_of(gram, s, t) for t in tails] for s in order]
    parents = [[pair_of(gram, s, t) for t in order[d + 1 :]] for d, s in enumerate(order)]
    chain = Chain(
        tuple(pad_last(gram.zz[t], size) for t, size in zip(order, sizes, strict=True)),
        tuple(pad_last(pad_columns(gram.zx[t], bucket(p)), size) for t, size in zip(order, sizes, strict=True)),
        tuple(tuple(pad_last(b, size) for _, _, b in row) for row, size in zip(parents, sizes, strict=True)),
        tuple(
            tuple(
                _grid(*entry, size, width) if grid else pad_last(entry[2], bucket(entry[2].shape[2] + 1))
                for entry, width in zip(row, wide, strict=True)
            )
            for row, size, grid in zip(entries, sizes, grids, strict=True)
        ),
        fixed_diagonal(gram.xx, p),
    )
    layout = ChainLayout(
        tuple(tuple(index(pad_last(a, size)) for _, a, _ in row) for row, size in zip(parents, sizes, strict=True)),
        tuple(tuple(None if grid else _padded(i) for i, _, _ in row) for row, grid in zip(entries, grids, strict=True)),
        tuple(tuple(None if grid else _padded(j) for _, j, _ in row) for row, grid in zip(entries, grids, strict=True)),
        tuple(
            tuple(
                tuple(
                    None if grids[d + 1 + e] else _padded(_find(entries[d + 1 + e][t], ancestor[i], j))
                    for t, (i, j, _) in enumerate(entries[d])
                )
                for e, (_, ancestor, _) in enumerate(parents[d])
            )
            for d in range(len(order))
        ),
    )
    return chain, layout


def _grid(first, second, block, n_first: int, n_second: int) -> np.ndarray:
    """Blocks of pairs written out with zeros: (k_s, L_s, k_t, L_t)."""
    k_s, k_t, _ = block.shape
    grid = np.zeros((k_s, n_first, k_t, n_second))
    grid[:, first, :, second] = block.transpose(2, 0, 1)
    return grid


def _padded(values: np.ndarray) -> np.ndarray:
    """Indices of entries; those that are added point at the first, with empty blocks."""
    return index(pad_last(values, bucket(values.size + 1)))


def chain_response(order, response: Response):
    """Zᵀ Wy of the chain's factors, padded."""
    return tuple(pad_last(response.zy[t], bucket(response.zy[t].shape[1])) for t in order)


def pair_of(gram: Gram, s: int, t: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Levels of s, levels of t and blocks (k_s, k_t, P) of the co-occurring pairs, sorted by s, then t."""
    if s < t:
        pair = gram.pairs[s, t]
        return pair.first, pair.second, pair.block
    pair = gram.pairs[t, s]
    order = np.lexsort((pair.first, pair.second))
    return pair.second[order], pair.first[order], pair.block.transpose(1, 0, 2)[:, :, order]


def eliminate(layout: ChainLayout, gram: Chain, lambdas, tail_lambdas):
    """Eliminate all positions of the chain.

    Returns
    -------
    logdet : () array
    stages : list of Stage
    xx : (p, p) array
        Schur complement of XᵀWX.
    """
    depth = len(gram.zz)
    xx = jnp.diag(gram.xx)
    diagonal = [_congruence(lam, zz, lam) for lam, zz in zip(lambdas, gram.zz, strict=True)]
    fixed = [matmul(lam.T[:, :, None], zx) for lam, zx in zip(lambdas, gram.zx, strict=True)]
    up = [[_congruence(lambdas[d], b, lambdas[d + 1 + e]) for e, b in enumerate(gram.up[d])] for d in range(depth)]
    across = [
        [
            jnp.einsum("ia,iljt,jb->albt", lambdas[d], b, lam) if b.ndim == 4 else _congruence(lambdas[d], b, lam)
            for b, lam in zip(gram.across[d], tail_lambdas, strict=True)
        ]
        for d in range(depth)
    ]
    log_determinant, stages = jnp.zeros(()), []
    for d in range(depth):
        w = inverse_factor(diagonal[d] + jnp.eye(diagonal[d].shape[0])[:, :, None])
        log_determinant += jnp.sum(logdet(w))
        stage = Stage(
            w,
            matmul(w, fixed[d]),
            [matmul(w, b) for b in up[d]],
            [
                jnp.einsum("abl,blct->alct", w, b) if level is None else matmul(w[:, :, level], b)
                for level, b in zip(layout.level[d], across[d], strict=True)
            ],
        )
        stages.append(stage)
        xx -= jnp.einsum("kpl,kql->pq", stage.x, stage.x)
        for e, to_e in enumerate(stage.up):
            parent, position = layout.ancestor[d][e], d + 1 + e
            diagonal[position] = _scatter(diagonal[position], parent, matmul(transpose(to_e), to_e))
            fixed[position] = _scatter(fixed[position], parent, matmul(transpose(to_e), stage.x))
            for f in range(e + 1, len(stage.up)):
                target = up[position][f - e - 1]
                up[position][f - e - 1] = _scatter(target, parent, matmul(transpose(to_e), stage.up[f]))
            for t, entry in enumerate(stage.across):
                across[position][t] = _climb(across[position][t], to_e, entry, layout, (d, e, t))
    return log_determinant, stages, xx


def eliminate_response(layout: ChainLayout, stages, lambdas, zy, yy, tails):
    """Carry the response through the eliminated stages.

    Parameters
    ----------
    tails : sequence of (k_t, L_t) arrays
        The response's border with each tail factor, already multiplied by its Λᵀ.

    Returns
    -------
    c : list of (k, L) arrays
        Whitened responses.
    xy, yy : arrays
        Schur complements.
    tails : list of arrays
        The tail borders, updated.
    """
    rest = [lam.T @ b for lam, b in zip(lambdas, zy, strict=True)]
    xy, whitened, tails = jnp.zeros(stages[0].x.shape[1]), [], list(tails)
    for d, stage in enumerate(stages):
        c = jnp.einsum("ijl,jl->il", stage.w, rest[d])
        whitened.append(c)
        xy -= jnp.einsum("kpl,kl->p", stage.x, c)
        yy -= jnp.sum(c * c)
        for e, to_e in enumerate(stage.up):
            update = jnp.einsum("kal,kl->al", to_e, c)
            rest[d + 1 + e] = _scatter(rest[d + 1 + e], layout.ancestor[d][e], update)
        for t, entry in enumerate(stage.across):
            if entry.ndim == 4:
                tails[t] = tails[t] - jnp.einsum("klat,kl->at", entry, c)
            else:
                update = jnp.einsum("kal,kl->al", entry, c[:, layout.level[d][t]])
                tails[t] = _scatter(tails[t], layout.column[d][t], update)
    return whitened, xy, yy, tails


def chain_energy(layout: ChainLayout, gram: Chain, b, beta, tails) -> jax.Array:
    """The same for a chain b[d] (k, L) and its borders with tail factors (k_t, L_t)."""
    total = jnp.zeros(())
    for d, own in enumerate(b):
        image = 0.5 * jnp.einsum("ijl,jl->il", gram.zz[d], own) + jnp.einsum("ipl,p->il", gram.zx[d], beta)
        for e, block in enumerate(gram.up[d]):
            image += jnp.einsum("ijl,jl->il", block, b[d + 1 + e][:, layout.ancestor[d][e]])
        total += jnp.sum(own * image)
        for t, block in enumerate(gram.across[d]):
            if block.ndim == 4:
                total += jnp.sum(own * jnp.einsum("kljt,jt->kl", block, tails[t]))
                continue
            other = jnp.einsum("ije,je->ie", block, tails[t][:, layout.column[d][t]])
            total += jnp.sum(own[:, layout.level[d][t]] * other)
    return total


def _climb(target, to_ancestor, entry, layout: ChainLayout, where):
    """Take what the entries of position d fill off the entries of its e-th ancestor, with tail factor t."""
    d, e, t = where
    parent, level, column = layout.ancestor[d][e], layout.level[d][t], layout.column[d][t]
    if level is None:
        return target.at[:, parent].add(-jnp.einsum("kal,klct->alct", to_ancestor, entry))
    update = matmul(transpose(to_ancestor)[:, :, level], entry)
    if layout.climb[d][e][t] is None:
        return target.at[:, parent[level], :, column].add(-update.transpose(2, 0, 1))
    return _scatter(target, layout.climb[d][e][t], update)


def index(values: np.ndarray) -> np.ndarray:
    """As the integers of a layout: int32 where they fit."""
    wide = values.size and int(values.max()) > np.iinfo(np.int32).max
    return np.asarray(values, dtype=np.int64 if wide else np.int32)


def _congruence(left, block, right):
    """Λ_leftᵀ B Λ_right, block by block."""
    return matmul(matmul(left.T[:, :, None], block), right[:, :, None])


def _scatter(target, where, update):
    """Subtract each update from the block `where` of the target's last axis."""
    return target.at[..., where].add(-update)


def _find(entries, level: np.ndarray, column: np.ndarray) -> np.ndarray:
    """Position of each (level, column) in a sorted list of entries that holds all of them."""
    width = int(entries[1].max()) + 1
    return np.searchsorted(entries[0] * width + entries[1], level * width + column)


def response_by_factor(plan, response):
    """The part of a reduced response (or of its gradient) that belongs to each factor: (k, levels)."""
    return [response[0][plan.order.index(t)] for t in range(len(plan.order))]


def response_from(plan, zy):
    """A reduced response of ZᵀWy (k, levels) of each factor, with yᵀWy = 0."""
    return tuple(zy[t] for t in plan.order), jnp.zeros(())


def blocks_by_factor(plan, gram: Chain):
    """The diagonal blocks of a reduced gram (or of its gradient) of each factor: (k, k, levels)."""
    return [gram.zz[plan.order.index(t)] for t in range(len(plan.order))]
