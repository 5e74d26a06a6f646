"""Likelihood-ratio tables against lme4 and lmerTest, and the exact restricted test against RLRsim.

`tests/reference/inference/anova.json` and `rlrt.json`. Criteria agree to 1e-7 of their roots, so that a ratio of two is good
to 1e-6; RLRsim's numbers have the Monte-Carlo error of 200,000 draws, and ours that of as many.
"""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import jaxlmm
from jaxlmm import DataError, DesignError
from tests.inference.models import column, fitted, in_python, numbers
from tests.reference.loader import data

CRITERION = 5e-6
DRAWS = 200_000

ALONE = [name for name, found in numbers("rlrt")["cases"].items() if set(found["models"]) == {"m"}]


def lmer(formula: str, name: str, **settings: Any) -> jaxlmm.MixedModelResults:
    return fitted({"formula": formula, "data": name, "REML": True, "objective": OBJECTIVES[formula], **settings})


OBJECTIVES = {
    fit["formula"]: fit["objective"]
    for found in [*numbers("anova")["ranova"].values(), *numbers("rlrt")["cases"].values()]
    for fit in ([found["fit"]] if "fit" in found else found["models"].values())
    if fit["REML"]
}


@pytest.mark.parametrize("case", numbers("anova")["lrt"])
def test_comparisons(case: str) -> None:
    known = numbers("anova")["lrt"][case]
    fits = [jaxlmm.lmer(in_python(formula), data(known["data"])) for formula in known["formulas"]]
    ours, rows = jaxlmm.anova(*reversed(fits), refit=known["refit"]), known["table"]
    assert ours.index.tolist() == [in_python(formula) for formula in known["formulas"]], "the smallest first"
    np.testing.assert_array_equal(ours["n_parameters"], column(rows, "npar"))
    for name, theirs in {"aic": "AIC", "bic": "BIC", "log_lik": "loglik", "deviance": "deviance"}.items():
        np.testing.assert_allclose(ours[name], column(rows, theirs), atol=CRITERION, err_msg=name)
    np.testing.assert_allclose(ours["chisq"][1:], column(rows[1:], "Chisq"), atol=CRITERION)
    np.testing.assert_array_equal(ours["df"][1:], column(rows[1:], "Df"))
    np.testing.assert_allclose(ours["p_value"][1:], column(rows[1:], "p"), rtol=1e-5)
    assert ours.iloc[0][["chisq", "df", "p_value"]].isna().all()


@pytest.mark.parametrize("case", numbers("anova")["ranova"])
def test_ranova(case: str) -> None:
    known = numbers("anova")["ranova"][case]
    fit, rows = fitted(known["fit"]), known["reduce_true"]
    ours = fit.ranova()
    assert len(ours) == len(rows)
    assert ours.index[0] == "<none>"
    np.testing.assert_array_equal(ours["n_parameters"], column(rows, "npar"))
    np.testing.assert_allclose(ours["log_lik"], column(rows, "loglik"), atol=CRITERION)
    np.testing.assert_allclose(ours["aic"], column(rows, "AIC"), atol=CRITERION)
    np.testing.assert_allclose(ours["lrt"][1:], column(rows[1:], "LRT"), atol=CRITERION)
    np.testing.assert_array_equal(ours["df"][1:], column(rows[1:], "Df"))
    np.testing.assert_allclose(ours["p_value_chisq"][1:], column(rows[1:], "p"), rtol=1e-5)


def test_the_boundary() -> None:
    """Stram & Lee 1994: half of χ² with df - 1 and half with df, for one variance with its correlations."""
    slope = fitted(numbers("anova")["ranova"]["orthodont"]["fit"]).ranova().iloc[1]
    mixture = 0.5 * stats.chi2.sf(slope["lrt"], 1) + 0.5 * stats.chi2.sf(slope["lrt"], 2)
    assert slope["p_value_boundary"] == pytest.approx(mixture, rel=1e-12)
    plate = fitted(numbers("anova")["ranova"]["penicillin"]["fit"]).ranova().iloc[1]
    assert plate["p_value_boundary"] == pytest.approx(0.5 * plate["p_value_chisq"], rel=1e-12)
    machine = fitted(numbers("anova")["ranova"]["machines"]["fit"]).ranova().iloc[1]
    assert np.isnan(machine["p_value_boundary"]), "two variances at once"


