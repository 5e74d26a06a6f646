"""Every plan that applies to a design equals the n x n marginal likelihood of `tests/oracle.py`.

Rows: the 31 random designs of `tests/designs.py`, at a generic theta and at one with a zero column of Lambda. Columns:
value, gradient and Hessian of both criteria; coefficients, their covariance, sigma, conditional modes and variances.

Plans are compared in the engine's own coordinates, where theta is unconstrained and means Lambda entry by entry: the
oracle is given the same columns (`in_standard_coordinates`). That these are the user's problem in other units is a
test of its own, `test_value_in_the_users_units`.

Tolerances, from the project's contract ("What it must show"): 1e-9 relative in value, 1e-8 norm-wise in gradient and
Hessian. Either side is a Cholesky factor of a matrix with a condition below 1e4 in float64, and errs by less than 1e-11.
"""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlmm import pls
from jaxlmm.errors import DesignError
from jaxlmm.fit import Model, conditional_variances, evaluate, prepare, programs
from jaxlmm.precision import double
from tests import oracle
from tests.designs import random_designs
from tests.fit.models import BY_HAND, design_of, in_standard_coordinates, quick, user_lambdas
from tests.oracle import Array, Factor, Problem

pytestmark = pytest.mark.usefixtures("double", "quick_programs")

VALUE = 1e-9
DERIVATIVE = 1e-8

DESIGNS = {design.id: design for design in random_designs()}

KIND = {"grouped": "grouped", "nested": "nested", "identical": "nested"}
"""The plan of a structure; a design with any other structure is crossed."""

FORMS = {
    "grouped": ("levels", "classes", "nested", "dense"),
    "nested": ("nested", "dense"),
    "crossed": ("pairs", "product", "dense"),
}
"""All ways to eliminate the random effects of a design, by the kind of plan that it gets."""

ROWS = [(d.id, form) for d in DESIGNS.values() for form in FORMS[KIND.get(d.structure, "crossed")]]
each_row = pytest.mark.parametrize(("name", "form"), ROWS, ids="-".join)
each_design = pytest.mark.parametrize("name", DESIGNS)


@pytest.fixture(scope="module")
def quick_programs() -> Iterator[None]:
    """The compiled programs of `jaxlmm.fit.programs`, compiled with less effort: there are two hundred of them here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(programs, "derivatives", quick(pls.derivatives))
        patch.setattr(programs, "profile", quick(pls.profile))
        patch.setattr(programs, "conditional_modes", quick(pls.conditional_modes))
        patch.setattr(programs, "conditional_variances", quick(pls.conditional_variances))
        yield


@cache
@double
def chosen(name: str) -> Model:
    """A design with the plan that it gets."""
    return prepare(design_of(DESIGNS[name].problem))


@cache
@double
def model_of(name: str, form: str) -> Model:
    """A design with its random effects eliminated in this form."""
    model = chosen(name)
    plan = model.plan
    if form in ("nested", "dense"):
        plan = pls.choose(model.gram, model.coordinates.terms, form)
    elif form in ("levels", "classes"):
        plan = replace(plan, unique=form == "classes")
    else:
        plan = replace(plan, pairwise=(form == "pairs",) * plan.n_chain)
    reduced = pls.reduce(plan, model.gram, model.response, model.coordinates)
    return replace(model, plan=plan, reduced=jax.tree.map(jnp.asarray, reduced))


@cache
def standard_problem(name: str) -> Problem:
    return in_standard_coordinates(DESIGNS[name].problem, chosen(name))


@cache
def expected(name: str, place: str, reml: bool) -> tuple[float, Array, Array]:
    """Value, gradient and Hessian by the oracle."""
    problem, theta = standard_problem(name), getattr(DESIGNS[name], place)
    return tuple(f(problem, theta, reml) for f in (oracle.deviance, oracle.gradient, oracle.hessian))


PLACES = list(itertools.product(("theta", "theta_singular"), (False, True)))


@each_row
def test_value_gradient_and_hessian(name: str, form: str) -> None:
    model = model_of(name, form)
    for place, reml in PLACES:
        theta = jnp.asarray(getattr(DESIGNS[name], place))
        value, gradient, hessian = programs.derivatives(model.plan, model.reduced, theta, float(reml))
        d, g, h = expected(name, place, reml)
        where = f"{place}, {'REML' if reml else 'ML'}"
        assert value == pytest.approx(d, rel=VALUE), where
        # Scaled by the Hessian as well: at a zero column of Lambda the gradient is a sum that nearly cancels.
        scale = max(np.linalg.norm(g), np.linalg.norm(h), 1.0)
        assert np.linalg.norm(gradient - g) <= DERIVATIVE * max(np.linalg.norm(g), 1.0), where
        assert np.linalg.norm(hessian - h) <= DERIVATIVE * scale, where


@each_row
def test_estimates(name: str, form: str) -> None:
    """beta, their covariance, sigma, b and Var(b | y), against the oracle at the user's own theta.

    Relative to the largest entry: 1e-8, since coefficients are linear in the data and variances quadratic.
    """
    design, model = DESIGNS[name], model_of(name, form)
    for place, reml in PLACES:
        fit = evaluate(model, getattr(design, place), reml, BY_HAND)
        exact = oracle.estimates(design.problem, fit.theta, reml)
        assert fit.sigma == pytest.approx(exact["sigma"], rel=DERIVATIVE)
        assert fit.pwrss == pytest.approx(exact["r2"], rel=DERIVATIVE)
        close(fit.beta, exact["beta"])
        close(fit.sigma**2 * fit.unscaled_vcov, exact["vcov"])
        for b, b_exact in zip(fit.b, exact["b"], strict=True):
            close(b, b_exact)
        if place == "theta":
            for v, v_exact in zip(conditional_variances(model, fit), exact["condvar"], strict=True):
                close(v, v_exact)


def close(ours: Array, exact: Array) -> None:
    np.testing.assert_allclose(ours, exact, rtol=0, atol=DERIVATIVE * max(np.abs(exact).max(), 1e-3))


@each_design
def test_value_in_the_users_units(name: str) -> None:
    """What `Coordinates.objective` makes of the standard value is the deviance of the user's own problem."""
    design, model = DESIGNS[name], model_of(name, "dense")
    for place, reml in PLACES:
        theta = getattr(design, place)
        fit = evaluate(model, theta, reml, BY_HAND)
        lambdas = user_lambdas(model, oracle.lambdas(design.problem, theta))
        exact = oracle.deviance_lambda(design.problem, lambdas, reml)
        assert fit.objective == pytest.approx(exact, rel=VALUE)
        # The canonical theta that is reported makes the same covariance matrices.
        assert oracle.deviance(design.problem, fit.theta, reml) == pytest.approx(exact, rel=VALUE)


