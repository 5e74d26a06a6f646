"""Crossed factors: a leading chain is eliminated blockwise, the rest is one dense matrix, the tail.

The Schur complement of the tail is a sum over pairs of entries (g, i), (g, j) that share a level g of the chain,

    S[i, j] = Λ_iᵀZ_iᵀWZ_jΛ_j + [i = j] - Σ_g C_giᵀC_gj,

taken over the list of such pairs when that is short, or as one matrix product with the whitened border written
out when levels of the chain touch most of the tail. S is factored once by LAPACK, and its derivatives are those
of `linalg.spd`.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxlmm.linalg import spd_factor, spd_logdet, spd_solve
from jaxlmm.pls.bucket import bucket, pad_last
from jaxlmm.pls.nested import (
    Chain,
    ChainLayout,
    chain_energy,
    chain_response,
    compress_chain,
    eliminate,
    eliminate_response,
    index,
    pair_of,
)
from jaxlmm.pls.protocol import Factor
from jaxlmm.pls.standard import Gram, Response

PRODUCT_ADVANTAGE = 16
"""How many multiplications of a matrix product take as long as one of a scattered pair."""


class Crossed(NamedTuple):
    """Reduced gram: the chain, tt[s][t] (k_s, L_s, k_t, L_t) for tail factors s <= t, and tx[t] (k_t, L_t, p)."""

    chain: Chain
    tt: Any
    tx: Any


class CrossedLayout(NamedTuple):
    """Indices of the chain, and pairs[d][(s, t)] = (i, j, half): entries of tail factors s and t that share a level."""

    chain: ChainLayout
    pairs: Any


def compress(plan, gram: Gram):
    """Arrange the chain, its entries in the tail, and the dense tail."""
    order, tails = plan.order[: plan.n_chain], plan.order[plan.n_chain :]
    chain, layout = compress_chain(order, tails, gram)
    width = chain.xx.shape[0]
    sizes = [bucket(gram.zz[t].shape[2]) for t in tails]
    tt = {}
    for a, s in enumerate(tails):
        for b, t in enumerate(tails[a:], start=a):
            k_s, k_t = gram.zz[s].shape[0], gram.zz[t].shape[0]
            block = np.zeros((k_s, sizes[a], k_t, sizes[b]))
            if s == t:
                levels = np.arange(gram.zz[s].shape[2])
                block[:, levels, :, levels] = gram.zz[s].transpose(2, 0, 1)
            else:
                i, j, values = pair_of(gram, s, t)
                block[:, i, :, j] = values.transpose(2, 0, 1)
            tt[a, b] = block
    tx = []
    for t, size in zip(tails, sizes, strict=True):
        zx = gram.zx[t]
        padded = np.zeros((zx.shape[0], size, width))
        padded[:, : zx.shape[2], : zx.shape[1]] = zx.transpose(0, 2, 1)
        tx.append(padded)
    pairs = tuple(_pairs(layout, d, sizes, gram, order, tails) if plan.pairwise[d] else None for d in range(len(order)))
    return Crossed(chain, tt, tuple(tx)), CrossedLayout(layout, pairs)


def pairwise_pays(gram: Gram, order, tails) -> tuple[bool, ...]:
    """For each position of the chain, whether the list of pairs is less work than the matrix product."""
    q = sum(gram.zz[t].shape[0] * gram.zz[t].shape[2] for t in tails)
    answer = []
    for s in order:
        touched = sum(
            np.bincount(pair_of(gram, s, t)[0], minlength=gram.zz[s].shape[2]) * gram.zz[t].shape[0] for t in tails
        )
        pairs = 0.5 * float(np.sum(np.square(touched, dtype=float)))
        answer.append(bool(PRODUCT_ADVANTAGE * pairs < gram.zz[s].shape[2] * float(q) ** 2))
    return tuple(answer)


def compress_response(plan, layout, gram: Gram, response: Response):
    """The response's border with the chain, with the tail (k, L), and yy."""
    order, tails = plan.order[: plan.n_chain], plan.order[plan.n_chain :]
    return chain_response(order, response), chain_response(tails, response), np.asarray(response.yy)


def factor(plan, layout: CrossedLayout, gram: Crossed, lambdas) -> Factor:
    """Eliminate the chain, then the tail."""
    lambdas = [lambdas[t] for t in plan.order]
    chain_lambdas, tail_lambdas = lambdas[: plan.n_chain], lambdas[plan.n_chain :]
    log_determinant, stages, xx = eliminate(layout.chain, gram.chain, chain_lambdas, tail_lambdas)
    shapes = [(b.shape[0], b.shape[1]) for b in gram.tx]
    blocks = {
        (s, t): jnp.einsum("ia,ilmn,mb->albn", tail_lambdas[s], b, tail_lambdas[t]) for (s, t), b in gram.tt.items()
    }
    border = [jnp.einsum("ia,ilp->alp", lam, b) for lam, b in zip(tail_lambdas, gram.tx, strict=True)]
    for d, stage in enumerate(stages):
        for t, entry in enumerate(stage.across):
            level, column = layout.chain.level[d][t], layout.chain.column[d][t]
            update = jnp.einsum("kae,kpe->aep", entry, stage.x[:, :, level])
            border[t] = border[t].at[:, column, :].add(-update)
        if layout.pairs[d] is None:
            blocks = _subtract_product(blocks, stage, layout.chain, d, shapes)
        else:
            blocks = _subtract_pairs(blocks, stage, layout.chain, d, layout.pairs[d])
    factored = spd_factor(_assemble(blocks, shapes))
    zx = jnp.concatenate([b.reshape(-1, b.shape[2]) for b in border])
    solved = spd_solve(factored, zx)
    return Factor(
        log_determinant + spd_logdet(factored),
        xx - zx.T @ solved,
        (stages, chain_lambdas, tail_lambdas, factored, solved),
    )