@pytest.mark.parametrize("case", ALONE)
def test_exact_restricted_test(case: str) -> None:
    known = numbers("rlrt")["cases"][case]
    found = fitted(known["models"]["m"]).exact_rlrt(DRAWS, seed=3)
    np.testing.assert_allclose(found.statistic, known["statistic"], atol=CRITERION)
    error = np.hypot(found.std_error, known["p_se"])
    assert abs(found.p_value - known["p_value"]) <= 4.0 * error + 1e-12
    for share, quantile in zip(known["quantile_probs"], known["quantiles"], strict=True):
        # The error of a share below a quantile is binomial, in both samples.
        below = np.mean(found.draws <= quantile + 1e-8)
        assert below >= share - 4.0 * np.sqrt(2.0 * share * (1.0 - share) / DRAWS)
        if quantile > 0:
            assert below <= share + 4.0 * np.sqrt(2.0 * share * (1.0 - share) / DRAWS)


def test_exact_test_against_twenty_thousand_lanes() -> None:
    """The parametric bootstrap of the same null hypothesis: every response of a least-squares model is fitted."""
    lanes = 20_000
    fit = lmer("distance ~ age * Sex + (1 | Subject)", "orthodont")
    x = fit._fitted.frame.design.x
    n, p = x.shape
    drawn = 3.0 * np.random.default_rng(8).normal(size=(n, lanes))
    many = jaxlmm.fit_many("~ age * Sex + (1 | Subject)", data("orthodont"), pd.DataFrame(drawn), ddf="normal")
    basis, _ = np.linalg.qr(x)
    rss = np.sum((drawn - basis @ (basis.T @ drawn)) ** 2, axis=0)
    null = (n - p) * (1.0 + np.log(2.0 * np.pi * rss / (n - p))) + np.linalg.slogdet(x.T @ x)[1]
    ratio = np.maximum(null - many.objective.to_numpy(), 0.0)
    exact = fit.exact_rlrt(DRAWS, seed=4).draws
    for value in (0.05, 0.5, 1.5, 2.7, 5.0):
        share, error = np.mean(exact >= value), np.sqrt(np.mean(exact >= value) * (1.0 / lanes + 1.0 / DRAWS))
        assert abs(np.mean(ratio >= value) - share) < 4.0 * error


SLEEP = "Reaction ~ Days + (Days | Subject)"


def test_models_that_cannot_be_compared() -> None:
    full = lmer(SLEEP, "sleepstudy")
    less = jaxlmm.lmer(SLEEP, data("sleepstudy").iloc[10:])
    other = jaxlmm.lmer("Reaction ~ np.log(Days + 1) + (Days | Subject)", data("sleepstudy"))
    by_day = jaxlmm.lmer("Reaction ~ Days + (1 | Days)", data("sleepstudy"))
    wider = jaxlmm.lmer("Reaction ~ Days + I(Days**2) + (Days | Subject)", data("sleepstudy"))
    for pair, words in (
        ((full, less), "180 and 170"),
        ((full, other), "not nested"),
        ((by_day, full), "Days"),
        ((full, full.refit(full.fittedvalues + 2.0 * full.resid)), "same response"),
    ):
        with pytest.raises(DesignError, match=words):
            jaxlmm.anova(*pair)
    with pytest.raises(DesignError, match="refit=True"):
        jaxlmm.anova(full, wider, refit=False)
    with pytest.raises(DesignError, match="refit=True"):
        jaxlmm.anova(full, wider.update(reml=False), refit=False)
    for arguments in ((full,), (full, "m2")):
        with pytest.raises(DataError):
            jaxlmm.anova(*arguments)


def test_exact_tests_that_do_not_exist() -> None:
    with pytest.raises(DesignError, match="ranova"):
        lmer(SLEEP, "sleepstudy").exact_rlrt()
    dyestuff = lmer("Yield ~ 1 + (1 | Batch)", "dyestuff")
    with pytest.raises(DesignError, match="reml=True"):
        dyestuff.update(reml=False).exact_rlrt()
    with pytest.raises(DataError, match="1 or more"):
        dyestuff.exact_rlrt(0)
