"""Random effects cut into components that no row connects: dense matrices, as small as the design allows.

With one grouping factor every level is a component, with nested ones every top group, with crossed ones mostly everything is.
V = W⁻¹ + ZΣZᵀ is block diagonal over components, so that what has second derivatives of everything (degrees of freedom,
Kenward and Roger's adjustment, profiles) is made of sums over them (`expansion`). Components of like shape are stacked;
levels are filled up with empty ones, which change nothing. Called by `fit`; NumPy throughout, so that nothing is compiled.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from jaxlmm.covariance import Structure, n_columns, positions
from jaxlmm.pls.standard import Gram, Response

FEW = 4
"""Up to so many levels of a factor in a component are not rounded; more are rounded up, by a quarter at most."""


@dataclass(frozen=True)
class Stack:
    """Components of one shape; their columns are ordered by factor, level and column.

    Attributes
    ----------
    levels : tuple of (N, L) int arrays
        Levels of each grouping factor; -1 where an empty one fills up.
    zz : (N, q, q) array
        ZᵀWZ.
    zf : (N, q, p + 1) array
        ZᵀW[X y].
    """

    levels: tuple[np.ndarray, ...]
    zz: np.ndarray
    zf: np.ndarray

    def take(self, part: slice) -> Stack:
        """Some of the components."""
        return Stack(tuple(own[part] for own in self.levels), self.zz[part], self.zf[part])


@dataclass(frozen=True)
class Places:
    """Where the levels of one grouping factor stand.

    Attributes
    ----------
    stack, component, column : (L,) int arrays
        Number of the stack, of the component in it, and first column in the component.
    """

    stack: np.ndarray
    component: np.ndarray
    column: np.ndarray


@dataclass(frozen=True)
class Components:
    """The cross-products of a model, component by component, in standard coordinates.

    Attributes
    ----------
    terms : tuple of tuple of Structure
        Covariance structures of each factor's terms.
    stacks : list of Stack
        All components.
    ff : (p + 1, p + 1) array
        [X y]ᵀW[X y].
    n_obs : int
        Number of rows.
    """

    terms: tuple[tuple[Structure, ...], ...]
    stacks: list[Stack]
    ff: np.ndarray
    n_obs: int

    @property
    def sizes(self) -> list[int]:
        """Number of columns of each grouping factor."""
        return [n_columns(terms) for terms in self.terms]

    @property
    def elements(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Rows and columns of the free elements of each factor's covariance matrix, in the order of θ."""
        return [positions(terms) for terms in self.terms]

    @property
    def directions(self) -> list[tuple[int, int, int]]:
        """Factor t and entry (a, b) of every free element."""
        return [(t, int(a), int(b)) for t, own in enumerate(self.elements) for a, b in zip(*own, strict=True)]

    def places(self) -> list[Places]:
        """Where the levels of each grouping factor stand."""
        answer = []
        for t, k in enumerate(self.sizes):
            levels = 1 + max(int(stack.levels[t].max(initial=-1)) for stack in self.stacks)
            own = Places(*(np.zeros(levels, dtype=int) for _ in range(3)))
            for number, stack in enumerate(self.stacks):
                before = sum(stack.levels[s].shape[1] * size for s, size in enumerate(self.sizes[:t]))
                component, place = np.nonzero(stack.levels[t] >= 0)
                level = stack.levels[t][component, place]
                own.stack[level], own.component[level], own.column[level] = number, component, before + place * k
            answer.append(own)
        return answer


def largest_component(gram: Gram) -> int:
    """Number of columns of the component that has most."""
    found = _found(gram)
    counts = sum(_counts(own, found) * zz.shape[0] for own, zz in zip(_split(found, gram), gram.zz, strict=True))
    return int(np.max(counts))


