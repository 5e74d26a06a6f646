"""Leverages, Cook's distances, left-out refits, shares of variance against R: `tests/reference/inference/diagnostics.json`.

All follow from theta, which is good to 1e-7 there; refits are minimized by both sides, to 1e-6 of their parameters.
"""

import warnings
from typing import Any

import numpy as np
import pytest

import jaxlmm
from jaxlmm import DataError
from tests.inference.models import fitted, in_python, numbers, table
from tests.reference.loader import data

CASES, SHARES = numbers("diagnostics")["cases"], numbers("diagnostics")["r2"]
EXACT, REFIT = 1e-5, 5e-5

LEFT_OUT = [(case, group) for case, found in CASES.items() for group in found.get("influence", {}) if group != ".case"]


def ours(case: str) -> jaxlmm.MixedModelResults:
    return fitted(CASES[case]["fit"])


@pytest.mark.parametrize("case", CASES)
def test_rows(case: str) -> None:
    known, found = CASES[case]["points"], ours(case).diagnostics()
    np.testing.assert_allclose(found["hat"], np.array(known["hatvalues"], dtype=float), rtol=EXACT, atol=1e-7)
    np.testing.assert_allclose(
        found["resid"], np.array(known["residuals"], dtype=float), atol=EXACT * found["resid"].std()
    )
    np.testing.assert_allclose(found["std_resid"], np.array(known["residuals_studentized"], dtype=float), atol=EXACT)
    np.testing.assert_allclose(
        found["cooks_distance"], np.array(known["cooks_distance"], dtype=float), rtol=1e-4, atol=1e-7
    )


@pytest.mark.parametrize("case", [case for case, found in CASES.items() if "rePCA" in found])
def test_principal_components(case: str) -> None:
    for group, known in CASES[case]["rePCA"].items():
        found = ours(case).rePCA()
        name = group if group in found else next(iter(found))
        if group in found or len(found) == 1:
            np.testing.assert_allclose(found[name]["sd"], np.atleast_1d(known["sdev"]), rtol=EXACT, atol=1e-4)


@pytest.mark.parametrize(("case", "group"), LEFT_OUT)
def test_without_each_level(case: str, group: str) -> None:
    known, fit = CASES[case]["influence"][group], ours(case)
    name = {"sample": "cask:batch"}.get(group, group) if case == "pastes" else group
    found = fit.influence(name)
    frame = found.frame
    assert frame["status"].isin(["converged", "rounding error"]).all()
    labels = [str(level) for level in known["levels"]]
    if case == "pastes" and group == "sample":
        labels = [f"{label.split(':')[1]}:{label.split(':')[0]}" for label in labels]
    frame.index = frame.index.astype(str)
    frame = frame.loc[labels]
    beta = np.array(known["beta"], dtype=float).reshape(len(labels), -1)
    np.testing.assert_allclose(frame[list(fit.params.index)], beta, atol=REFIT * fit.bse.max())
    np.testing.assert_allclose(frame["sigma"], np.array(known["sigma"], dtype=float), rtol=REFIT)
    np.testing.assert_allclose(frame["objective"], np.array(known["objective"], dtype=float), atol=1e-6)
    theta = frame.filter(like="theta").to_numpy()
    np.testing.assert_allclose(theta, np.array(known["theta"], dtype=float).reshape(theta.shape), atol=2e-3)
    cooks = found.cooks_distance
    cooks.index = cooks.index.astype(str)
    np.testing.assert_allclose(
        cooks.loc[labels], np.array(known["cooks_distance_plain"], dtype=float), rtol=1e-3, atol=1e-6
    )


def test_dfbetas() -> None:
    """lme4's have the other sign: left out less full."""
    known, found = CASES["sleepstudy"]["influence"]["Subject"], ours("sleepstudy").influence()
    theirs = -np.array(known["dfbetas"], dtype=float)
    np.testing.assert_allclose(np.abs(found.dfbetas), np.abs(theirs), rtol=2e-4, atol=1e-5)


