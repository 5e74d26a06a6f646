"""Second derivatives in the variances, Kenward and Roger's adjustment and rows' forms, against n x n matrices.

Rows: the random designs of `tests/designs.py`, in the engine's coordinates (as in `tests/pls/test_plans.py`), at a generic
theta and at one with a zero column of Lambda. Expected numbers: `tests/oracle.py`, and formulas of the papers written out
here with matrices of n rows, in parameters (sigma**2, elements of every Sigma_t), which are not those of the package.

Tolerance 1e-8, relative to the largest entry: both sides err by less than 1e-11 times a condition below 1e3.
"""

from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from jaxlmm import pls
from jaxlmm.errors import DesignError
from jaxlmm.fit import Model, SecondOrder, adjust, f_test, prepare, row_forms
from tests import oracle
from tests.designs import Design, random_designs
from tests.fit.models import design_of, in_standard_coordinates
from tests.oracle import Array, Problem

pytestmark = pytest.mark.usefixtures("double")

CLOSE = 1e-8
DESIGNS = {design.id: design for design in random_designs()}
SMALL = [id_ for id_, design in DESIGNS.items() if len(design.problem.y) <= 120]

each_design = pytest.mark.parametrize("id_", DESIGNS)
each_criterion = pytest.mark.parametrize("reml", [True, False], ids=["reml", "ml"])


@cache
def model(id_: str) -> Model:
    return prepare(design_of(DESIGNS[id_].problem))


def second(id_: str, theta: Array, reml: bool) -> SecondOrder:
    fit: Any = SimpleNamespace(reml=reml, standard_theta=theta)
    return SecondOrder(model(id_), fit)


def assert_close(ours: Array, expected: Array) -> None:
    np.testing.assert_allclose(ours, expected, rtol=0, atol=CLOSE * max(1.0, np.abs(expected).max()))


def thetas(design: Design) -> list[Array]:
    return [design.theta, design.theta_singular]


@each_design
@each_criterion
def test_exact_hessian(id_: str, reml: bool) -> None:
    design, own = DESIGNS[id_], in_standard_coordinates(DESIGNS[id_].problem, model(id_))
    for theta in thetas(design):
        assert_close(second(id_, theta, reml).hessian(), oracle.hessian(own, theta, reml))


