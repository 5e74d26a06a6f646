"""Minima on the boundary, and stationary points that are none.

A zero column of Lambda is stationary whatever the data say (the criterion is even in it), so a fit that starts there must
find out. Reference values are lme4's, polished from several starts (`tests/reference`); tolerances are the contract's:
not above the reference by more than 1e-6 sqrt(objective), never below it by 1e-3.
"""

import numpy as np
import pandas as pd
import pytest
from scipy.linalg import null_space

from jaxlmm import pls
from jaxlmm.covariance import Unstructured, canonical_theta
from jaxlmm.design import Design, RandomEffects
from jaxlmm.fit import Control, Fit, Model, boundary, fit_model, prepare
from tests import oracle
from tests.designs import random_designs
from tests.fit.models import design_of, in_standard_coordinates
from tests.fit.quick import of_plan
from tests.reference.loader import case, data

pytestmark = pytest.mark.usefixtures("double", "quick_programs")

AWAY = 1e-6
"""A slope of the criterion that is no more than rounding of sums over thousands of rows."""


def design(table: pd.DataFrame, y: str, fixed: list[str | tuple[str, str]], random: dict[str, list[str]]) -> Design:
    """Columns by name; ("gender", "M") is a dummy. Every factor has an unstructured term with an intercept."""
    one = np.ones(len(table))

    def column(name: str | tuple[str, str]) -> np.ndarray:
        if isinstance(name, tuple):
            return (table[name[0]] == name[1]).to_numpy(dtype=float)
        return table[name].to_numpy(dtype=float)

    effects = []
    for factor, slopes in random.items():
        labels, codes = np.unique(table[factor].to_numpy(dtype=str), return_inverse=True)
        z = np.column_stack([one, *map(column, slopes)])
        effects.append(RandomEffects(codes, z, len(labels), (Unstructured(z.shape[1]),)))
    x = np.column_stack([one, *map(column, fixed)])
    return Design(x, table[y].to_numpy(dtype=float), None, tuple(effects))


def standard_theta(model: Model, lambdas: list[list[list[float]]]) -> np.ndarray:
    """Where the engine starts for relative covariance factors in the user's columns."""
    root = np.sqrt(model.coordinates.weight_scale)
    return np.concatenate(
        [
            canonical_theta(terms, np.linalg.solve(a, root * np.asarray(lam)))
            for terms, a, lam in zip(model.plan.terms, model.coordinates.factor_maps, lambdas, strict=True)
        ]
    )


def lower(theta: list[float]) -> list[list[float]]:
    """Lambda (2, 2) from lme4's three parameters."""
    return [[theta[0], 0.0], [theta[1], theta[2]]]


def assert_is_the_reference(fit: Fit, reference: dict) -> None:
    above = fit.objective - reference["objective"]
    assert above <= 1e-6 * np.sqrt(abs(reference["objective"]))
    assert above >= -1e-3
    assert fit.certificate.converged
    assert fit.certificate.singular == () or fit.certificate.boundary_slope >= -AWAY


def assert_is_a_trap(model: Model, theta: np.ndarray, zero: slice, reference: dict) -> None:
    """Worse than the reference, and the criterion has no slope along the column that is zero."""
    value, gradient, _ = of_plan(pls.curvature)(model.plan, model.reduced, theta, 1.0)
    assert model.coordinates.objective(float(value), True) > reference["objective"] + 0.4
    assert np.abs(np.asarray(gradient)[zero]).max() <= AWAY


@pytest.mark.parametrize("start", [None, np.array([0.0]), np.array([2.0])], ids=["own start", "at zero", "far"])
def test_no_variance_at_all(start: np.ndarray | None) -> None:
    """Dyestuff2: the batches vary less than chance would have it."""
    reference = case("dyestuff2_singular")
    model = prepare(design(data("dyestuff2"), "Yield", [], {"Batch": []}))
    fit = fit_model(model, reml=True, control=Control(start=start))
    assert_is_the_reference(fit, reference)
    assert fit.theta.tolist() == [0.0]
    assert not fit.b[0].any()
    assert fit.certificate.singular == ((0, 0, 1),)
    assert fit.certificate.boundary_slope > 0
    assert fit.sigma == pytest.approx(reference["sigma"], rel=1e-10)
    assert fit.beta[0] == pytest.approx(reference["beta"]["(Intercept)"], rel=1e-12)


def test_variance_is_found_from_zero() -> None:
    """Dyestuff, where there is variance, from the stationary point where there is none."""
    model = prepare(design(data("dyestuff"), "Yield", [], {"Batch": []}))
    fit = fit_model(model, reml=True, control=Control(start=np.array([0.0])))
    # Balanced one-way layout: MSB = 11271.5, MSE = 2451.25, 5 rows per batch (Davies & Goldsmith 1972, table 6.1).
    assert fit.sigma**2 == pytest.approx(2451.25, rel=1e-7)
    assert (fit.sigma * fit.theta[0]) ** 2 == pytest.approx((11271.5 - 2451.25) / 5, rel=1e-6)
    assert fit.certificate.singular == ()


