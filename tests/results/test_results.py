"""What a fit says about itself: estimates, tables, random effects, and fitting again.

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
from jaxlmm import DataError, DesignError, FormulaError, MixedModelResults
from tests.reference.loader import case, data
from tests.results.fits import CASES, REFERENCE, ROUNDING, covariances, fit, fitted, numbers, table

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


def leaves(value: Any) -> list[Any]:
    """Every array, column and scalar inside an answer."""
    if isinstance(value, pd.DataFrame):
        return [value[name] for name in value]
    if isinstance(value, dict):
        return [leaf for part in value.values() for leaf in leaves(part)]
    if isinstance(value, list | tuple):
        return [leaf for part in value for leaf in leaves(part)]
    return [value]


NUMERIC = {
    **{name: lambda f, name=name: getattr(f, name) for name in ("params", "fe_params", "bse", "bse_fe", "tvalues")},
    **{name: lambda f, name=name: getattr(f, name) for name in ("pvalues", "theta", "fittedvalues", "resid")},
    **{name: lambda f, name=name: getattr(f, name) for name in ("random_effects", "cov_re", "vcomp")},
    "conf_int": lambda f: f.conf_int(),
    "cov_params": lambda f: f.cov_params(),
    "ranef": lambda f: f.ranef(),
    "coef": lambda f: f.coef(),
    "rePCA": lambda f: f.rePCA(),
    "predict": lambda f: f.predict(),
    "predict interval": lambda f: f.predict(interval="confidence"),
    "simulate": lambda f: f.simulate(2),
}
MIXED = {
    "varcorr": lambda f: f.varcorr,
    "ranef condvar": lambda f: f.ranef(condvar=True),
    "tidy": lambda f: f.tidy(),
    "tidy ran_pars": lambda f: f.tidy("ran_pars"),
    "tidy ran_vals": lambda f: f.tidy("ran_vals"),
    "tidy all": lambda f: f.tidy("all"),
    "glance": lambda f: f.glance(),
    "augment": lambda f: f.augment(),
}


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
    np.testing.assert_allclose(f.pvalues, 2 * stats.norm.sf(np.abs(f.params / f.bse)), rtol=ROUNDING)
    np.testing.assert_array_equal(f.fe_params, f.params)
    np.testing.assert_array_equal(f.bse_fe, f.bse)
    for level in (0.95, 0.5):
        half = stats.norm.ppf(0.5 + level / 2) * se
        limits = f.conf_int(level=level)
        np.testing.assert_allclose(limits["lower"], beta - half, atol=REFERENCE * se.max())
        np.testing.assert_allclose(limits["upper"], beta + half, atol=REFERENCE * se.max())


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
    assert (f.ddf, other.ddf) == ("normal", "residual")
    np.testing.assert_allclose(other.pvalues, 2 * stats.t.sf(np.abs(other.tvalues), 178), rtol=ROUNDING)
    np.testing.assert_allclose(other.conf_int(), f.conf_int(ddf="residual"), rtol=1e-14)
    assert set(other.tidy()["df"]) == {178.0}
    assert set(f.tidy()["df"]) == {np.inf}
    assert set(f.tidy(ddf="residual")["df"]) == {178.0}
    assert "t value" in str(other.summary())
    assert "t value" in str(f.summary(ddf="residual"))


@pytest.mark.parametrize(
    "question",
    [
        lambda f: f.conf_int(method="profile"),
        lambda f: f.conf_int(level=1.5),
        lambda f: f.conf_int(ddf="guess"),
        lambda f: f.tidy("everything"),
        lambda f: f.tidy(ddf="satterthwaite"),
        lambda f: f.summary(ddf="kenward-roger"),
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


# broom.mixed's tables.

BROOM = ["effect", "group", "term", "estimate", "std_error", "statistic", "df", "p_value", "conf_low", "conf_high"]


@each_case
def test_tidy_fixed(case_id: str) -> None:
    f = fit(case_id)
    tidy = f.tidy()
    assert list(tidy.columns) == BROOM
    assert set(tidy["effect"]) == {"fixed"}
    assert tidy["group"].isna().all()
    assert list(tidy["term"]) == list(f.params.index)
    np.testing.assert_array_equal(tidy["estimate"], f.params)
    np.testing.assert_array_equal(tidy["std_error"], f.bse)
    np.testing.assert_array_equal(tidy["statistic"], f.tvalues)
    np.testing.assert_array_equal(tidy["p_value"], f.pvalues)
    np.testing.assert_array_equal(tidy[["conf_low", "conf_high"]], f.conf_int())
    np.testing.assert_array_equal(f.tidy(level=0.8)[["conf_low", "conf_high"]], f.conf_int(level=0.8))


def test_tidy_parameters_have_broom_mixeds_names() -> None:
    tidy = fit("sleep_max").tidy("ran_pars")
    assert list(tidy.columns) == BROOM
    assert list(tidy["term"]) == ["sd__Intercept", "cor__Intercept.Days", "sd__Days", "sd__Observation"]
    assert list(tidy["group"]) == ["Subject", "Subject", "Subject", "Residual"]
    rows = {(r["var1"], r["var2"]): r["sdcor"] for r in case("sleep_max")["varcorr"]}
    wanted = [rows["(Intercept)", None], rows["(Intercept)", "Days"], rows["Days", None], rows[None, None]]
    np.testing.assert_allclose(tidy["estimate"], wanted, rtol=REFERENCE)


@each_case
def test_tidy_modes(case_id: str) -> None:
    f = fit(case_id)
    tidy, long = f.tidy("ran_vals"), f.ranef(condvar=True)
    assert list(tidy.columns) == ["effect", "group", "level", "term", "estimate", "std_error", "conf_low", "conf_high"]
    assert set(tidy["effect"]) == {"ran_vals"}
    np.testing.assert_array_equal(tidy["estimate"], long["estimate"])
    half = stats.norm.ppf(0.975) * long["std_error"]
    np.testing.assert_allclose(tidy["conf_low"], long["estimate"] - half, rtol=ROUNDING)
    np.testing.assert_allclose(tidy["conf_high"], long["estimate"] + half, rtol=ROUNDING)


@each_case
def test_tidy_all_holds_the_others(case_id: str) -> None:
    f = fit(case_id)
    everything = f.tidy("all")
    assert set(BROOM) <= set(everything.columns)
    for effects in ("fixed", "ran_pars", "ran_vals"):
        own = everything[everything["effect"] == effects].reset_index(drop=True)
        np.testing.assert_array_equal(own["estimate"], f.tidy(effects)["estimate"])
        assert list(own["term"]) == list(f.tidy(effects)["term"])


@each_case
def test_glance(case_id: str) -> None:
    f = fit(case_id)
    row = f.glance().iloc[0]
    for name in ("nobs", "sigma", "aic", "bic", "objective"):
        assert row[name] == getattr(f, name), name
    assert (row["log_lik"], row["df_residual"], row["reml"]) == (f.llf, f.df_resid, f.reml)


@each_case
def test_augment(case_id: str) -> None:
    f, frame = fit(case_id), table(case_id)
    augmented = f.augment()
    used = [name for name in frame if name in case(case_id)["formula"]]
    assert set(augmented.columns[:-3]) == set(used)
    assert list(augmented.columns[-3:]) == ["fitted", "resid", "fixed"]
    for name in used:
        assert augmented[name].tolist() == frame[name].tolist()
    np.testing.assert_array_equal(augmented["fitted"], f.fittedvalues)
    np.testing.assert_array_equal(augmented["resid"], f.resid)
    np.testing.assert_allclose(augmented["fixed"], f.predict(random=False), rtol=1e-14)


# Fitting again.


@each_case
def test_refit_is_a_fit_of_the_changed_data(case_id: str) -> None:
    f, frame, known = fit(case_id), table(case_id), case(case_id)
    response = known["formula"].split(" ~ ", maxsplit=1)[0]
    y = f.simulate(1, seed=7)[:, 0]
    again = f.refit(y)
    new = jaxlmm.lmer(known["formula"], frame.assign(**{response: y}))
    assert again.formula == f.formula
    # Two runs of one program on the same numbers.
    assert again.objective == pytest.approx(new.objective, rel=1e-12)
    np.testing.assert_allclose(again.params, new.params, rtol=ROUNDING)
    np.testing.assert_allclose(again.theta, new.theta, atol=1e-8)
    np.testing.assert_allclose(again.fittedvalues, new.fittedvalues, rtol=1e-9)
    np.testing.assert_allclose(again.fittedvalues + again.resid, y, rtol=1e-13)
    assert f.objective == pytest.approx(known["objective"], abs=1e-7), "the old fit has changed"


def test_refit_of_the_same_response_changes_nothing() -> None:
    f, frame = fit("sleep_max"), table("sleep_max")
    for y in (frame["Reaction"], frame["Reaction"].to_numpy(), frame["Reaction"].tolist()):
        assert f.refit(y).objective == pytest.approx(f.objective, rel=1e-13)


def test_refit_keeps_the_offset() -> None:
    f = fit("sleep_offset")
    assert f.refit(table("sleep_offset")["Reaction"]).objective == pytest.approx(
        case("sleep_offset")["objective"], abs=1e-7
    )


@pytest.mark.parametrize(
    ("y", "word"),
    [
        (np.zeros(179), "180"),
        (np.zeros((180, 1)), "180"),
        (np.where(np.arange(180) == 3, np.nan, 1.0 * np.arange(180)), "3"),
        (np.where(np.arange(180) == 3, np.inf, 1.0 * np.arange(180)), "inf"),
        (np.full(180, 3.0), "constant"),
        (["a"] * 180, "numb|numer"),
        (pd.Series(np.arange(180.0), index=np.arange(180)[::-1]), "index"),
    ],
)
def test_responses_that_cannot_be_refitted(y: Any, word: str) -> None:
    with pytest.raises(DataError, match=word):
        fit("sleep_max").refit(y)


UPDATES = [
    ("sleep_ri", ". ~ . - Days", {}, "Reaction ~ 1 + (1 | Subject)"),
    ("sleep_ri", ". ~ 1 + (1 | Subject)", {}, "Reaction ~ 1 + (1 | Subject)"),
    ("sleep_ri", ". ~ . + I(Days**2)", {}, "Reaction ~ Days + I(Days**2) + (1 | Subject)"),
    ("sleep_ri", ". ~ . + poly(Days, 2) - Days", {}, "sleep_poly"),
    ("sleep_ri", ". ~ . - (1 | Subject) + (Days | Subject)", {}, "sleep_max"),
    ("sleep_ri", ". ~ . - Days + offset(10 * Days)", {}, "sleep_offset"),
    ("sleep_ri", "~ . - Days", {}, "Reaction ~ 1 + (1 | Subject)"),
    ("sleep_offset", ". ~ . + Days - offset(10 * Days)", {}, "sleep_ri"),
    ("sleep_offset", ". ~ . + I(Days**2)", {}, "Reaction ~ 1 + I(Days**2) + offset(10 * Days) + (1 | Subject)"),
    ("sleep_ri", "np.log(.) ~ .", {}, "np.log(Reaction) ~ Days + (1 | Subject)"),
    ("sleep_max", ". ~ .", {"reml": False}, "sleep_max_ml"),
    ("sleep_max", ". ~ . - (Days | Subject) + (1 | Subject)", {}, "sleep_ri"),
    ("sleep_max", ". ~ Days + (1 | Subject)", {}, "sleep_ri"),
    ("machines_sum", ". ~ .", {}, "machines_sum"),
]


@pytest.mark.parametrize(("base", "change", "arguments", "wanted"), UPDATES)
def test_update(base: str, change: str, arguments: dict[str, Any], wanted: str) -> None:
    updated = fit(base).update(change, **arguments)
    if "~" in wanted:
        other = fitted(wanted, "sleepstudy")
        assert updated.objective == pytest.approx(other.objective, abs=1e-7)
        np.testing.assert_allclose(updated.params.sort_index(), other.params.sort_index(), rtol=1e-6)
        assert set(updated.params.index) == set(other.params.index)
    else:
        known = case(wanted)
        assert updated.objective == pytest.approx(known["objective"], abs=1e-7)
        np.testing.assert_allclose(updated.params, numbers(known["beta"]), rtol=REFERENCE)
    assert updated.reml is arguments.get("reml", True)
    assert fit(base).objective == pytest.approx(case(base)["objective"], abs=1e-7), "the old fit has changed"


def test_update_drops_and_keeps_in_a_chain() -> None:
    f = fit("sleep_ri")
    assert list(f.update(". ~ . + I(Days**2)").update(". ~ . - I(Days**2)").params.index) == ["Intercept", "Days"]


@pytest.mark.parametrize(
    ("change", "arguments", "error", "word"),
    [
        ("Days", {}, FormulaError, "two sides"),
        (". ~ . - (0 + Days | Subject)", {}, FormulaError, "not in the model"),
        (". ~ . - (Days | Subject)", {}, FormulaError, "random"),
        (". ~ . + nothing", {}, DataError, "nothing"),
        (". ~ .", {"family": "poisson"}, DataError, "family"),
    ],
)
def test_updates_that_cannot_be_read(change: str, arguments: dict[str, Any], error: type, word: str) -> None:
    with pytest.raises(error, match=word):
        fit("sleep_max").update(change, **arguments)


# The object itself.


def test_repr() -> None:
    assert repr(fit("sleep_max")) == "<MixedModelResults: 'Reaction ~ Days + (Days | Subject)', 180 rows>"
    assert str(fit("sleep_max").formula) == "Reaction ~ Days + (Days | Subject)"


@each_case
def test_changing_an_answer_does_not_change_the_fit(case_id: str) -> None:
    f = fit(case_id)
    makers = {**NUMERIC, **MIXED}
    del makers["simulate"]
    for name, make in makers.items():
        answer, before = make(f), make(f)
        for leaf in leaves(answer):
            if leaf.dtype.kind == "f":
                if isinstance(leaf, pd.Series):
                    leaf.iloc[:] = -1.0
                else:
                    leaf[:] = -1.0
        for got, wanted in zip(leaves(make(f)), leaves(before), strict=True):
            pd.testing.assert_series_equal(pd.Series(got), pd.Series(wanted)), name
    frames = f.ranef()
    frames.clear()
    f.timings.clear()
    f.dropped_columns.append("x")
    assert f.ranef() and f.timings and not f.dropped_columns


def test_members_cannot_be_replaced() -> None:
    f = fit("sleep_max")
    for name in ("params", "sigma", "objective", "theta", "certificate", "varcorr"):
        with pytest.raises(AttributeError):
            setattr(f, name, None)
    with pytest.raises(AttributeError):
        f.certificate.status = "converged"


def test_the_users_table_is_left_alone() -> None:
    frame = data("sleepstudy")
    before = frame.copy()
    f = jaxlmm.lmer("Reaction ~ Days + (1 | Subject)", frame)
    f.predict(frame)
    augmented = f.augment()
    augmented["Reaction"] = 0.0
    pd.testing.assert_frame_equal(frame, before)
    frame["Reaction"] = 0.0
    np.testing.assert_allclose(f.fittedvalues + f.resid, before["Reaction"], rtol=1e-14)


def test_notebooks_show_the_summary() -> None:
    f = fit("sleep_max")
    assert isinstance(f, MixedModelResults)
    assert f._repr_html_() == f.summary()._repr_html_()


# Redundant columns.


def test_a_redundant_column_is_dropped_and_named() -> None:
    frame = table("sleep_ri").assign(Hours=lambda t: 24.0 * t["Days"])
    f = jaxlmm.lmer("Reaction ~ Days + Hours + (1 | Subject)", frame)
    # R keeps the first of two columns that span the same space.
    assert f.dropped_columns == ["Hours"]
    assert list(f.params.index) == ["Intercept", "Days"]
    np.testing.assert_allclose(f.params, numbers(case("sleep_ri")["beta"]), rtol=REFERENCE)
    assert f.objective == pytest.approx(case("sleep_ri")["objective"], abs=1e-7)
    assert f.df_resid == 180 - 4
    assert "Hours" in str(f.summary())
    np.testing.assert_allclose(f.predict(frame), f.fittedvalues, rtol=1e-13)
    new = pd.DataFrame({"Days": [0.5, 11.0], "Hours": [12.0, 264.0], "Subject": ["308", "309"]})
    plain = new.drop(columns="Hours")
    np.testing.assert_allclose(f.predict(new), fit("sleep_ri").predict(plain), rtol=1e-9)
    np.testing.assert_allclose(
        f.predict(new, interval="prediction"), fit("sleep_ri").predict(plain, interval="prediction"), rtol=1e-8
    )


def test_a_factor_inside_another_is_dropped_and_named() -> None:
    frame = table("machines_nested")
    frame["new"] = np.where(frame["Machine"] == "C", "yes", "no")
    f = jaxlmm.lmer("score ~ Machine + new + (1 | Worker)", frame)
    assert f.dropped_columns == ["new[T.yes]"]
    np.testing.assert_allclose(f.params, numbers(case("machines_ri")["beta"]), rtol=REFERENCE)
    np.testing.assert_allclose(f.predict(frame[::-1]).sort_index(), f.fittedvalues, rtol=1e-13)
