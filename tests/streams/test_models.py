"""Models whose rows come in parts: lme4's numbers, and those of the whole table, in any order and any parts."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest

import jaxlmm
from jaxlmm import FormulaError
from tests.reference.loader import cases, data
from tests.test_reference import BASIC, PYTHON

N = 600

LOOSE = 1e-4
"""Standard errors by which coefficients may differ on a boundary, where the criterion, equal to 1e-11 of about 2,000, is
quadratic in them (sqrt(2e-8) = 1.4e-4), and of crossed designs: a predicted decrease of 1e-9, at which a fit stops, is
3e-5 standard errors of θ."""

CASES = {case["id"]: case for case in cases() if case["data"] not in ("chem97", "insteval")}

NEEDS_ROWS = ("fitted",)
"""Aspects that a fit without rows does not answer."""


def accuracy(fit: jaxlmm.MixedModelResults, exact: float) -> float:
    """In standard errors, by how much coefficients of two minimizations of one function may differ."""
    return LOOSE if fit.is_singular or fit.plan.kind == "crossed" else exact


def streamed(formula: str, whole: pd.DataFrame, parts: int = 3, **arguments: Any) -> jaxlmm.MixedModelResults:
    """A fit of parts, the last rows first."""
    step = -(-len(whole) // parts)
    return jaxlmm.lmer(formula, [whole[i : i + step] for i in range(0, len(whole), step)][::-1], **arguments)


@pytest.mark.parametrize("case_id", CASES)
def test_lme4(case_id: str) -> None:
    """Every small reference case, against lme4's numbers and within the same tolerances as from memory."""
    case = CASES[case_id]
    weights = case["weights"]
    fit = streamed(
        PYTHON.get(case_id, case["formula"]),
        data(case["data"]),
        reml=case["REML"],
        weights=weights,
        contrasts=case["contrasts"],
    )
    for aspect in BASIC:
        if aspect.__name__ not in NEEDS_ROWS:
            aspect(fit, case)


def table() -> pd.DataFrame:
    """Factors of two and three levels, one of them rare, numbers near and far from zero, holes, two groupings."""
    rng = np.random.default_rng(0)
    g, h = rng.integers(0, 30, N), rng.choice(list("abcdefghij"), N)
    c = rng.choice(["u", "v", "w"], N, p=[0.6, 0.35, 0.05])
    x = rng.normal(5, 2, N)
    y = 0.3 * x + (c == "v") + rng.normal(size=30)[g] + rng.normal(0, 0.4, size=30)[g] * x + rng.normal(size=N)
    y = y + rng.normal(0, 0.5, size=10)[[ord(level) - ord("a") for level in h]]
    whole = pd.DataFrame(
        {
            "y": y,
            "x": x,
            "far": rng.normal(1e5, 3, N),
            "my x": rng.uniform(1, 3, N),
            "c": c,
            "k": rng.choice(["p", "q"], N),
            "o": pd.Categorical(rng.choice(["lo", "mid", "hi"], N), categories=["lo", "mid", "hi"], ordered=True),
            "b": rng.random(N) < 0.4,
            "g": g,
            "h": h,
            "w": rng.uniform(0.5, 2, N),
        }
    )
    whole.loc[[5, 50, 300], "x"] = np.nan
    return whole


MODELS: dict[str, dict[str, Any]] = {
    "y ~ x * c + (1 | g)": {},
    "y ~ 0 + c + x + (1 | g)": {"weights": "w"},
    "y ~ 0 + (1 | g)": {},
    "y ~ 0 + x + (0 + x | g)": {},
    "y ~ c * k * x + (1 | g)": {"contrasts": {"c": "contr.sum"}},
    "y ~ c:k + (1 | g)": {"contrasts": {"c": "contr.helmert", "k": "contr.sum"}},
    "y ~ x:c + (1 | g)": {"offset": "w"},
    "y ~ c/x + (1 | g)": {"contrasts": {"c": np.array([[1.0, 0.0], [-1.0, 1.0], [0.0, -1.0]])}},
    "y ~ (x + c + k)**2 + (1 | h)": {},
    "y ~ C(c, contr.sum) * x + (1 | g)": {},
    "y ~ C(g, contr.sum) + (1 | h)": {},
    "y ~ o * x + (1 | g)": {},
    "y ~ b * x + (1 | g)": {"reml": False},
    "y ~ far + (far | g)": {},
    "y ~ I(x^2) + x + log(`my x`) + (1 | g)": {},
    "log(far) ~ x + offset(w) + (1 | g)": {},
    "y ~ scale(x) + center(far) + (1 | g)": {},
    "y ~ standardize(log(`my x`)) + (1 | g)": {},
    "y ~ poly(far, 3) * c + (1 | g)": {},
    "y ~ bs(x, knots=[3, 6]) + (1 | g)": {},
    "y ~ cr(`my x`, knots=[1.5, 2]) + (1 | g)": {},
    "y ~ x + (c | g)": {},
    "y ~ x + (1 | g) + (1 | h)": {},
    "y ~ x + (x || g) + (0 + c || h)": {},
    "y ~ x + (1 | g:c) + (0 + x | h)": {},
    "y ~ x + (1 | c/k/g)": {},
    "y ~ 1 + (1 | g) + (1 | h) + (1 | c)": {},
    "y ~ x + k + I(2 * x) + (1 | g)": {},
}