def test_chem97_slopes_leaves_the_false_stationary_point() -> None:
    """lme4's default stops 7.9 above the best, with no intercept variance between the local authorities."""
    reference = case("chem97_slopes")
    fixed = ["gcsecnt", ("gender", "M"), "age"]
    model = prepare(design(data("chem97"), "score", fixed, {"school": ["gcsecnt"], "lea": ["gcsecnt"]}))
    start = standard_theta(model, [lower(reference["theta"][:3]), [[0.0, 0.0], [0.0, 0.06]]])
    assert_is_a_trap(model, start, slice(3, 5), reference)
    fit = fit_model(model, reml=True, control=Control(start=start))
    assert_is_the_reference(fit, reference)
    # The best is on the boundary as well: a correlation of -1 between the authorities' intercepts and slopes.
    assert fit.certificate.singular == ((1, 0, 1),)
    sigma = fit.lambdas[1] @ fit.lambdas[1].T
    assert sigma[0, 1] / np.sqrt(sigma[0, 0] * sigma[1, 1]) == pytest.approx(-1.0, abs=1e-6)


def test_students_leave_the_saddle() -> None:
    """One start of lme4 stops 0.503 above the best, where the provinces' correlation is -1."""
    reference = case("row4_slopes_all")
    slopes = {"classroom": ["age"], "school": ["age"], "province": ["age"]}
    model = prepare(design(data("students"), "test_score", ["age", ("sex", "M")], slopes))
    theta = reference["theta"]
    # The provinces' intercept and slope with the variances that lme4 found, but a correlation of -1.
    province = [[theta[6], 0.0], [-float(np.hypot(theta[7], theta[8])), 0.0]]
    start = standard_theta(model, [lower(theta[:3]), lower(theta[3:6]), province])
    assert_is_a_trap(model, start, slice(8, 9), reference)
    fit = fit_model(model, reml=True, control=Control(start=start))
    assert_is_the_reference(fit, reference)
    assert fit.certificate.singular == ()


# The test itself.

DESIGNS = {d.id: d for d in random_designs()}


@pytest.mark.parametrize("name", ["one_us3", "one_us2_diag2", "nested2_slopes"])
def test_slope_on_the_boundary(name: str) -> None:
    """Smallest v'Gv over the directions v without variance, G = d criterion / d Sigma, by the oracle.

    Relative 1e-8, as every derivative. Where it is negative there is a way out, along which the criterion falls.
    """
    random = DESIGNS[name]
    model, theta = prepare(design_of(random.problem)), random.theta_singular
    problem = in_standard_coordinates(random.problem, model)
    lambdas = oracle.lambdas(problem, theta)
    for reml in (False, True):
        gradients = oracle.covariance_gradient(problem, lambdas, reml)
        slopes = [
            smallest_slope(kind, lam[block, block], g[block, block])
            for factor, lam, g in zip(problem.factors, lambdas, gradients, strict=True)
            for kind, block in blocks(factor.terms)
        ]
        found = boundary.examine(model, theta, float(reml))
        assert found is not None
        assert found.value == pytest.approx(oracle.deviance(problem, theta, reml), rel=1e-9)
        assert found.slope == pytest.approx(min(slopes), rel=1e-8)
        assert (found.escape is not None) == (min(slopes) < 0)
        if found.escape is not None:
            away = boundary.leave(model, found, float(reml))
            assert away is not None
            assert oracle.deviance(problem, away, reml) < oracle.deviance(problem, theta, reml) - 1e-7
    assert boundary.examine(model, random.theta, 1.0) is None


def blocks(terms: tuple[tuple[str, int], ...]) -> list[tuple[str, slice]]:
    ends = np.cumsum([0, *(size for _, size in terms)])
    return [(kind, slice(a, b)) for (kind, _), a, b in zip(terms, ends[:-1], ends[1:], strict=True)]


def smallest_slope(kind: str, lam: np.ndarray, g: np.ndarray) -> float:
    """Smallest v'Gv over unit vectors with v'Lambda = 0; for diag over the axes only; infinite if there is none."""
    if kind == "diag":
        return float(np.min(np.diagonal(g)[np.diagonal(lam) == 0.0], initial=np.inf))
    without = null_space(lam.T)
    return float(np.linalg.eigvalsh(without.T @ g @ without)[0]) if without.size else np.inf


@pytest.mark.parametrize(
    "start", [[1], np.array([1]), np.array([1.0], dtype=np.float32)], ids=["list", "int", "float32"]
)
def test_a_start_of_any_numbers(start: object) -> None:
    model = prepare(design(data("dyestuff2"), "Yield", [], {"Batch": []}))
    assert fit_model(model, reml=True, control=Control(start=start)).theta.tolist() == [0.0]
