"""log|V| and [X y]ᵀV⁻¹[X y] with their derivatives in the elements of the covariance matrices, exact to second order.

V = W⁻¹ + Z Σ Zᵀ with Σ block diagonal, one Σ_t for every level of factor t; V_i = Z G_i Zᵀ is its derivative in one
element of a Σ_t. With S = ZᵀV⁻¹Z = (I + ZᵀWZ Σ)⁻¹ZᵀWZ and T = ZᵀV⁻¹[X y],

    ∂_i log|V| = tr(SG_i)          ∂_ij log|V| = -tr(SG_iSG_j)
    ∂_i F = -TᵀG_iT                ∂_ij F = TᵀG_iSG_jT + TᵀG_jSG_iT,      F = [X y]ᵀV⁻¹[X y],

from which follow both criteria, the information about variances (Searle, Casella & McCulloch 1992, Variance Components,
ch. 6) and Kenward and Roger's adjustment (1997, Biometrics 53(3)). Lanes are first; everything is a sum over components.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.linalg import block_diag

from jaxlmm.pls.components import Components, Stack
from jaxlmm.pls.leading import Leading, leading_factor

NUMBERS = 2**23
"""So many numbers the largest array may hold that is made of several components, or of several lanes, at once."""


@dataclass(frozen=True)
class Expansion:
    """Of R lanes, in m elements of the covariance matrices (off-diagonal ones count for both sides).

    Attributes
    ----------
    logdet, d_logdet, dd_logdet : (R,), (R, m), (R, m, m) arrays
        log|V| + Σ log w and its derivatives.
    f : (R, p + 1, p + 1) array
        F.
    down : (R, m, p + 1, p + 1) array
        TᵀG_iT: minus the derivatives of F.
    bend : (R, m, m, p + 1, p + 1) array
        TᵀG_iSG_jT: with its transpose, the second derivatives of F.
    """

    logdet: np.ndarray
    d_logdet: np.ndarray
    dd_logdet: np.ndarray
    f: np.ndarray
    down: np.ndarray
    bend: np.ndarray

    def columns(self, basis: np.ndarray) -> Expansion:
        """The same with [X y] times a matrix (p + 1, c), or one for each lane (R, p + 1, c)."""
        along = basis if basis.ndim == 2 else basis[:, None]
        deep = basis if basis.ndim == 2 else basis[:, None, None]
        return Expansion(
            self.logdet,
            self.d_logdet,
            self.dd_logdet,
            np.swapaxes(basis, -1, -2) @ self.f @ basis,
            np.swapaxes(along, -1, -2) @ self.down @ along,
            np.swapaxes(deep, -1, -2) @ self.bend @ deep,
        )

    def lanes(self, part: slice) -> Expansion:
        """Some of the lanes."""
        own = (self.logdet, self.d_logdet, self.dd_logdet, self.f, self.down, self.bend)
        return Expansion(*(array[part] for array in own))


def expand(components: Components, sigmas: list[np.ndarray]) -> Expansion:
    """Expand around covariance matrices Σ_t (R, k, k) of each factor, relative to the residual variance.

    Parameters
    ----------
    components : Components
        The model.
    sigmas : list of (R, k, k) arrays
        One per grouping factor, of all lanes.
    """
    lanes, m, columns = sigmas[0].shape[0], len(components.directions), components.ff.shape[0]
    logdet, d_logdet, dd_logdet = np.zeros(lanes), np.zeros((lanes, m)), np.zeros((lanes, m, m))
    f = np.array(np.broadcast_to(components.ff, (lanes, columns, columns)))
    down, bend = np.zeros((lanes, m, columns, columns)), np.zeros((lanes, m, m, columns, columns))
    for part, own in _parts(components, sigmas):
        logdet[own] += part.logdet
        f[own] -= part.explained
        down[own] += _down(part, components)
        d_logdet[own] += _traces(part, components)
        dd_logdet[own] -= _double_traces(part, components)
        bend[own] += _bend(part, components)
    return Expansion(logdet, d_logdet, dd_logdet, 0.5 * (f + f.swapaxes(1, 2)), down, bend)


def _parts(components: Components, sigmas: list[np.ndarray]) -> Iterator[tuple[_Part | Leading, slice]]:
    """Some components at a time, and of which lanes: large ones one by one, their leading factor eliminated first."""
    lanes, m, columns = sigmas[0].shape[0], len(components.directions), components.ff.shape[0]
    for stack in components.stacks:
        n, q, _ = stack.zz.shape
        lead = leading_factor(components, stack)
        if lead is not None:
            for lane, number in np.ndindex(lanes, n):
                here = [sigma[lane] for sigma in sigmas]
                yield Leading.of(components, stack, number, lead, here), slice(lane, lane + 1)
            continue
        step = max(1, NUMBERS // max(lanes * q * (q + max(columns, 1) * (1 + m)), 1))
        for begin in range(0, n, step):
            yield _Part.of(components, stack.take(slice(begin, begin + step)), sigmas), slice(0, lanes)


def component_solutions(
    components: Components, stack: Stack, sigmas: list[np.ndarray]
) -> Iterator[tuple[int, tuple[np.ndarray, np.ndarray]]]:
    """Ω = Σ - ΣSΣ (N, q, q) and ΣT (N, q, p) of the components of a stack, some at a time, and where they begin."""
    n, q, _ = stack.zz.shape
    step = max(1, NUMBERS // max(q * q, 1))
    for begin in range(0, n, step):
        part = stack.take(slice(begin, begin + step))
        full = block_diag(*(s for own, s in zip(part.levels, sigmas, strict=True) for _ in range(own.shape[1])))
        matrix = part.zz @ full
        matrix[:, np.arange(q), np.arange(q)] += 1.0
        solved = np.linalg.solve(matrix, np.concatenate([part.zz, part.zf[:, :, :-1]], axis=2))
        omega = full - full @ solved[:, :, :q] @ full
        yield begin, (0.5 * (omega + omega.swapaxes(1, 2)), full @ solved[:, :, q:])


@dataclass(frozen=True)
class _Part:
    """Some components of one shape: S and T, cut into the blocks of the factors.

    Attributes
    ----------
    s : list of lists of (R, N, L_t, k_t, L_u, k_u) arrays
        Blocks of S.
    t : list of (R, N, L, k, p + 1) arrays
        Blocks of T.
    logdet, explained : (R,), (R, p + 1, p + 1) arrays
        Sums of log|I + ZᵀWZΣ|, and of what Z takes from [X y]ᵀW[X y].
    """

    s: list[list[np.ndarray]]
    t: list[np.ndarray]
    logdet: np.ndarray
    explained: np.ndarray

    @classmethod
    def of(cls, components: Components, stack: Stack, sigmas: list[np.ndarray]) -> _Part:
        n, q, columns = stack.zf.shape
        shape = [(own.shape[1], k) for own, k in zip(stack.levels, components.sizes, strict=True)]
        ends = np.cumsum([0, *(levels * k for levels, k in shape)])
        slices = [slice(a, b) for a, b in itertools.pairwise(ends)]
        lanes = sigmas[0].shape[0]
        matrix = np.empty((lanes, n, q, q))
        for sigma, part, (levels, k) in zip(sigmas, slices, shape, strict=True):
            block = stack.zz[:, :, part].reshape(1, n, q * levels, k)
            matrix[..., part] = (block @ sigma[:, None]).reshape(lanes, n, q, levels * k)
        matrix[..., np.arange(q), np.arange(q)] += 1.0
        sides = np.concatenate([stack.zz, stack.zf], axis=2)
        solved = np.linalg.solve(matrix, np.broadcast_to(sides, (lanes, *sides.shape)))
        logdet = np.linalg.slogdet(matrix)[1].sum(axis=1)
        s, t = solved[..., :q], solved[..., q:]
        explained = np.zeros((lanes, columns, columns))
        blocks = [
            t[:, :, part].reshape(lanes, n, levels, k, columns) for part, (levels, k) in zip(slices, shape, strict=True)
        ]
        for own, sigma, part, (levels, k) in zip(blocks, sigmas, slices, shape, strict=True):
            moved = (sigma[:, None, None] @ own).reshape(lanes, n * levels * k, columns)
            explained += stack.zf[:, part].reshape(n * levels * k, columns).T @ moved
        cut = [
            [s[:, :, a, b].reshape(lanes, n, *rows, *others) for b, others in zip(slices, shape, strict=True)]
            for a, rows in zip(slices, shape, strict=True)
        ]
        return cls(cut, blocks, logdet, explained)

    def level_traces(self, t: int) -> np.ndarray:
        """Σ over the levels of a factor of their blocks of S (R, k, k)."""
        return np.einsum("rnlalb->rab", self.s[t][t])

    def squares(self, t: int, u: int) -> np.ndarray:
        """Σ S[(l, a), (m, d)] S[(l, b), (m, c)] over the levels l of one factor and m of another (R, k, k', k, k')."""
        block = self.s[t][u]
        r, k, kk = block.shape[0], block.shape[3], block.shape[5]
        flat = np.moveaxis(block, (3, 5), (1, 2)).reshape(r, k * kk, -1)
        return (flat @ flat.swapaxes(1, 2)).reshape(r, k, kk, k, kk)

    def blocks(self, t: int) -> np.ndarray:
        """T (R, N, L, k, p + 1) of a factor."""
        return self.t[t]

    def bends(self, moved: list[np.ndarray], t: int, u: int) -> np.ndarray:
        """U_tᵀSU_u (R, c, c') of vectors U (R, N, L k, c) of the factors' columns."""
        block, left, right = self.s[t][u], moved[t], moved[u]
        lanes, n, rows = left.shape[:3]
        through = block.reshape(lanes, n, rows, -1) @ right
        return left.reshape(lanes, n * rows, -1).swapaxes(1, 2) @ through.reshape(lanes, n * rows, -1)


def _traces(part: _Part | Leading, components: Components) -> np.ndarray:
    """tr(SG_i) (R, m)."""
    answer = []
    for t, (a, b) in enumerate(components.elements):
        own = part.level_traces(t)
        answer.append(np.where(a == b, 1.0, 2.0) * 0.5 * (own[:, a, b] + own[:, b, a]))
    return np.concatenate(answer, axis=1)


def _double_traces(part: _Part | Leading, components: Components) -> np.ndarray:
    """tr(SG_iSG_j) (R, m, m)."""
    rows = []
    for t, (a, b) in enumerate(components.elements):
        row = []
        for u, (c, d) in enumerate(components.elements):
            square = part.squares(t, u)
            a_, b_, c_, d_ = a[:, None], b[:, None], c[None], d[None]
            # tr(S E_ab S E_cd) = Σ S[a, d] S[b, c]; an element off the diagonal stands on both sides of it.
            both = square[:, a_, d_, b_, c_] + square[:, a_, c_, b_, d_]
            off = np.where(a_ == b_, 1.0, 2.0) * np.where(c_ == d_, 0.5, 1.0)
            row.append(off * both)
        rows.append(np.concatenate(row, axis=2))
    return np.concatenate(rows, axis=1)


def _down(part: _Part | Leading, components: Components) -> np.ndarray:
    """TᵀG_iT (R, m, p + 1, p + 1)."""
    answer = []
    for t, (a, b) in enumerate(components.elements):
        own = part.blocks(t)
        r, k, columns = own.shape[0], own.shape[3], own.shape[4]
        flat = own.reshape(r, -1, k * columns)
        square = (flat.swapaxes(1, 2) @ flat).reshape(r, k, columns, k, columns).swapaxes(2, 3)
        answer.append(square[:, a, b] + np.where(a == b, 0.0, 1.0)[:, None, None] * square[:, b, a])
    return np.concatenate(answer, axis=1)


def _bend(part: _Part | Leading, components: Components) -> np.ndarray:
    """TᵀG_iSG_jT (R, m, m, p + 1, p + 1)."""
    columns, rows = components.ff.shape[0], []
    moved = [_moved(part.blocks(t), *own) for t, own in enumerate(components.elements)]
    for t, left in enumerate(moved):
        row = []
        for u, right in enumerate(moved):
            both = part.bends(moved, t, u)
            i, j = left.shape[3] // columns, right.shape[3] // columns
            row.append(both.reshape(len(both), i, columns, j, columns).swapaxes(2, 3))
        rows.append(np.concatenate(row, axis=2))
    return np.concatenate(rows, axis=1)


def _moved(own: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """G_iT (R, N, L k, m_t (p + 1)) for the elements (a, b) of one factor, from its T."""
    lanes, n, levels, k, columns = own.shape
    answer = np.zeros((lanes, n, levels, k, a.size, columns))
    which = np.arange(a.size)
    answer[..., a, which, :] = own[..., b, :]
    answer[..., b, which, :] = own[..., a, :]
    return answer.reshape(lanes, n, levels * k, a.size * columns)
