"""Every reference case against the numbers that lme4 gave: one matrix, case by case, aspect by aspect.

A row is a case (lme4.json, the article's formulas on `students`, kb07 where the shared folder is there), a column is
one aspect of the answer. Each case is fitted once, when its first aspect is asked for. Expected numbers come from the
files that `tests/reference/README.md` describes and from nothing else.

Tolerances are those of the project's contract ("What it must show"), unless a comment gives another reason:
objective not above the reference by more than 1e-6 sqrt(|objective|) and never below by 1e-3 (that would be another
model, or a better optimum that has to be shown in R); beta within 0.002 standard errors; standard errors within 0.2 %;
sigma within 1e-4 relative; AIC, BIC and log-likelihood within 2e-4 plus the objective's tolerance; fitted values and
conditional modes within 1e-3 standard deviations. The reference's own theta carries an error near 3e-5 (see THETA),
which moves none of these by a tenth of its tolerance.
"""

import re
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pandas as pd
import pytest

import jaxlmm
from jaxlmm import MixedModelResults, optimize
from jaxlmm.fit import programs
from tests.reference.loader import ABSENT, cases, data, kb07_cases, students_cases

Case = dict[str, Any]

PYTHON = {
    "sleep_log": "np.log(Reaction) ~ Days + I(Days**2) + (Days | Subject)",
    "oats_inter": "yield ~ C(nitro) * Variety + (1 | Block/Variety)",
}
"""Formulas that Python spells otherwise than R; every other one is read as R wrote it."""

KB07 = ("kb07_ri", "kb07_main", "kb07_zerocorr", "kb07_max")
"""Named here so that they are seen to be skipped where the shared folder is absent; the slow one is last."""

CASES: dict[str, Case] = {c["id"]: c for c in [*cases(), *students_cases(), *(kb07_cases() or [])]}
FITS: dict[str, MixedModelResults] = {}

RELATIVE = 1e-3
"""Of variances, fitted values, modes: the reference's sigma and theta are good to 1e-4 and better."""

THETA = 1e-4
"""A polish without derivatives leaves the criterion up to 1e-9 above its minimum; the smallest curvature among the
cases is 0.5, so that theta may be off by sqrt(2e-9 / 0.5) = 6e-5, in parameters of size 0.02 to 5."""

NOTHING = 1e-6
"""A reference variance of zero is a theta on its bound or within 1e-6 of it, so the variance is below 1e-12 sigma**2;
ours may be a rounding error as well. A standard deviation of 1e-3 sigma would be seen."""


def fit_of(case: Case) -> MixedModelResults:
    """The one fit of a case."""
    if case["id"] not in FITS:
        FITS[case["id"]] = jaxlmm.lmer(
            PYTHON.get(case["id"], case["formula"]),
            data(case["data"]),
            reml=case["REML"],
            weights=case["weights"],
            contrasts=case["contrasts"],
        )
    return FITS[case["id"]]


def numbers(by_name: dict[str, float]) -> np.ndarray:
    return np.array(list(by_name.values()), dtype=float)


def in_r(name: Any) -> str | None:
    """Our name of an effect as R writes it: Intercept is (Intercept), Machine[T.B] and Machine[B] are MachineB."""
    if not isinstance(name, str):
        return None
    return "(Intercept)" if name == "Intercept" else re.sub(r"\[(?:T\.|S\.)?([^\]]*)\]", r"\1", name)


def slack(case: Case) -> float:
    return 1e-6 * np.sqrt(abs(case["objective"]))


def largest(error: np.ndarray) -> str:
    at = int(np.argmax(error))
    return f"largest error {np.max(error):.3g} times the tolerance, in position {at}"


def assert_within(ours: Any, reference: Any, tolerance: Any, what: str) -> None:
    ours, reference = np.asarray(ours, dtype=float), np.asarray(reference, dtype=float)
    assert ours.shape == reference.shape, f"{what}: shape {ours.shape}, reference {reference.shape}"
    assert np.isfinite(ours).all(), f"{what}: not finite: {ours}"
    error = np.abs(ours - reference) / tolerance
    assert np.all(error <= 1.0), f"{what}: {largest(error.ravel())}\nours\n{ours}\nreference\n{reference}"


