"""Whether one model is a special case of another: the same rows, fewer fixed effects, fewer covariances."""

from __future__ import annotations

import numpy as np

from jaxlmm.covariance import positions
from jaxlmm.design import Design, Frame, RandomEffects
from jaxlmm.errors import DesignError
from jaxlmm.fit import Model

SPANNED = 1e-7
"""Relative part of a column outside the span of others, below which it is inside."""


def check_rows(first: Frame, second: Frame) -> None:
    """Refuse models of different rows, responses, weights or offsets.

    Raises
    ------
    DesignError
        Saying which.
    DataError
        When a fit was loaded without its rows.
    """
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
    x, of = (frame.with_rows().x[:, model.coordinates.kept] for frame, model in (small, large))
    if not spanned(x, of):
        raise DesignError(
            f"the models are not nested: {small[0].formula.source.strip()!r} has fixed effects that "
            f"{large[0].formula.source.strip()!r} has not; compare them by aic or bic: fit.glance()"
        )
    if equal and not spanned(of, x):
        raise DesignError(
            "REML criteria of models with different fixed effects cannot be compared; write refit=True, which fits both by "
            "maximum likelihood"
        )


def check_random(small: Frame, large: Frame) -> None:
    """Refuse random effects that are not a special case of the other model's.

    Raises
    ------
    DesignError
        Naming the grouping factor.
    """
    blocks = large.with_rows().random
    for factor, block in zip(small.factors, small.with_rows().random, strict=True):
        if not any(_same_levels(block, other) and _special(block, other) for other in blocks):
            raise DesignError(
                f"the models are not nested: {large.formula.source.strip()!r} has no random effects of "
                f"{factor.grouping.name!r} that contain those of {small.formula.source.strip()!r}; compare them by aic or "
                "bic: fit.glance()"
            )


def spanned(columns: np.ndarray, span: np.ndarray) -> bool:
    """Whether columns lie in the span of others."""
    if not columns.size:
        return True
    if not span.size:
        return False
    scaled = columns / _size(columns)
    rest = scaled - span @ np.linalg.lstsq(span, scaled, rcond=None)[0]
    return bool(np.linalg.norm(rest, axis=0).max() < SPANNED)


def _special(small: RandomEffects, large: RandomEffects) -> bool:
    """Whether every covariance of the small block's effects is one of the large block's."""
    if not spanned(small.z, large.z):
        return False
    into = np.linalg.lstsq(large.z, small.z, rcond=None)[0]
    basis = [into @ part @ into.T for part in _basis(small)]
    flat = np.array([part.ravel() for part in basis]).T
    return spanned(flat, np.array([part.ravel() for part in _basis(large)]).T)


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


def _size(columns: np.ndarray) -> np.ndarray:
    return np.maximum(np.linalg.norm(columns, axis=0), np.finfo(float).tiny)


def n_parameters(design: Design, p: int) -> int:
    """Coefficients, covariance parameters and the residual variance of a design."""
    return p + sum(positions(block.terms)[0].size for block in design.random) + 1
