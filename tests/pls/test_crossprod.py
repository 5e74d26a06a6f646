"""Cross-products: sums that merge, that keep their digits, and that decide on rank.

Tolerances. Stored columns are of size one, so a sum over n < 200 rows errs by less than n eps = 4e-14 of its largest
entry, and a change of frame by a few times that: `SUM` is 1e-12. The criterion is of size 1e2 to 1e3 and depends on them
smoothly: 1e-10 relative.
"""

from collections.abc import Callable
from functools import reduce

import jax.numpy as jnp
import numpy as np
import pytest

from jaxlmm import pls
from jaxlmm.covariance import Diagonal, Unstructured
from jaxlmm.design import Design, RandomEffects
from jaxlmm.errors import DesignError
from jaxlmm.fit import programs
from jaxlmm.pls import CrossProducts
from jaxlmm.pls.grouped import unique_blocks
from tests import oracle
from tests.designs import random_designs
from tests.fit.models import design_of
from tests.oracle import Array

pytestmark = pytest.mark.usefixtures("double", "quick_programs")

SUM = 1e-12
VALUE = 1e-10

DESIGNS = {design.id: design for design in random_designs()}


def criterion(cross: CrossProducts, lambdas: list[Array], reml: bool) -> float:
    """The user's criterion at the user's relative covariance factors, from any way to the sums."""
    gram, response, coordinates = pls.standardize(cross)
    plan = pls.choose(gram, coordinates.terms)
    reduced = pls.reduce(plan, gram, response, coordinates)
    root = np.sqrt(coordinates.weight_scale)
    standard = [
        jnp.asarray(np.linalg.solve(a, root * lam)) for a, lam in zip(coordinates.factor_maps, lambdas, strict=True)
    ]
    return coordinates.objective(float(programs.profile(plan, reduced, standard, float(reml)).objective), reml)


# Chunks of rows.


def fold(chunks: list[CrossProducts]) -> CrossProducts:
    return reduce(CrossProducts.merge, chunks)


