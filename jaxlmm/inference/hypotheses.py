"""Which combinations of coefficients a term's F test asks to be zero: types I, II and III.

Type I: the term after those before it. Type II: after all terms that do not contain it. Type III: its coefficients where
every factor is coded to sum to zero, which is SAS's hypothesis where all cells are filled (Searle 1987, Linear Models for
Unbalanced Data, ch. 12; SAS/STAT User's Guide, The Four Types of Estimable Functions). Called by `anova`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from formulaic.formula import SimpleFormula
from formulaic.parser.types import Factor, Term

from jaxlmm.design import Frame, model_matrix
from jaxlmm.errors import DesignError

TYPES = (1, 2, 3)

SPANNED = 1e-8
"""Relative part of a column outside the span of others, below which it is inside."""

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
        categorical = {str(f.expr) for f in term.factors if str(f.expr) in _categorical(frame)}
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
    """Rows of the triangular factor of X with the columns of the term after those that it is adjusted for."""
    before = [other for other in terms if other is not term and not other.contains(term)]
    after = [other for other in terms if other.contains(term)]
    ordered = terms if kind == 1 else [*before, term, *after]
    order = np.concatenate([other.columns for other in ordered])
    size = np.linalg.norm(x, axis=0)
    triangle = np.linalg.qr((x / size)[:, order], mode="r")
    rows = np.zeros((term.columns.size, x.shape[1]))
    rows[:, order] = triangle[np.isin(order, term.columns)]
    return rows * size


def _marginal(frame: Frame, x: np.ndarray, terms: list[FixedTerm], asked: list[FixedTerm]) -> list[np.ndarray]:
    """Coefficients of each term where every factor sums to zero, as combinations of the fit's own."""
    some = np.arange(len(x))
    if len(x) > MANY:
        some = np.sort(np.random.default_rng(0).choice(len(x), MANY, replace=False))
        if np.linalg.matrix_rank(x[some]) < x.shape[1]:
            some = np.arange(len(x))
    blocks = _summing_to_zero(frame, some)
    other = np.column_stack(blocks)
    own = x[some]
    if not (_inside(own, other) and _inside(other, own)):
        # A model without some lower-order term: each term is tested as the fit codes it.
        return [np.eye(x.shape[1])[term.columns] for term in asked]
    independent = np.linalg.matrix_rank(other / np.maximum(np.linalg.norm(other, axis=0), 1e-300)) == other.shape[1]
    if not independent:
        raise DesignError(
            "some combinations of factor levels have no rows, so type III hypotheses are not the same for every way of "
            "completing them; write type=2 or type=1, or leave the interaction out"
        )
    back = np.linalg.lstsq(other, own, rcond=None)[0]
    ends = np.cumsum([0, *(block.shape[1] for block in blocks)])
    by_term = {id(term): back[a:b] for term, a, b in zip(terms, ends[:-1], ends[1:], strict=True)}
    return [_without_rounding(by_term[id(term)]) for term in asked]


def _inside(columns: np.ndarray, span: np.ndarray) -> bool:
    """Whether columns lie in the span of others."""
    scaled = columns / np.maximum(np.linalg.norm(columns, axis=0), 1e-300)
    basis, sizes, _ = np.linalg.svd(span / np.maximum(np.linalg.norm(span, axis=0), 1e-300), full_matrices=False)
    basis = basis[:, sizes > SPANNED * sizes[0]]
    return bool(np.linalg.norm(scaled - basis @ (basis.T @ scaled), axis=0).max(initial=0.0) < SPANNED)


def _without_rounding(rows: np.ndarray) -> np.ndarray:
    return np.where(np.abs(rows) < 1e-12 * np.abs(rows).max(initial=0.0), 0.0, rows)


def _summing_to_zero(frame: Frame, some: np.ndarray) -> list[np.ndarray]:
    """Columns of each term where every factor is coded to sum to zero, on some rows."""
    known: dict[str, np.ndarray] = {}

    def values(factor) -> np.ndarray:
        """Columns of one factor of a term; levels are told apart by their rows of the fit's own coding."""
        name = str(factor.expr)
        if name not in known:
            # On all rows, for the sake of transforms that look at them.
            columns = model_matrix(SimpleFormula([Term([factor])]), frame.table, frame.codings, name).values[some]
            if name in _categorical(frame):
                levels, codes = np.unique(columns, axis=0, return_inverse=True)
                contrasts = np.vstack([np.eye(len(levels) - 1), -np.ones(len(levels) - 1)])
                columns = contrasts[codes.reshape(-1)]
            known[name] = columns
        return known[name]

    blocks = []
    for term in frame.fixed.spec.term_slices:
        block = np.ones((some.size, 1))
        for factor in term.factors:
            if factor.expr != "1":
                block = np.einsum("na,nb->nba", block, values(factor)).reshape(some.size, -1)
        blocks.append(block)
    return blocks


def _categorical(frame: Frame) -> set[str]:
    """Expressions of the fixed effects that are coded by levels."""
    states = frame.fixed.spec.encoder_state.items()
    return {str(expression) for expression, (kind, _) in states if kind is Factor.Kind.CATEGORICAL}
