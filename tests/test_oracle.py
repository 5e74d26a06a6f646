"""The oracle held against itself, against textbook identities, and against numbers from R.

Tolerances. A deviance here is of size 100 to 600 and comes from a Cholesky factor of an n x n matrix with
a condition number below 1e3, so it carries a relative error near 1e-13; `EXACT` leaves two digits of
room. Derivatives are checked by differences of fourth order, step H = 1e-3: rounding gives 1e-11 / H = 1e-8
and truncation H^4 times the fifth derivative, 1e-12 times up to 1e4; `DIFFERENCE` covers both.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy.linalg import null_space
from scipy.stats import multivariate_normal

from tests import oracle
from tests.designs import Design, random_designs
from tests.oracle import Array, Factor, Problem
from tests.reference.loader import case, data

EXACT = 1e-11
H = 1e-3
DIFFERENCE = 1e-6

DESIGNS = random_designs()

each_design = pytest.mark.parametrize("design", DESIGNS, ids=str)
each_criterion = pytest.mark.parametrize("reml", [False, True], ids=["ml", "reml"])
each_place = pytest.mark.parametrize("place", ["theta", "theta_singular"])


def differences(f: Callable[[Array], Array | float], at: Array) -> Array:
    """Central differences of fourth order along each coordinate; the coordinate stands last."""
    steps = H * np.eye(len(at))
    columns = [(8.0 * (f(at + s) - f(at - s)) - (f(at + 2 * s) - f(at - 2 * s))) / (12.0 * H) for s in steps]
    return np.stack(columns, axis=-1)


def row_covariance(problem: Problem, theta: Array) -> Array:
    """V entry by entry: rows i and j share z_i' Sigma z_j for each factor whose level they share."""
    v = np.diag(1.0 / problem.w)
    for factor, lam in zip(problem.factors, oracle.lambdas(problem, theta), strict=True):
        together = factor.codes[:, None] == factor.codes[None, :]
        v = v + together * (factor.z @ lam @ lam.T @ factor.z.T)
    return v


# The table of designs.


def test_designs_are_reproducible_and_as_labelled() -> None:
    again = random_designs()
    assert len({design.id for design in DESIGNS}) == len(DESIGNS)
    for design, twin in zip(DESIGNS, again, strict=True):
        np.testing.assert_array_equal(design.problem.y, twin.problem.y)
        assert structure(design.problem.factors) == design.structure, design.id
        assert 20 <= len(design.problem.y) <= 120
        assert np.linalg.matrix_rank(design.problem.x) == design.problem.x.shape[1]
        levels = [factor.n_levels for factor in design.problem.factors]
        assert levels == sorted(levels, reverse=True)
        joint = oracle.joint_lambda(design.problem, design.theta)
        assert np.linalg.matrix_rank(joint) == len(joint)
        zeroed = oracle.joint_lambda(design.problem, design.theta_singular)
        assert np.sum(~zeroed.any(axis=0)) > 0


def structure(factors: tuple[Factor, ...]) -> str:
    """The tag of a design by counting pairs of levels; "partly nested" is read as mostly one parent."""

    def parents(i: int, j: int) -> Array:
        pairs = np.unique(np.column_stack([factors[i].codes, factors[j].codes]), axis=0)
        return np.bincount(pairs[:, 0])

    if len(factors) == 1:
        return "grouped"
    inside = {(i, j): parents(i, j) for j in range(len(factors)) for i in range(j)}
    back = parents(1, 0)
    if all(np.all(count == 1) for count in inside.values()):
        return "identical" if np.all(back == 1) else "nested"
    if any(np.all(count == 1) for count in inside.values()):
        return "nested x crossed"
    return "partly nested" if all(np.mean(count == 1) > 0.8 for count in inside.values()) else "crossed"


def test_theta_runs_down_the_columns_term_by_term() -> None:
    z = np.ones((4, 6))
    codes = np.arange(4) % 2
    factors = (
        Factor(codes, 2, z, (("us", 3), ("diag", 2), ("us", 1))),
        Factor(codes, 2, z[:, :2], (("us", 2),)),
    )
    first, second = oracle.lambdas(Problem(z[:, 0], z[:, :1], factors), np.arange(1.0, 13.0))
    expected = np.diag([1.0, 4.0, 6.0, 7.0, 8.0, 9.0])
    expected[1, 0], expected[2, 0], expected[2, 1] = 2.0, 3.0, 5.0
    np.testing.assert_array_equal(first, expected)
    np.testing.assert_array_equal(second, [[10.0, 0.0], [11.0, 12.0]])


# The criterion.


