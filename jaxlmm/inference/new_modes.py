"""Conditional modes of the random effects for new rows, at the estimated θ, β and σ.

b̂ = Σ Zᵀ V⁻¹ (y - Xβ̂) over the new rows alone, with Var(b | y) = σ²(Σ - Σ ZᵀV⁻¹Z Σ): what the fit says about levels that it
has not seen, once responses of theirs are there. Called by `results`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxlmm import pls
from jaxlmm.design import Frame, Grouping, NewData
from jaxlmm.errors import DataError
from jaxlmm.fit import LARGEST, Fit, Model


def modes_of(frame: Frame, model: Model, fit: Fit, newdata: Any) -> list[tuple[Grouping, np.ndarray, np.ndarray]]:
    """Levels, conditional modes (L, k) and variances (L, k, k) of each grouping factor.

    Raises
    ------
    DataError
        When newdata lacks a column, the response among them, or connects too many levels.
    """
    new = NewData(frame, newdata, frame.factors, frame.factors, with_response=True)
    rest = new.response() - new.offset() - new.fixed()[:, model.coordinates.kept] @ fit.beta
    weights = new.weights()
    groupings, codes = zip(*(new.levels(factor) for factor in frame.factors), strict=True)
    z = [new.random(factor) for factor in frame.factors]
    gram = _gram(z, codes, [own.n_levels for own in groupings], weights, rest)
    if pls.largest_component(gram) > LARGEST:
        raise DataError(f"newdata connects more than {LARGEST:,} random effects by its rows; give fewer rows at a time")
    nothing = pls.Response(tuple(np.zeros(own.shape[::2]) for own in gram.zz), 0.0, None)
    found = pls.components(gram, nothing, model.coordinates.terms, rest.size)
    sigmas = [lam @ lam.T for lam in fit.lambdas]
    modes = [np.zeros((own.n_levels, lam.shape[0])) for own, lam in zip(groupings, fit.lambdas, strict=True)]
    variances = [np.zeros((*own.shape, own.shape[1])) for own in modes]
    for stack in found.stacks:
        for begin, (omega, moved) in pls.component_solutions(found, stack, sigmas):
            first = 0
            for t, levels in enumerate(stack.levels):
                component, place = np.nonzero(levels[begin : begin + len(omega)] >= 0)
                level, k = levels[begin : begin + len(omega)][component, place], modes[t].shape[1]
                columns = first + place[:, None] * k + np.arange(k)
                modes[t][level] = moved[component[:, None], columns, 0]
                variances[t][level] = omega[component[:, None, None], columns[:, :, None], columns[:, None, :]]
                first += levels.shape[1] * k
    return [(own, b, fit.sigma**2 * v) for own, b, v in zip(groupings, modes, variances, strict=True)]


def _gram(z, codes, levels, weights: np.ndarray, rest: np.ndarray) -> pls.Gram:
    """Cross-products of the new rows, what is left of the response in the place of X."""
    zz, zx, pairs = [], [], {}
    for block, own, n in zip(z, codes, levels, strict=True):
        weighted = weights[:, None] * block
        zz.append(_sums(np.einsum("na,nb->nab", weighted, block), own, n))
        zx.append(_sums(weighted[:, :, None] * rest[:, None, None], own, n))
    for s in range(len(z)):
        for t in range(s + 1, len(z)):
            keys, place = np.unique(codes[s].astype(np.int64) * levels[t] + codes[t], return_inverse=True)
            blocks = np.einsum("na,nb->nab", weights[:, None] * z[s], z[t])
            pairs[s, t] = pls.Pairs(keys // levels[t], keys % levels[t], _sums(blocks, place, keys.size))
    return pls.Gram(tuple(zz), tuple(zx), pairs, 1.0, None)


def _sums(parts: np.ndarray, codes: np.ndarray, n: int) -> np.ndarray:
    """Sums (..., n) of the rows' parts by level."""
    answer = np.zeros((n, *parts.shape[1:]))
    np.add.at(answer, codes, parts)
    return np.moveaxis(answer, 0, -1)
