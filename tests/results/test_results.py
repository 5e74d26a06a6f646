"""What a fit says about itself: estimates, criteria, random effects.

Expected numbers come from lme4 (tests/reference), from scipy, or from arithmetic written out here.
"""

from typing import Any

import jax
import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from scipy import stats

import jaxlmm
from jaxlmm import DataError, DesignError
from tests.reference.loader import case
from tests.results.fits import (
    CASES,
    MIXED,
    NUMERIC,
    REFERENCE,
    ROUNDING,
    covariances,
    fit,
    fitted,
    leaves,
    numbers,
    table,
)

each_case = pytest.mark.parametrize("case_id", CASES)

SHAPES = {
    "sleep_max": {"n": 180, "p": 2, "theta": 3, "varcorr": 4, "effects": 2, "groups": {"Subject": (18, 2)}},
    "machines_nested": {
        **{"n": 54, "p": 3, "theta": 2, "varcorr": 3, "effects": 2},
        "groups": {"Machine:Worker": (18, 1), "Worker": (6, 1)},
    },
    "penicillin": {
        **{"n": 144, "p": 1, "theta": 2, "varcorr": 3, "effects": 2},
        "groups": {"plate": (24, 1), "sample": (6, 1)},
    },
}


# Types and shapes.


@each_case
@pytest.mark.parametrize("member", [*NUMERIC, *MIXED])
def test_answers_are_pandas_or_numpy_in_double_precision(case_id: str, member: str) -> None:
    answer = {**NUMERIC, **MIXED}[member](fit(case_id))
    for leaf in leaves(answer):
        assert isinstance(leaf, pd.Series | np.ndarray), type(leaf)
        assert not isinstance(leaf, jax.Array)
        if member in NUMERIC:
            assert leaf.dtype == np.float64
            assert np.isfinite(leaf).all()
        else:
            assert leaf.dtype.kind != "f" or leaf.dtype == np.float64
            values = leaf.to_numpy(dtype=object)
            assert not any(isinstance(v, jax.Array) for v in values)


@each_case
def test_scalars_are_plain_numbers(case_id: str) -> None:
    f = fit(case_id)
    for name in ("sigma", "scale", "objective", "llf", "aic", "bic"):
        assert isinstance(getattr(f, name), float), name
    for name in ("nobs", "n_dropped", "df_resid"):
        assert isinstance(getattr(f, name), int), name
    for name in ("reml", "converged", "is_singular"):
        assert isinstance(getattr(f, name), bool), name
    assert isinstance(f.n_groups, pd.Series)
    assert f.n_groups.dtype.kind == "i"
    assert set(f.timings) >= {"fit"}
    assert all(isinstance(seconds, float) and seconds >= 0 for seconds in f.timings.values())
    assert isinstance(f.plan.describe(), str)


@each_case
def test_shapes(case_id: str) -> None:
    f, known = fit(case_id), SHAPES[case_id]
    n, p, groups = known["n"], known["p"], known["groups"]
    levels = sum(size for size, _ in groups.values())
    total = sum(size * k for size, k in groups.values())
    for name in ("params", "bse", "tvalues", "pvalues"):
        assert getattr(f, name).shape == (p,)
    assert f.cov_params().shape == (p, p)
    assert f.conf_int().shape == (p, 2)
    assert f.theta.shape == (known["theta"],)
    assert f.varcorr.shape == (known["varcorr"], 5)
    assert f.fittedvalues.shape == f.resid.shape == f.predict().shape == (n,)
    assert f.predict(interval="prediction").shape == (n, 3)
    assert {name: t.shape for name, t in f.ranef().items()} == groups
    assert {name: len(t) for name, t in f.coef().items()} == {name: size for name, (size, _) in groups.items()}
    assert f.ranef(condvar=True).shape == (total, 5)
    assert f.tidy("ran_vals").shape == (total, 8)
    assert f.cov_re.shape == (known["effects"], known["effects"])
    assert f.vcomp.shape == (known["effects"],)
    assert len(f.random_effects) == levels
    assert f.simulate(3).shape == (n, 3)
    assert len(f.glance()) == 1
    assert len(f.augment()) == n