# Aspects.


def objective(fit: MixedModelResults, case: Case) -> None:
    above = fit.objective - case["objective"]
    assert above <= slack(case), f"{above:.3g} above the reference {case['objective']!r}"
    assert above > -1e-3, f"{-above:.3g} below the reference {case['objective']!r}: another model, or a better optimum"


def beta(fit: MixedModelResults, case: Case) -> None:
    names = [in_r(name) for name in fit.params.index]
    if case["id"] not in PYTHON and "poly" not in case["formula"] and not case["contrasts"]:
        assert names == list(case["beta"]), "coefficients in another order"
    assert_within(fit.params, numbers(case["beta"]), 0.002 * numbers(case["se"]), "coefficients (in 0.002 SE)")


def se(fit: MixedModelResults, case: Case) -> None:
    assert_within(fit.bse, numbers(case["se"]), 0.002 * numbers(case["se"]), "standard errors")


def vcov(fit: MixedModelResults, case: Case) -> None:
    # Twice the tolerance of a standard error, in units of both coefficients' errors: an entry near zero has no
    # relative accuracy.
    error = numbers(case["se"])
    assert_within(fit.cov_params(), case["vcov"], 0.004 * np.outer(error, error), "covariance of the coefficients")


def sigma(fit: MixedModelResults, case: Case) -> None:
    assert_within(fit.sigma, case["sigma"], 1e-4 * case["sigma"], "sigma")
    assert fit.scale == fit.sigma**2


def criteria(fit: MixedModelResults, case: Case) -> None:
    known = {
        name: case[key] for name, key in (("llf", "loglik"), ("aic", "aic"), ("bic", "bic")) if case[key] is not None
    }
    for name, value in known.items():
        assert_within(getattr(fit, name), value, 2e-4 + slack(case), name)
    assert fit.reml is case["REML"]


def sizes(fit: MixedModelResults, case: Case) -> None:
    assert (fit.nobs, len(fit.params), fit.n_dropped, fit.dropped_columns) == (case["n"], case["p"], 0, [])
    assert list(fit.n_groups.items()) == list(case["ngrps"].items()), "levels by grouping factor, in lme4's order"


def varcorr(fit: MixedModelResults, case: Case) -> None:
    if case["varcorr"] is None:
        # One partition twice: the split is arbitrary, the sum is what lme4 found with one term.
        total = fit.varcorr["vcov"][:-1].sum()
        assert_within(total, case["variance_sum"], RELATIVE * case["variance_sum"], "sum of the variances")
        assert_within(fit.varcorr["vcov"].iloc[-1], case["sigma"] ** 2, RELATIVE * case["sigma"] ** 2, "residual")
        return
    ours, rows = fit.varcorr, case["varcorr"]
    labels = [(row.grp, in_r(row.var1), in_r(row.var2)) for row in ours.itertuples()]
    assert labels == [(row["grp"], row["var1"], row["var2"]) for row in rows]
    variance = {(grp, var1): row["vcov"] for (grp, var1, var2), row in zip(labels, rows, strict=True) if var2 is None}
    floor = NOTHING * case["sigma"] ** 2
    # Covariances in units of both standard deviations: that holds where a correlation has no meaning, too.
    unit = [np.sqrt(variance[grp, var1] * variance[grp, var2 or var1]) for grp, var1, var2 in labels]
    tolerance = RELATIVE * np.array(unit) + floor
    assert_within(ours["vcov"], [row["vcov"] for row in rows], tolerance, "variances and covariances")
    is_sd = np.array([var2 is None for *_, var2 in labels])
    np.testing.assert_allclose(ours["sdcor"][is_sd], np.sqrt(ours["vcov"][is_sd]), rtol=1e-12)
    for (grp, var1, var2), row, value in zip(labels, rows, ours["sdcor"], strict=True):
        if var2 is not None and min(variance[grp, var1], variance[grp, var2]) > floor:
            assert_within(value, row["sdcor"], RELATIVE, f"correlation of {var1} and {var2} in {grp}")


