"""Unbalanced, redundant, empty, far from zero: `tests/reference/inference/corners.json`, made with lmerTest and emmeans.

Tolerances as in `test_anova` and `test_emmeans`.
"""

from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest

import jaxlmm
from jaxlmm import DataError, DesignError, MixedModelResults
from tests.inference.models import numbers
from tests.reference.loader import HERE

DF, EXACT = 2e-4, 1e-5
KINDS = {"I": 1, "II": 2, "III": 3}
TABLES = [(formula, kind) for formula, found in numbers("corners")["anova"].items() for kind in found]


@cache
def rows() -> pd.DataFrame:
    data = pd.read_csv(HERE / "inference" / "corners.csv").astype({"g": str})
    more = {"z": 2 * data["x"], "day": 1.7e6 + np.arange(len(data)), "yy": data["y"] + 20.0}
    return data.assign(w=np.where(data["A"] == "a", 2.0, 1.0), **more)


@cache
def fit(formula: str, empty: bool = False, weights: str | None = None) -> MixedModelResults:
    data = rows()
    if empty:
        data = data[(data["A"] != "a") | (data["B"] != "u")]
    return jaxlmm.lmer(formula, data, weights=weights)


def check_means(ours: pd.DataFrame, known: list[dict[str, Any]], name: str, by: list[str]) -> None:
    theirs = pd.DataFrame(known).rename(columns=lambda own: own.replace("asymp.LCL", "lower.CL").replace("UCL", "CL"))
    ours, theirs = ours.sort_values(by), theirs.sort_values(by)
    for own, other, rtol in ((name, name, EXACT), ("std_error", "SE", EXACT), ("df", "df", DF)):
        np.testing.assert_allclose(ours[own].to_numpy(float), theirs[other].to_numpy(float), rtol=rtol)


@pytest.mark.parametrize(("formula", "kind"), TABLES)
def test_degrees_of_freedom_of_several_rows(formula: str, kind: str) -> None:
    """The denominator depends on the basis of the hypothesis, up to 9 % here; lmerTest's is ours."""
    ours, known = fit(formula).anova(type=KINDS[kind]), numbers("corners")["anova"][formula][kind]
    assert ours.index.tolist() == [row["term"] for row in known]
    for name, other, rtol in (("den_df", "DenDF", DF), ("F", "F", 1e-4), ("sum_sq", "SumSq", 1e-4)):
        # lmerTest leaves the numbers of a redundant term out; ours are NaN.
        theirs = np.array([np.nan if row.get(other) is None else row[other] for row in known])
        np.testing.assert_allclose(ours[name], theirs, rtol=rtol)


def test_tests_do_not_depend_on_units() -> None:
    """Two rows in units 1e6 apart are two hypotheses; F is that of the same rows in other units."""
    own = fit("y ~ A * B + x + (1 | g)")
    matrix = np.eye(len(own.params))[[1, 6]]
    plain = own.contrast(matrix, joint=True).iloc[0]
    scaled = own.contrast(matrix * [[1e6], [1e-6]], joint=True).iloc[0]
    assert scaled["num_df"] == plain["num_df"] == 2
    np.testing.assert_allclose(scaled["F"], plain["F"], rtol=1e-9)
    twice = own.contrast(np.vstack([matrix, 1e5 * matrix[:1]]), joint=True).iloc[0]
    np.testing.assert_allclose(twice[["num_df", "F"]], plain[["num_df", "F"]], rtol=1e-9)


def test_an_empty_cell() -> None:
    known, own = numbers("corners")["empty_cell"], fit("y ~ A * B + x + (1 | g)", empty=True)
    means = own.emmeans(["A", "B"])
    check_means(means.frame, known["means"], "emmean", ["A", "B"])
    joint, theirs = means.joint_tests(), {row["model term"]: row for row in known["joint"]}
    assert joint["num_df"].tolist() == [theirs[term]["df1"] for term in joint["term"]] == [1, 2, 5]
    np.testing.assert_allclose(joint["F"], [theirs[term]["F.ratio"] for term in joint["term"]], atol=6e-4, rtol=6e-5)
    check_means(own.emtrends("A", "x").frame, known["trend"], "x.trend", ["A"])
    with pytest.raises(DesignError, match="have no rows"):
        own.anova()


def test_a_redundant_covariate() -> None:
    known, own = numbers("corners")["redundant"], fit("y ~ A + B + x + z + (1 | g)")
    check_means(own.emmeans("A").frame, known["means"], "emmean", ["A"])
    check_means(own.emtrends("A", "x").frame, known["trend"], "x.trend", ["A"])
    joint = own.emmeans(["A", "B"]).joint_tests()
    assert joint["term"].tolist() == ["A", "B"], "an additive model has no interaction to test"
    np.testing.assert_allclose(joint["F"], [row["F.ratio"] for row in known["joint"]], rtol=3e-4)


@pytest.mark.parametrize(
    ("name", "at"), [("all", None), ("two", {"B": ["u", "v"]}), ("one", {"B": "u"}), ("covariate", {"x": [1, 2]})]
)
def test_proportional_weights(name: str, at: dict[str, Any] | None) -> None:
    """Weights are sums of prior weights over the levels that the grid has; values of a covariate count alike."""
    own = fit("y ~ A * B + x + offset(0.3 * x) + (1 | g)", weights="w")
    ours = own.emmeans("A", weights="proportional", at=at).frame
    check_means(ours, numbers("corners")["proportional"][name], "emmean", ["A"])


