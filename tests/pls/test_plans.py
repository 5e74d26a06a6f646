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
from tests.designs import Design, random_designs
from tests.fit.models import BY_HAND, design_of, in_standard_coordinates, user_lambdas
from tests.fit.quick import of_plan
from tests.oracle import Array, Factor, Problem

pytestmark = pytest.mark.usefixtures("double", "quick_programs")

VALUE = 1e-9
DERIVATIVE = 1e-8

DESIGNS = {design.id: design for design in random_designs()}

KIND = {"grouped": "grouped", "nested": "nested", "identical": "nested"}
"""The plan of a structure; a design with any other structure is crossed."""

KINDS_OF_TERMS = ("one_us2_ragged", "one_us4", "one_us2_diag2", "one_us1_us2")
INTERCEPTS_AGAIN = ("nested2_balanced", "nested3_balanced", "crossed2_balanced", "identical")
BOTH_WAYS = ("crossed2_slopes", "nested2_x_item")


def forms(design: Design) -> list[str]:
    """The ways to eliminate the random effects of a design that are tried; each one is a program to compile.

    A chain of length one and the dense matrix see nothing of a design's layout: they are left out where another design
    has the same kinds of terms. Crossed factors: as the plan has it (a matrix product, in problems of this size), and by
    pairs, tiles of them or classes for a few; "both" is a chain that begins with pairs and ends with a product.
    """
    if len(design.problem.factors) == 1:
        return ["levels", "classes", *(["nested", "dense"] if design.id in KINDS_OF_TERMS else [])]
    dense = [] if design.id in INTERCEPTS_AGAIN else ["dense"]
    if design.structure in KIND:
        return ["nested", *dense]
    classes = design.id in ("crossed2_balanced", "crossed2_sparse")
    both = ["both"] if design.id == "nested2_x_item" else []
    return [
        "product",
        *both,
        *(["pairs", "tiles"] if design.id in BOTH_WAYS else []),
        *(["classes"] if classes else []),
        *dense,
    ]


ROWS = [(design.id, form) for design in DESIGNS.values() for form in forms(design)]
ESTIMATED = [
    *((name, "chosen") for name in KINDS_OF_TERMS),
    *((name, "chosen") for name in ("one_offset", "one_singletons", "one_empty_cells", "one_empty_levels")),
    *((name, "chosen") for name in ("nested2_unbalanced", "nested3_slopes", "crossed3_slopes", "nested2_x_item")),
    *((name, "chosen") for name in ("partly_nested", "identical_slopes")),
    *(("one_us2_diag2", form) for form in ("levels", "classes", "nested", "dense")),
    *(("crossed2_slopes", form) for form in ("product", "pairs", "dense")),
]
"""Estimates are derivatives of what the first test has checked, so that fewer rows do: all kinds of terms and plans,
weights, an offset, empty cells and levels, one row per level, all structures."""

each_design = pytest.mark.parametrize("name", DESIGNS)


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
        plan = replace(
            plan, ways=("pairs",) * (plan.n_chain - 1) + ("product",) if form == "both" else (form,) * plan.n_chain
        )
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


@pytest.mark.parametrize(("name", "form"), ROWS, ids=["-".join(row) for row in ROWS])
def test_value_gradient_and_hessian(name: str, form: str) -> None:
    """For one factor by the rule that steps use; elsewhere by differentiating twice."""
    model = model_of(name, form)
    exact = of_plan(pls.curvature if model.plan.kind == "grouped" else pls.derivatives)
    for place, reml in PLACES:
        theta = jnp.asarray(getattr(DESIGNS[name], place))
        value, gradient, hessian = exact(model.plan, model.reduced, theta, float(reml))
        d, g, h = expected(name, place, reml)
        where = f"{place}, {'REML' if reml else 'ML'}"
        assert value == pytest.approx(d, rel=VALUE), where
        # Scaled by the Hessian as well: at a zero column of Lambda the gradient is a sum that nearly cancels.
        scale = max(np.linalg.norm(g), np.linalg.norm(h), 1.0)
        assert np.linalg.norm(gradient - g) <= DERIVATIVE * max(np.linalg.norm(g), 1.0), where
        assert np.linalg.norm(hessian - h) <= DERIVATIVE * scale, where


INFORMED = (
    "nested2_unbalanced",
    "nested3_slopes",
    "crossed2_slopes",
    "crossed3_slopes",
    "nested2_x_item",
    "partly_nested",
)
"""Nested and crossed designs with weights, slopes, three factors and a chain beside an item."""


