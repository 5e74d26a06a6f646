"""What a fit must not depend on, and what it must follow, whatever the data: with hypothesis over fixed shapes.

Two designs of fixed size (so that each compiles once): correlated intercepts and slopes by one factor, and two crossed
factors, one with a slope. A fit stops where a Newton step would gain less than 1e-9, after taking it; the criterion, of
size 200, carries rounding below 1e-11 of it. So two fits of one problem agree to 1e-8: `SAME`. Where a shift by 1e6 has
been added to a covariate of size one, the data themselves have lost six digits: 1e-10 of each x, times a slope of the
criterion in x that adds up to no more than 1e3: `ROUNDED`.
"""

from dataclasses import dataclass, replace

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxlmm import pls
from jaxlmm.covariance import Diagonal, Unstructured
from jaxlmm.design import Design, RandomEffects
from jaxlmm.fit import Fit, Model, fit_model, prepare, programs
from jaxlmm.pls import CrossProducts

pytestmark = pytest.mark.usefixtures("double", "quick_programs")

SAME = 1e-8
ROUNDED = 1e-6

N, P = 60, 3

few = settings(max_examples=6, deadline=None, derandomize=True, database=None)
seeds = st.integers(0, 2**32 - 1)
units = st.sampled_from([1e-8, 1e-5, 0.3, 7.0, 1e4, 1e8])
criteria = st.booleans()
kinds = pytest.mark.parametrize("kind", ["grouped", "crossed"])


@dataclass(frozen=True, eq=False)
class Rows:
    """A table: y ~ 1 + a + b + (1 + a | g), or y ~ 1 + a + b + (1 + a | g) + (1 | h)."""

    y: np.ndarray
    a: np.ndarray
    b: np.ndarray
    g: np.ndarray
    h: np.ndarray

    def take(self, rows: np.ndarray) -> "Rows":
        return Rows(self.y[rows], self.a[rows], self.b[rows], self.g[rows], self.h[rows])


def drawn(seed: int) -> Rows:
    """10 levels of g crossed with 6 of h, one row for each pair; every variance clearly above zero."""
    rng = np.random.default_rng(seed)
    g, h = np.divmod(np.arange(N), 6)
    a, b = rng.normal(size=(2, N))
    effects = rng.normal(size=(10, 2)) * [2.0, 1.0]
    y = 3.0 + a - b + effects[g, 0] + effects[g, 1] * a + 1.5 * rng.normal(size=6)[h] + rng.normal(size=N)
    return Rows(y, a, b, g, h)


def design_of(rows: Rows, kind: str) -> Design:
    one = np.ones(len(rows.y))
    random = [RandomEffects(rows.g, np.column_stack([one, rows.a]), 10, (Unstructured(2),))]
    if kind == "crossed":
        random.append(RandomEffects(rows.h, one[:, None], 6, (Unstructured(1),)))
    return Design(np.column_stack([one, rows.a, rows.b]), rows.y, None, tuple(random))


def fit(rows: Rows, kind: str, reml: bool) -> Fit:
    return fit_model(prepare(design_of(rows, kind)), reml)


# Invariance.


@kinds
@few
@given(seed=seeds, reml=criteria)
def test_order_of_rows_and_labels_of_levels(kind: str, seed: int, reml: bool) -> None:
    rows, rng = drawn(seed), np.random.default_rng([seed, 1])
    before = fit(rows, kind, reml)
    shuffled = rows.take(rng.permutation(N))
    new_g, new_h = rng.permutation(10), rng.permutation(6)
    relabelled = replace(shuffled, g=new_g[shuffled.g], h=new_h[shuffled.h])
    for changed in (shuffled, relabelled):
        assert fit(changed, kind, reml).objective == pytest.approx(before.objective, abs=SAME)
    # Modes follow their levels. The criterion is flat at its minimum: theta is good to sqrt(SAME) at worst.
    after = fit(relabelled, kind, reml)
    np.testing.assert_allclose(after.b[0][new_g], before.b[0], rtol=0, atol=1e-4)


@kinds
@few
@given(seed=seeds, reml=criteria, cuts=st.lists(st.integers(1, N - 1), min_size=1, max_size=4, unique=True))
def test_chunks(kind: str, seed: int, reml: bool, cuts: list[int]) -> None:
    """Sums over chunks of rows, merged, are the sums over all rows."""
    rows = drawn(seed).take(np.random.default_rng(seed).permutation(N))
    design = design_of(rows, kind)
    first, *others = [CrossProducts.from_design(design.rows(c)) for c in np.split(np.arange(N), sorted(cuts))]
    for other in others:
        first = first.merge(other)
    assert fit_model(model_from(first), reml).objective == pytest.approx(fit(rows, kind, reml).objective, abs=SAME)