@each_place
@each_design
def test_deviance_is_minus_twice_the_log_density(design: Design, place: str) -> None:
    problem, theta = design.problem, getattr(design, place)
    v = row_covariance(problem, theta)
    beta = np.linalg.solve(
        problem.x.T @ np.linalg.solve(v, problem.x), problem.x.T @ np.linalg.solve(v, problem.response)
    )
    residual = problem.response - problem.x @ beta
    variance = residual @ np.linalg.solve(v, residual) / len(problem.y)

    def minus_twice(beta: Array, variance: float) -> float:
        return -2.0 * multivariate_normal(problem.x @ beta, variance * v).logpdf(problem.response)

    d = oracle.deviance(problem, theta, reml=False)
    assert d == pytest.approx(minus_twice(beta, variance), rel=EXACT)
    for factor in (0.9, 1.1):
        assert minus_twice(beta, factor * variance) > d
        assert minus_twice(factor * beta, variance) > d


@each_place
@each_design
def test_reml_is_the_density_of_error_contrasts(design: Design, place: str) -> None:
    """Harville (1974): with K'X = 0, K'K = I, the criterion is -2 log p(K'y) + log|X'X|."""
    problem, theta = design.problem, getattr(design, place)
    k = null_space(problem.x.T)
    contrasts, v = k.T @ problem.response, k.T @ row_covariance(problem, theta) @ k
    variance = contrasts @ np.linalg.solve(v, contrasts) / len(contrasts)
    density = multivariate_normal(np.zeros(len(contrasts)), variance * v).logpdf(contrasts)
    expected = -2.0 * density + np.linalg.slogdet(problem.x.T @ problem.x)[1]
    assert oracle.deviance(problem, theta, reml=True) == pytest.approx(expected, rel=EXACT)


@each_criterion
@each_design
def test_deviance_from_the_bordered_cholesky(design: Design, reml: bool) -> None:
    """Section 1 of the design, in the user's frame: one factor of [Z X y]'W[Z X y]."""
    problem, theta = design.problem, design.theta
    z = np.hstack([f.matrix() for f in problem.factors]) @ oracle.joint_lambda(problem, theta)
    n, p, q = *problem.x.shape, z.shape[1]
    a = np.column_stack([z, problem.x, problem.response]) * np.sqrt(problem.w)[:, None]
    pivots = np.diag(np.linalg.cholesky(a.T @ a + np.diag(np.r_[np.ones(q), np.zeros(p + 1)])))
    dof = n - p if reml else n
    logdets = 2.0 * np.sum(np.log(pivots[: q + p if reml else q])) - np.sum(np.log(problem.w))
    expected = logdets + dof * (1.0 + np.log(2.0 * np.pi * pivots[-1] ** 2 / dof))
    # The last pivot loses cond(X'WX) digits more than the oracle does.
    assert oracle.deviance(problem, theta, reml) == pytest.approx(expected, rel=1e3 * EXACT)


@each_criterion
@each_design
def test_theta_zero_is_least_squares(design: Design, reml: bool) -> None:
    """By normal equations; `ols_deviance` itself goes through lstsq."""
    problem = design.problem
    n, p = problem.x.shape
    xwx = problem.x.T @ (problem.w[:, None] * problem.x)
    residual = problem.response - problem.x @ np.linalg.solve(xwx, problem.x.T @ (problem.w * problem.response))
    dof = n - p if reml else n
    variance = np.sum(problem.w * residual**2) / dof
    expected = dof * np.log(2.0 * np.pi * variance) - np.sum(np.log(problem.w)) + dof
    expected += np.linalg.slogdet(xwx)[1] if reml else 0.0
    assert oracle.ols_deviance(problem, reml) == pytest.approx(expected, rel=EXACT)
    zero = np.zeros(problem.n_theta)
    assert oracle.deviance(problem, zero, reml) == pytest.approx(expected, rel=EXACT)
    np.testing.assert_allclose(oracle.gradient(problem, zero, reml), 0.0, atol=1e-10)


@each_criterion
@each_design
def test_only_lambda_lambda_transposed_matters(design: Design, reml: bool) -> None:
    rng = np.random.default_rng(7)
    lams = oracle.lambdas(design.problem, design.theta)
    turned = [lam @ np.linalg.qr(rng.normal(size=lam.shape))[0] for lam in lams]
    d = oracle.deviance(design.problem, design.theta, reml)
    assert oracle.deviance_lambda(design.problem, turned, reml) == pytest.approx(d, rel=EXACT)


# Its derivatives.


