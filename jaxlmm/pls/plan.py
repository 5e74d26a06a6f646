"""Which algorithm a design gets: looks at structure once, on the host, and answers a static `Plan`.

A factor is nested in another when each of its levels occurs with one level of the other only. A chain of nested factors is
eliminated blockwise, the one for which counting multiplications on the pattern of zeros gives the fewest; whatever is left is
the dense tail. Called by `fit`; `MODULES` is the only place that knows all plans, and a new plan is one module and one line
there.
"""

import functools
from dataclasses import dataclass, field
from types import ModuleType

import numpy as np

from jaxlmm.covariance import Structure, n_columns, n_theta
from jaxlmm.errors import DesignError
from jaxlmm.pls import costs, crossed, dense, grouped, krylov, nested
from jaxlmm.pls import tail as fill
from jaxlmm.pls.bucket import bucket
from jaxlmm.pls.standard import Gram

MODULES: dict[str, ModuleType] = {
    "grouped": grouped,
    "nested": nested,
    "crossed": crossed,
    "dense": dense,
    "krylov": krylov,
}

WAYS = {
    "classes": "classes of equal levels",
    "pairs": "co-occurring pairs",
    "tiles": "tiles of co-occurring pairs",
    "product": "a matrix product",
}
"""How a crossed chain fills the tail, in words."""

DEAR = 256
"""Rows of a dense matrix from which an evaluation takes milliseconds."""


@dataclass(frozen=True)
class Plan:
    """How the random effects are eliminated. Static and hashable: part of a compiled program's identity.

    Attributes
    ----------
    kind : str
        "grouped", "nested", "crossed", "dense" or "krylov".
    terms : tuple of tuple of Structure
        Covariance structures of each grouping factor, in the design's order.
    order : tuple of int
        Grouping factors in the order of elimination.
    n_chain : int
        How many of them are eliminated blockwise.
    unique : bool
        Grouped: levels with equal blocks share one.
    ways : tuple of str
        Crossed: for each position of the chain, how it fills the tail (see `tail`).
    levels : tuple of int
        Dense: numbers of levels. Crossed: padded numbers of levels of the tail's factors.
    note : str
        What was picked and why, in one line.
    """

    kind: str
    terms: tuple[tuple[Structure, ...], ...]
    order: tuple[int, ...]
    n_chain: int
    unique: bool = False
    ways: tuple[str, ...] = ()
    levels: tuple[int, ...] = ()
    note: str = field(default="", compare=False)

    @property
    def module(self) -> ModuleType:
        """The module that implements the plan's verbs."""
        return MODULES[self.kind]

    @property
    def n_theta(self) -> int:
        """Number of covariance parameters."""
        return sum(n_theta(terms) for terms in self.terms)

    @property
    def n_dense(self) -> int:
        """Rows of the matrix that is factored densely; 0 where none is."""
        columns = [n_columns(self.terms[t]) for t in self.order[self.n_chain :]]
        if self.kind == "dense":
            columns = [n_columns(terms) for terms in self.terms]
        return sum(k * n for k, n in zip(columns, self.levels, strict=True)) if self.levels else 0

    @property
    def cheap_curvature(self) -> bool:
        """Whether the Hessian that steps use costs no more than a few gradients, however many parameters there are."""
        return self.kind != "dense"

    @property
    def dear(self) -> bool:
        """Whether an evaluation takes so long that none is spent on the point that a last, tiny step leads to."""
        return self.n_dense >= DEAR

    def describe(self) -> str:
        """What was picked, why, and what an iteration costs, in one line."""
        return self.note


def is_nested(gram: Gram, s: int, t: int) -> bool:
    """Whether every level of factor s occurs with one level of factor t only."""
    pair = gram.pairs[min(s, t), max(s, t)]
    return pair.first.size == gram.zz[s].shape[2]


def same_partition(gram: Gram, s: int, t: int) -> bool:
    """Whether two factors divide the rows alike, up to the names of their levels."""
    return is_nested(gram, s, t) and is_nested(gram, t, s)