# Which plan a design gets.


@each_design
def test_the_plan_fits_the_structure(name: str) -> None:
    design, plan = DESIGNS[name], chosen(name).plan
    factors = design.problem.factors
    assert plan.kind == KIND.get(design.structure, "crossed")
    assert sorted(plan.order) == list(range(len(factors)))
    chain = plan.order[: plan.n_chain]
    assert is_chain(factors, chain), "the factors that are eliminated blockwise are nested, finest first"
    chains = [c for r in range(1, len(factors) + 1) for c in itertools.permutations(range(len(factors)), r)]
    columns = max(sum(factors[t].n_levels * factors[t].k for t in c) for c in chains if is_chain(factors, c))
    assert sum(factors[t].n_levels * factors[t].k for t in chain) == columns, "no chain has more columns"
    assert plan.describe().startswith(plan.kind + ": ")


def is_chain(factors: tuple[Factor, ...], order: tuple[int, ...]) -> bool:
    """Whether each level of a factor lies in one level of every later factor, by counting pairs of labels."""
    return all(
        len(np.unique(np.column_stack([factors[s].codes, factors[t].codes]), axis=0)) == factors[s].n_levels
        for s, t in itertools.combinations(order, 2)
    )


NOT_APPLICABLE = [
    ("one_ragged", "crossed", "this design is grouped"),
    ("nested2_balanced", "grouped", "this design is nested"),
    ("nested2_balanced", "crossed", "this design is nested"),
    ("crossed2_partial", "grouped", "this design is crossed"),
    ("crossed2_partial", "nested", "this design is crossed"),
    ("partly_nested", "nested", "this design is crossed"),
    ("nested2_x_item", "nested", "this design is crossed"),
    ("one_ragged", "sparse", "there is no plan 'sparse'"),
]


@pytest.mark.parametrize(("name", "kind", "message"), NOT_APPLICABLE)
def test_a_plan_that_does_not_apply(name: str, kind: str, message: str) -> None:
    model = chosen(name)
    with pytest.raises(DesignError, match=message):
        pls.choose(model.gram, model.coordinates.terms, kind)


def test_partitions_that_are_the_same() -> None:
    same = {
        name: pls.same_partition(chosen(name).gram, 0, 1) for name in ("identical", "nested2_balanced", "partly_nested")
    }
    assert same == {"identical": True, "nested2_balanced": False, "partly_nested": False}


def test_levels_share_a_block_where_it_pays() -> None:
    """Integer occasions in a balanced design leave one block for all levels; drawn covariates leave as many as levels."""
    assert chosen("one_us2_balanced").plan.unique
    assert chosen("one_intercept").plan.unique
    assert not chosen("one_us2_ragged").plan.unique
