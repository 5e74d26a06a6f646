"""Judgements about variances ask the covariance structure what may be correlated, not its name.

`docs/extending.md` makes a structure of its own: slopes correlated with each other and not with the intercept. Two terms on
one factor are the same model by another way, so every answer about it is known.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest

import jaxlmm
from jaxlmm import MixedModelResults
from jaxlmm.covariance import STRUCTURES, Unstructured, correlated_sets, lower_factor
from jaxlmm.formula.tokens import COVARIANCES


@dataclass(frozen=True)
class InterceptApart:
    """Slopes correlated with each other and not with the intercept, which is the first column."""

    size: int
    name: ClassVar[str] = "apart"
    shiftable: ClassVar[bool] = False

    @property
    def n_theta(self) -> int:
        return len(self.positions()[0])

    def positions(self) -> tuple[np.ndarray, np.ndarray]:
        columns, rows = np.triu_indices(self.size)
        inside = (columns > 0) | (rows == 0)
        return rows[inside], columns[inside]

    def canonicalize(self, factor: np.ndarray) -> np.ndarray:
        answer = np.zeros_like(factor)
        answer[..., :1, :1] = np.abs(factor[..., :1, :1])
        answer[..., 1:, 1:] = lower_factor(factor[..., 1:, 1:])
        return answer


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[MixedModelResults, MixedModelResults, MixedModelResults]]:
    """The structure, the same model in two terms, and the larger model with all correlations."""
    STRUCTURES["apart"], COVARIANCES["apart"] = InterceptApart, "apart"  # type: ignore[assignment]
    rng = np.random.default_rng(5)
    g, x, z = rng.integers(0, 40, 600), *rng.normal(size=(2, 600))
    b = rng.normal(size=(3, 40))
    y = b[0, g] + x * b[1, g] + z * (0.5 * b[1, g] + b[2, g]) + rng.normal(size=600)
    data = pd.DataFrame({"y": y, "x": x, "z": z, "g": g})
    formulas = ("apart(x + z | g)", "(1 | g) + (0 + x + z | g)", "(x + z | g)")
    try:
        one, two, three = (jaxlmm.lmer(f"y ~ x + z + {f}", data) for f in formulas)
        yield one, two, three
    finally:
        del STRUCTURES["apart"], COVARIANCES["apart"]


ANSWERS: dict[str, Callable[[MixedModelResults], Any]] = {
    "ran_pars": lambda f: f.tidy("ran_pars")[["estimate", "std_error"]].sort_values("estimate"),
    "cov_varcorr": lambda f: np.sort(np.diagonal(f.cov_varcorr())),
    "correlation and sd": lambda f: np.sort(np.diagonal(f.cov_varcorr(scale="sd"))),
    "profile": lambda f: f.conf_int("profile"),
}


@pytest.mark.parametrize("what", ANSWERS)
def test_one_term_answers_as_two(what: str, pair: tuple[MixedModelResults, ...]) -> None:
    # Two optimizers stop within 3e-5 standard errors each, of which there are five to ten in an estimate.
    ours, wanted = (np.asarray(ANSWERS[what](f), dtype=float) for f in pair[:2])
    assert ours.shape == wanted.shape
    np.testing.assert_allclose(ours, wanted, rtol=2e-4, atol=1e-6)


def test_it_is_a_special_case_of_all_correlations(pair: tuple[MixedModelResults, ...]) -> None:
    apart, two, whole = pair
    ours, wanted = (jaxlmm.anova(f, whole) for f in (apart, two))
    assert ours["df"].iloc[1] == 2.0
    np.testing.assert_allclose(ours["chisq"].iloc[1], wanted["chisq"].iloc[1], rtol=1e-5)


def test_effects_by_sets() -> None:
    assert correlated_sets(InterceptApart(3)) == [[0], [1, 2]]
    assert correlated_sets(Unstructured(3)) == [[0, 1, 2]]
