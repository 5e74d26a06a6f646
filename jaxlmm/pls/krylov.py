"""Crossed factors whose Schur complement is too large to be formed: products with it, and solutions by conjugate gradients.

A leading chain of nested factors (C) is eliminated exactly, as in `crossed`; of the rest (T),

    S = Ψ_TT - Ψ_TCΨ_CC⁻¹Ψ_CT,        Ψ = ΛᵀZᵀWZΛ + I,

is multiplied with, never stored: one product with a sparse matrix of co-occurring pairs each way, and solves with small
blocks. Scaled by the diagonal blocks P of S at some θ, A = P^(-1/2)SP^(-1/2) has most eigenvalues near one, and conjugate
gradients need ten to twenty products (Kündig & Sigrist 2025, arXiv 2505.09552, compare preconditioners for such designs).

Vectors are arrays (levels, k, r), r of them side by side, one array per factor in the order of elimination. Outside compiled
programs: NumPy on a CPU, JAX's arrays on an accelerator. Called by `krylov_logdet`, `krylov_criterion`.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxlmm.linalg import SparseBlocks, conjugate_gradients, namespace, to_device
from jaxlmm.pls.bucket import bucket, pad_last
from jaxlmm.pls.nested import Chain, ChainLayout, compress_chain, eliminate, pair_of
from jaxlmm.pls.standard import Gram, Response

ENTRIES = 2**21
"""Pairs whose blocks are multiplied at once."""

Parts = list[Any]
"""Vectors (levels, k, r) of some factors."""


class KrylovLayout(NamedTuple):
    """Indices of the chain, and the matrices of pairs by positions (a, b), a < b, in the order of elimination."""

    chain: ChainLayout
    pairs: dict[tuple[int, int], SparseBlocks]


class KrylovGram(NamedTuple):
    """The chain with its entries in the tail; of every factor in the order of elimination, zz (L, k, k), the same padded, and
    zx (L, k, p)."""

    chain: Chain
    zz: tuple[Any, ...]
    padded: tuple[np.ndarray, ...]
    zx: tuple[Any, ...]


class Base(NamedTuple):
    """What the elimination of the chain gives.

    Attributes
    ----------
    logdet : () array
        log|Ψ_CC|.
    trace : () array
        tr(P⁻¹S).
    w : tuple of (k, k, levels) arrays
        L⁻¹ of the eliminated blocks.
    up : tuple of tuples of (k, k_e, levels) arrays
        Whitened borders with the ancestors.
    """

    logdet: Any
    trace: Any
    w: Any
    up: Any


def compress(plan, gram: Gram) -> tuple[KrylovGram, KrylovLayout]:
    """Arrange what iterations read."""
    order, later = plan.order[: plan.n_chain], plan.order[plan.n_chain :]
    chain, layout = compress_chain(order, later, (False,) * len(order), gram)
    levels = [gram.zz[t].shape[2] for t in plan.order]
    pairs = {
        (a, b): SparseBlocks(*pair_of(gram, plan.order[a], plan.order[b]), (levels[a], levels[b]))
        for b in range(len(plan.order))
        for a in range(b)
    }
    zz = tuple(to_device(gram.zz[t].transpose(2, 0, 1)) for t in plan.order)
    padded = tuple(pad_last(gram.zz[t], bucket(n)).transpose(2, 0, 1) for t, n in zip(plan.order, levels, strict=True))
    zx = tuple(to_device(gram.zx[t].transpose(2, 0, 1)) for t in plan.order)
    return KrylovGram(chain, zz, padded, zx), KrylovLayout(layout, pairs)


def compress_response(plan, layout, gram: Gram, response: Response):
    """Zᵀ Wy (k, levels) of each factor in the order of elimination, and yy."""
    del gram
    return tuple(response.zy[t] for t in plan.order), np.asarray(response.yy)


def base(plan, layout: ChainLayout, chain: Chain, zz, lambdas, inverses) -> Base:
    """Eliminate the chain, and add up tr(P⁻¹S) for given P⁻¹ (L, k, k) of the tail's levels; pure JAX.

    Its gradient in P⁻¹ holds the diagonal blocks of S.
    """
    ordered = [lambdas[t] for t in plan.order]
    early, late = ordered[: plan.n_chain], ordered[plan.n_chain :]
    logdet, stages, _ = eliminate(layout, chain, early, late)
    trace = jnp.zeros(())
    for t, (lam, own, inverse) in enumerate(zip(late, zz[plan.n_chain :], inverses, strict=True)):
        trace += jnp.einsum("lij,lji->", inverse, lam.T @ own @ lam + jnp.eye(lam.shape[0]))
        for d, stage in enumerate(stages):
            entry, column = stage.across[t], layout.column[d][t]
            trace -= jnp.einsum("kae,kbe,eab->", entry, entry, inverse[column])
    return Base(logdet, trace, tuple(stage.w for stage in stages), tuple(tuple(stage.up) for stage in stages))


@dataclass(frozen=True)
class System:
    """S at one Λ, and what solves with Ψ take.

    Attributes
    ----------
    gram, layout
        Of `compress`.
    lambdas : list of (k, k) arrays
        In the order of elimination.
    n_chain : int
        Factors in the chain.
    w, up, ancestors : lists
        Of the chain: L⁻¹ (L, k, k), whitened borders (L, k, k_e), and matrices that add up over the levels of an ancestor.
    roots : list of (L, k, k) arrays
        R with P⁻¹ = RᵀR, of the tail's levels.
    """

    gram: KrylovGram
    layout: KrylovLayout
    lambdas: list[Any]
    n_chain: int
    w: list[Any]
    up: list[list[Any]]
    ancestors: list[list[tuple[Any, SparseBlocks]]]
    roots: list[Any]

    @classmethod
    def of(cls, plan, gram: KrylovGram, layout: KrylovLayout, lambdas, found: Base, roots) -> System:
        """At the Λ (in the design's order) for which `found` was eliminated."""
        levels = [own.shape[0] for own in gram.zz]
        w = [to_device(np.moveaxis(np.asarray(own), 2, 0)[:n]) for own, n in zip(found.w, levels, strict=False)]
        up = [
            [to_device(np.moveaxis(np.asarray(own), 2, 0)[:n]) for own in row]
            for row, n in zip(found.up, levels, strict=False)
        ]
        ancestors = [
            [
                (np.asarray(a)[:n], _summing(np.asarray(a)[:n], levels[d + 1 + e]))
                for e, a in enumerate(layout.chain.ancestor[d])
            ]
            for d, n in zip(range(plan.n_chain), levels, strict=False)
        ]
        ordered = [to_device(np.asarray(lambdas[t])) for t in plan.order]
        return cls(gram, layout, ordered, plan.n_chain, w, up, ancestors, roots)

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """Levels and columns of the tail's factors."""
        return [own.shape[:2] for own in self.gram.zz[self.n_chain :]]

    def split(self, flat: Any) -> Parts:
        """Vectors (N, r) of the tail as parts."""
        ends = np.cumsum([0, *(n * k for n, k in self.sizes)])
        return [flat[a:b].reshape(n, k, -1) for a, b, (n, k) in zip(ends[:-1], ends[1:], self.sizes, strict=True)]

    def whitened(self, flat: Any) -> Any:
        """R times vectors (N, r)."""
        return join([_each(root, v) for root, v in zip(self.roots, self.split(flat), strict=True)])

    def unwhitened(self, flat: Any) -> Any:
        """Rᵀ times vectors (N, r)."""
        return join([_each(root.swapaxes(1, 2), v) for root, v in zip(self.roots, self.split(flat), strict=True)])

    @functools.cached_property
    def _inside(self) -> tuple[Parts, Parts, Any]:
        """What A is multiplied with: ΛRᵀ and RΛᵀZᵀWZΛRᵀ + RRᵀ of the tail's levels; ΛΨ_CC⁻¹Λᵀ of a chain of one factor."""
        late, zz = self.lambdas[self.n_chain :], self.gram.zz[self.n_chain :]
        into = [lam @ root.swapaxes(1, 2) for lam, root in zip(late, self.roots, strict=True)]
        own = [
            a.swapaxes(1, 2) @ z @ a + root @ root.swapaxes(1, 2)
            for a, z, root in zip(into, zz, self.roots, strict=True)
        ]
        half = self.w[0] @ self.lambdas[0].T
        return into, own, half.swapaxes(1, 2) @ half if self.n_chain == 1 else None

    def scaled(self, flat: Any) -> Any:
        """A = RSRᵀ times vectors (N, r)."""
        (into, own, middle), tail = self._inside, self.split(flat)
        c = self.n_chain
        moved = [_each(block, v) for block, v in zip(into, tail, strict=True)]
        reached = [self._sum(self.layout.pairs[d, c + t].times(v) for t, v in enumerate(moved)) for d in range(c)]
        if middle is not None:
            chain = [_each(middle, reached[0])]
        else:
            solved = self.chain_solve([_all(lam.T, v) for lam, v in zip(self.lambdas, reached, strict=False)])
            chain = [_all(lam, v) for lam, v in zip(self.lambdas, solved, strict=False)]
        rows = []
        for t, v in enumerate(tail):
            row = -self._sum(self.layout.pairs[d, c + t].transposed(u) for d, u in enumerate(chain))
            for s in range(len(tail)):
                if s != t:
                    row = row + self._pair(c + t, c + s, moved[s])
            rows.append(_each(into[t].swapaxes(1, 2), row) + _each(own[t], v))
        return join(rows)

    def extended(self, tail: Parts) -> tuple[Parts, Parts, Parts]:
        """Vectors of all effects x with Ψ_C·x = 0 and the given tail, ZᵀWZΛx, and the tail of Ψx, which is S times it."""
        c = self.n_chain
        scaled = [_all(lam, v) for lam, v in zip(self.lambdas[c:], tail, strict=True)]
        reached = [self._sum(self.layout.pairs[d, c + t].times(v) for t, v in enumerate(scaled)) for d in range(c)]
        chain = [-v for v in self.chain_solve([_all(lam.T, v) for lam, v in zip(self.lambdas, reached, strict=False)])]
        moved = [_all(lam, v) for lam, v in zip(self.lambdas, chain, strict=False)]
        rows = self._tail_rows(moved, scaled)
        image = [_all(lam.T, row) + v for lam, row, v in zip(self.lambdas[c:], rows, tail, strict=True)]
        return [*chain, *tail], [*self._chain_rows(moved, reached), *rows], image

    def products(self, b: Parts) -> Parts:
        """ZᵀWZb."""
        c = self.n_chain
        reached = [self._sum(self.layout.pairs[d, c + t].times(v) for t, v in enumerate(b[c:])) for d in range(c)]
        return [*self._chain_rows(b[:c], reached), *self._tail_rows(b[:c], b[c:])]

    def chain_solve(self, right: Parts) -> Parts:
        """Ψ_CC⁻¹ times vectors of the chain."""
        rest, whitened = list(right), []
        for d, w in enumerate(self.w):
            whitened.append(_each(w, rest[d]))
            for e, (_, total) in enumerate(self.ancestors[d]):
                rest[d + 1 + e] = rest[d + 1 + e] - _added(total, _each(self.up[d][e].swapaxes(1, 2), whitened[d]))
        answer: Parts = [None] * len(self.w)
        for d in reversed(range(len(self.w))):
            own = whitened[d]
            for e, (ancestor, _) in enumerate(self.ancestors[d]):
                own = own - _each(self.up[d][e], answer[d + 1 + e][ancestor])
            answer[d] = _each(self.w[d].swapaxes(1, 2), own)
        return answer

    def diagonal_of_inverse(self) -> list[np.ndarray]:
        """Blocks (levels, k, k) of Ψ⁻¹ on its diagonal if A were the unit matrix; of a chain of several factors Ψ_CC⁻¹'s."""
        w, up = [np.asarray(own) for own in self.w], [[np.asarray(own) for own in row] for row in self.up]
        joint = w[-1].swapaxes(1, 2) @ w[-1]
        chain = [joint]
        for d in reversed(range(self.n_chain - 1)):
            # Covariances of a level with those of its ancestors, which are together in `joint`.
            there = joint[self.ancestors[d][0][0]]
            to = w[d].swapaxes(1, 2) @ np.concatenate(up[d], axis=2)
            cross = -to @ there
            own = w[d].swapaxes(1, 2) @ w[d] - cross @ to.swapaxes(1, 2)
            joint = np.concatenate(
                [np.concatenate([own, cross], axis=2), np.concatenate([cross.swapaxes(1, 2), there], axis=2)], axis=1
            )
            chain.insert(0, own)
        inverses = [np.asarray(root.swapaxes(1, 2) @ root) for root in self.roots]
        if self.n_chain == 1:
            for t, inverse in enumerate(inverses):
                chain[0] = chain[0] + self._entries(w[0], t, inverse)
        return [*chain, *inverses]

    def _entries(self, w: np.ndarray, t: int, inverse: np.ndarray) -> np.ndarray:
        """Σ_e G_eP⁻¹G_eᵀ of each level of the first factor, G_e = WᵀWΛᵀB_eΛ of its pairs e with the tail's t-th factor."""
        lam, other = np.asarray(self.lambdas[0]), np.asarray(self.lambdas[self.n_chain + t])
        level, column = (np.asarray(own[0][t]) for own in (self.layout.chain.level, self.layout.chain.column))
        blocks = np.asarray(self.gram.chain.across[0][t])
        answer = np.zeros(w.shape)
        for begin in range(0, level.size, ENTRIES):
            part = slice(begin, begin + ENTRIES)
            moved = np.einsum("ia,ije,jb->eab", lam, blocks[:, :, part], other, optimize=True)
            moved = w.swapaxes(1, 2)[level[part]] @ (w[level[part]] @ moved)
            np.add.at(answer, level[part], moved @ inverse[column[part]] @ moved.swapaxes(1, 2))
        return answer

    def solve(self, right: Parts, basis: Any | None = None) -> Parts:
        """Ψ⁻¹ times vectors of all factors; `basis` (N, m) spans directions in which A is far from one."""
        c = self.n_chain
        early = self.chain_solve(right[:c])
        moved = [_all(lam, v) for lam, v in zip(self.lambdas, early, strict=False)]
        taken = self._tail_rows(moved, None)
        left = [v - _all(lam.T, row) for lam, v, row in zip(self.lambdas[c:], right[c:], taken, strict=True)]
        flat = conjugate_gradients(self.scaled, self.whitened(join(left)), basis)
        tail = self.split(self.unwhitened(flat))
        extended, _, _ = self.extended(tail)
        return [*(a + b for a, b in zip(early, extended[:c], strict=True)), *tail]

    def _chain_rows(self, moved: Parts, reached: Parts) -> Parts:
        """Rows of ZᵀWZ of the chain; `reached` is what the tail contributes."""
        rows = []
        for d in range(self.n_chain):
            row = _each(self.gram.zz[d], moved[d]) + reached[d]
            for e in range(self.n_chain):
                if e != d:
                    row = row + self._pair(d, e, moved[e])
            rows.append(row)
        return rows

    def _tail_rows(self, moved: Parts, tail: Parts | None) -> Parts:
        """Rows of ZᵀWZ of the tail, from the chain's vectors and, unless there are none, the tail's."""
        c, rows = self.n_chain, []
        for t in range(len(self.sizes)):
            row = self._sum(self.layout.pairs[d, c + t].transposed(v) for d, v in enumerate(moved))
            if tail is not None:
                row = row + _each(self.gram.zz[c + t], tail[t])
                for s in range(len(self.sizes)):
                    if s != t:
                        row = row + self._pair(c + t, c + s, tail[s])
            rows.append(row)
        return rows

    def _pair(self, a: int, b: int, vectors: Any) -> Any:
        """Block (a, b) of ZᵀWZ times vectors of b."""
        return self.layout.pairs[a, b].times(vectors) if a < b else self.layout.pairs[b, a].transposed(vectors)

    @staticmethod
    def _sum(parts) -> Any:
        first, *rest = parts
        for part in rest:
            first = first + part
        return first


def join(parts: Parts) -> Any:
    """Parts (levels, k, r) as vectors (N, r); r may be zero, where nothing is deflated."""
    flat = [part.reshape(part.shape[0] * part.shape[1], part.shape[2]) for part in parts]
    return flat[0] if len(flat) == 1 else namespace(flat[0]).concatenate(flat)


def _each(blocks: Any, vectors: Any) -> Any:
    """A block for each level times its vectors."""
    if blocks.shape[1:] == (1, 1):
        return blocks * vectors
    return blocks @ vectors


def _all(block: Any, vectors: Any) -> Any:
    """One block times the vectors of every level."""
    if block.shape == (1, 1):
        return block[0, 0] * vectors
    return block @ vectors


def _added(total: SparseBlocks, vectors: Any) -> Any:
    """Vectors (L, k, r) added up over the levels of an ancestor."""
    n, k, r = vectors.shape
    added = total.times(vectors.reshape(n, 1, k * r))
    return added.reshape(added.shape[0], k, r)


def _summing(ancestor: np.ndarray, n_levels: int) -> SparseBlocks:
    own = np.arange(ancestor.size)
    return SparseBlocks(ancestor, own, np.ones((1, 1, own.size)), (n_levels, own.size))
