"""The same design with fewer random effects: for tests of those that are left out."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from jaxlmm.covariance import STRUCTURES, covarying
from jaxlmm.design.arrays import Design, RandomEffects
from jaxlmm.design.build import FactorTerms, Frame, TermColumns


@dataclass(frozen=True)
class Reduction:
    """One part of a random-effects term that can be left out.

    Attributes
    ----------
    name : str
        "(1 | Batch)" where a whole term goes, "Days in (Days | Subject)" where an effect does; as lmerTest writes it.
    factor, term : int
        Where it stands in the design.
    columns : tuple of int
        Columns of the term that go.
    """

    name: str
    factor: int
    term: int
    columns: tuple[int, ...]


def reductions(frame: Frame) -> list[Reduction]:
    """What can be left out, by term in lme4's order: effects that no other effect of the bar contains, or the whole bar."""
    answer = []
    for f, t in frame.term_order:
        term = frame.factors[f].terms[t]
        group = term.source.strip("()").split("|")[-1].strip()
        effects = [(name, tuple(range(own.start, own.stop))) for name, own in term.matrix.terms]
        if not covarying(term.structure).any():
            answer += [
                Reduction(f"(1 | {group})" if name == "1" else f"{name} in (0 + {name} | {group})", f, t, columns)
                for name, columns in effects
            ]
            continue
        open_ = [
            (name, columns)
            for name, columns in effects
            if name != "1" and not any(set(name.split(":")) < set(other.split(":")) for other, _ in effects)
        ]
        if not open_:
            answer.append(Reduction(term.source, f, t, tuple(range(term.structure.size))))
        answer += [Reduction(f"{name} in {term.source}", f, t, columns) for name, columns in open_]
    return answer


def without(design: Design, factors: tuple[FactorTerms, ...], reduction: Reduction) -> Design:
    """The design without some columns of a term; a factor without columns is gone."""
    terms: tuple[TermColumns, ...] = factors[reduction.factor].terms
    begin = sum(term.structure.size for term in terms[: reduction.term])
    gone = [begin + column for column in reduction.columns]
    block = design.random[reduction.factor]
    sizes = [term.structure.size - (len(gone) if t == reduction.term else 0) for t, term in enumerate(terms)]
    structures = tuple(STRUCTURES[term.structure.name](size) for term, size in zip(terms, sizes, strict=True) if size)
    kept = np.delete(block.z, gone, axis=1)
    smaller = [RandomEffects(block.codes, kept, block.n_levels, structures)] if kept.shape[1] else []
    random = (*design.random[: reduction.factor], *smaller, *design.random[reduction.factor + 1 :])
    return replace(design, random=random)
