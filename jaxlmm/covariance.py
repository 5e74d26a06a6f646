"""Covariance structures of one random-effects term: from parameters θ to the relative factor Λ and back.

A term has `size` columns; the covariance of its effects at one level is σ² Λ Λᵀ. A structure says how many
parameters it has, where a fit starts, and how θ makes Λ. A new structure is one final class here and one line
in `STRUCTURES`; it says itself whether it may be shifted (a covariate moved by a constant) without leaving
the family. Called by `design` (which picks one per term), by `pls` (lambda_) and by `fit`.
"""

import functools
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from scipy.sparse.csgraph import connected_components

NEGLIGIBLE = 1e-14
"""A pivot below this fraction of its row's norm is the rounding error of a zero."""


@dataclass(frozen=True)
class Unstructured:
    """Any covariance matrix: θ is the lower triangle of Λ, column by column (lme4's order).

    Attributes
    ----------
    size : int
        Number of columns of the term.
    """

    size: int
    name: ClassVar[str] = "us"
    shiftable: ClassVar[bool] = True

    @property
    def n_theta(self) -> int:
        """Number of parameters."""
        return self.size * (self.size + 1) // 2

    def positions(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows and columns of Λ that θ fills, in the order of θ."""
        columns, rows = np.triu_indices(self.size)
        return rows, columns

    def canonicalize(self, factor: np.ndarray) -> np.ndarray:
        """The member of the family, with non-negative diagonal, whose square is `factor` times its transpose."""
        return lower_factor(factor)


@dataclass(frozen=True)
class Diagonal:
    """Uncorrelated effects: θ is the diagonal of Λ.

    Attributes
    ----------
    size : int
        Number of columns of the term.
    """

    size: int
    name: ClassVar[str] = "diag"
    shiftable: ClassVar[bool] = False

    @property
    def n_theta(self) -> int:
        """Number of parameters."""
        return self.size

    def positions(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows and columns of Λ that θ fills, in the order of θ."""
        return np.arange(self.size), np.arange(self.size)

    def canonicalize(self, factor: np.ndarray) -> np.ndarray:
        """The same factor with a non-negative diagonal."""
        return np.abs(factor)


Structure = Unstructured | Diagonal

STRUCTURES: dict[str, type[Structure]] = {"us": Unstructured, "diag": Diagonal}


def n_theta(terms: tuple[Structure, ...]) -> int:
    """Number of parameters of all terms together."""
    return sum(term.n_theta for term in terms)


def n_columns(terms: tuple[Structure, ...]) -> int:
    """Number of random-effects columns of all terms together."""
    return sum(term.size for term in terms)


@functools.cache
def covarying(structure: Structure) -> np.ndarray:
    """Which two effects (k, k) of a term may be correlated: those whose rows of Λ meet in a column."""
    filled = np.zeros((structure.size, structure.size), dtype=int)
    filled[structure.positions()] = 1
    return (filled @ filled.T > 0) & ~np.eye(structure.size, dtype=bool)


@functools.cache
def correlated_pairs(structure: Structure) -> list[tuple[int, int]]:
    """The pairs i < j of effects that may be correlated, in the order of lme4's tables."""
    return [(int(i), int(j)) for i, j in zip(*np.nonzero(np.triu(covarying(structure))), strict=True)]


@functools.cache
def correlated_sets(structure: Structure) -> list[list[int]]:
    """The effects of a term by sets that may be correlated with each other, directly or through others."""
    count, label = connected_components(covarying(structure), directed=False)
    return [np.flatnonzero(label == part).tolist() for part in range(count)]


@functools.cache
def positions(terms: tuple[Structure, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of a factor's Λ (block diagonal over its terms) that its θ fills."""
    rows, columns, offset = [], [], 0
    for term in terms:
        r, c = term.positions()
        rows.append(r + offset)
        columns.append(c + offset)
        offset += term.size
    return np.concatenate(rows), np.concatenate(columns)


def lambda_(terms: tuple[Structure, ...], theta: jax.Array) -> jax.Array:
    """Relative covariance factor (k, k, ...) of one level of a grouping factor, from its part of θ (n_theta, ...)."""
    k = n_columns(terms)
    return jnp.zeros((k, k, *theta.shape[1:]), theta.dtype).at[positions(terms)].set(theta)


def lambda_array(terms: tuple[Structure, ...], theta: np.ndarray) -> np.ndarray:
    """The same on the host."""
    k = n_columns(terms)
    matrix = np.zeros((k, k))
    matrix[positions(terms)] = theta
    return matrix


def lambda_lanes(terms: tuple[Structure, ...], theta: np.ndarray) -> np.ndarray:
    """Λ (R, k, k) of lanes, from θ (n_theta, R), on the host."""
    k = n_columns(terms)
    matrix = np.zeros((theta.shape[1], k, k))
    rows, columns = positions(terms)
    matrix[:, rows, columns] = theta.T
    return matrix


def square_derivatives(
    terms: tuple[Structure, ...], factors: np.ndarray, rows: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Derivatives of the elements of ΛΛᵀ in θ: first ones (R, m, m) at Λ (R, k, k), and second ones (m, m, m).

    Elements and parameters are those of `positions`. With `rows`, Λ is triangular in another order of its rows: the parameter
    at position (r, c) of the triangle stands in row `rows` of Λ.
    """
    a, b = positions(terms)
    r, c = (a if rows is None else rows), b
    at = (a[:, None] == r).astype(float), (b[:, None] == r).astype(float)
    first = at[0] * factors[:, b[:, None], c] + at[1] * factors[:, a[:, None], c]
    both = at[0][:, :, None] * at[1][:, None] + at[1][:, :, None] * at[0][:, None]
    return first, both * (c[:, None] == c)


def canonical_lanes(terms: tuple[Structure, ...], factors: np.ndarray) -> np.ndarray:
    """θ (R, n_theta) of the canonical Λ of each lane, for block-diagonal factors (R, k, k)."""
    pieces, offset = [], 0
    for term in terms:
        block = slice(offset, offset + term.size)
        rows, columns = term.positions()
        pieces.append(term.canonicalize(factors[:, block, block])[:, rows, columns])
        offset += term.size
    return np.concatenate(pieces, axis=1)


def canonical_theta(terms: tuple[Structure, ...], factor: np.ndarray) -> np.ndarray:
    """θ of the canonical Λ with Λ Λᵀ = F Fᵀ, for a block-diagonal (k, k) factor F."""
    pieces, offset = [], 0
    for term in terms:
        block = slice(offset, offset + term.size)
        canonical = term.canonicalize(factor[block, block])
        pieces.append(canonical[term.positions()])
        offset += term.size
    return np.concatenate(pieces)


def lower_factor(factor: np.ndarray) -> np.ndarray:
    """Lower triangular L with non-negative diagonal and L Lᵀ = F Fᵀ, unique also when that is singular.

    The rows of F are orthogonalized in order (Gram-Schmidt, twice). A row that depends on the rows before it
    gets a zero pivot and opens no new direction, so that its whole column of L is zero: the Cholesky factor
    of a semidefinite matrix (Higham 2002, Accuracy and Stability of Numerical Algorithms, §10.3).

    Parameters
    ----------
    factor : (..., k, r) array
        F, or a batch of them; r may differ from k.

    Returns
    -------
    (..., k, k) array
        L.
    """
    *lanes, k, r = factor.shape
    lower = np.zeros((*lanes, k, k))
    directions = np.zeros((*lanes, k, r))
    for i in range(k):
        row = factor[..., i, :]
        rest = row
        for _ in range(2):
            along = np.einsum("...ir,...r->...i", directions, rest)
            lower[..., i, :] += along
            rest = rest - np.einsum("...i,...ir->...r", along, directions)
        pivot = np.linalg.norm(rest, axis=-1)
        opens = pivot > NEGLIGIBLE * np.linalg.norm(row, axis=-1)
        lower[..., i, i] = np.where(opens, pivot, lower[..., i, i])
        directions[..., i, :] = np.where(opens, 1.0 / np.where(opens, pivot, 1.0), 0.0)[..., None] * rest
    return lower
