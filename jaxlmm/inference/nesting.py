"""Whether one model is a special case of another: the same rows, fewer fixed effects, fewer covariances.

Fits whose rows were read from a source and not kept are compared by the names of their columns, how many rows there were,
and their smallest and largest response.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from jaxlmm.covariance import correlated_pairs, correlated_sets, positions
from jaxlmm.design import Design, FactorTerms, Frame, RandomEffects, TermColumns
from jaxlmm.errors import DesignError
from jaxlmm.fit import Model
from jaxlmm.inference.estimable import in_span


def check_rows(first: Frame, second: Frame) -> None:
    """Refuse models of different rows, responses, weights or offsets.

    Raises
    ------
    DesignError
        Saying which.
    DataError
        When one fit has its rows and the other has not.
    """
    if _rowless(first, second):
        _check_counts(first, second)
        return
    a, b = first.with_rows(), second.with_rows()
    if a.n_obs != b.n_obs:
        counts = " and ".join(f"{design.n_obs:,}" for design in (a, b))
        dropped = first.rows.missing or second.rows.missing
        more = "; rows with missing values were left out: fit both to the complete rows of both" if dropped else ""
        raise DesignError(f"the models were fitted to different rows, {counts} of them, and cannot be compared{more}")
    if not np.array_equal(a.y, b.y):
        what = "offset" if first.response == second.response and not _same(first.offset, second.offset) else "response"
        raise DesignError(f"the models have not the same {what}, so their likelihoods cannot be compared")
    if not _same(a.weights, b.weights):
        raise DesignError("the models have not the same weights, so their likelihoods cannot be compared")


def check_fixed(small: tuple[Frame, Model], large: tuple[Frame, Model], equal: bool) -> None:
    """Refuse fixed effects that are not a part of the other model's, or, for REML, not equal.

    Raises
    ------
    DesignError
        Saying what to do instead.
    """
    if _rowless(small[0], large[0]):
        names = [{frame.fixed.names[i] for i in model.coordinates.kept} for frame, model in (small, large)]
        inside, around = names[0] <= names[1], names[1] <= names[0]
    else:
        inside, around = _spanned_by_rows(small, large)
    if not inside:
        raise DesignError(
            f"the models are not nested: {small[0].formula.source.strip()!r} has fixed effects that "
            f"{large[0].formula.source.strip()!r} has not; compare them by aic or bic: fit.glance()"
        )
    if equal and not around:
        raise DesignError(
            "REML criteria of models with different fixed effects cannot be compared; write refit=True, which fits both by "
            "maximum likelihood"
        )


def _spanned_by_rows(small: tuple[Frame, Model], large: tuple[Frame, Model]) -> tuple[bool, bool]:
    """Whether the fixed effects of one are inside those of the other, and the other way round."""
    x, of = (frame.with_rows().x[:, model.coordinates.kept] for frame, model in (small, large))
    return in_span(x, of), in_span(of, x)


def check_random(small: Frame, large: Frame) -> None:
    """Refuse random effects that are not a special case of the other model's.

    Raises
    ------
    DesignError
        Naming the grouping factor.
    """
    if _rowless(small, large):
        found = [any(_special_by_name(factor, other) for other in large.factors) for factor in small.factors]
    else:
        blocks = large.with_rows().random
        found = [
            any(_same_levels(block, other) and _special(block, other) for other in blocks)
            for block in small.with_rows().random
        ]
    for factor, special in zip(small.factors, found, strict=True):
        if not special:
            raise DesignError(
                f"the models are not nested: {large.formula.source.strip()!r} has no random effects of "
                f"{factor.grouping.name!r} that contain those of {small.formula.source.strip()!r}; compare them by aic or "
                "bic: fit.glance()"
            )


def _rowless(first: Frame, second: Frame) -> bool:
    """Whether the rows of both were read and not kept."""
    return first.rows.response is not None and second.rows.response is not None


def _check_counts(first: Frame, second: Frame) -> None:
    counts = [len(frame.rows.index) for frame in (first, second)]
    if counts[0] != counts[1]:
        raise DesignError(
            f"the models were fitted to different rows, {counts[0]:,} and {counts[1]:,} of them, and cannot be compared; "
            "where values are missing, leave their rows out of the source"
        )
    offsets = first.formula.offsets == second.formula.offsets
    if first.response != second.response or first.rows.response != second.rows.response or not offsets:
        raise DesignError("the models have not the same response and offset, so their likelihoods cannot be compared")
    for name in ("weights", "offset", "counts", "within_ss"):
        if first.arguments.get(name) != second.arguments.get(name):
            raise DesignError(f"the models have not the same {name}, so their likelihoods cannot be compared")


def _special_by_name(small: FactorTerms, large: FactorTerms) -> bool:
    """Whether every covariance of the small factor's effects is one of the large factor's, by the effects' names."""
    if small.grouping.columns != large.grouping.columns:
        return False
    whole = [_named(term, range(term.structure.size)) for term in large.terms]
    parts = [_named(term, part) for term in small.terms for part in correlated_sets(term.structure)]
    return all(any(part <= known for known in whole) for part in parts)


def _named(term: TermColumns, effects: Iterable[int]) -> set[frozenset[str]]:
    """The variances and covariances of some of a term's effects, by the effects' names."""
    names, chosen = term.matrix.names, set(effects)
    pairs = [(i, j) for i, j in correlated_pairs(term.structure) if {i, j} <= chosen]
    return {frozenset((names[i], names[j])) for i, j in [*pairs, *((i, i) for i in chosen)]}


def _special(small: RandomEffects, large: RandomEffects) -> bool:
    """Whether every covariance of the small block's effects is one of the large block's."""
    if not in_span(small.z, large.z):
        return False
    into = np.linalg.lstsq(large.z, small.z, rcond=None)[0]
    basis = [into @ part @ into.T for part in _basis(small)]
    flat = np.array([part.ravel() for part in basis]).T
    return in_span(flat, np.array([part.ravel() for part in _basis(large)]).T)


def _basis(block: RandomEffects) -> list[np.ndarray]:
    """Matrices that span the covariances of a block."""
    answer, k = [], block.z.shape[1]
    for a, b in zip(*positions(block.terms), strict=True):
        part = np.zeros((k, k))
        part[a, b] = part[b, a] = 1.0
        answer.append(part)
    return answer


def _same_levels(a: RandomEffects, b: RandomEffects) -> bool:
    """Whether two factors divide the rows alike."""
    if a.n_levels != b.n_levels:
        return False
    together = np.unique(a.codes.astype(np.int64) * b.n_levels + b.codes)
    return bool(together.size == a.n_levels)


def _same(a: np.ndarray | None, b: np.ndarray | None) -> bool:
    ones = 1.0
    return bool(np.all((ones if a is None else a) == (ones if b is None else b)))


def n_parameters(design: Design, p: int) -> int:
    """Coefficients, covariance parameters and the residual variance of a design."""
    return p + sum(positions(block.terms)[0].size for block in design.random) + 1