@pytest.mark.parametrize("id_", [id_ for id_, design in DESIGNS.items() if len(design.problem.factors) > 1])
def test_the_leading_factor_of_large_components_is_eliminated_first(id_: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jaxlmm.pls.leading.LARGE", 2)
    monkeypatch.setattr("jaxlmm.pls.leading.SHARE", 0.0)
    monkeypatch.setattr("jaxlmm.pls.leading.ROWS", 16)
    design, own = DESIGNS[id_], in_standard_coordinates(DESIGNS[id_].problem, model(id_))
    for theta in thetas(design):
        assert_close(second(id_, theta, True).hessian(), oracle.hessian(own, theta, True))


@each_design
def test_log_determinant_and_cross_products(id_: str) -> None:
    design, own = DESIGNS[id_], in_standard_coordinates(DESIGNS[id_].problem, model(id_))
    for theta in thetas(design):
        v = covariance(own, theta)
        found = second(id_, theta, True).expansion
        columns = np.column_stack([own.x, own.response])
        assert_close(found.logdet, np.array([np.linalg.slogdet(v)[1] + np.log(own.w).sum()]))
        assert_close(found.f[0], columns.T @ np.linalg.solve(v, columns))


def covariance(problem: Problem, theta: Array) -> Array:
    v = np.diag(1.0 / problem.w)
    for factor, lam in zip(problem.factors, oracle.lambdas(problem, theta), strict=True):
        z = factor.matrix()
        v += z @ np.kron(np.eye(factor.n_levels), lam @ lam.T) @ z.T
    return v


def derivatives(problem: Problem) -> list[Array]:
    """V_i of sigma**2 and of every free element of every Sigma_t, at sigma = 1."""
    answer = [np.diag(1.0 / problem.w)]
    for factor in problem.factors:
        z = factor.matrix()
        for part in factor.basis():
            element = np.where(part + part.T > 0, 1.0, 0.0)
            answer.append(z @ np.kron(np.eye(factor.n_levels), element) @ z.T)
    return answer


@pytest.mark.parametrize("id_", SMALL[::2])
@pytest.mark.parametrize("kind", ["expected", "observed"])
def test_kenward_roger_by_the_papers_formulas(id_: str, kind: str) -> None:
    """Kenward & Roger 1997, eqs. 1 to 7; Halekoh & Højsgaard 2014, section 2, for one combination and for several."""
    design, own = DESIGNS[id_], in_standard_coordinates(DESIGNS[id_].problem, model(id_))
    p = own.x.shape[1]
    scale = oracle.estimates(own, design.theta, True)["sigma"] ** 2
    v, parts = scale * covariance(own, design.theta), derivatives(own)
    inverse = np.linalg.inv(v)
    phi = np.linalg.inv(own.x.T @ inverse @ own.x)
    project = inverse - inverse @ own.x @ phi @ own.x.T @ inverse
    moved = [project @ part for part in parts]
    expected = 0.5 * np.array([[np.sum(a * b.T) for b in moved] for a in moved])
    e = project @ own.response
    average = np.array([[e @ a @ project @ b @ e for b in parts] for a in parts])
    information = expected if kind == "expected" else average - expected
    if np.linalg.eigvalsh(information)[0] < 1e-6 * np.abs(information).max():
        with pytest.raises(DesignError, match="not positive definite"):
            adjust(second(id_, design.theta, True), kind)
        return
    w = np.linalg.inv(information)
    slopes = [-own.x.T @ inverse @ part @ inverse @ own.x for part in parts]
    middle = np.zeros((p, p))
    for i, a in enumerate(parts):
        for j, b in enumerate(parts):
            q = own.x.T @ inverse @ a @ inverse @ b @ inverse @ own.x
            middle += w[i, j] * (q - slopes[i] @ phi @ slopes[j])
    adjusted = phi + 2.0 * phi @ middle @ phi
    ours = adjust(second(id_, design.theta, True), kind)
    assert_close(ours.adjusted * scale, adjusted)

    rows = np.random.default_rng(5).normal(size=(min(2, p), p))
    theta = rows.T @ np.linalg.inv(rows @ phi @ rows.T) @ rows
    rank = len(rows)
    turned = [theta @ phi @ own_slope @ phi for own_slope in slopes]
    pairs = [(i, j) for i in range(len(parts)) for j in range(len(parts))]
    a1 = sum(w[i, j] * np.trace(turned[i]) * np.trace(turned[j]) for i, j in pairs)
    a2 = sum(w[i, j] * np.trace(turned[i] @ turned[j]) for i, j in pairs)
    b = (a1 + 6 * a2) / (2 * rank)
    g = ((rank + 1) * a1 - (rank + 4) * a2) / ((rank + 2) * a2)
    c1, c2, c3 = (c / (3 * rank + 2 * (1 - g)) for c in (g, rank - g, rank + 2 - g))
    mean = 1 / (1 - a2 / rank)
    variance = 2 / rank * (1 + c1 * b) / ((1 - c2 * b) ** 2 * (1 - c3 * b))
    rho = variance / (2 * mean**2)
    df = 4 + (rank + 2) / (rank * rho - 1)
    scaled, found = f_test(ours, rows)
    np.testing.assert_allclose([found, scaled], [df, df / (mean * (df - 2))], rtol=1e-6)


@each_design
def test_forms_of_rows(id_: str) -> None:
    """The inverse of Henderson's matrix in u = Λ⁻¹b, which exists where Λ is singular, too."""
    design, own = DESIGNS[id_], in_standard_coordinates(DESIGNS[id_].problem, model(id_))
    for theta in thetas(design):
        z = np.column_stack(
            [
                f.matrix() @ np.kron(np.eye(f.n_levels), lam)
                for f, lam in zip(own.factors, oracle.lambdas(own, theta), strict=True)
            ]
        )
        both = np.column_stack([z, own.x])
        henderson = both.T @ (own.w[:, None] * both)
        henderson[: z.shape[1], : z.shape[1]] += np.eye(z.shape[1])
        expected = np.einsum("na,ab,nb->n", both, np.linalg.inv(henderson), both)
        found, z_own, codes = second(id_, theta, True), [f.z for f in own.factors], [f.codes for f in own.factors]
        ours = row_forms(found, found.phi, own.x, z_own, codes)
        assert_close(ours, expected)


def test_components_cover_all_levels_once() -> None:
    for id_ in DESIGNS:
        own = model(id_)
        found = pls.components(own.gram, own.response, own.plan.terms, own.coordinates.n_obs)
        for t, levels in enumerate(own.n_levels):
            seen = np.concatenate([stack.levels[t].ravel() for stack in found.stacks])
            assert sorted(seen[seen >= 0]) == list(range(levels))
