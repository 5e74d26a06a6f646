"""broom.mixed's three tables: expected numbers from scipy, lme4, or arithmetic written out here."""

import numpy as np
import pytest
from scipy import stats

from tests.reference.loader import case
from tests.results.fits import CASES, REFERENCE, ROUNDING, fit, table

each_case = pytest.mark.parametrize("case_id", CASES)

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
    assert row["n_parameters"] == f.nobs - f.df_resid
    assert (row["converged"], row["is_singular"]) == (f.converged, f.is_singular)
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