@each_criterion
@each_place
@each_design
def test_gradient(design: Design, place: str, reml: bool) -> None:
    problem, theta = design.problem, getattr(design, place)
    expected = differences(lambda t: oracle.deviance(problem, t, reml), theta)
    actual = oracle.gradient(problem, theta, reml)
    np.testing.assert_allclose(actual, expected, rtol=DIFFERENCE, atol=DIFFERENCE)


@each_criterion
@each_place
@each_design
def test_hessian(design: Design, place: str, reml: bool) -> None:
    problem, theta = design.problem, getattr(design, place)
    expected = differences(lambda t: oracle.gradient(problem, t, reml), theta)
    actual = oracle.hessian(problem, theta, reml)
    np.testing.assert_allclose(actual, expected, rtol=DIFFERENCE, atol=DIFFERENCE)
    np.testing.assert_array_equal(actual, actual.T)


@each_criterion
@each_place
@each_design
def test_covariance_gradient_obeys_the_chain_rule(design: Design, place: str, reml: bool) -> None:
    """d_i = tr(G (E_i L' + L E_i')), for every parameter."""
    problem, theta = design.problem, getattr(design, place)
    lams = oracle.lambdas(problem, theta)
    chained = [
        np.sum(g * (e @ lam.T + lam @ e.T))
        for g, lam, f in zip(oracle.covariance_gradient(problem, lams, reml), lams, problem.factors, strict=True)
        for e in f.basis()
    ]
    np.testing.assert_allclose(chained, oracle.gradient(problem, theta, reml), rtol=1e-9, atol=1e-9)


@each_criterion
@pytest.mark.parametrize("design", [d for d in DESIGNS if d.problem.factors[-1].k > 1], ids=str)
def test_covariance_gradient_along_a_rank_one_direction(design: Design, reml: bool) -> None:
    """Sigma + h c c' is reached through a square root that is not triangular; the last factor moves."""
    problem = design.problem
    lams = oracle.lambdas(problem, design.theta)
    c = np.random.default_rng(8).normal(size=problem.factors[-1].k)
    g = oracle.covariance_gradient(problem, lams, reml)[-1]

    def moved(h: Array) -> float:
        values, vectors = np.linalg.eigh(lams[-1] @ lams[-1].T + h[0] * np.outer(c, c))
        return oracle.deviance_lambda(problem, [*lams[:-1], vectors * np.sqrt(values)], reml)

    (expected,) = differences(moved, np.zeros(1))
    assert c @ g @ c == pytest.approx(expected, rel=DIFFERENCE, abs=DIFFERENCE)


# The estimates.


@each_criterion
@each_place
@each_design
def test_estimates_solve_the_mixed_model_equations(design: Design, place: str, reml: bool) -> None:
    """Henderson's equations in spherical effects, with lme4's formula for the conditional variance."""
    problem, theta = design.problem, getattr(design, place)
    lam = oracle.joint_lambda(problem, theta)
    z, x, w = np.hstack([f.matrix() for f in problem.factors]) @ lam, problem.x, problem.w
    n, p, q = *x.shape, z.shape[1]
    zx = np.hstack([z, x])
    system = zx.T @ (w[:, None] * zx) + np.diag(np.r_[np.ones(q), np.zeros(p)])
    solution = np.linalg.solve(system, zx.T @ (w * problem.response))
    u, beta = solution[:q], solution[q:]
    r2 = np.sum(w * (problem.response - zx @ solution) ** 2) + u @ u
    scale = r2 / (n - p if reml else n)
    condvar = scale * lam @ np.linalg.solve(system[:q, :q], lam.T)

    found = oracle.estimates(problem, theta, reml)
    close = {"rtol": 1e-9, "atol": 1e-9}
    np.testing.assert_allclose(found["r2"], r2, **close)
    np.testing.assert_allclose(found["sigma"], np.sqrt(scale), **close)
    np.testing.assert_allclose(found["beta"], beta, **close)
    np.testing.assert_allclose(found["vcov"], scale * np.linalg.inv(system)[q:, q:], **close)
    np.testing.assert_allclose(np.concatenate([b.ravel() for b in found["b"]]), lam @ u, **close)
    offset = np.zeros(n) if problem.offset is None else problem.offset
    np.testing.assert_allclose(found["fitted"], offset + zx @ solution, **close)
    start = 0
    for factor, blocks in zip(problem.factors, found["condvar"], strict=True):
        assert blocks.shape == (factor.n_levels, factor.k, factor.k)
        for block in blocks:
            stop = start + factor.k
            np.testing.assert_allclose(block, condvar[start:stop, start:stop], **close)
            start = stop


