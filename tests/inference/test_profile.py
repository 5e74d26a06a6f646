"""Profile likelihood against R, and standard errors of variances: `profile.json`, `varcov.json`, `lme4.json`.

Limits of profile.json are exact roots of the profiled deviance, good to about 1e-6 of an interval; those of lme4.json go
through lme4's spline, where the contract asks for 1 % of an interval's width.
"""

from typing import Any

import numpy as np
import pytest

from jaxlmm import DataError, lmer
from tests.inference.models import fitted, numbers
from tests.reference.loader import cases, data
from tests.test_reference import fit_of

CASES = numbers("profile")["cases"]
KNOWN = {case["id"]: case for case in cases() if case.get("profile_ci")}
VARIANCES = numbers("varcov")["cases"]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("level", [95, 80])
def test_intervals(case: str, level: int) -> None:
    limits = CASES[case][f"confint_{level}"]
    ours = fitted(CASES[case]["fit"]).conf_int("profile", level=level / 100)
    assert ours.index.tolist() == ["Intercept" if name == "(Intercept)" else name for name in limits]
    theirs = np.array(list(limits.values()), dtype=float)
    width = theirs[:, 1] - theirs[:, 0]
    np.testing.assert_array_less(np.abs(ours.to_numpy() - theirs) / width[:, None], 2e-6)


@pytest.mark.parametrize("case", CASES)
def test_curves(case: str) -> None:
    """ζ at lme4's points, which were minimized again there."""
    profile = fitted(CASES[case]["fit"]).profile()
    for name, own in profile.frame.groupby("parameter"):
        rows = [row for row in CASES[case]["profile"] if row["par"].replace("(Intercept)", "Intercept") == name]
        value, zeta = (np.array([row[key] for row in rows], dtype=float) for key in ("value", "zeta"))
        # A root of a difference of deviances of size 1e3, each good to 1e-12 of it, is good to 3e-5 where it is zero.
        np.testing.assert_allclose(profile.zeta(str(name), value), zeta, rtol=1e-6, atol=5e-5)
        assert own["zeta"].is_monotonic_increasing
        assert (np.sign(own["zeta"]) == np.sign(own["value"] - own["value"][own["zeta"] == 0].iloc[0])).all()


@pytest.mark.parametrize("id_", KNOWN)
def test_intervals_of_the_reference_fits(id_: str) -> None:
    rows = KNOWN[id_]["profile_ci"]
    ours = fit_of(KNOWN[id_]).conf_int("profile").to_numpy()
    theirs = np.array([[row["lower"], row["upper"]] for row in rows], dtype=float)
    np.testing.assert_array_less(np.abs(ours - theirs) / np.diff(theirs, axis=1), 0.01)


def test_a_variance_of_zero_has_an_interval_from_zero() -> None:
    limits = fit_of(next(case for case in cases() if case["id"] == "dyestuff2_singular")).conf_int("profile")
    assert limits.loc[".sig01", "lower"] == 0.0
    assert 1.0 < limits.loc[".sig01", "upper"] < 4.0


def test_singular_fits_by_refits_with_an_offset() -> None:
    """ζ of a coefficient is the difference of two deviances, here on the boundary and by the other optimizer."""
    table = data("oats")
    table["dose"] = table["nitro"].astype(float)
    fit = lmer("yield ~ dose + (1 + dose | Block)", table, reml=False)
    assert fit.certificate.singular
    profile, there = fit.profile(), fit.params["dose"] + np.array([-30.0, -10.0, 5.0, 20.0])
    refits = [lmer(f"yield ~ 1 + offset({value} * dose) + (1 + dose | Block)", table, reml=False) for value in there]
    rises = np.array([refit.objective for refit in refits]) - fit.objective
    np.testing.assert_allclose(profile.zeta("dose", there) ** 2, rises, rtol=1e-6)


def test_bootstrap_intervals_are_those_of_the_bootstrap() -> None:
    fit = fitted(CASES["sleepstudy"]["fit"])
    ours, draws = fit.conf_int("boot", n=400, seed=5), fit.bootstrap(400, seed=5).conf_int()
    assert ours.index.tolist() == [".sig01", ".sig02", ".sig03", ".sigma", "Intercept", "Days"]
    same = ["sd__Intercept|Subject", "cor__Intercept.Days|Subject", "sd__Days|Subject", "sd__Observation|Residual"]
    np.testing.assert_array_equal(ours, draws.loc[[*same, "Intercept", "Days"]])


@pytest.mark.parametrize("case", VARIANCES)
@pytest.mark.parametrize("scale", ["var", "sd"])
@pytest.mark.parametrize("information", ["observed", "expected"])
def test_covariance_of_variances(case: str, scale: str, information: str) -> None:
    """R's rows follow theta; ours have a term's variances before its covariances. Coefficients come first in R."""
    known, fit = VARIANCES[case], fitted(VARIANCES[case]["fit"])
    p, ours = len(fit.params), fit.cov_varcorr(scale, information)
    order = [place(name, ours.index.tolist()) for name in known[f"names_{scale}"][p:]]
    theirs = np.array(known[information][scale], dtype=float)[p:, p:]
    mine = ours.to_numpy()[np.ix_(order, order)]
    sizes = np.sqrt(np.outer(theirs.diagonal(), theirs.diagonal()))
    np.testing.assert_allclose(mine / sizes, theirs / sizes, atol=2e-5)
    if scale == "sd" and information == "observed":
        np.testing.assert_allclose(fit.tidy("ran_pars")["std_error"].sum(), np.sqrt(theirs.diagonal()).sum(), rtol=1e-5)


def place(name: str, ours: list[str]) -> int:
    """R's cov_Days.(Intercept)|Subject, var_residual as ours."""
    kind, _, rest = name.partition("_")
    if rest == "residual":
        return len(ours) - 1
    effects, _, group = rest.replace("(Intercept)", "Intercept").partition("|")
    both = effects.split(".")
    candidates = {f"{kind}__{effects}|{group}", f"{kind}__{'.'.join(reversed(both))}|{group}"}
    return next(i for i, own in enumerate(ours) if own in candidates)


def test_singular_fits_have_no_such_errors() -> None:
    fit = fit_of(next(case for case in cases() if case["id"] == "dyestuff2_singular"))
    assert fit.cov_varcorr().isna().all(axis=None)
    assert fit.tidy("ran_pars")["std_error"].isna().all()


@pytest.mark.parametrize("method", ["Profile", "bayes", 0.9])
def test_methods_that_are_none(method: Any) -> None:
    with pytest.raises(DataError):
        fitted(CASES["dyestuff"]["fit"]).conf_int(method)


def test_points_of_parameters_that_are_none() -> None:
    profile = fitted(CASES["dyestuff"]["fit"]).profile()
    for name, values in ((".sig02", [1.0]), (".sig01", [-1.0]), (".sig01", ["a"])):
        with pytest.raises(DataError):
            profile.zeta(name, values)


def test_scales_that_are_none() -> None:
    with pytest.raises(DataError, match="'sd'"):
        fitted(CASES["dyestuff"]["fit"]).cov_varcorr("cor")