def test_index_names() -> None:
    f = fit("sleep_max")
    names = ["Intercept", "Days"]
    subjects = [str(s) for s in sorted(table("sleep_max")["Subject"].unique())]
    for series in (f.params, f.bse, f.tvalues, f.pvalues):
        assert list(series.index) == names
    assert list(f.cov_params().index) == list(f.cov_params().columns) == names
    assert list(f.conf_int().index) == names
    assert list(f.conf_int().columns) == ["lower", "upper"]
    assert list(f.theta.index) == ["Subject.Intercept", "Subject.Days.Intercept", "Subject.Days"]
    assert list(f.varcorr.columns) == ["grp", "var1", "var2", "vcov", "sdcor"]
    empty = [value for name in ("var1", "var2") for value in f.varcorr[name] if not isinstance(value, str)]
    assert empty and all(isinstance(value, float) and np.isnan(value) for value in empty)
    for frame in (f.ranef()["Subject"], f.coef()["Subject"]):
        assert list(frame.index) == subjects
        assert frame.index.name == "Subject"
        assert list(frame.columns) == names
    assert list(f.ranef(condvar=True).columns) == ["group", "level", "effect", "estimate", "std_error"]
    assert list(f.cov_re.index) == list(f.cov_re.columns) == names
    assert list(f.n_groups.index) == ["Subject"]
    assert f.fittedvalues.index.equals(table("sleep_max").index)
    assert fit("machines_nested").params.index.tolist() == ["Intercept", "Machine[T.B]", "Machine[T.C]"]


def test_rows_keep_their_labels() -> None:
    frame = table("sleep_max").set_index(np.arange(1000, 1180))
    f = jaxlmm.lmer(case("sleep_max")["formula"], frame)
    for answer in (f.fittedvalues, f.resid, f.predict(), f.predict(frame), f.augment()):
        assert answer.index.equals(frame.index)


# Fixed effects against formulas.


@each_case
def test_coefficients_and_their_tests(case_id: str) -> None:
    f, known = fit(case_id), case(case_id)
    beta, se = numbers(known["beta"]), numbers(known["se"])
    np.testing.assert_allclose(f.params, beta, rtol=REFERENCE)
    np.testing.assert_allclose(f.bse, se, rtol=REFERENCE)
    np.testing.assert_allclose(f.tvalues, beta / se, rtol=2 * REFERENCE)
    # A p-value's relative error is that of t times t**2 for large t, and t reaches 300: so at the fit's own t.
    np.testing.assert_allclose(
        f.tidy(ddf="normal")["p_value"], 2 * stats.norm.sf(np.abs(f.params / f.bse)), rtol=ROUNDING
    )
    df = numbers(known["satterthwaite"]["df"])
    np.testing.assert_allclose(f.pvalues, 2 * stats.t.sf(np.abs(f.params / f.bse), df), rtol=2e-3)
    np.testing.assert_array_equal(f.fe_params, f.params)
    np.testing.assert_array_equal(f.bse_fe, f.bse)
    for level in (0.95, 0.5):
        for ddf, quantile in (("normal", stats.norm.ppf(0.5 + level / 2)), (None, stats.t.ppf(0.5 + level / 2, df))):
            limits = f.conf_int(level=level, ddf=ddf)
            np.testing.assert_allclose(limits["lower"], beta - quantile * se, atol=2 * REFERENCE * se.max())
            np.testing.assert_allclose(limits["upper"], beta + quantile * se, atol=2 * REFERENCE * se.max())


@each_case
def test_covariance_of_the_coefficients(case_id: str) -> None:
    f, known = fit(case_id), case(case_id)
    vcov = f.cov_params().to_numpy()
    se = numbers(known["se"])
    np.testing.assert_array_equal(vcov, vcov.T)
    np.testing.assert_allclose(vcov, known["vcov"], atol=2 * REFERENCE * se.max() ** 2)
    np.testing.assert_allclose(np.sqrt(np.diagonal(vcov)), f.bse, rtol=1e-14)