def test_no_fixed_effects() -> None:
    """y ~ 0 + (1 | g): REML and ML are the same criterion."""
    problem = replace(DESIGNS[0].problem, x=np.empty((len(DESIGNS[0].problem.y), 0)))
    d = oracle.deviance(problem, DESIGNS[0].theta, reml=True)
    assert d == pytest.approx(oracle.deviance(problem, DESIGNS[0].theta, reml=False), rel=EXACT)
    assert d == pytest.approx(minus_twice_without_mean(problem, DESIGNS[0].theta), rel=EXACT)


def minus_twice_without_mean(problem: Problem, theta: Array) -> float:
    v, n = row_covariance(problem, theta), len(problem.y)
    variance = problem.y @ np.linalg.solve(v, problem.y) / n
    return -2.0 * multivariate_normal(np.zeros(n), variance * v).logpdf(problem.y)


@pytest.mark.parametrize(
    ("terms", "message"),
    [((("cs", 1),), "unknown kind"), ((("us", 2),), "describe 2 columns, z has 1")],
)
def test_a_wrong_factor_is_refused(terms: tuple[tuple[str, int], ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(DESIGNS[0].problem.factors[0], terms=terms).basis()


# R's numbers.

# id: (response, covariate of X or None, factors as (columns pasted together, columns of z), kind)
REFERENCE = {
    "sleep_max": ("Reaction", "Days", [("Subject", "1 Days")], "us"),
    "sleep_max_ml": ("Reaction", "Days", [("Subject", "1 Days")], "us"),
    "sleep_zerocorr": ("Reaction", "Days", [("Subject", "1 Days")], "diag"),
    "sleep_weights": ("Reaction", "Days", [("Subject", "1 Days")], "us"),
    "sleep_offset": ("Reaction", None, [("Subject", "1")], "us"),
    "dyestuff": ("Yield", None, [("Batch", "1")], "us"),
    "dyestuff_ml": ("Yield", None, [("Batch", "1")], "us"),
    "dyestuff2_singular": ("Yield", None, [("Batch", "1")], "us"),
    "penicillin": ("diameter", None, [("plate", "1"), ("sample", "1")], "us"),
    "pastes_nested": ("strength", None, [("batch cask", "1"), ("batch", "1")], "us"),
}


@pytest.mark.parametrize("case_id", REFERENCE)
def test_lme4(case_id: str) -> None:
    """At lme4's theta (15 digits); b is first-order in theta's rounding, the objective second-order."""
    expected = case(case_id)
    table = data(expected["data"])
    response, covariate, groups, kind = REFERENCE[case_id]
    one = np.ones(len(table))

    def columns(names: str) -> Array:
        return np.column_stack([one if name == "1" else table[name] for name in names.split()]).astype(float)

    def factor(names: str, effects: str) -> tuple[Factor, Array]:
        labels = table[names.split()].agg(":".join, axis=1)
        levels, codes = np.unique(labels.to_numpy(str), return_inverse=True)
        z = columns(effects)
        return Factor(codes, len(levels), z, ((kind, z.shape[1]),)), levels

    factors, levels = zip(*[factor(*group) for group in groups], strict=True)
    problem = Problem(
        y=table[response].to_numpy(float),
        x=columns("1" if covariate is None else f"1 {covariate}"),
        factors=factors,
        weights=table["w"].to_numpy(float) if expected["weights"] else None,
        offset=10.0 * table["Days"].to_numpy(float) if case_id == "sleep_offset" else None,
    )
    theta, reml = np.array(expected["theta"]), expected["REML"]
    assert oracle.deviance(problem, theta, reml) == pytest.approx(expected["objective"], rel=1e-10)

    found = oracle.estimates(problem, theta, reml)
    assert found["sigma"] == pytest.approx(expected["sigma"], rel=1e-9)
    np.testing.assert_allclose(found["beta"], list(expected["beta"].values()), rtol=1e-9)
    np.testing.assert_allclose(found["vcov"], np.reshape(expected["vcov"], found["vcov"].shape), rtol=1e-8)
    np.testing.assert_allclose(found["fitted"][:8], expected["fitted_head"], rtol=1e-9)
    for row in expected.get("ranef", []):
        names = [group.replace(" ", ":") for group, _ in groups]
        which = 0 if len(names) == 1 else names.index(":".join(reversed(row["grpvar"].split(":"))))
        label = ":".join(reversed(row["grp"].split(":")))
        level = list(levels[which]).index(label)
        effect = 1 if row["term"] == "Days" else 0
        assert found["b"][which][level, effect] == pytest.approx(row["condval"], rel=1e-7, abs=1e-7)
        spread = np.sqrt(found["condvar"][which][level, effect, effect])
        assert spread == pytest.approx(row["condsd"], rel=1e-8)
