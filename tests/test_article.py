"""The ten rows of the user's contract: every line of the article on the `students` table, one test for each row.

The reference is lme4 (`tests/reference/students`), and statsmodels for what only it can say: `groups` without bars.
Programs are compiled once for each structure of random effects, so fits are shared between rows (`fits`).
"""

import io
import warnings
from functools import cache

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import statsmodels.formula.api as smf

import jaxlmm
from tests.reference.loader import case

STUDENTS = jaxlmm.load_dataset("students")
FIXED = "test_score ~ age + sex"
INTERCEPTS = f"{FIXED} + (1|classroom) + (1|school) + (1|province)"
SLOPES = f"{FIXED} + (age|classroom) + (age|school) + (age|province)"
LEVELS = ("classroom", "school", "province")


@cache
def fits(formula, **arguments):
    """One fit by REML; dicts are given as tuples of pairs, so that they can be kept."""
    arguments = {k: dict(v) if isinstance(v, tuple) else v for k, v in arguments.items()}
    return jaxlmm.mixedlm(formula, STUDENTS, **arguments).fit()


def assert_equals_lme4(fit, case_id):
    """The tolerances of the project: those of a fit against lme4's best value found from several starts."""
    expected = case(case_id)
    above = fit.objective - expected["objective"]
    assert -1e-3 < above < 1e-6 * np.sqrt(abs(expected["objective"]))
    se = np.array(list(expected["se"].values()))
    np.testing.assert_array_less(np.abs(fit.params.to_numpy() - list(expected["beta"].values())) / se, 0.002)
    np.testing.assert_allclose(fit.bse, se, rtol=0.002)
    np.testing.assert_allclose(fit.sigma, expected["sigma"], rtol=1e-4)
    np.testing.assert_allclose(fit.fittedvalues[:8], expected["fitted_head"], atol=1e-3 * fit.sigma)
    assert fit.is_singular == expected["singular"]
    assert {frozenset(k.split(":")): n for k, n in fit.n_groups.items()} == {
        frozenset(k.split(":")): n for k, n in expected["ngrps"].items()
    }
    ours, theirs = by_component(fit.varcorr), by_component(pd.DataFrame(expected["varcorr"]))
    assert ours.keys() == theirs.keys()
    # A criterion that is right to 1e-6 leaves parameters right to about its square root, times their spread.
    for component, value in theirs.items():
        assert ours[component] == pytest.approx(value, rel=2e-3, abs=2e-3), component


def by_component(varcorr):
    """Standard deviations and correlations by factor (whatever the order of its columns) and effects."""
    cells = varcorr.fillna("").to_dict("records")
    effects = [{c.strip("()") for c in (row["var1"], row["var2"]) if c} for row in cells]
    return {
        (frozenset(row["grp"].split(".")[0].split(":")), frozenset(own)): row["sdcor"]
        for row, own in zip(cells, effects, strict=True)
    }


