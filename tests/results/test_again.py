"""Fitting again: another response, another formula; and what does not change the fit."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

import jaxlmm
from jaxlmm import DataError, FormulaError, MixedModelResults
from tests.reference.loader import case, data
from tests.results.fits import CASES, MIXED, NUMERIC, REFERENCE, ROUNDING, fit, fitted, leaves, numbers, table

each_case = pytest.mark.parametrize("case_id", CASES)

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
        (np.zeros((180, 2)), "180"),
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
    (
        "sleep_ri",
        ". ~ . - (1 | Subject) + (0 + scale(log(Days + 1)) | Subject)",
        {},
        "Reaction ~ Days + (0 + scale(log(Days + 1)) | Subject)",
    ),
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


CODED = [
    # change, its arguments                          the same model from scratch
    (". ~ . - Machine", {}, "score ~ 1 + (1 | Worker)", {}),
    (". ~ . - Machine + C(Machine)", {}, "score ~ C(Machine) + (1 | Worker)", {"Machine": "contr.sum"}),
    (". ~ . - Machine + C(Machine, contr.helmert)", {}, "score ~ Machine + (1 | Worker)", {"Machine": "contr.helmert"}),
    (". ~ .", {"contrasts": {"Machine": "contr.poly"}}, "score ~ Machine + (1 | Worker)", {"Machine": "contr.poly"}),
    (". ~ .", {"contrasts": None}, "score ~ Machine + (1 | Worker)", {}),
]


@pytest.mark.parametrize(("change", "arguments", "formula", "contrasts"), CODED)
def test_contrasts_of_an_update(
    change: str, arguments: dict[str, Any], formula: str, contrasts: dict[str, str]
) -> None:
    base = jaxlmm.lmer("score ~ Machine + (1 | Worker)", data("machines"), contrasts={"Machine": "contr.sum"})
    updated = base.update(change, **arguments)
    wanted = jaxlmm.lmer(formula, data("machines"), contrasts=contrasts)
    assert updated.objective == pytest.approx(wanted.objective, abs=1e-7)
    np.testing.assert_allclose(updated.params, wanted.params, rtol=1e-6)


def test_update_of_a_trusted_formula_is_trusted() -> None:
    f = jaxlmm.lmer("Reaction ~ np.nan_to_num(Days) + (1 | Subject)", data("sleepstudy"), trusted=True)
    updated = f.update(". ~ . - (1 | Subject) + (0 + np.nan_to_num(Days) | Subject)")
    # Nothing is missing in Days, so that the function changes nothing.
    other = fitted("Reaction ~ Days + (0 + Days | Subject)", "sleepstudy")
    assert updated.objective == pytest.approx(other.objective, abs=1e-9)


@pytest.mark.parametrize(
    ("change", "arguments", "error", "word"),
    [
        ("Days", {}, FormulaError, "two sides"),
        (". ~ . - (0 + Days | Subject)", {}, FormulaError, "not in the model"),
        (". ~ . - (Days | Subject)", {}, FormulaError, "random"),
        (". ~ . + nothing", {}, DataError, r"nothing \+ \(Days \| Subject\)\n *\^"),
        (". ~ .", {"family": "poisson"}, DataError, "family"),
    ],
)
def test_updates_that_cannot_be_read(change: str, arguments: dict[str, Any], error: type, word: str) -> None:
    with pytest.raises(error, match=word):
        fit("sleep_max").update(change, **arguments)


# The object itself.


def test_update_on_other_data_and_without_a_formula(tmp_path) -> None:
    f, frame = fit("sleep_max"), table("sleep_max")
    assert f.update(reml=False).objective == pytest.approx(fit("sleep_max_ml").objective, abs=1e-6)
    half = f.update(data=frame[frame["Days"] < 5])
    assert (half.nobs, half.formula) == (90, f.formula)
    assert half.update(reml=False).nobs == 90
    f.save(tmp_path / "fit.npz")
    loaded = jaxlmm.load(tmp_path / "fit.npz")
    with pytest.raises(DataError, match="update\\(data="):
        loaded.update()
    assert loaded.update(data=frame).objective == pytest.approx(f.objective, abs=1e-6)
    weighted = f.update(weights=1.0 + frame["Days"])
    with pytest.raises(DataError, match=r"weights= as values.*update\(data="):
        weighted.update(data=frame)
    assert weighted.update(data=frame, weights=None).objective == pytest.approx(f.objective, abs=1e-6)


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