ORDERS: dict[str, Callable[[list[CrossProducts]], CrossProducts]] = {
    "first to last": fold,
    "last to first": lambda chunks: fold(chunks[::-1]),
    "from the right": lambda chunks: reduce(lambda done, chunk: chunk.merge(done), chunks[::-1]),
    "in pairs": lambda chunks: chunks[0].merge(chunks[1]).merge(chunks[2].merge(chunks[3])),
}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("name", ["one_weights", "one_us4", "nested3_slopes", "crossed2_slopes", "identical_slopes"])
def test_chunks_merge_in_any_order(name: str, order: str) -> None:
    """Four unequal chunks; levels, pairs of levels and whole rank may be missing from a chunk."""
    random, design = DESIGNS[name], design_of(DESIGNS[name].problem)
    cuts = np.split(np.arange(design.n_obs), [3, design.n_obs // 3, design.n_obs // 2])
    merged = ORDERS[order]([CrossProducts.from_design(design.rows(rows)) for rows in cuts])
    whole = CrossProducts.from_design(design)
    same_sums(merged.reframe(whole.frame, tuple(f.frame for f in whole.factors)), whole)
    exact = oracle.deviance(random.problem, random.theta, True)
    assert criterion(merged, oracle.lambdas(random.problem, random.theta), True) == pytest.approx(exact, rel=VALUE)


def same_sums(a: CrossProducts, b: CrossProducts) -> None:
    assert a.n_obs == b.n_obs
    assert a.sum_log_weights == pytest.approx(b.sum_log_weights, abs=SUM)
    pairs = [(a.ff, b.ff), (a.triangle.T @ a.triangle, b.ff)]
    pairs += [(x, y) for f, g in zip(a.factors, b.factors, strict=True) for x, y in ((f.zz, g.zz), (f.zf, g.zf))]
    if a.within is not None and b.within is not None:
        pairs.append((a.within.T @ a.within, b.within.T @ b.within))
    for key, mine in a.pairs.items():
        theirs = b.pairs[key]
        np.testing.assert_array_equal(mine.first, theirs.first)
        np.testing.assert_array_equal(mine.second, theirs.second)
        pairs.append((mine.block, theirs.block))
    for x, y in pairs:
        np.testing.assert_allclose(x, y, rtol=0, atol=SUM * np.abs(y).max())


# Digits.

TIMES = np.array([-1.5, -0.75, -0.125, 0.25, 1.0, 1.125])


def longitudinal(times: Array, levels: int = 12, slope: bool = True, seed: int = 1) -> Design:
    """y ~ 1 + time + (time | g), the same times (m,) for every level."""
    rng = np.random.default_rng(seed)
    codes = np.repeat(np.arange(levels), len(times))
    deviation = np.tile(times - times[0], levels)
    x = np.column_stack([np.ones(len(codes)), np.tile(times, levels)])
    y = 5.0 + deviation + rng.normal(size=levels)[codes] + rng.normal(size=len(codes))
    return Design(x, y, None, (RandomEffects(codes, x if slope else x[:, :1], levels, (Unstructured(1 + slope),)),))


FAR = [1e4, 1e8, -1e8, 2.0**40]


@pytest.mark.parametrize("origin", FAR)
def test_a_covariate_far_from_zero_has_the_same_blocks(origin: float) -> None:
    """Standard deviation about 1, on a grid so that the sum with the origin is exact: the same Z_g'WZ_g, bit for bit."""
    near, far = (pls.standardize(CrossProducts.from_design(longitudinal(o + TIMES))) for o in (0.0, origin))
    np.testing.assert_array_equal(far[0].zz[0], near[0].zz[0])


@pytest.mark.parametrize("origin", FAR)
def test_a_covariate_far_from_zero_has_the_same_least_squares(origin: float) -> None:
    """Residual sum of squares, and log|det T| of the columns' orthogonalization."""
    near, far = (pls.standardize(CrossProducts.from_design(longitudinal(o + TIMES))) for o in (0.0, origin))
    assert far[1].yy == pytest.approx(near[1].yy, rel=SUM)
    assert far[2].log_det == pytest.approx(near[2].log_det, abs=SUM)


@pytest.mark.parametrize("kind", ["grouped", "nested", "dense"])
@pytest.mark.parametrize("origin", FAR)
def test_a_covariate_far_from_zero_has_the_same_criterion(origin: float, kind: str) -> None:
    """No plan sees the origin: the same data to the last bit, so the same criterion but for the order of sums."""
    values = []
    for o in (0.0, origin):
        gram, response, coordinates = pls.standardize(CrossProducts.from_design(longitudinal(o + TIMES)))
        plan = pls.choose(gram, coordinates.terms, kind)
        reduced = pls.reduce(plan, gram, response, coordinates)
        value = programs.profile(plan, reduced, (jnp.array([[0.9, 0.0], [-0.3, 0.5]]),), 1.0).objective
        values.append(coordinates.objective(float(value), True))
    assert values[1] == pytest.approx(values[0], rel=VALUE)


def test_chunks_of_a_covariate_far_from_zero() -> None:
    """Chunks with shifts of their own come together without a sum of squares of 1e16 in between."""
    design = longitudinal(1e8 + TIMES)
    merged = fold([CrossProducts.from_design(design.rows(rows)) for rows in np.split(np.arange(72), [10, 31, 50])])
    whole = CrossProducts.from_design(design)
    same_sums(merged.reframe(whole.frame, tuple(f.frame for f in whole.factors)), whole)


@pytest.mark.parametrize(
    ("times", "blocks"),
    [
        ("0 to 9", 1),
        ("calendar years", 1),
        ("days since 1970, in seconds", 1),
        ("two schedules", 2),
    ],
)
def test_integer_covariates_give_equal_blocks(times: str, blocks: int) -> None:
    values = {
        "0 to 9": np.arange(10.0),
        "calendar years": 2013.0 + np.arange(7.0),
        "days since 1970, in seconds": 86400.0 * (19000.0 + np.arange(7.0)),
        "two schedules": np.arange(10.0),
    }[times]
    design = longitudinal(values)
    if times == "two schedules":
        late = design.random[0].codes % 2 * 3.0
        x = np.column_stack([np.ones(design.n_obs), design.x[:, 1] + late])
        design = Design(x, design.y, None, (RandomEffects(design.random[0].codes, x, 12, (Unstructured(2),)),))
    cross = CrossProducts.from_design(design)
    assert unique_blocks(pls.standardize(cross)[0])[0].size == blocks
    rows = np.split(np.arange(design.n_obs), [3 * len(values), 8 * len(values)])
    merged = fold([CrossProducts.from_design(design.rows(r)) for r in rows])
    assert unique_blocks(pls.standardize(merged)[0])[0].size == blocks, "also when whole levels come in chunks"


def test_a_column_without_a_constant_beside_it_is_not_shifted() -> None:
    """(0 + x | g) and the columns of diag mean what they say; within an unstructured term a constant takes the shift."""
    design = longitudinal(100.0 + np.arange(6.0))
    codes, z = design.random[0].codes, design.random[0].z
    for terms, shift in [
        ((Unstructured(2),), True),
        ((Diagonal(2),), False),
        ((Unstructured(1), Unstructured(1)), False),
    ]:
        cross = CrossProducts.from_design(Design(design.x, design.y, None, (RandomEffects(codes, z, 12, terms),)))
        assert (cross.factors[0].frame.shift[1] != 0.0) == shift
        assert cross.factors[0].frame.shift[0] == 0.0


# Rank.

RNG = np.random.default_rng(11)
N = 60
ONE, X1, X2, NOISE = np.ones(N), RNG.normal(size=N), RNG.normal(size=N), RNG.normal(size=N)
CODES = np.arange(N) % 6
Y = 1.0 + X1 - X2 + RNG.normal(size=6)[CODES] + RNG.normal(size=N)


def with_fixed(*columns: Array, y: Array = Y) -> Design:
    x = np.column_stack(columns) if columns else np.zeros((N, 0))
    return Design(x, y, None, (RandomEffects(CODES, np.ones((N, 1)), 6, (Unstructured(1),)),))


RANK = [
    ("full rank", [ONE, X1, X2], []),
    ("no column", [], []),
    ("no constant", [X1, X2], []),
    ("a sum of two", [ONE, X1, X2, X1 + X2], [3]),
    ("a sum of two comes before", [ONE, X1 + X2, X1, X2], [3]),
    ("twice the same", [ONE, X1, X1, X2], [2]),
    ("a second constant", [ONE, X1, 5.0 * ONE], [2]),
    ("a second constant, far in units", [ONE, X1, 1e-9 * ONE], [2]),
    ("all zero", [ONE, 0.0 * ONE, X1], [1]),
    ("dummies of every level", [ONE, CODES == 0, CODES == 1, CODES >= 2], [3]),
    ("two dependencies", [ONE, X1, 2.0 - X1, X2, X1 - X2], [2, 4]),
    ("near, 1e-6", [ONE, X1, X1 + 1e-6 * NOISE], []),
    ("near, 1e-8", [ONE, X1, X1 + 1e-8 * NOISE], [2]),
    ("near, 1e-6, far from zero", [ONE, X1 + 1e3, X1 + 1e-6 * NOISE - 1e3], []),
    ("near, 1e-8, far from zero", [ONE, X1 + 1e3, X1 + 1e-8 * NOISE - 1e3], [2]),
    ("near, 1e-6, without a constant", [X1, X1 + 1e-6 * NOISE], []),
    ("near, 1e-8, without a constant", [X1, X1 + 1e-8 * NOISE], [1]),
]
SCALES = {"as it is": 1.0, "times 1e8": 1e8, "times 1e-8": 1e-8}


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize(("name", "columns", "dropped"), RANK, ids=[row[0] for row in RANK])
def test_redundant_columns(name: str, columns: list[Array], dropped: list[int], scale: str) -> None:
    """The later of two is dropped, whatever the units of every other column."""
    scaled = [np.asarray(c, dtype=float) * (SCALES[scale] if j % 2 else 1.0) for j, c in enumerate(columns)]
    design = with_fixed(*scaled)
    _, _, coordinates = pls.standardize(CrossProducts.from_design(design))
    assert coordinates.dropped.tolist() == dropped
    assert coordinates.kept.tolist() == [j for j in range(len(columns)) if j not in dropped]
    halves = [CrossProducts.from_design(design.rows(rows)) for rows in (slice(0, 21), slice(21, N))]
    assert pls.standardize(fold(halves))[2].dropped.tolist() == dropped, "also when it is seen in two parts"


def test_the_criterion_is_that_of_the_kept_columns() -> None:
    """As lme4 has it: the redundant column neither counts nor enters log|X'V^-1X|."""
    lam = [np.array([[0.8]])]
    for reml in (False, True):
        redundant = criterion(CrossProducts.from_design(with_fixed(ONE, X1, X2, X1 + X2)), lam, reml)
        full = criterion(CrossProducts.from_design(with_fixed(ONE, X1, X2)), lam, reml)
        assert redundant == pytest.approx(full, rel=VALUE)


EXACT = {
    "a constant": (with_fixed(ONE, X1, y=3.0 * ONE)),
    "zero": (with_fixed(ONE, X1, y=0.0 * ONE)),
    "zero, without fixed effects": (with_fixed(y=0.0 * ONE)),
    "on a line": (with_fixed(ONE, X1, y=2.0 + 3.0 * X1)),
    "on a line, far from zero": (with_fixed(ONE, X1, y=1e8 + 3.0 * X1)),
    "a constant, far from zero": (with_fixed(ONE, X1, y=1e8 * ONE)),
}


@pytest.mark.parametrize("name", EXACT)
def test_a_response_without_a_residual(name: str) -> None:
    with pytest.raises(DesignError, match="reproduce the response exactly"):
        pls.standardize(CrossProducts.from_design(EXACT[name]))