def theta(fit: MixedModelResults, case: Case) -> None:
    values = fit.theta.to_numpy()
    diagonal = [len(name.split(".")) for name in case["theta_names"]] if case["theta_names"] else []
    if case["theta"] is None:
        assert len(values) == 2
        return
    assert len(values) == len(case["theta"])
    for value, parts in zip(values, diagonal, strict=True):
        assert parts > 2 or value >= 0.0, "the diagonal of a canonical factor is not negative"
    if not case["singular"]:
        # lme4 bounds the diagonal at zero, so its factor is the canonical one as well, signs included.
        assert_within(values, case["theta"], THETA, "theta")


def fitted(fit: MixedModelResults, case: Case) -> None:
    head = fit.fittedvalues.to_numpy()[: len(case["fitted_head"])]
    assert_within(head, case["fitted_head"], RELATIVE * case["sigma"], "first fitted values (in 1e-3 sigma)")
    # A sum of squares has twice sigma's relative tolerance.
    assert_within(
        np.sum(fit.resid.to_numpy() ** 2), case["resid_ss"], 2e-4 * case["resid_ss"], "residual sum of squares"
    )


def ranef(fit: MixedModelResults, case: Case) -> None:
    ours = fit.ranef(condvar=True)
    ours = ours.assign(effect=ours["effect"].map(in_r)).set_index(["group", "level", "effect"])
    rows = pd.DataFrame(case["ranef"])
    sd = {(r["grp"].split(".")[0], r["var1"]): r["sdcor"] for r in case["varcorr"] if r["var1"] and not r["var2"]}
    keys = list(rows[["grpvar", "grp", "term"]].itertuples(index=False, name=None))
    assert set(keys) == set(ours.index)
    ours = ours.loc[keys]
    tolerance = RELATIVE * np.array([sd[group, effect] for group, _, effect in keys]) + NOTHING * case["sigma"]
    assert_within(ours["estimate"], rows["condval"], tolerance, "conditional modes (in 1e-3 SD)")
    assert_within(ours["std_error"], rows["condsd"], tolerance, "their standard deviations (in 1e-3 SD)")
    modes = fit.ranef()
    for (group, level, effect), value in ours["estimate"].items():
        assert modes[group].rename(columns=in_r).loc[level, effect] == value


def gradient_at_estimates(fit: MixedModelResults) -> np.ndarray:
    """Of the criterion, by the fit's plan, which other tests hold to the oracle."""
    model, own = fit._fitted.model, fit._fitted.fit
    with jax.enable_x64(True):
        start = optimize.initial(own.standard_theta)
        return np.asarray(programs.minimize(model.plan, model.reduced, start, float(own.reml), 0).gradient)


def minimum(fit: MixedModelResults, case: Case) -> None:
    found = fit.certificate
    assert fit.converged is True, found
    assert fit.is_singular is case["singular"], found
    assert bool(found.singular) is case["singular"], found
    assert found.status == "converged"
    assert 0 < found.iterations < 500
    # What one more Newton step would win must be less than what the reference allows, a hundredfold: 1e-8 of the
    # square root of the objective.
    assert abs(found.predicted_decrease) <= 1e-2 * slack(case), found
    # At an inner minimum the gradient is that small in every direction; on the boundary it is one-sided. Where evaluations
    # are dear the certificate is about the point before the last step.
    if not case["singular"]:
        gradient = np.abs(gradient_at_estimates(fit)).max() if fit.plan.dear else found.gradient
        assert gradient <= 1e-3, found
        assert np.isnan(found.boundary_slope)
    else:
        assert found.boundary_slope >= -1e-3, found
    if case["theta"] is None:
        assert found.flat == ((0, 1),)
        assert "only the sum of their variances is estimated" in str(fit.summary())
    else:
        assert found.flat == ()
        if not case["singular"]:
            assert found.smallest_curvature > 0.0, found