def test_offsets_in_contrasts() -> None:
    """The mean offset counts as often as the weights add up to."""
    means = fit("y ~ A * B + x + offset(0.3 * x) + (1 | g)", weights="w").emmeans("A")
    ours = means.contrast({"sum": [1, 1, 1], "twice": [2, 0, 0], "difference": [1, -1, 0]})["estimate"]
    emmean = means.frame["emmean"]
    np.testing.assert_allclose(ours, [emmean.sum(), 2 * emmean[0], emmean[0] - emmean[1]], rtol=1e-12)


def test_the_response_is_not_what_the_logarithm_holds() -> None:
    own = fit("log(yy + 5) ~ A + B + (1 | g)")
    check_means(own.emmeans("A", type="response").frame, numbers("corners")["response"]["means"], "response", ["A"])
    hours = fit("log(yy / 60) ~ A + B + (1 | g)").emmeans("A", type="response")
    np.testing.assert_allclose(
        hours.frame["response"],
        fit("log(yy) ~ A + B + (1 | g)").emmeans("A", type="response").frame["response"],
        rtol=1e-9,
    )
    with pytest.raises(DataError, match="no known transformation"):
        fit("log(yy**2) ~ A + (1 | g)").emmeans("A", type="response")


def test_far_from_zero() -> None:
    known, means = numbers("corners")["far"], fit("y ~ A + day + (1 | g)").emmeans("A")
    check_means(means.frame, known["means"], "emmean", ["A"])
    check_means(means.pairs(), known["pairs"], "estimate", ["contrast"])
    near = jaxlmm.lmer("y ~ A + since + (1 | g)", rows().assign(since=rows()["day"] - 1.7e6))
    own = fit("y ~ A + day + (1 | g)")
    for kind in ("CR0", "CR2"):
        ours, theirs = own.robust(kind), near.robust(kind)
        np.testing.assert_allclose(ours.loc[["A[T.b]", "day"]], theirs.loc[["A[T.b]", "since"]], rtol=1e-7)
    ours, theirs = own.influence(approximate=True).cooks_distance, near.influence(approximate=True).cooks_distance
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_degrees_of_many_clusters() -> None:
    """Against the definition: P = Σ over pairs of clusters, as a matrix."""
    data = pd.DataFrame({"g": np.repeat(np.arange(40), 3).astype(str), "x": np.tile([0.0, 1.0, 4.0], 40)})
    data["y"] = np.random.default_rng(5).normal(size=120) + np.repeat(np.random.default_rng(6).normal(size=40), 3)
    data["v"] = np.arange(120.0) ** 2
    own = jaxlmm.lmer("y ~ x + v + (1 | g)", data)
    x = np.column_stack([np.ones(120), data["x"], data["v"]])
    z = (data["g"].to_numpy()[:, None] == np.unique(data["g"])).astype(float)
    v = own.sigma**2 * (np.eye(120) + own.theta.iloc[0] ** 2 * z @ z.T)
    inverse = np.linalg.inv(v)
    phi = np.linalg.inv(x.T @ inverse @ x)
    gs = [np.zeros((120, 3)) for _ in range(40)]
    for number, g in enumerate(gs):
        own_rows = np.flatnonzero(data["g"] == str(number))
        upper = np.zeros((120, 3))
        upper[own_rows] = inverse[np.ix_(own_rows, own_rows)] @ x[own_rows] @ phi
        g[:] = upper - inverse @ x @ phi @ (x.T @ upper)
    expected = []
    for column_ in range(3):
        p = np.array([[a[:, column_] @ v @ b[:, column_] for b in gs] for a in gs])
        expected.append(np.trace(p) ** 2 / np.sum(p**2))
    np.testing.assert_allclose(own.robust("CR0")["df"], expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("question", "words"),
    [
        (lambda f: f.emmeans("A|B"), "by="),
        (lambda f: f.emmeans("A").pairs(simple=[]), "no variable"),
        (lambda f: f.emmeans("A", at={"B": "q"}), "no level of 'B'"),
        (lambda f: f.emmeans("A").contrast({"a": [1, 2], "b": [1, 2, 3]}), "3 numbers"),
        (lambda f: f.contrast("A[T.b]/0"), "division by zero"),
        (lambda f: f.contrast("x + "), "misplaced"),
        (lambda f: f.conf_int("profile", ddf="normal"), "no say"),
        (lambda f: f.conf_int("boot", n=1), "append"),
        (lambda f: f.profile().zeta(["x"], [1]), "no parameter"),
        (lambda f: fit("y ~ x + (1 | g)").exact_rlrt(seed="a"), "not an integer"),
        (lambda f: fit("y ~ g + (1 | g)").exact_rlrt(), "not identified"),
    ],
)
def test_questions_that_mean_nothing(question: Any, words: str) -> None:
    with pytest.raises((DataError, DesignError), match=words):
        question(fit("y ~ A + B + x + z + (1 | g)"))