def choose(gram: Gram, terms: tuple[tuple[Structure, ...], ...], kind: str = "auto", many_lanes: bool = False) -> Plan:
    """Pick a plan.

    Parameters
    ----------
    gram : Gram
        Cross-products in standard coordinates.
    terms : tuple of tuple of Structure
        Covariance structures of each factor's terms.
    kind : str
        "auto", or the plan to take.
    many_lanes : bool
        Whether many responses will share the plan, which moves what pays.

    Raises
    ------
    DesignError
        When the plan asked for does not apply to the design.
    """
    levels = tuple(zz.shape[2] for zz in gram.zz)
    columns = [n_columns(t) for t in terms]
    chain = _cheapest_chain(gram, levels, columns)
    tail = tuple(t for t in range(len(levels)) if t not in chain)
    natural = "grouped" if len(levels) == 1 else "crossed" if tail else "nested"
    ways = fill.ways(gram, chain, tail, columns)
    exact, iterative = costs.exact(gram, chain, tail, columns, ways), costs.iterative(gram, chain, tail, columns)
    if kind == "auto":
        kind = "krylov" if tail and costs.better(exact, iterative) else natural
    if kind not in MODULES:
        raise DesignError(f"there is no plan {kind!r}; the plans are 'auto', " + ", ".join(map(repr, MODULES)))
    if kind == "dense":
        q = sum(c * n for c, n in zip(columns, levels, strict=True))
        costs.check(kind, costs.dense_of(q), "use plan='auto'")
        note = f"dense: one Cholesky factor of {q} random effects per iteration"
        return Plan(kind, terms, tuple(range(len(levels))), 0, levels=levels, note=note)
    if kind == "grouped" and natural == "grouped":
        unique = grouped.sharing_pays(gram, many_lanes)
        blocks = grouped.unique_blocks(gram)[0].size if unique else levels[0]
        shared = f", {blocks} distinct" if unique else ""
        note = f"grouped: {levels[0]} independent {columns[0]}x{columns[0]} blocks{shared}"
        return Plan(kind, terms, (0,), 1, unique=unique, note=note)
    if kind == "nested" and not tail:
        sizes = " > ".join(str(levels[t]) for t in chain)
        return Plan(kind, terms, chain, len(chain), note=f"nested: a chain of {sizes} levels, finest first")
    if kind == "krylov" and tail:
        q = sum(columns[t] * levels[t] for t in tail)
        sizes = " > ".join(str(levels[t]) for t in chain)
        costs.check(kind, iterative, "a machine with more is wanted")
        note = (
            f"krylov: {sizes} levels eliminated, then conjugate gradients for {q} effects, log-determinant by probes, "
            f"{iterative} (exact: {exact})"
        )
        return Plan(kind, terms, chain + tail, len(chain), note=note)
    if kind == "crossed" and tail:
        q = sum(columns[t] * levels[t] for t in tail)
        sizes = " > ".join(str(levels[t]) for t in chain)
        costs.check(kind, exact, "use plan='auto' or 'krylov'")
        note = f"crossed: {sizes} levels eliminated through {WAYS[ways[0]]}, then a dense tail of {q}"
        padded = tuple(bucket(levels[t]) for t in tail)
        return Plan(kind, terms, chain + tail, len(chain), ways=ways, levels=padded, note=note)
    raise DesignError(
        f"plan {kind!r} does not apply: this design is {natural} "
        f"({len(levels)} grouping factor{'s' if len(levels) > 1 else ''}); use plan='auto', {natural!r} or 'dense'"
    )


def _cheapest_chain(gram: Gram, levels, columns) -> tuple[int, ...]:
    """The chain of nested factors, finest first, whose elimination and dense tail take the fewest multiplications."""
    by_size = sorted(range(len(levels)), key=lambda t: (-levels[t], t))

    @functools.cache
    def longest_from(position: int) -> tuple[int, tuple[int, ...]]:
        s = by_size[position]
        tails = [
            longest_from(later) for later in range(position + 1, len(by_size)) if is_nested(gram, s, by_size[later])
        ]
        weight, rest = max(tails, key=lambda item: item[0], default=(0, ()))
        return weight + levels[s] * columns[s], (s, *rest)

    chains = [longest_from(position)[1] for position in range(len(by_size))]
    return min(chains, key=lambda chain: elimination_count(gram, chain, levels, columns))


def elimination_count(gram: Gram, chain: tuple[int, ...], levels, columns) -> float:
    """Multiplications of one evaluation, roughly: what each level of the chain fills, and the tail's Cholesky factor."""
    tail = [t for t in range(len(levels)) if t not in chain]
    count = sum(columns[t] * levels[t] for t in tail) ** 3 / 3.0
    for d, s in enumerate(chain):
        touched = columns[s] + sum(columns[e] for e in chain[d + 1 :])
        for t in tail:
            pair = gram.pairs[min(s, t), max(s, t)]
            touched = touched + columns[t] * np.bincount(pair.first if s < t else pair.second, minlength=levels[s])
        count += 0.5 * columns[s] * float(np.sum(np.square(touched, dtype=float) * np.ones(levels[s])))
    return count