@pytest.mark.parametrize("name", INFORMED)
def test_average_information(name: str) -> None:
    """The Hessian that steps use differs from the exact one as its definition says: traces are replaced by their
    observed parts. At a zero column of Lambda its slope is taken a little beside it."""
    model = model_of(name, "nested" if DESIGNS[name].structure in KIND else "product")
    information = of_plan(pls.information)
    for place, reml in PLACES:
        theta = jnp.asarray(getattr(DESIGNS[name], place))
        value, gradient, hessian = information(model.plan, model.reduced, theta, float(reml))
        d, g, h = expected(name, place, reml)
        h = h + oracle.expected_less_observed(standard_problem(name), theta, reml)
        assert value == pytest.approx(d, rel=VALUE)
        assert np.linalg.norm(gradient - g) <= DERIVATIVE * max(np.linalg.norm(g), 1.0)
        close = DERIVATIVE if place == "theta" else 1e-5
        assert np.linalg.norm(hessian - h) <= close * max(np.linalg.norm(h), 1.0), (place, reml)


@each_design
def test_value_in_the_users_units(name: str) -> None:
    """What `Coordinates.objective` makes of the standard value is the deviance of the user's own problem.

    At theta = 0 that is the likelihood of least squares without random effects.
    """
    design, model = DESIGNS[name], chosen(name)
    for theta, reml in itertools.product((design.theta, design.theta_singular, 0.0 * design.theta), (False, True)):
        standard = oracle.lambdas(design.problem, theta)
        value = programs.profile(model.plan, model.reduced, tuple(standard), float(reml)).objective
        exact = oracle.deviance_lambda(design.problem, user_lambdas(model, standard), reml)
        assert model.coordinates.objective(float(value), reml) == pytest.approx(exact, rel=VALUE)
        if not theta.any():
            assert exact == pytest.approx(oracle.ols_deviance(design.problem, reml), rel=VALUE)


@pytest.mark.parametrize(("name", "form"), ESTIMATED, ids=["-".join(row) for row in ESTIMATED])
def test_estimates_in_the_users_units(name: str, form: str) -> None:
    """beta, their covariance, sigma, b and Var(b | y) of the user's own problem at the user's theta.

    Relative to the largest entry, to the tolerance of the derivatives that they are.
    """
    design, model = DESIGNS[name], chosen(name) if form == "chosen" else model_of(name, form)
    for place, reml in PLACES:
        fit = evaluate(model, getattr(design, place), reml, BY_HAND)
        # The canonical theta that is reported makes the covariance matrices at which the criterion was evaluated.
        assert fit.objective == pytest.approx(oracle.deviance(design.problem, fit.theta, reml), rel=VALUE)
        exact = oracle.estimates(design.problem, fit.theta, reml)
        assert fit.sigma == pytest.approx(exact["sigma"], rel=DERIVATIVE)
        assert fit.pwrss == pytest.approx(exact["r2"], rel=DERIVATIVE)
        close(fit.beta, exact["beta"])
        close(fit.sigma**2 * fit.unscaled_vcov, exact["vcov"])
        for b, b_exact in zip(fit.b, exact["b"], strict=True):
            close(b, b_exact)
        for v, v_exact in zip(conditional_variances(model, fit), exact["condvar"], strict=True):
            close(v, v_exact)


def close(ours: Array, exact: Array) -> None:
    np.testing.assert_allclose(ours, exact, rtol=0, atol=DERIVATIVE * np.abs(exact).max())


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
    fewest = min(multiplications(factors, c) for c in chains if is_chain(factors, c))
    assert multiplications(factors, chain) == pytest.approx(fewest), "no chain takes fewer multiplications"
    assert plan.describe().startswith(plan.kind + ": ")


def multiplications(factors: tuple[Factor, ...], chain: tuple[int, ...]) -> float:
    """A third of the cube of the tail, and for each eliminated level half the square of what its rows touch, per column."""
    tail = [t for t in range(len(factors)) if t not in chain]
    count = sum(factors[t].n_levels * factors[t].k for t in tail) ** 3 / 3.0
    for d, s in enumerate(chain):
        for level in range(factors[s].n_levels):
            rows = factors[s].codes == level
            touched = sum(factors[t].k * np.unique(factors[t].codes[rows]).size for t in (*chain[d:], *tail))
            count += 0.5 * factors[s].k * touched**2
    return count


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
