"""Marginal means, trends and their contrasts against R's emmeans: `tests/reference/inference/emmeans.json`.

Estimates and standard errors are exact but for theta (1e-7); degrees of freedom have lmerTest's numerical error (1e-5 to
1e-4); p-values and limits follow. Tukey's are integrals, which R and scipy compute to about 1e-6.
"""

from typing import Any

import numpy as np
import pandas as pd
import pytest

import jaxlmm
from jaxlmm import DataError
from jaxlmm.results.emmeans import EMMeans
from tests.inference.models import column, fitted, numbers
from tests.reference.loader import data

EXACT, DF = 1e-6, 2e-4
DDF = {"satterthwaite": "satterthwaite", "kenward-roger": "kenward-roger", "asymptotic": "normal"}
METHODS = {"pairwise": "pairwise", "eff": "sum", "trt.vs.ctrl": "trt.vs.ctrl", "poly": "poly"}
ADJUSTMENTS = ("none", "tukey", "holm", "bonferroni", "sidak", "fdr")
CASES = numbers("emmeans")["cases"]

MEANS = [
    (case, name)
    for case, found in CASES.items()
    for name, means in found["means"].items()
    if means["weights"] in ("equal", "proportional")
]


def variables(text: str) -> tuple[list[str], list[str]]:
    """R's ~a * b | c."""
    specs, _, by = text.removeprefix("~").partition("|")
    return [part.strip().replace("nitro_f", "nitro") for part in specs.split("*")], [
        by.strip().replace("nitro_f", "nitro")
    ] * bool(by)


def means_of(case: str, name: str, ddf: str, type_: str = "link") -> EMMeans:
    known = CASES[case]["means"][name]
    specs, by = variables(known["spec"])
    fit = fitted(CASES[case]["fit"])
    return fit.emmeans(specs, by=by, at=known.get("at"), weights=known["weights"], type=type_, ddf=DDF[ddf])


def keyed(rows: list[dict[str, Any]], names: list[str]) -> list[tuple[str, ...]]:
    return [tuple(plain(row.get(name, row.get(f"{name}_f"))) for name in names) for row in rows]


def plain(value: Any) -> str:
    try:
        return f"{float(value):g}"
    except (TypeError, ValueError):
        return str(value)


def in_order(ours: pd.DataFrame, rows: list[dict[str, Any]], names: list[str]) -> list[dict[str, Any]]:
    """R's rows in our order, which differs where there are several variables."""
    place: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for key, row in zip(keyed(rows, names), rows, strict=True):
        place.setdefault(key, []).append(row)
    return [place[tuple(plain(value) for value in key)].pop(0) for key in ours[names].itertuples(index=False)]


def assert_rows(ours: pd.DataFrame, rows: list[dict[str, Any]], estimate: str, suffix: str = "") -> None:
    scale = np.abs(column(rows, "estimate")).max()
    np.testing.assert_allclose(ours[estimate], column(rows, "estimate"), rtol=EXACT, atol=EXACT * scale)
    np.testing.assert_allclose(ours["std_error"], column(rows, "SE"), rtol=EXACT)
    np.testing.assert_allclose(ours["df"], column(rows, "df"), rtol=DF)
    for mine, theirs in (("conf_low", f"lower{suffix}"), ("conf_high", f"upper{suffix}")):
        if theirs in rows[0]:
            np.testing.assert_allclose(ours[mine], column(rows, theirs), atol=2e-5 * scale, err_msg=theirs)


@pytest.mark.parametrize(("case", "name"), MEANS)
@pytest.mark.parametrize("ddf", DDF)
def test_means_and_contrasts(case: str, name: str, ddf: str) -> None:
    known = CASES[case]["means"][name]["ddf"][ddf]
    specs, by = variables(CASES[case]["means"][name]["spec"])
    means = means_of(case, name, ddf)
    assert_rows(means.frame, in_order(means.frame, known["emmeans"], [*specs, *by]), "emmean")
    for theirs, method in METHODS.items():
        if theirs not in known.get("contrasts", {}):
            continue
        for adjust in ADJUSTMENTS if ddf == "satterthwaite" else ("none",):
            if f"p_{adjust}" not in known["contrasts"][theirs][0]:
                continue
            ours = means.contrast(method, adjust=adjust)
            rows = in_order(ours, known["contrasts"][theirs], by)
            assert_rows(ours, rows, "estimate", f"_{adjust}")
            np.testing.assert_allclose(ours["statistic"], column(rows, "t"), rtol=EXACT, atol=1e-6)
            np.testing.assert_allclose(ours["p_value"], column(rows, f"p_{adjust}"), rtol=1e-2, atol=2e-6)