def test_residual_degrees_of_freedom() -> None:
    f = fit("sleep_max")
    beta, se = numbers(case("sleep_max")["beta"]), numbers(case("sleep_max")["se"])
    half = stats.t.ppf(0.975, 178) * se
    np.testing.assert_allclose(f.conf_int(ddf="residual")["upper"], beta + half, rtol=REFERENCE)
    other = jaxlmm.lmer(f.formula, table("sleep_max"), ddf="residual")
    assert (f.ddf, other.ddf) == ("satterthwaite", "residual")
    np.testing.assert_allclose(other.pvalues, 2 * stats.t.sf(np.abs(other.tvalues), 178), rtol=ROUNDING)
    np.testing.assert_allclose(other.conf_int(), f.conf_int(ddf="residual"), rtol=1e-14)
    assert set(other.tidy()["df"]) == {178.0}
    assert set(f.tidy(ddf="normal")["df"]) == {np.inf}
    assert set(f.tidy(ddf="residual")["df"]) == {178.0}
    assert "t value" in str(other.summary())
    assert "t value" in str(f.summary(ddf="residual"))


@pytest.mark.parametrize(
    "question",
    [
        lambda f: f.conf_int(method="bayes"),
        lambda f: f.conf_int(level=1.5),
        lambda f: f.conf_int(ddf="guess"),
        lambda f: f.tidy("everything"),
        lambda f: f.tidy(ddf="kenward roger"),
        lambda f: f.summary(information="some"),
        lambda f: f.summary(ddf="normal", information="observed"),
        lambda f: f.update(reml=False, ddf="kenward-roger"),
        lambda f: f.update(reml=False).summary(ddf="kenward-roger"),
        lambda f: f.ranef("Days"),
        lambda f: f.coef(["nobody"]),
        lambda f: f.predict(interval="credible"),
        lambda f: f.predict(random=["nobody"]),
        lambda f: f.predict(interval="confidence", level=0),
    ],
)
def test_arguments_that_mean_nothing(question: Any) -> None:
    with pytest.raises((DataError, DesignError)):
        question(fit("sleep_max"))


@each_case
def test_likelihood_and_criteria(case_id: str) -> None:
    f, known = fit(case_id), case(case_id)
    parameters = SHAPES[case_id]["p"] + SHAPES[case_id]["theta"] + 1
    # The criterion is a sum of some 1000 terms of size 1, compared with a file of 15 digits.
    assert f.objective == pytest.approx(known["objective"], abs=1e-7)
    assert f.llf == pytest.approx(-known["objective"] / 2, abs=1e-7)
    assert f.aic == pytest.approx(known["objective"] + 2 * parameters, abs=1e-7)
    assert f.bic == pytest.approx(known["objective"] + np.log(f.nobs) * parameters, abs=1e-7)
    assert f.df_resid == f.nobs - parameters
    assert f.scale == f.sigma**2


# Random effects.


@each_case
def test_conditional_standard_deviations(case_id: str) -> None:
    long = fit(case_id).ranef(condvar=True)
    long["effect"] = long["effect"].replace("Intercept", "(Intercept)")
    ours = long.set_index(["group", "level", "effect"]).sort_index()
    rows = pd.DataFrame(case(case_id)["ranef"]).set_index(["grpvar", "grp", "term"]).sort_index()
    assert list(ours.index) == list(rows.index)
    np.testing.assert_allclose(ours["std_error"], rows["condsd"], rtol=REFERENCE)
    # A mode may be near zero by chance, so that its error is one of the modes' size.
    np.testing.assert_allclose(ours["estimate"], rows["condval"], atol=REFERENCE * rows["condval"].abs().max())


@each_case
def test_long_and_wide_modes_agree(case_id: str) -> None:
    f = fit(case_id)
    long = f.ranef(condvar=True)
    for name, wide in f.ranef().items():
        own = long[long["group"] == name].pivot(index="level", columns="effect", values="estimate")
        np.testing.assert_array_equal(own.loc[wide.index, wide.columns], wide)
    (first, *_) = f.ranef()
    assert list(f.ranef(first)) == list(f.ranef([first])) == list(f.coef(first)) == [first]
    assert set(f.ranef(first, condvar=True)["group"]) == {first}