@pytest.mark.parametrize("case", ["sleepstudy", "penicillin", "pastes"])
def test_first_order_approximations_are_near(case: str) -> None:
    fit = ours(case)
    exact, near = (fit.influence(approximate=how).frame[list(fit.params.index)] for how in (False, True))
    moved = np.abs(exact - fit.params).max()
    assert (np.abs(near - exact).max() <= 0.1 * moved + 1e-9).all(), "a tenth of what leaving out does"


def test_a_level_that_decides_a_coefficient() -> None:
    cake = jaxlmm.load_dataset("cake")
    cake["only"] = (cake["replicate"].astype(str) == "1").astype(float)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = jaxlmm.lmer("angle ~ only + (1 | recipe) + (1 | replicate)", cake)
    frame = fit.influence("replicate").frame
    assert frame.loc["1", "status"] == "not identified"
    assert frame.loc["1", ["Intercept", "only"]].isna().all()
    assert frame.drop(index="1")["status"].isin(["converged", "rounding error"]).all()


@pytest.mark.parametrize("case", SHARES)
def test_shares_of_variance(case: str) -> None:
    known = SHARES[case]
    fit = fitted(known["fit"])
    assert in_python(known["fit"]["formula"]) == fit.formula
    shares = fit.r_squared()
    np.testing.assert_allclose(shares["marginal"], known["R2_marginal"], rtol=EXACT, atol=1e-9)
    np.testing.assert_allclose(shares["conditional"], known["R2_conditional"], rtol=EXACT)
    np.testing.assert_allclose(fit.icc()["total"], known["icc_adjusted"], rtol=EXACT)
    np.testing.assert_allclose(fit.icc(adjusted=False)["total"], known["icc_unadjusted"], rtol=EXACT)
    assert fit.icc().drop("total").sum() == pytest.approx(fit.icc()["total"])


def test_modes_of_new_rows() -> None:
    """b = Σ Zᵀ V⁻¹ (y - Xβ) of three rows, two of them of one new level, written out."""
    fit = ours("sleepstudy")
    new = {"Subject": ["a", "a", "b"], "Days": [0.0, 4.0, 2.0], "Reaction": [260.0, 330.0, 250.0]}
    days = np.array(new["Days"])
    sigma = fit.cov_re.to_numpy()
    rest = np.array(new["Reaction"]) - fit.params["Intercept"] - fit.params["Days"] * days
    for level, rows in (("a", [0, 1]), ("b", [2])):
        z = np.column_stack([np.ones(len(rows)), days[rows]])
        v = z @ sigma @ z.T + fit.scale * np.eye(len(rows))
        expected = sigma @ z.T @ np.linalg.solve(v, rest[rows])
        np.testing.assert_allclose(fit.ranef(newdata=new)["Subject"].loc[level], expected, rtol=1e-9)
        variance = sigma - sigma @ z.T @ np.linalg.solve(v, z @ sigma)
        long = fit.ranef(newdata=new, condvar=True)
        np.testing.assert_allclose(long[long["level"] == level]["std_error"], np.sqrt(variance.diagonal()), rtol=1e-9)
    rows = table(CASES["penicillin"]["fit"])
    for name, modes in ours("penicillin").ranef(newdata=rows).items():
        np.testing.assert_allclose(modes, ours("penicillin").ranef()[name], atol=1e-9)


def test_questions_that_mean_nothing() -> None:
    fit: Any = ours("sleepstudy")
    with pytest.raises(DataError, match="'Subject'"):
        fit.influence("Day")
    with pytest.raises(DataError, match="Reaction"):
        fit.ranef(newdata={"Subject": ["a"], "Days": [1.0]})


def test_a_model_without_coefficients() -> None:
    """Nothing to test, to combine or to measure a change of: said, and no division by zero."""
    yields = data("dyestuff").assign(Yield=lambda d: d["Yield"] - 1500.0)
    fit = jaxlmm.lmer("Yield ~ 0 + (1 | Batch)", yields)
    assert fit.anova().empty
    assert fit.diagnostics()["cooks_distance"].isna().all()
    assert fit.influence("Batch").cooks_distance.isna().all()
    with pytest.raises(DataError, match="no fixed-effects coefficients"):
        fit.contrast("x")