def components(gram: Gram, response: Response, terms: tuple[tuple[Structure, ...], ...], n_obs: int) -> Components:
    """Cut cross-products into components."""
    found = _found(gram)
    own = _split(found, gram)
    counts = np.stack([_counts(part, found) for part in own], axis=1)
    shapes, shape_of = np.unique(_rounded(counts), axis=0, return_inverse=True)
    shape_of = shape_of.reshape(-1)
    within_shape = _position_within(shape_of)  # where a component stands in its stack
    place = [_position_within(part) for part in own]  # where a level stands among its factor's in the component
    p = gram.zx[0].shape[1]
    stacks = []
    for number, shape in enumerate(shapes):
        n = int(np.sum(shape_of == number))
        sizes = [int(levels) * zz.shape[0] for levels, zz in zip(shape, gram.zz, strict=True)]
        begins = np.cumsum([0, *sizes])
        zz, zf = np.zeros((n, begins[-1], begins[-1])), np.zeros((n, begins[-1], p + 1))
        levels = tuple(np.full((n, int(count)), -1) for count in shape)
        first = []  # (component, first column) of the levels of each factor that stand in this stack
        for t, block in enumerate(gram.zz):
            k, mine = block.shape[0], np.flatnonzero(shape_of[own[t]] == number)
            at, column = within_shape[own[t][mine]], begins[t] + place[t][mine] * k
            levels[t][at, place[t][mine]] = mine
            rows = column[:, None] + np.arange(k)
            zz[at[:, None, None], rows[:, :, None], rows[:, None, :]] = np.moveaxis(block[:, :, mine], 2, 0)
            zf[at[:, None], rows, :p] = np.moveaxis(gram.zx[t][:, :, mine], 2, 0)
            zf[at[:, None], rows, p] = response.zy[t][:, mine].T
            everywhere = np.full(block.shape[2], -1)
            everywhere[mine] = column
            first.append(everywhere)
        for (s, t), pairs in gram.pairs.items():
            mine = np.flatnonzero(first[s][pairs.first] >= 0)
            at = within_shape[own[s][pairs.first[mine]]]
            a = first[s][pairs.first[mine]][:, None] + np.arange(pairs.block.shape[0])
            b = first[t][pairs.second[mine]][:, None] + np.arange(pairs.block.shape[1])
            block = np.moveaxis(pairs.block[:, :, mine], 2, 0)
            zz[at[:, None, None], a[:, :, None], b[:, None, :]] = block
            zz[at[:, None, None], b[:, :, None], a[:, None, :]] = block.swapaxes(1, 2)
        stacks.append(Stack(levels, zz, zf))
    ff = gram.xx * np.eye(p + 1)
    ff[p, p] = response.yy
    return Components(terms, stacks, ff, n_obs)


def _found(gram: Gram) -> np.ndarray:
    """Component of every level of every factor, one factor after another."""
    ends = np.cumsum([0, *(zz.shape[2] for zz in gram.zz)])
    total = int(ends[-1])
    if len(gram.zz) == 1:
        return np.arange(total)
    edges = [(ends[s] + pairs.first, ends[t] + pairs.second) for (s, t), pairs in gram.pairs.items()]
    a, b = (np.concatenate(part) for part in zip(*edges, strict=True))
    graph = coo_array((np.ones(a.size, dtype=np.int8), (a, b)), shape=(total, total))
    return connected_components(graph, directed=False)[1]


def _split(found: np.ndarray, gram: Gram) -> list[np.ndarray]:
    return np.split(found, np.cumsum([zz.shape[2] for zz in gram.zz])[:-1])


def _counts(own: np.ndarray, found: np.ndarray) -> np.ndarray:
    """How many levels of a factor each component has."""
    return np.bincount(own, minlength=int(found.max()) + 1)


def _rounded(counts: np.ndarray) -> np.ndarray:
    """Numbers of levels, rounded up to one of few."""
    step = 2 ** np.maximum(np.ceil(np.log2(np.maximum(counts, 1))).astype(int) - 3, 0)
    return np.where(counts <= FEW, counts, -(-counts // step) * step)


def _position_within(labels: np.ndarray) -> np.ndarray:
    """Rank of each entry among those with the same label."""
    order = np.argsort(labels, kind="stable")
    begins = np.searchsorted(labels[order], labels[order])
    rank = np.empty(labels.size, dtype=int)
    rank[order] = np.arange(labels.size) - begins
    return rank