def solve(plan, layout: CrossedLayout, factor: Factor, response):
    """Eliminate the random effects from the response's border."""
    chain_zy, tail_zy, yy = response
    stages, chain_lambdas, tail_lambdas, factored, solved = factor.parts
    tails = [lam.T @ b for lam, b in zip(tail_lambdas, tail_zy, strict=True)]
    _, xy, yy, tails = eliminate_response(layout.chain, stages, chain_lambdas, chain_zy, yy, tails)
    zy = jnp.concatenate([b.ravel() for b in tails])
    return xy - solved.T @ zy, yy - zy @ spd_solve(factored, zy[:, None])[:, 0]


def energy(plan, layout: CrossedLayout, gram: Crossed, b, beta) -> jax.Array:
    """½ bᵀZᵀWZb + βᵀXᵀWZb for b (k, L) of each factor; its gradient multiplies by ZᵀWZ."""
    ordered = [b[t] for t in plan.order]
    tails = ordered[plan.n_chain :]
    total = chain_energy(layout.chain, gram.chain, ordered[: plan.n_chain], beta, tails)
    for (s, t), block in gram.tt.items():
        total += (0.5 if s == t else 1.0) * jnp.einsum("al,albm,bm->", tails[s], block, tails[t])
    return total + sum(jnp.einsum("al,alp,p->", v, zx, beta) for v, zx in zip(tails, gram.tx, strict=True))


def _pairs(layout, d, sizes, gram, order, tails):
    """Lists of pairs of true entries (padding left out) of each two tail factors that share a level."""
    lists = {}
    for a in range(len(tails)):
        for b in range(a, len(tails)):
            n_a, n_b = (pair_of(gram, order[d], tails[t])[0].size for t in (a, b))
            i, j = _joined(layout.level[d][a][:n_a], layout.level[d][b][:n_b])
            if a == b:
                i, j = i[i <= j], j[i <= j]
            # The first padded entry is an empty block: padding the list with it adds nothing.
            size = bucket(i.size)
            half = np.where(
                np.arange(size) < i.size, np.where((a == b) & (pad_last(i, size) == pad_last(j, size)), 0.5, 1.0), 0.0
            )
            lists[a, b] = index(pad_last(i, size)), index(pad_last(j, size)), half
    return lists


def _joined(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All pairs of positions (i, j) with first[i] = second[j]; both lists are sorted."""
    begin, end = np.searchsorted(second, first, "left"), np.searchsorted(second, first, "right")
    count = end - begin
    i = np.repeat(np.arange(first.size), count)
    within = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    return i, np.repeat(begin, count) + within


def _subtract_pairs(blocks, stage, layout, d, pairs):
    """Subtract C_iᵀC_j from the tail's block of each pair; the lower half of a diagonal block is mirrored later."""
    updated = dict(blocks)
    for (s, t), (i, j, half) in pairs.items():
        left, right = stage.across[s][:, :, i] * half, stage.across[t][:, :, j]
        update = jnp.einsum("kap,kbp->abp", left, right)
        rows, columns = layout.column[d][s][i], layout.column[d][t][j]
        a, b = jnp.arange(update.shape[0]), jnp.arange(update.shape[1])
        where = (a[:, None, None], rows[None, None, :], b[None, :, None], columns[None, None, :])
        if s == t:
            one_side = jnp.zeros_like(blocks[s, t]).at[where].add(update)
            updated[s, t] = updated[s, t] - one_side - one_side.transpose(2, 3, 0, 1)
        else:
            updated[s, t] = updated[s, t].at[where].add(-update)
    return updated


def _subtract_product(blocks, stage, layout, d, shapes):
    """The same with the whitened border written out: one matrix product."""
    n_levels, k = stage.w.shape[2], stage.w.shape[0]
    written = [
        jnp.zeros((k, n_levels, *shapes[t]))
        .at[:, layout.level[d][t], :, layout.column[d][t]]
        .add(entry.transpose(2, 0, 1))
        for t, entry in enumerate(stage.across)
    ]
    return {(s, t): b - jnp.einsum("klam,klbn->ambn", written[s], written[t]) for (s, t), b in blocks.items()}


def _assemble(blocks, shapes):
    """The symmetric matrix of all blocks, plus the identity; row (column a, level l) of a factor is a L + l."""
    n = [k * levels for k, levels in shapes]
    rows = []
    for s in range(len(shapes)):
        row = [
            blocks[s, t].reshape(n[s], n[t]) if s <= t else blocks[t, s].reshape(n[t], n[s]).T
            for t in range(len(shapes))
        ]
        rows.append(jnp.concatenate(row, axis=1))
    matrix = jnp.concatenate(rows)
    return matrix + jnp.eye(matrix.shape[0])


def response_by_factor(plan, response):
    """The part of a reduced response (or of its gradient) that belongs to each factor: (k, levels)."""
    ordered = [*response[0], *response[1]]
    return [ordered[plan.order.index(t)] for t in range(len(plan.order))]


def response_from(plan, zy):
    """A reduced response of ZᵀWy (k, levels) of each factor, with yᵀWy = 0."""
    ordered = tuple(zy[t] for t in plan.order)
    return ordered[: plan.n_chain], ordered[plan.n_chain :], jnp.zeros(())


def blocks_by_factor(plan, gram: Crossed):
    """The diagonal blocks of a reduced gram (or of its gradient) of each factor: (k, k, levels)."""
    tail = [jnp.einsum("albl->abl", gram.tt[a, a]) for a in range(len(gram.tx))]
    ordered = [*gram.chain.zz, *tail]
    return [ordered[plan.order.index(t)] for t in range(len(plan.order))]