def ways(whole: pd.DataFrame) -> Iterator[list[pd.DataFrame]]:
    """The rows in parts: one by one; and in another order, with a level that comes last."""
    yield [whole[i : i + 1] for i in range(len(whole))]
    late = whole.sort_values(["c", "k"], ascending=[True, False])
    yield [late[i : i + 37] for i in range(0, len(late), 37)]


@pytest.mark.parametrize("formula", MODELS)
def test_parts_and_whole(formula: str) -> None:
    """Two minimizations of the same function: coefficients differ by what its last digits say about them."""
    arguments = MODELS[formula]
    whole = table()
    expected = jaxlmm.lmer(formula, whole, **arguments)
    for parts in ways(whole):
        fit = jaxlmm.lmer(formula, parts, **arguments)
        assert fit.objective == pytest.approx(expected.objective, rel=1e-11)
        assert fit.params.index.tolist() == expected.params.index.tolist()
        tolerance = accuracy(expected, 1e-6)
        assert (np.abs(fit.params - expected.params) < tolerance * expected.bse).all()
        np.testing.assert_allclose(fit.bse, expected.bse, rtol=tolerance)
        for name, modes in expected.ranef().items():
            assert fit.ranef()[name].index.tolist() == modes.index.tolist()
            assert np.abs(fit.ranef()[name].to_numpy() - modes.to_numpy()).max() < 1e-4 * expected.sigma
    new = whole.dropna()[:20]
    np.testing.assert_allclose(fit.predict(new), expected.predict(new), rtol=1e-9, atol=tolerance * expected.sigma)


def test_integers_keep_equal_blocks() -> None:
    """A design whose levels have equal blocks is found to have them, whatever the parts."""
    fit = streamed("Reaction ~ Days + (Days | Subject)", data("sleepstudy"), parts=7)
    assert fit.plan.describe() == "grouped: 18 independent 2x2 blocks, 1 distinct"


@pytest.mark.parametrize("shift", [0.0, 1e3, 1e6])
def test_a_covariate_that_drifts(shift: float) -> None:
    """The first rows say nothing about the rest: at first constant, then far away. Shifting a covariate changes no model."""
    rng = np.random.default_rng(1)
    n = 30_000
    x = np.where(np.arange(n) < 6000, 0.0, np.arange(n) / 500.0 + rng.normal(size=n))
    g = rng.integers(0, 50, n)
    y = 0.1 * x + rng.normal(size=50)[g] + rng.normal(size=n)
    near = jaxlmm.lmer("y ~ x + (x | g)", pd.DataFrame({"y": y, "x": x, "g": g}))
    rows = pd.DataFrame({"y": y + shift, "x": x + shift, "g": g})
    fit = jaxlmm.lmer("y ~ x + (x | g)", [rows[i : i + 5000] for i in range(0, n, 5000)])
    assert fit.objective == pytest.approx(near.objective, rel=1e-11)
    assert fit.params["x"] == pytest.approx(near.params["x"], rel=1e-6)


def test_a_transform_that_every_row_decides() -> None:
    """What scale() and poly() subtract and divide by is that of all rows, and is remembered for new ones."""
    whole = table()
    fit = jaxlmm.lmer("y ~ scale(x) + poly(far, 2) + (1 | g)", [whole[:100], whole[100:]])
    used = whole["x"].dropna()
    at_mean = pd.DataFrame({"x": [used.mean(), used.mean() + used.std()], "far": whole["far"].iloc[0]})
    low, high = fit.predict(at_mean, random=False)
    assert high - low == pytest.approx(fit.params["scale(x)"], rel=1e-9)


@pytest.mark.parametrize("formula", ["y ~ poly(k2, 2) + (1 | g)", "y ~ scale(one) + (1 | g)"])
def test_a_transform_without_enough_values(formula: str) -> None:
    whole = table().assign(k2=lambda d: (d["k"] == "p").astype(float), one=1.0)
    with pytest.raises(FormulaError, match=r"at least 3 different values|does not vary"):
        jaxlmm.lmer(formula, [whole])