@each_case
def test_coefficients_by_level_are_fixed_plus_random(case_id: str) -> None:
    f = fit(case_id)
    modes = f.ranef()
    for name, by_level in f.coef().items():
        assert list(by_level.columns) == list(f.params.index)
        for effect in by_level:
            own = modes[name].get(effect, 0.0)
            np.testing.assert_array_equal(by_level[effect], f.params[effect] + own)


def test_coefficients_by_level_of_an_effect_that_is_not_fixed() -> None:
    f = fitted("Reaction ~ 1 + (0 + Days | Subject)", "sleepstudy")
    by_level, modes = f.coef()["Subject"], f.ranef()["Subject"]
    assert list(by_level.columns) == ["Intercept", "Days"]
    np.testing.assert_array_equal(by_level["Days"], modes["Days"])
    np.testing.assert_array_equal(by_level["Intercept"], np.full(18, f.params["Intercept"]))


@each_case
def test_fitted_values_and_residuals_make_the_response(case_id: str) -> None:
    f = fit(case_id)
    y = table(case_id)[case(case_id)["formula"].split(" ~ ", maxsplit=1)[0]]
    np.testing.assert_allclose(f.fittedvalues + f.resid, y, rtol=1e-14)


def test_modes_as_arrow() -> None:
    pyarrow = pytest.importorskip("pyarrow")
    f = fit("machines_nested")
    tables = f.ranef(to_arrow=True)
    assert list(tables) == ["Machine:Worker", "Worker"]
    for name, arrow in tables.items():
        assert isinstance(arrow, pyarrow.Table)
        assert arrow.column_names == [name, "Intercept"]
        np.testing.assert_array_equal(arrow["Intercept"].to_numpy(), f.ranef()[name]["Intercept"])
        assert arrow[name].to_pylist() == list(f.ranef()[name].index)
    long = f.ranef(condvar=True, to_arrow=True)
    assert isinstance(long, pyarrow.Table)
    assert long.num_rows == 24
    assert long["std_error"].type == pyarrow.float64()


def test_statsmodels_shapes() -> None:
    frame = table("sleep_max")
    theirs = smf.mixedlm("Reaction ~ Days", frame, groups=frame["Subject"], re_formula="~Days").fit(reml=True)
    ours = fit("sleep_max")
    # statsmodels stops its search when the gradient is near 1e-5, four digits before the end.
    assert isinstance(ours.random_effects, dict)
    assert list(ours.random_effects) == list(theirs.random_effects)
    for level, modes in theirs.random_effects.items():
        np.testing.assert_allclose(ours.random_effects[level], modes, atol=1e-3 * 25)
    np.testing.assert_allclose(ours.cov_re, theirs.cov_re, rtol=1e-3)
    np.testing.assert_allclose(ours.fe_params, theirs.fe_params, rtol=1e-6)
    np.testing.assert_allclose(ours.bse_fe, theirs.bse_fe, rtol=1e-3)
    np.testing.assert_allclose(ours.scale, theirs.scale, rtol=1e-3)
    assert ours.llf == pytest.approx(theirs.llf, abs=1e-5)


def test_random_effects_of_several_factors() -> None:
    f = fit("penicillin")
    assert set(f.random_effects) == {(name, level) for name, t in f.ranef().items() for level in t.index}
    assert f.random_effects["plate", "a"]["Intercept"] == f.ranef()["plate"].loc["a", "Intercept"]
    known = covariances("penicillin")
    np.testing.assert_allclose(f.vcomp, [known["plate"][0, 0], known["sample"][0, 0]], rtol=2 * REFERENCE)
    np.testing.assert_allclose(f.cov_re, np.diag(f.vcomp), rtol=1e-14)


@each_case
def test_principal_components(case_id: str) -> None:
    components, sigma = fit(case_id).rePCA(), case(case_id)["sigma"]
    for name, covariance in covariances(case_id).items():
        values = np.linalg.eigvalsh(covariance)[::-1]
        own = components[name]
        np.testing.assert_allclose(own["sd"], np.sqrt(values) / sigma, rtol=2 * REFERENCE)
        np.testing.assert_allclose(own["proportion"], values / values.sum(), rtol=4 * REFERENCE)
        np.testing.assert_allclose(own["cumulative"], np.cumsum(values) / values.sum(), rtol=4 * REFERENCE)