def by_statsmodels(formula, **arguments):
    """statsmodels' fit, carried on until its gradient vanishes: its default stops some digits earlier."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = smf.mixedlm(formula, STUDENTS, **arguments)
        first = model.fit(method=["bfgs", "powell"])
        return model.fit(start_params=first.params_object, method="bfgs", gtol=1e-8)


def assert_equals_statsmodels(fit, expected):
    """Numbers are equal to a stopping rule; patsy puts factors before numbers, so coefficients go by name."""
    assert fit.llf == pytest.approx(expected.llf, abs=1e-6)
    beta, se = expected.fe_params[fit.params.index], expected.bse_fe[fit.params.index]
    np.testing.assert_array_less(np.abs(fit.params - beta) / se, 1e-5)
    # statsmodels' standard errors allow for the covariance of coefficients and variances; lme4's and ours do not.
    np.testing.assert_allclose(fit.bse, se, rtol=0.005)
    assert fit.scale == pytest.approx(expected.scale, rel=1e-5)
    variances = [*np.diagonal(expected.cov_re), *expected.vcomp]
    np.testing.assert_allclose(np.sort(fit.vcomp), np.sort(variances), rtol=1e-4)
    np.testing.assert_allclose(fit.fittedvalues, expected.fittedvalues, atol=1e-4 * fit.sigma)


def test_row_1_any_table_goes_straight_in():
    strings = STUDENTS.assign(**{c: STUDENTS[c].astype(str) for c in STUDENTS if STUDENTS[c].dtype == "category"})
    tables = {
        "read_csv": pd.read_csv(io.StringIO(STUDENTS.to_csv(index=False))),
        "polars": pl.DataFrame(strings.to_dict("list")),
        "pyarrow": pa.table(strings.to_dict("list")),
        "dict": strings.to_dict("list"),
    }
    for name, table in tables.items():
        fit = jaxlmm.mixedlm(INTERCEPTS, table).fit()
        assert fit.objective == pytest.approx(fits(INTERCEPTS).objective, rel=1e-12), name
        assert list(fit.params.index) == ["Intercept", "age", "sex[T.M]"], name


def test_row_2_groups_as_in_statsmodels_and_besides_bars():
    fit = jaxlmm.mixedlm(FIXED, STUDENTS, groups=STUDENTS["student_id"]).fit()
    assert fit.formula == f"{FIXED} + (1 | student_id)"
    assert_equals_statsmodels(fit, by_statsmodels(FIXED, groups=STUDENTS["student_id"]))
    slope = jaxlmm.mixedlm(FIXED, STUDENTS, groups="school", re_formula="~age").fit()
    expected = by_statsmodels(FIXED, groups="school", re_formula="~age")
    assert_equals_statsmodels(slope, expected)
    np.testing.assert_allclose(slope.cov_re, expected.cov_re, rtol=1e-4)
    school = slope.random_effects["S07"]
    np.testing.assert_allclose(school, expected.random_effects["S07"], rtol=1e-3)
    assert_equals_lme4(fits(INTERCEPTS, groups="student_id"), "row6_student")


def test_row_3_random_intercepts_at_several_levels():
    assert_equals_lme4(fits(INTERCEPTS), "row3_intercepts")


def test_row_4_random_slopes_with_their_correlation():
    assert_equals_lme4(fits(f"{FIXED} + (age|classroom) + (1|school) + (1|province)"), "row4_slope_classroom")
    assert_equals_lme4(fits(SLOPES), "row4_slopes_all")


def test_row_5_interaction_grouping():
    assert_equals_lme4(fits(f"{FIXED} + (1|school/classroom_label)"), "row5_nested_labels")
    labels = fits(f"{FIXED} + (1|classroom_label) + (1|school:classroom_label)")
    assert_equals_lme4(labels, "row5_interaction_labels")
    assert not labels.certificate.flat

    twice = fits(f"{FIXED} + (1|classroom) + (1|school:classroom)")
    expected = case("unique_labels_sum")
    assert twice.objective == pytest.approx(expected["objective"], abs=1e-4)
    assert twice.vcomp.sum() == pytest.approx(expected["variance_sum"], rel=1e-4)
    assert len(twice.certificate.flat) == 1
    assert twice.converged
    (note,) = [line for line in str(twice.summary()).splitlines() if "only the sum" in line]
    assert "classroom" in note
    assert "school:classroom" in note


def test_row_6_a_further_crossed_factor():
    fit = jaxlmm.mixedlm(f"{INTERCEPTS} + (1|student_id)", STUDENTS).fit()
    assert_equals_lme4(fit, "row6_student")
    assert fit.n_groups["student_id"] == STUDENTS["student_id"].nunique()


def test_row_7_vc_formula_sets_structures_and_components():
    diagonal = tuple((level, "diag") for level in LEVELS)
    fit = fits(SLOPES, vc_formula=diagonal)
    assert_equals_lme4(fit, "row7_diag")
    assert fit.varcorr["var2"].isna().all()
    # With intercepts only there is no correlation to leave out, and 'unstructured' is what there is anyway.
    assert fits(INTERCEPTS, vc_formula=diagonal).formula == INTERCEPTS
    unstructured = dict.fromkeys(LEVELS, "unstructured")
    assert jaxlmm.mixedlm(SLOPES, STUDENTS, vc_formula=unstructured).formula == SLOPES

    arguments = {"groups": "school", "re_formula": "1", "vc_formula": {"classroom": "0 + C(classroom)"}}
    within = jaxlmm.mixedlm(FIXED, STUDENTS, **arguments).fit()
    assert within.formula == f"{FIXED} + (1 | school) + (1 | school:classroom)"
    assert_equals_statsmodels(within, by_statsmodels(FIXED, **arguments))
    assert within.objective == pytest.approx(case("row5_nested_labels")["objective"], abs=1e-4)


def test_row_8_re_formula_sets_effects_per_factor():
    intercepts = dict.fromkeys(LEVELS, "~1")
    assert jaxlmm.mixedlm(INTERCEPTS, STUDENTS, re_formula=intercepts).formula == INTERCEPTS
    assert_equals_lme4(fits(FIXED, re_formula=tuple(intercepts.items())), "row3_intercepts")
    slopes = tuple((level, "~age") for level in LEVELS)
    assert_equals_lme4(fits(FIXED, re_formula=slopes), "row4_slopes_all")
    one_string = jaxlmm.mixedlm(FIXED, STUDENTS, groups="school", re_formula="~age")
    assert one_string.formula == f"{FIXED} + (age | school)"
    with pytest.raises(jaxlmm.FormulaError, match=r"\(age \| school\).*\(1 \| school\)"):
        jaxlmm.mixedlm(INTERCEPTS, STUDENTS, re_formula={**intercepts, "school": "~age"})


def test_row_9_summary_and_attributes():
    fit, expected = fits(SLOPES), case("row4_slopes_all")
    text = str(fit.summary())
    for part in ("Fixed effects", "Estimate", "Std. Error", "Random effects", "Variance", "Std.Dev.", "Corr"):
        assert part in text
    for part in ("Residual", "classroom 132", "school 45", "province 12", "sex[T.M]", "normal", "Converged"):
        assert part in text
    assert "<table" in fit.summary()._repr_html_()
    assert f"{expected['beta']['age']:.4f}" in text

    assert isinstance(fit.params, pd.Series)
    assert list(fit.params.index) == list(fit.bse.index) == list(fit.pvalues.index)
    assert fit.conf_int().shape == (3, 2)
    assert list(fit.varcorr.columns) == ["grp", "var1", "var2", "vcov", "sdcor"]
    assert fit.cov_re.shape == (6, 6)
    province = fit.cov_re.loc[["province Intercept", "province age"], ["province Intercept", "province age"]]
    correlation = province.iloc[0, 1] / np.sqrt(np.prod(np.diagonal(province)))
    (theirs,) = [r["sdcor"] for r in expected["varcorr"] if r["grp"] == "province" and r["var2"]]
    assert correlation == pytest.approx(theirs, abs=2e-3)
    assert fit.scale == pytest.approx(expected["sigma"] ** 2, rel=1e-4)
    assert fit.ranef()["school"].shape == (45, 2)
    assert fit.n_groups.to_dict() == {"classroom": 132, "school": 45, "province": 12}
    assert fit.nobs == len(STUDENTS)
    assert fit.ddf == "normal"


FEATURES = [
    # what the formula writes, the same model with columns made by hand, coefficients
    ("age * sex", "age + male + am", ["Intercept", "sex[T.M]", "age", "age:sex[T.M]"]),
    ("age + C(sex, contr.sum)", "age + half", ["Intercept", "C(sex, contr.sum)[S.F]", "age"]),
    ("age + I(age**2) + sex", "age + a2 + male", ["Intercept", "age", "I(age ** 2)", "sex[T.M]"]),
    ("poly(age, 2) + sex", "age + a2 + male", None),
    ("bs(age, df=3, degree=3) + sex", "age + a2 + a3 + male", None),
    ("scale(age) + sex", "age + male", ["Intercept", "scale(age)", "sex[T.M]"]),
    ("log(age) + sex", "la + male", ["Intercept", "log(age)", "sex[T.M]"]),
    ("`age at test` + sex", "age + male", ["Intercept", "age at test", "sex[T.M]"]),
]


@pytest.fixture(scope="module")
def with_columns():
    age, male = STUDENTS["age"], (STUDENTS["sex"] == "M").astype(float)
    made = {"a2": age**2, "a3": age**3, "la": np.log(age), "male": male, "am": age * male, "half": 1 - 2 * male}
    return STUDENTS.assign(**made, **{"age at test": age})


def test_row_10_the_formula_language(with_columns):
    by_hand = {}
    for formula, columns, names in FEATURES:
        fit = jaxlmm.mixedlm(f"test_score ~ {formula}", with_columns, groups="school").fit(reml=False)
        if columns not in by_hand:
            model = jaxlmm.mixedlm(f"test_score ~ {columns}", with_columns, groups="school")
            by_hand[columns] = model.fit(reml=False)
        # The likelihood does not depend on how the space of the fixed effects is spanned.
        assert fit.objective == pytest.approx(by_hand[columns].objective, rel=1e-9), formula
        assert names is None or sorted(fit.params.index) == sorted(names), formula
        np.testing.assert_allclose(fit.fittedvalues, by_hand[columns].fittedvalues, atol=1e-5 * fit.sigma)