def satterthwaite(fit: MixedModelResults, case: Case) -> None:
    """Degrees of freedom to what lmerTest's numerical derivatives leave; p-values to what that and its t leave.

    The contract asks for 0.5 %. The singular case is on its boundary as lmerTest's is.
    """
    expected = case["satterthwaite"]
    df, p = (list(part.values()) if isinstance(part, dict) else part for part in (expected["df"], expected["p"]))
    ours = fit.tidy(ddf="satterthwaite")
    np.testing.assert_allclose(ours["df"], df, rtol=1e-4)
    np.testing.assert_allclose(ours["p_value"], p, rtol=2e-3, atol=1e-12)


def kenward_roger(fit: MixedModelResults, case: Case) -> None:
    """Degrees of freedom and standard errors to what the reference's theta leaves; the contract asks for 0.5 % and 0.2 %."""
    ours = fit.tidy(ddf="kenward-roger")
    known = case["kenward_roger"]
    df, se, p = (list(known[key].values()) if isinstance(known[key], dict) else known[key] for key in ("df", "se", "p"))
    np.testing.assert_allclose(ours["df"], df, rtol=1e-4)
    np.testing.assert_allclose(ours["std_error"], se, rtol=2e-5)
    np.testing.assert_allclose(ours["p_value"], p, rtol=2e-3, atol=1e-12)


def f_tests(fit: MixedModelResults, known: list[dict[str, Any]], kind: int, ddf: str) -> None:
    """The contract asks for 0.5 %; what is left is lmerTest's numerical derivatives."""
    ours = fit.anova(type=kind, ddf=ddf)
    if not known:
        assert not len(ours)
        return
    expected = pd.DataFrame(known).set_index("term")
    assert ours["num_df"].tolist() == expected["NumDF"].tolist()
    pairs = {"sum_sq": "Sum Sq", "mean_sq": "Mean Sq", "den_df": "DenDF", "F": "F value"}
    for name, theirs in pairs.items():
        np.testing.assert_allclose(ours[name], expected[theirs].astype(float), rtol=2e-4, err_msg=name)
    np.testing.assert_allclose(ours["p_value"], expected["Pr(>F)"].astype(float), rtol=2e-3, atol=1e-12)


def anova_I(fit: MixedModelResults, case: Case) -> None:
    f_tests(fit, case["anova_I"], 1, "satterthwaite")


def anova_II(fit: MixedModelResults, case: Case) -> None:
    f_tests(fit, case["anova_II"], 2, "satterthwaite")


def anova_III(fit: MixedModelResults, case: Case) -> None:
    f_tests(fit, case["anova_III"], 3, "satterthwaite")


def anova_III_kr(fit: MixedModelResults, case: Case) -> None:
    f_tests(fit, case["anova_III_kr"], 3, "kenward-roger")


Aspect = Callable[[MixedModelResults, Case], None]

BASIC: tuple[Aspect, ...] = (objective, beta, se, vcov, sigma, criteria, sizes, varcorr, theta, fitted, minimum)
WHERE_KNOWN: tuple[Aspect, ...] = (ranef, satterthwaite, kenward_roger, anova_I, anova_II, anova_III, anova_III_kr)
"""Aspects that not every case of the reference has; the case's field bears the aspect's name."""

ASPECTS: tuple[Aspect, ...] = (*BASIC, *WHERE_KNOWN)


def table() -> list[Any]:
    """Case by case, so that a fit is used as soon as it is there and the slowest comes last."""
    order = [*(id_ for id_ in CASES if id_ not in KB07), *KB07]
    return [
        pytest.param(
            id_, aspect, id=f"{id_}-{aspect.__name__}", marks=() if id_ in CASES else pytest.mark.skip(reason=ABSENT)
        )
        for id_ in order
        for aspect in ASPECTS
        if aspect not in WHERE_KNOWN or aspect.__name__ in CASES.get(id_, {})
    ]


@pytest.mark.parametrize(("case_id", "aspect"), table())
def test_lme4(case_id: str, aspect: Aspect) -> None:
    case = CASES[case_id]
    aspect(fit_of(case), case)


def test_the_matrix_is_complete() -> None:
    assert len(cases()) == 35
    assert len(students_cases()) == 8
    assert sum("ranef" in c for c in cases()) == 9
    assert kb07_cases() is None or tuple(c["id"] for c in kb07_cases()) == KB07