@pytest.mark.parametrize("name", CASES["chickweight_log"]["means"])
def test_back_on_the_scale_of_the_response(name: str) -> None:
    known = CASES["chickweight_log"]["means"][name]
    found = known["ddf"]["satterthwaite"]["response"]
    specs, by = variables(known["spec"])
    means = means_of("chickweight_log", name, "satterthwaite", "response")
    assert_rows(means.frame, in_order(means.frame, found["emmeans"], [*specs, *by]), "response")
    for adjust in ("none", "tukey", "bonferroni"):
        ours = means.pairs(adjust=adjust)
        rows = in_order(ours, found["contrasts"]["pairwise"], by)
        assert_rows(ours, rows, "estimate", f"_{adjust}")
        np.testing.assert_allclose(ours["p_value"], column(rows, f"p_{adjust}"), rtol=1e-2, atol=2e-6)
    assert means.pairs()["contrast"].iloc[0] == "1 / 2"


@pytest.mark.parametrize("case", [case for case, found in CASES.items() if "emtrends" in found])
@pytest.mark.parametrize("ddf", DDF)
def test_trends(case: str, ddf: str) -> None:
    known = CASES[case]["emtrends"]
    specs, _ = variables(known["spec"])
    trends = fitted(CASES[case]["fit"]).emtrends(specs, known["var"], ddf=DDF[ddf])
    name, found = f"{known['var']}.trend", known["ddf"][ddf]
    assert_rows(trends.frame, in_order(trends.frame, found["emtrends"], specs), name)
    assert_rows(trends.pairs(adjust="none"), found["contrasts"]["pairwise"], "estimate", "_none")


@pytest.mark.parametrize(
    "case", [case for case, found in CASES.items() if case in ("cake", "oats_factor", "machines", "cake_unbalanced")]
)
def test_joint_tests(case: str) -> None:
    """F and its first degrees of freedom; emmeans' second ones are by a rule of its own where rows differ in theirs."""
    fit, rows = fitted(CASES[case]["fit"]), CASES[case]["joint_tests"]["satterthwaite"]
    factors = [row["term"].replace("nitro_f", "nitro") for row in rows if ":" not in row["term"]]
    ours = fit.emmeans(factors).joint_tests()
    assert ours["term"].tolist() == [row["term"].replace("nitro_f", "nitro") for row in rows]
    np.testing.assert_array_equal(ours["num_df"], column(rows, "df1"))
    np.testing.assert_allclose(ours["F"], column(rows, "F"), rtol=1e-5)
    if case != "cake_unbalanced":
        np.testing.assert_allclose(ours["den_df"], column(rows, "df2"), rtol=DF)
    same = fit.anova(type=3)
    np.testing.assert_allclose(ours[["num_df", "F"]], same[["num_df", "F"]], rtol=1e-6)
    # Satterthwaite's for several rows depend a little on which rows span the hypothesis.
    np.testing.assert_allclose(ours["den_df"], same["den_df"], rtol=1e-4)


def test_joint_tests_within_levels() -> None:
    fit = fitted(CASES["oats_factor"]["fit"])
    ours = fit.emmeans("nitro", by="Variety", ddf="kenward-roger").joint_tests()
    rows = in_order(ours, CASES["oats_factor"]["joint_tests_by"]["Variety"]["kenward-roger"], ["Variety"])
    np.testing.assert_allclose(ours["F"], column(rows, "F"), rtol=1e-5)
    np.testing.assert_allclose(ours["den_df"], column(rows, "df2"), rtol=DF)


def test_simple_comparisons_are_those_within_the_others() -> None:
    fit = fitted(CASES["oats_factor"]["fit"])
    within = fit.emmeans(["nitro", "Variety"]).pairs(simple="nitro").sort_values(["Variety", "contrast"])
    by = fit.emmeans("nitro", by="Variety").pairs().sort_values(["Variety", "contrast"])
    columns = ["estimate", "std_error", "df", "p_value"]
    np.testing.assert_allclose(within[columns], by[columns], rtol=1e-12, atol=1e-14)


