"""Crossed factors: a leading chain is eliminated blockwise, the rest is one dense matrix, the tail.

The Schur complement of the tail is a sum over pairs of entries (g, i), (g, j) that share a level g of the chain,

    S[i, j] = Λ_iᵀZ_iᵀWZ_jΛ_j + [i = j] - Σ_g C_giᵀC_gj,

summed by `tail` in the way that is cheapest. S is factored once by LAPACK, and its derivatives are those of
`linalg.spd`.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxlmm.covariance import n_columns
from jaxlmm.linalg import spd_factor, spd_logdet, spd_solve
from jaxlmm.pls import tail as tails
from jaxlmm.pls.nested import (
    Chain,
    ChainLayout,
    chain_energy,
    chain_response,
    compress_chain,
    eliminate,
    eliminate_response,
    pair_of,
)
from jaxlmm.pls.protocol import Factor
from jaxlmm.pls.standard import Gram, Response
from jaxlmm.pls.tiles import less_tiles, tiles


class Crossed(NamedTuple):
    """Reduced gram: the chain; tt (q, q) the tail; tx (q, p)."""

    chain: Chain
    tt: Any
    tx: Any


class CrossedLayout(NamedTuple):
    """Indices of the chain, and for each of its positions the lists of `tail` or `tiles` (None: a product)."""

    chain: ChainLayout
    fill: Any


def compress(plan, gram: Gram):
    """Arrange the chain, its entries in the tail, and the dense tail."""
    order, later = plan.order[: plan.n_chain], plan.order[plan.n_chain :]
    tail = _tail(plan)
    chain, layout = compress_chain(order, later, tuple(way == "product" for way in plan.ways), gram)
    tx = np.zeros((tail.size, chain.xx.shape[0]))
    for t, factor_ in enumerate(later):
        zx = gram.zx[factor_]
        tx[tail.rows(t, np.arange(zx.shape[2])), : zx.shape[1]] = zx.transpose(0, 2, 1)
    fill: list[Any] = []
    for s, way in zip(order, plan.ways, strict=True):
        entries = [pair_of(gram, s, t) for t in later]
        if way == "classes":
            fill.append(tails.class_list(entries, gram.zz[s][0, 0], tail))
        elif way == "tiles":
            fill.append(tiles(entries, tail))
        else:
            fill.append(tails.pair_lists(entries, tail) if way == "pairs" else None)
    return Crossed(chain, tails.dense_tail(gram, later, tail), tx), CrossedLayout(layout, tuple(fill))


def compress_response(plan, layout, gram: Gram, response: Response):
    """The response's border with the chain, with the tail (k, L), and yy."""
    order, later = plan.order[: plan.n_chain], plan.order[plan.n_chain :]
    return chain_response(order, response), chain_response(later, response), np.asarray(response.yy)


def factor(plan, layout: CrossedLayout, gram: Crossed, lambdas) -> Factor:
    """Eliminate the chain, then the tail."""
    tail, lambdas = _tail(plan), [lambdas[t] for t in plan.order]
    chain_lambdas, tail_lambdas = lambdas[: plan.n_chain], lambdas[plan.n_chain :]
    log_determinant, stages, xx = eliminate(layout.chain, gram.chain, chain_lambdas, tail_lambdas)
    raw = gram.tt
    for stage, way, fill in zip(stages, plan.ways, layout.fill, strict=True):
        if way == "classes":
            raw = tails.less_classes(raw, fill, (stage.w[0, 0] * chain_lambdas[0][0, 0]) ** 2)
    matrix = tails.congruence(raw, tail_lambdas, tail)
    border = jnp.concatenate(
        [
            jnp.einsum("ia,ilp->alp", lam, part.reshape(*shape, -1)).reshape(part.shape)
            for lam, part, shape in zip(
                tail_lambdas,
                jnp.split(gram.tx, tail.starts[1:-1]),
                zip(tail.columns, tail.levels, strict=True),
                strict=True,
            )
        ]
    )
    for d, (stage, way, fill) in enumerate(zip(stages, plan.ways, layout.fill, strict=True)):
        level, column = layout.chain.level[d], layout.chain.column[d]
        if way == "product":
            written = tails.written_out(stage.across)
            border = border - written.T @ stage.x.swapaxes(1, 2).reshape(written.shape[0], -1)
            matrix = matrix - written.T @ written
            continue
        for t, entry in enumerate(stage.across):
            update = jnp.einsum("kae,kpe->aep", entry, stage.x[:, :, level[t]])
            rows = tail.starts[t] + np.arange(tail.columns[t])[:, None] * tail.levels[t] + column[t]
            border = border.at[rows].add(-update)
        if way == "pairs":
            matrix = tails.less_pairs(matrix, fill, stage.across)
        if way == "tiles":
            matrix = less_tiles(matrix, fill, stage.across, column, tail)
    factored = spd_factor(matrix + jnp.eye(tail.size))
    solved = spd_solve(factored, border)
    return Factor(
        log_determinant + spd_logdet(factored),
        xx - border.T @ solved,
        (stages, chain_lambdas, tail_lambdas, factored, solved),
    )


def solve(plan, layout: CrossedLayout, factor: Factor, response):
    """Eliminate the random effects from the response's border."""
    chain_zy, tail_zy, yy = response
    stages, chain_lambdas, tail_lambdas, factored, solved = factor.parts
    parts = [lam.T @ b for lam, b in zip(tail_lambdas, tail_zy, strict=True)]
    _, xy, yy, parts = eliminate_response(layout.chain, stages, chain_lambdas, chain_zy, yy, parts)
    zy = jnp.concatenate([b.ravel() for b in parts])
    return xy - solved.T @ zy, yy - zy @ spd_solve(factored, zy[:, None])[:, 0]


def energy(plan, layout: CrossedLayout, gram: Crossed, b, beta) -> jax.Array:
    """½ bᵀZᵀWZb + βᵀXᵀWZb for b (k, L) of each factor; its gradient multiplies by ZᵀWZ."""
    ordered = [b[t] for t in plan.order]
    later = ordered[plan.n_chain :]
    vector = jnp.concatenate([part.ravel() for part in later])
    total = chain_energy(layout.chain, gram.chain, ordered[: plan.n_chain], beta, later)
    return total + 0.5 * vector @ (gram.tt @ vector) + vector @ (gram.tx @ beta)


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
    tail, ordered = _tail(plan), list(gram.chain.zz)
    for t, n_levels in enumerate(tail.levels):
        rows = tail.rows(t, np.arange(n_levels))
        ordered.append(gram.tt[rows[:, None, :], rows[None, :, :]])
    return [ordered[plan.order.index(t)] for t in range(len(plan.order))]


def _tail(plan) -> tails.Tail:
    """The numbering of the tail's rows."""
    later = plan.order[plan.n_chain :]
    return tails.Tail([n_columns(plan.terms[t]) for t in later], plan.levels)
