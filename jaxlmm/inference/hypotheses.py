"""Which combinations of coefficients a term's F test asks to be zero: types I, II and III.

Type I: the term after those before it. Type II: after all terms that do not contain it. Type III: its coefficients where
every factor is coded to sum to zero, which is SAS's hypothesis where all cells are filled (Searle 1987, Linear Models for
Unbalanced Data, ch. 12; SAS/STAT User's Guide, The Four Types of Estimable Functions). Called by `anova`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from formulaic.formula import SimpleFormula
from formulaic.parser.types import Factor, Term

from jaxlmm.design import Frame, model_matrix
from jaxlmm.errors import DesignError
from jaxlmm.inference.estimable import in_span

TYPES = (1, 2, 3)

MANY = 20_000
"""Rows that are enough to see how two codings of the same factors depend on each other."""


@dataclass(frozen=True)
class FixedTerm:
    """A term of the fixed effects.

    Attributes
    ----------
    name : str
        "Machine", "nitro:Variety".
    columns : (c,) int array
        Its columns among the kept coefficients.
    factors, covariates : frozenset of str
        The expressions that are categorical, and those that are numeric.
    """

    name: str
    columns: np.ndarray
    factors: frozenset[str]
    covariates: frozenset[str]

    def contains(self, other: FixedTerm) -> bool:
        """Whether `other` is marginal to this term: the same covariates, and fewer factors."""
        return self.covariates == other.covariates and other.factors < self.factors


def fixed_terms(frame: Frame, kept: np.ndarray) -> list[FixedTerm]:
    """Terms of the fixed effects, the intercept among them, in the order of their columns."""
    spec, place = frame.fixed.spec, {int(column): i for i, column in enumerate(kept)}
    answer = []
    for (name, columns), term in zip(frame.fixed.terms, spec.term_slices, strict=True):
        own = [place[j] for j in range(columns.start, columns.stop) if j in place]
        categorical = {str(f.expr) for f in term.factors if str(f.expr) in coded_by_levels(frame)}
        numeric = {str(f.expr) for f in term.factors if f.expr != "1"} - categorical
        answer.append(FixedTerm(name, np.array(own, dtype=int), frozenset(categorical), frozenset(numeric)))
    return answer


def hypothesis(frame: Frame, kept: np.ndarray, kind: int) -> list[tuple[str, np.ndarray]]:
    """Name and combinations (r, p) of every term but the intercept.

    Raises
    ------
    DesignError
        When `kind` is not 1, 2 or 3, or a type III hypothesis is not estimable because cells are empty.
    DataError
        When the fit was loaded without its rows.
    """
    if kind not in TYPES or isinstance(kind, bool):
        raise DesignError(f"type={kind!r} is not known; write 1, 2 or 3")
    terms = fixed_terms(frame, kept)
    asked = [term for term in terms if term.factors or term.covariates]
    x = frame.with_rows().x[:, kept]
    if not asked:
        return []
    if kind == 3:
        return [(term.name, rows) for term, rows in zip(asked, _marginal(frame, x, terms, asked), strict=True)]
    return [(term.name, _sequential(x, term, terms, kind)) for term in asked]


def _sequential(x: np.ndarray, term: FixedTerm, terms: list[FixedTerm], kind: int) -> np.ndarray:
    """Combinations that the term's columns add after those that it is adjusted for.

    They are rows of the triangular factor of X, scaled as lmerTest has them, since Satterthwaite's degrees of freedom for
    several rows depend on it: each has 1 in its own column (Doolittle's factor); for type II, where no other term contains
    the term, its columns have the unit matrix.
    """
    before = [other for other in terms if other is not term and not other.contains(term)]
    after = [other for other in terms if other.contains(term)]
    ordered = terms if kind == 1 else [*before, term, *after]
    order = np.concatenate([other.columns for other in ordered])
    size = np.linalg.norm(x, axis=0)
    triangle = np.linalg.qr((x / size)[:, order], mode="r")
    rows = np.zeros((term.columns.size, x.shape[1]))
    rows[:, order] = triangle[np.isin(order, term.columns)]
    rows = rows * size
    own = rows[:, term.columns]
    return rows / np.diagonal(own)[:, None] if kind == 1 or after else np.linalg.solve(own, rows)


def _marginal(frame: Frame, x: np.ndarray, terms: list[FixedTerm], asked: list[FixedTerm]) -> list[np.ndarray]:
    """Differences of each term's effects to those of the first levels, where every factor sums to zero."""
    some = np.arange(len(x))
    if len(x) > MANY:
        some = np.sort(np.random.default_rng(0).choice(len(x), MANY, replace=False))
        if np.linalg.matrix_rank(x[some] / np.linalg.norm(x, axis=0)) < x.shape[1]:
            some = np.arange(len(x))
    blocks, differences = _summing_to_zero(frame, some)
    # Terms whose columns all repeat others are left out here as they are in the fit, covariates' columns one by one.
    present = [place for place, term in enumerate(terms) if term.columns.size]
    for place in present:
        if not terms[place].factors:
            blocks[place], differences[place] = x[some][:, terms[place].columns], np.eye(terms[place].columns.size)
    other = np.column_stack([blocks[place] for place in present])
    own = x[some]
    if not (in_span(own, other) and in_span(other, own)):
        # A model without some lower-order term: each term is tested as the fit codes it.
        return [np.eye(x.shape[1])[term.columns] for term in asked]
    if other.shape[1] > own.shape[1]:
        short = next(terms[place] for place in present if blocks[place].shape[1] > terms[place].columns.size)
        raise DesignError(_not_estimable(short))
    back = np.linalg.lstsq(other, own, rcond=None)[0]
    ends = np.cumsum([0, *(blocks[place].shape[1] for place in present)])
    by_term = {
        id(terms[place]): differences[place] @ back[a:b]
        for place, a, b in zip(present, ends[:-1], ends[1:], strict=True)
    }
    none = np.zeros((0, x.shape[1]))
    return [_without_rounding(by_term.get(id(term), none)) for term in asked]


def _not_estimable(term: FixedTerm) -> str:
    """What to say of a term some of whose columns are redundant."""
    if len(term.factors) > 1:
        return (
            f"some combinations of the levels of {term.name!r} have no rows, so type III hypotheses are not the same for "
            "every way of completing them; write type=2 or type=1, or leave the interaction out"
        )
    return (
        f"some columns of {term.name!r} repeat columns of other terms, so what its type III hypothesis is depends on which "
        "are left out; write type=2 or type=1, or leave a term out"
    )


def _without_rounding(rows: np.ndarray) -> np.ndarray:
    return np.where(np.abs(rows) < 1e-12 * np.abs(rows).max(initial=0.0), 0.0, rows)


def _summing_to_zero(frame: Frame, some: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Columns of each term where every factor is coded to sum to zero, on some rows, and the differences of its effects to
    those of the first levels, as combinations of these columns' coefficients."""
    known: dict[str, tuple[np.ndarray, np.ndarray]] = {}

    def values(factor) -> tuple[np.ndarray, np.ndarray]:
        """Columns and differences of one factor of a term; levels are told apart by their rows of the fit's own coding."""
        name = str(factor.expr)
        if name not in known:
            # On all rows, for the sake of transforms that look at them.
            columns = model_matrix(SimpleFormula([Term([factor])]), frame.table, frame.codings, name).values
            if name not in coded_by_levels(frame):
                known[name] = columns[some], np.eye(columns.shape[1])
            else:
                codes = _levels(columns, frame.table.get(name))
                k = codes.max() + 1
                contrasts = np.vstack([-np.ones(k - 1), np.eye(k - 1)])
                known[name] = contrasts[codes[some]], contrasts[1:] - contrasts[0]
        return known[name]

    blocks, differences = [], []
    for term in frame.fixed.spec.term_slices:
        block, difference = np.ones((some.size, 1)), np.eye(1)
        for factor in term.factors:
            if factor.expr != "1":
                columns, away = values(factor)
                block = np.einsum("na,nb->nba", block, columns).reshape(some.size, -1)
                difference = np.kron(away, difference)
        blocks.append(block)
        differences.append(difference)
    return blocks, differences


def _levels(columns: np.ndarray, variable: pd.Series | None) -> np.ndarray:
    """Numbers of the levels (n,) that rows of one coding have, in the order of the variable, if it is one."""
    codes = np.unique(columns, axis=0, return_inverse=True)[1].reshape(-1)
    if variable is None or not isinstance(variable.dtype, pd.CategoricalDtype):
        return codes
    order = pd.Series(variable.cat.codes.to_numpy()).groupby(codes).min()
    return order.rank().to_numpy(dtype=int)[codes] - 1


def coded_by_levels(frame: Frame) -> set[str]:
    """Expressions of the fixed effects that are coded by levels."""
    states = frame.fixed.spec.encoder_state.items()
    return {str(expression) for expression, (kind, _) in states if kind is Factor.Kind.CATEGORICAL}