def test_scaled_covariates_are_asked_for_in_their_own_units() -> None:
    oats = jaxlmm.load_dataset("oats")
    plain_fit = jaxlmm.lmer("yield ~ nitro + Variety + (1 | Block)", oats)
    scaled = jaxlmm.lmer("yield ~ scale(nitro) + Variety + (1 | Block)", oats)
    for at in ({"nitro": [0.1, 0.5]}, None):
        first, second = (fit.emmeans("Variety", by="nitro", at=at).frame for fit in (plain_fit, scaled))
        np.testing.assert_allclose(first["emmean"], second["emmean"], rtol=1e-9)
    np.testing.assert_allclose(
        plain_fit.emtrends("Variety", "nitro").frame["nitro.trend"],
        scaled.emtrends("Variety", "nitro").frame["nitro.trend"],
        rtol=1e-8,
    )


def test_means_that_the_data_do_not_determine() -> None:
    cake = jaxlmm.load_dataset("cake")
    cake = cake[(cake["recipe"] != "C") | (cake["temperature"].astype(str) != "225")]
    fit = jaxlmm.lmer("angle ~ recipe * temperature + (1 | recipe:replicate)", cake)
    frame = fit.emmeans("recipe", by="temperature").frame
    unknown = frame["emmean"].isna()
    assert frame[unknown][["recipe", "temperature"]].astype(str).to_numpy().tolist() == [["C", "225"]]
    seen = cake.groupby(["recipe", "temperature"], observed=True)["angle"].mean()
    ours = frame[~unknown].set_index(["recipe", "temperature"])["emmean"]
    np.testing.assert_allclose(ours.loc[("A", cake["temperature"].iloc[0])], seen.iloc[0])


@pytest.mark.parametrize(
    ("question", "words"),
    [
        (lambda f: f.emmeans("variety"), "'nitro', 'Variety'"),
        (lambda f: f.emmeans("Variety", at={"Block": ["I"]}), "Block"),
        (lambda f: f.emmeans("Variety", by="Variety"), "none in both"),
        (lambda f: f.emmeans("Variety", type="response"), "leave type out"),
        (lambda f: f.emmeans("Variety", weights="cells"), "proportional"),
        (lambda f: f.emmeans("Variety", mode="kr"), "ddf="),
        (lambda f: f.emmeans("Variety").contrast("sum", adjust="tukey"), "all pairs"),
        (lambda f: f.emmeans("Variety").pairs(adjust="scheffe"), "'holm'"),
        (lambda f: f.emmeans("Variety").contrast("helmert"), "'trt.vs.ctrl'"),
        (lambda f: f.emmeans("Variety").contrast([1, -1]), "give 3 numbers"),
        (lambda f: f.emmeans("Variety").pairs(simple="nitro"), "'Variety'"),
        (lambda f: f.emtrends("nitro", "Variety"), "numeric"),
        (lambda f: f.emtrends("nitro", "nitro"), "name it once"),
    ],
)
def test_questions_that_mean_nothing(question: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        question(fitted(CASES["oats"]["fit"]))


def test_slopes_that_are_one_and_the_same() -> None:
    """Without an interaction every level has the coefficient as its slope, and their differences are zero for certain."""
    cake = data("cake").assign(temp=lambda d: d["temperature"].astype(float))
    fit = jaxlmm.lmer("angle ~ recipe + temp + (1 | recipe:replicate)", cake)
    trends = fit.emtrends("recipe", "temp")
    np.testing.assert_allclose(trends.frame["temp.trend"], fit.params["temp"], rtol=1e-9)
    differences = trends.pairs()
    np.testing.assert_allclose(differences["estimate"], 0.0, atol=1e-12)
    np.testing.assert_allclose(differences["std_error"], 0.0, atol=1e-12)


@pytest.mark.parametrize(
    ("specs", "instead"),
    [("~ Machine", r"emmeans\('Machine'\), or"), ("pairwise ~ Machine", r"'Machine'\)\.pairs\(\)")],
)
def test_formulas_of_r_are_told_what_to_write(specs: str, instead: str) -> None:
    fit = jaxlmm.lmer("score ~ Machine + (1 | Worker)", jaxlmm.load_dataset("machines"))
    with pytest.raises(DataError, match=instead):
        fit.emmeans(specs)
