"""From the oracle's problems to the engine's designs, and back into the coordinates that the engine works in."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from jaxlmm.covariance import STRUCTURES, Structure
from jaxlmm.design import Design, RandomEffects
from jaxlmm.fit import Certificate, Model
from tests.oracle import Array, Factor, Problem

BY_HAND = Certificate("converged", 0, 0.0, 0.0, 0.0, (), float("nan"), ())
"""For `evaluate` at a theta that nobody has optimized."""


def structures(terms: tuple[tuple[str, int], ...]) -> tuple[Structure, ...]:
    """The engine's covariance structures of the oracle's (kind, size)."""
    return tuple(STRUCTURES[kind](size) for kind, size in terms)


def design_of(problem: Problem) -> Design:
    """The engine's design of an oracle's problem."""
    return Design(
        problem.x,
        problem.response,
        problem.weights,
        tuple(RandomEffects(f.codes, f.z, f.n_levels, structures(f.terms)) for f in problem.factors),
    )


def problem_of(design: Design) -> Problem:
    """The oracle's problem of an engine's design."""
    factors = tuple(Factor(f.codes, f.n_levels, f.z, tuple((t.name, t.size) for t in f.terms)) for f in design.random)
    return Problem(design.y, design.x, factors, design.weights)


def in_standard_coordinates(problem: Problem, model: Model) -> Problem:
    """The problem in the columns and units of the engine: its theta is the engine's theta.

    Coordinates say X T, (y - X beta_ols) / c, z A and w / omega; they are data here, and whether they were chosen well
    is no matter for an equality of two criteria.
    """
    c = model.coordinates
    x = problem.x[:, c.kept]
    factors = tuple(replace(f, z=f.z @ a) for f, a in zip(problem.factors, c.factor_maps, strict=True))
    return Problem((problem.response - x @ c.beta) / c.scale, x @ c.transform, factors, problem.w / c.weight_scale)


def user_lambdas(model: Model, lambdas: list[Array]) -> list[Array]:
    """Relative covariance factors in the user's columns and weights (square, perhaps not triangular)."""
    root = np.sqrt(model.coordinates.weight_scale)
    return [a @ lam / root for a, lam in zip(model.coordinates.factor_maps, lambdas, strict=True)]
