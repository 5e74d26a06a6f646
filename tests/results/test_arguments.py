"""What a fit remembers of its weights, offsets and response when it meets new rows, a new response, or a file."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf

import jaxlmm
from jaxlmm import DataError
from tests.reference.loader import data

MODEL = "Reaction ~ Days + (1 | Subject)"
SLEEP = data("sleepstudy").assign(
    w=lambda f: 1.0 + f.Days,
    o=lambda f: 10.0 * np.sin(np.arange(len(f))),
    late=lambda f: f.Days > 4,
)


@pytest.fixture(scope="module")
def weighted():
    return jaxlmm.lmer(MODEL, SLEEP, weights="w")


@pytest.mark.parametrize(
    "offset", ["offset(center(o))", "offset(scale(o))", "offset(o)", "offset(o) + offset(center(Days))"]
)
def test_offsets_of_new_rows_keep_the_fits_state(offset, tmp_path):
    fit = jaxlmm.lmer(f"Reaction ~ Days + {offset} + (1 | Subject)", SLEEP)
    np.testing.assert_allclose(fit.predict(SLEEP.iloc[[0, 9, 77]]), fit.fittedvalues.iloc[[0, 9, 77]], rtol=1e-12)
    fit.save(tmp_path / "fit.npz")
    again = jaxlmm.load(tmp_path / "fit.npz")
    np.testing.assert_allclose(again.predict(SLEEP.iloc[[0, 9, 77]]), fit.fittedvalues.iloc[[0, 9, 77]], rtol=1e-12)


def test_prediction_intervals_use_the_weights_of_new_rows(weighted, tmp_path):
    own = weighted.predict(interval="prediction").iloc[[0, 9]]
    new = weighted.predict(SLEEP.iloc[[0, 9]], interval="prediction")
    pd.testing.assert_frame_equal(own, new, rtol=1e-10)
    weighted.save(tmp_path / "fit.npz")
    pd.testing.assert_frame_equal(
        jaxlmm.load(tmp_path / "fit.npz").predict(SLEEP.iloc[[0, 9]], interval="prediction"), new
    )
    # Var(y*) = Var(prediction) + sigma**2 / w, and w is 10 in the second row.
    narrow = weighted.predict(SLEEP.iloc[[9]], interval="confidence")
    half = ((frame.upper - frame.lower).iloc[0] / (2 * 1.959963984540054) for frame in (new.iloc[[1]], narrow))
    prediction, confidence = half
    assert prediction**2 - confidence**2 == pytest.approx(weighted.sigma**2 / 10, rel=1e-9)


def test_new_rows_without_the_weights(weighted):
    rows = SLEEP.iloc[:2].drop(columns="w")
    assert len(weighted.predict(rows, interval="confidence")) == 2
    with pytest.raises(DataError, match=r"'w'.*weights="):
        weighted.predict(rows, interval="prediction")
    with pytest.raises(DataError, match="must be positive"):
        weighted.predict(rows.assign(w=-1.0), interval="prediction")


def test_an_offset_column_is_found_in_new_rows():
    fit = jaxlmm.lmer(MODEL, SLEEP, offset="o")
    np.testing.assert_allclose(fit.predict(SLEEP.iloc[[3, 50]]), fit.fittedvalues.iloc[[3, 50]], rtol=1e-12)
    with pytest.raises(DataError, match="'o'"):
        fit.predict(SLEEP.iloc[:2].drop(columns="o"))


@pytest.mark.parametrize("name", ["weights", "offset"])
def test_values_cannot_be_found_in_new_rows(name, tmp_path):
    fit = jaxlmm.lmer(MODEL, SLEEP, **{name: SLEEP.w.to_numpy()})
    fit.save(tmp_path / "fit.npz")
    for result in (fit, jaxlmm.load(tmp_path / "fit.npz")):
        with pytest.raises(DataError, match=rf"{name}= as values.*column"):
            result.predict(SLEEP.iloc[:2], interval="prediction")


@pytest.mark.parametrize("response", ["Reaction", "log(Reaction)"])
def test_augment_after_refit_shows_what_was_fitted(response):
    fit = jaxlmm.lmer(f"{response} ~ Days + (1 | Subject)", SLEEP)
    new = 2.0 * SLEEP.Reaction.to_numpy() + 3.0
    table = fit.refit(new).augment()
    np.testing.assert_array_equal(table[response], new)
    np.testing.assert_allclose(table.fitted + table.resid, new, rtol=1e-12)
    assert ("Reaction" in table) == (response == "Reaction")


def test_augment_does_not_overwrite_columns():
    fit = jaxlmm.lmer("Reaction ~ resid + (1 | Subject)", SLEEP.rename(columns={"Days": "resid"}))
    with pytest.raises(DataError, match=r"'resid'.*rename"):
        fit.augment()


def test_refit_takes_one_draw_of_simulate(weighted):
    drawn = weighted.simulate(1, seed=3)
    assert weighted.refit(drawn).objective == weighted.refit(drawn[:, 0]).objective


@pytest.mark.parametrize(
    ("formula", "effects"),
    [("Reaction ~ Days:late", None), ("Reaction ~ 0 + late + Days", None), ("Reaction ~ Days * late", "~0 + late")],
)
def test_booleans_as_in_statsmodels(formula, effects):
    ours = jaxlmm.mixedlm(formula, SLEEP, groups="Subject", re_formula=effects).fit(reml=False)
    theirs = smf.mixedlm(formula, SLEEP, groups=SLEEP.Subject, re_formula=effects).fit(reml=False)
    assert ours.llf == pytest.approx(theirs.llf, rel=1e-7)
    assert sorted(ours.params.index) == sorted(theirs.fe_params.index)
    expected = theirs.fe_params[ours.params.index]
    np.testing.assert_allclose(ours.params, expected, atol=2e-3 * theirs.bse_fe.max())
    np.testing.assert_allclose(ours.predict(SLEEP.iloc[[0, 9]]), ours.fittedvalues.iloc[[0, 9]], rtol=1e-10)


def test_levels_of_another_kind_are_not_new_levels():
    """0 and 1 where the fit had False and True would otherwise be predicted as groups that nobody has seen."""
    fit = jaxlmm.lmer("Reaction ~ Days + (1 | late) + (1 | Subject)", SLEEP)
    rows = SLEEP.iloc[[0, 9]]
    np.testing.assert_allclose(fit.predict(rows), fit.fittedvalues.iloc[[0, 9]], rtol=1e-12)
    for allowed in (False, True):
        with pytest.raises(DataError, match=r"'late'.*booleans in the fit and numbers in newdata.*astype\(bool\)"):
            fit.predict(rows.assign(late=rows.late.astype(int)), allow_new_levels=allowed)
        with pytest.raises(DataError, match=r"'Subject'.*text in the fit and numbers"):
            fit.predict(rows.assign(Subject=[1, 2]), allow_new_levels=allowed)
    assert len(fit.predict(rows.assign(Subject="someone"), allow_new_levels=True)) == 2


def test_arithmetic_on_booleans_says_how_to_get_numbers():
    with pytest.raises(jaxlmm.FormulaError, match=r"booleans.*astype\(int\)"):
        jaxlmm.lmer("Reaction ~ I(late * 2) + (1 | Subject)", SLEEP)
