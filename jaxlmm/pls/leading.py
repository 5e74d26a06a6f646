"""The same expansion of one large component, its leading factor eliminated first: dense are only the others' columns.

Index 1 is the leading factor, whose ZᵀWZ is block diagonal over its levels, 2 are all others. With V₁ = W⁻¹ + Z₁Σ₁Z₁ᵀ,

    D = Z₁ᵀV₁⁻¹Z₁ (block diagonal)     E = Z₁ᵀV₁⁻¹Z₂ (sparse)     C = Z₂ᵀV₁⁻¹Z₂ (dense)
    S₂₂ = (I + CΣ₂)⁻¹C     Ω = Σ₂ - Σ₂S₂₂Σ₂     S₁₂ = E(I - Σ₂S₂₂)     S₁₁ = D - EΩEᵀ,

so that every trace with S₁₁ is one of products of Ω and EᵀE (Woodbury's identity). Called by `expansion`, one lane at a time.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from scipy.linalg import block_diag
from scipy.sparse import csr_array

from jaxlmm.pls.components import Components, Stack

LARGE = 600
"""Columns of a component from which on eliminating its leading factor pays."""

SHARE = 0.25
"""Part of the columns that the leading factor must have."""

ROWS = 2**22
"""So many numbers of S₁₂ are made at once."""


def leading_factor(components: Components, stack: Stack) -> int | None:
    """The factor that is eliminated first; None where the whole component had better be dense."""
    q = stack.zz.shape[1]
    columns = [own.shape[1] * k for own, k in zip(stack.levels, components.sizes, strict=True)]
    largest = int(np.argmax(columns))
    return largest if q >= LARGE and SHARE * q <= columns[largest] < q else None


@dataclass(frozen=True)
class Leading:
    """One component of one lane, with the leading factor eliminated.

    Attributes
    ----------
    components : Components
        The model.
    lead : int
        The leading factor.
    levels, k : int
        Its levels in this component, and its columns.
    slices : dict of int to slice
        Columns of each other factor among those of index 2.
    d : (L, k, k) array
        Blocks of D.
    e : list of (L, q2) sparse arrays
        Rows of E, by column of the leading factor.
    omega, s, h : (q2, q2) arrays
        Ω, S₂₂ and I - Σ₂S₂₂.
    first, second : (L, k, p + 1), (q2, p + 1) arrays
        T of the leading factor, and of the others.
    logdet : float
        log|I + ZᵀWZΣ|.
    explained : (p + 1, p + 1) array
        What Z takes from [X y]ᵀW[X y].
    """

    components: Components
    lead: int
    levels: int
    k: int
    slices: dict[int, slice]
    d: np.ndarray
    e: list[csr_array]
    omega: np.ndarray
    s: np.ndarray
    h: np.ndarray
    first: np.ndarray
    second: np.ndarray
    logdet: float
    explained: np.ndarray

    @classmethod
    def of(cls, components: Components, stack: Stack, number: int, lead: int, sigmas: list[np.ndarray]) -> Leading:
        """Eliminate the leading factor of one component at covariance matrices (k, k)."""
        shapes = [(own.shape[1], k) for own, k in zip(stack.levels, components.sizes, strict=True)]
        ends = np.cumsum([0, *(levels * k for levels, k in shapes)])
        own = np.arange(ends[lead], ends[lead + 1])
        rest = np.delete(np.arange(ends[-1]), own)
        (levels, k), zz, zf = shapes[lead], stack.zz[number], stack.zf[number]
        slices, begin = {}, 0
        for t, (count, size) in enumerate(shapes):
            if t != lead:
                slices[t] = slice(begin, begin + count * size)
                begin += count * size
        sigma = sigmas[lead]
        place = own.reshape(levels, k)
        a = zz[place[:, :, None], place[:, None]]
        inverse = np.linalg.inv(np.eye(k) + a @ sigma)
        across = [csr_array(zz[np.ix_(place[:, i], rest)]) for i in range(k)]
        # E = (I + AΣ)⁻¹A₁₂, row by row: each is a combination of the level's rows of A₁₂.
        e = [sum(_scaled(inverse[:, i, j], across[j]) for j in range(k)) for i in range(k)]
        spread = [sum(sigma[i, j] * e[j] for j in range(k)) for i in range(k)]
        c = zz[np.ix_(rest, rest)] - sum((across[i].T @ spread[i]).toarray() for i in range(k))
        border = inverse @ zf[place]
        moved = sigma @ border
        t2 = zf[rest] - sum(across[i].T @ moved[:, i] for i in range(k))
        full = block_diag(*(sigmas[t] for t in slices for _ in range(shapes[t][0])))
        matrix = np.eye(len(rest)) + c @ full
        solved = np.linalg.solve(matrix, np.column_stack([c, t2]))
        s, second = solved[:, : len(rest)], solved[:, len(rest) :]
        s = 0.5 * (s + s.T)
        taken = full @ second
        first = border - np.stack([part @ taken for part in e], axis=1)
        explained = np.einsum("lip,liq->pq", zf[place], moved) + t2.T @ taken
        logdet = float(np.linalg.slogdet(matrix)[1] - np.linalg.slogdet(inverse)[1].sum())
        h = np.eye(len(rest)) - full @ s
        omega = h @ full
        omega = 0.5 * (omega + omega.T)
        return cls(components, lead, levels, k, slices, inverse @ a, e, omega, s, h, first, second, logdet, explained)

    @functools.cached_property
    def products(self) -> list[list[np.ndarray]]:
        """Σ_l E_l[a]ᵀE_l[b] (q2, q2)."""
        return [[(a.T @ b).toarray() for b in self.e] for a in self.e]

    @functools.cached_property
    def forms(self) -> np.ndarray:
        """E_lΩE_lᵀ (L, k, k)."""
        answer = np.empty((self.levels, self.k, self.k))
        for a in range(self.k):
            along = self.e[a] @ self.omega
            for b in range(self.k):
                answer[:, a, b] = self.e[b].multiply(along).sum(axis=1)
        return answer

    def blocks(self, t: int) -> np.ndarray:
        """T (1, 1, L, k, p + 1) of a factor."""
        if t == self.lead:
            return self.first[None, None]
        return self.second[self.slices[t]].reshape(1, 1, -1, self.components.sizes[t], self.second.shape[1])

    def level_traces(self, t: int) -> np.ndarray:
        """Σ over the levels of a factor of their blocks of S (1, k, k)."""
        if t == self.lead:
            return (self.d.sum(axis=0) - self.forms.sum(axis=0))[None]
        own, k = self.slices[t], self.components.sizes[t]
        return np.einsum("lalb->ab", self.s[own, own].reshape(-1, k, (own.stop - own.start) // k, k))[None]

    def squares(self, t: int, u: int) -> np.ndarray:
        """Σ S[(l, a), (m, d)] S[(l, b), (m, c)] over the levels l of one factor and m of another (1, k, k', k, k')."""
        if t == self.lead and u == self.lead:
            turned = [[self.omega @ own for own in row] for row in self.products]
            both = np.einsum("lad,lbc->adbc", self.d, self.d)
            mixed = np.einsum("lad,lbc->adbc", self.d, self.forms)
            last = np.empty((self.k,) * 4)
            for a, d, b, c in np.ndindex(*last.shape):
                last[a, d, b, c] = np.sum(turned[d][c] * turned[b][a].T)
            return (both - mixed - mixed.transpose(2, 3, 0, 1) + last)[None]
        if self.lead in (t, u):
            other = u if t == self.lead else t
            found = self._across(other)
            return (found if t == self.lead else found.transpose(1, 0, 3, 2))[None]
        k, kk = self.components.sizes[t], self.components.sizes[u]
        block = self.s[self.slices[t], self.slices[u]]
        flat = block.reshape(block.shape[0] // k, k, -1, kk).transpose(1, 3, 0, 2).reshape(k * kk, -1)
        return (flat @ flat.T).reshape(1, k, kk, k, kk)

    def _across(self, other: int) -> np.ndarray:
        """`squares` of the leading factor and another, some levels at a time."""
        own, kk = self.slices[other], self.components.sizes[other]
        h, answer = self.h[:, own], np.zeros((self.k * kk,) * 2)
        step = max(1, ROWS // max(self.k * h.shape[1], 1))
        for begin in range(0, self.levels, step):
            rows = np.stack([part[begin : begin + step] @ h for part in self.e], axis=1)
            flat = rows.reshape(len(rows), self.k, -1, kk).transpose(1, 3, 0, 2).reshape(self.k * kk, -1)
            answer += flat @ flat.T
        return answer.reshape(self.k, kk, self.k, kk)

    def bends(self, moved: list[np.ndarray], t: int, u: int) -> np.ndarray:
        """U_tᵀSU_u (1, c, c') of vectors U (1, 1, L k, c) of the factors' columns."""
        if u == self.lead and t != self.lead:
            return self.bends(moved, u, t).swapaxes(1, 2)
        left, right = moved[t][0, 0], moved[u][0, 0]
        if t != self.lead:
            return (left.T @ self.s[self.slices[t], self.slices[u]] @ right)[None]
        across = self._gathered(left)
        if u != self.lead:
            return (across.T @ self.h[:, self.slices[u]] @ right)[None]
        through = self.d @ right.reshape(self.levels, self.k, -1)
        return (left.T @ through.reshape(left.shape[0], -1) - across.T @ self.omega @ self._gathered(right))[None]

    def _gathered(self, vectors: np.ndarray) -> np.ndarray:
        """EᵀU (q2, c) of vectors (L k, c)."""
        own = vectors.reshape(self.levels, self.k, -1)
        return np.asarray(sum(part.T @ own[:, i] for i, part in enumerate(self.e)))


def _scaled(rows: np.ndarray, matrix: csr_array) -> csr_array:
    """A sparse matrix with each row times a number."""
    answer = matrix.copy()
    answer.data = answer.data * np.repeat(rows, np.diff(matrix.indptr))
    return answer
