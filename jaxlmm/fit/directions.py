"""Singular values of relative covariance factors, term by term, of many lanes: which are zero, and the slopes along them.

For an unstructured term the directions are left singular vectors of its block of Λ, for a diagonal one its columns. Called by
`boundary` for one lane and by `lanes` for many; arrays are NumPy's, lanes first.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from jaxlmm.covariance import Structure, covarying


class Directions(NamedTuple):
    """Of one term, for R lanes.

    Attributes
    ----------
    block : slice
        The term's columns among those of its factor.
    diagonal : bool
        Whether its effects are uncorrelated.
    values : (R, m) array
        Singular values, not negative.
    turn : (R, m, m) array
        The directions, in columns.
    """

    block: slice
    diagonal: bool
    values: np.ndarray
    turn: np.ndarray


def term_slices(terms: tuple[Structure, ...]) -> list[slice]:
    """Where each term's columns lie among the factor's."""
    ends = np.cumsum([0, *(term.size for term in terms)])
    return [slice(a, b) for a, b in itertools.pairwise(ends)]


def directions(terms: tuple[Structure, ...], lam: np.ndarray) -> Iterator[Directions]:
    """Singular values and directions of each term of a factor Λ (R, k, k)."""
    for term, block in zip(terms, term_slices(terms), strict=True):
        own = lam[:, block, block]
        if not covarying(term).any():
            turn = np.broadcast_to(np.eye(term.size), own.shape)
            yield Directions(block, True, np.abs(np.einsum("rii->ri", own)), turn)
        else:
            turn, values, _ = np.linalg.svd(own)
            yield Directions(block, False, values, turn)


def with_values(
    terms: tuple[Structure, ...], lam: np.ndarray, change: Callable[[np.ndarray], np.ndarray]
) -> tuple[np.ndarray, list[Directions]]:
    """Square factors (R, k, k) with changed singular values, and the directions of each term."""
    factors, found = np.zeros_like(lam), list(directions(terms, lam))
    for own in found:
        factors[:, own.block, own.block] = own.turn * change(own.values)[:, None, :]
    return factors, found


def smallest_values(terms: tuple[Structure, ...], lam: np.ndarray) -> np.ndarray:
    """Smallest singular value (R,) over the terms of a factor."""
    return np.min([own.values.min(axis=1) for own in directions(terms, lam)], axis=0)


def smallest_slopes(own: Directions, g: np.ndarray, below: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Slopes vᵀGv along the directions of a term whose singular values are below a bound.

    Parameters
    ----------
    g : (R, k, k) array
        ∂d/∂(ΛΛᵀ) of the whole factor.

    Returns
    -------
    slope, largest : (R,) arrays
        The smallest, infinite where no value is that small, and the largest in size.
    way : (R, m) array
        The unit vector of the smallest.
    """
    zero = own.values < below
    inner = own.turn.swapaxes(1, 2) @ g[:, own.block, own.block] @ own.turn
    inner = 0.5 * (inner + inner.swapaxes(1, 2))
    if own.diagonal:
        inner = inner * np.eye(inner.shape[1])
    among = np.where(zero[:, :, None] & zero[:, None, :], inner, 0.0)
    largest = np.abs(among).max(axis=(1, 2), initial=0.0)
    # The other directions are put above all of these, so that the first eigenvector is one of theirs.
    above = np.where(zero, 0.0, 1.0 + 2.0 * among.shape[1] * largest[:, None])
    values, vectors = np.linalg.eigh(among + np.eye(among.shape[1]) * above[:, :, None])
    way = np.einsum("rij,rj->ri", own.turn, vectors[:, :, 0])
    return np.where(zero.any(axis=1), values[:, 0], np.inf), largest, way