def model_from(cross: CrossProducts) -> Model:
    gram, response, coordinates = pls.standardize(cross)
    plan = pls.choose(gram, coordinates.terms)
    return Model(gram, response, coordinates, plan, pls.reduce(plan, gram, response, coordinates))


@kinds
@few
@given(seed=seeds, reml=criteria, shift=st.sampled_from([-1e6, -3.7, 1e3, 1e6]))
def test_shift_of_a_covariate(kind: str, seed: int, reml: bool, shift: float) -> None:
    """In X beside the constant, and in an unstructured term beside its intercept, at once."""
    rows = drawn(seed)
    before, after = fit(rows, kind, reml), fit(replace(rows, a=rows.a + shift), kind, reml)
    assert after.objective == pytest.approx(before.objective, abs=ROUNDED)
    np.testing.assert_allclose(after.beta[1:], before.beta[1:], rtol=0, atol=1e-4)
    assert after.sigma == pytest.approx(before.sigma, rel=1e-4)


# Equivariance.


@kinds
@few
@given(seed=seeds, reml=criteria, unit=units)
def test_units_of_the_response(kind: str, seed: int, reml: bool, unit: float) -> None:
    """d(c y) = d(y) + (n - p) log c^2, or n log c^2 for ML; theta is the same, the rest is in units of c."""
    rows = drawn(seed)
    before, after = fit(rows, kind, reml), fit(replace(rows, y=unit * rows.y), kind, reml)
    change = (N - P * reml) * 2.0 * np.log(unit)
    assert after.objective - change == pytest.approx(before.objective, abs=SAME)
    assert after.sigma / unit == pytest.approx(before.sigma, rel=1e-4)
    np.testing.assert_allclose(after.beta / unit, before.beta, rtol=0, atol=1e-4)
    np.testing.assert_allclose(after.theta, before.theta, rtol=0, atol=1e-4)


@kinds
@few
@given(seed=seeds, reml=criteria, unit_a=units, unit_b=units)
def test_units_of_the_covariates(kind: str, seed: int, reml: bool, unit_a: float, unit_b: float) -> None:
    """log|X'V^-1X| grows by log c^2 for each column scaled by c; ML stays. The random slope is scaled along."""
    rows = drawn(seed)
    before = fit(rows, kind, reml)
    after = fit(replace(rows, a=unit_a * rows.a, b=unit_b * rows.b), kind, reml)
    change = reml * 2.0 * (np.log(unit_a) + np.log(unit_b))
    assert after.objective - change == pytest.approx(before.objective, abs=SAME)
    np.testing.assert_allclose(after.beta * [1.0, unit_a, unit_b], before.beta, rtol=0, atol=1e-4)
    scale = np.diag([1.0, unit_a])
    covariance = [scale @ after.lambdas[0] @ after.lambdas[0].T @ scale, before.lambdas[0] @ before.lambdas[0].T]
    np.testing.assert_allclose(*covariance, rtol=0, atol=1e-3 * np.abs(covariance[1]).max())


# Special cases.


@few
@given(
    seed=seeds,
    reml=criteria,
    sd=st.tuples(st.floats(0.1, 3.0), st.floats(0.1, 3.0)),
    origin=st.sampled_from([0.0, 5.0]),
)
def test_no_correlation_is_diag(seed: int, reml: bool, sd: tuple[float, float], origin: float) -> None:
    """The criterion of (a | g) at zero correlation is that of diag(a | g), in the user's own columns."""
    rows = drawn(seed)
    design = design_of(replace(rows, a=rows.a + origin), "grouped")
    block = design.random[0]
    diagonal = replace(design, random=(RandomEffects(block.codes, block.z, 10, (Diagonal(2),)),))
    values = []
    for model in (prepare(design), prepare(diagonal)):
        (a,) = model.coordinates.factor_maps
        lam = np.linalg.solve(a, np.sqrt(model.coordinates.weight_scale) * np.diag(sd))
        value = programs.profile(model.plan, model.reduced, (jnp.asarray(lam),), float(reml)).objective
        values.append(model.coordinates.objective(float(value), reml))
    assert values[0] == pytest.approx(values[1], rel=1e-11)
