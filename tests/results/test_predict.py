"""Predictions and their intervals, held against the mixed-model equations written out dense (fits.Henderson).

Tolerances: `Henderson` stands at lme4's covariance parameters, which agree with ours to 3e-5 in theta; a variance is
at most quadratic in those, and REFERENCE = 1e-4 of the largest leaves room for both.
"""

from functools import cache
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import stats

from jaxlmm import DataError, MixedModelResults
from tests.reference.loader import case, data
from tests.results.fits import CASES, REFERENCE, ROUNDING, Henderson, fit, fitted, model_columns, table

each_case = pytest.mark.parametrize("case_id", CASES)
henderson = cache(Henderson)

NEW_LEVEL = {"sleep_max": "Subject", "machines_nested": "Worker", "penicillin": "plate"}
FACTORS = {"sleep_max": ["Subject"], "machines_nested": ["Machine:Worker", "Worker"], "penicillin": ["plate", "sample"]}


def new_rows(case_id: str) -> pd.DataFrame:
    """As many rows as the data has, in another order, some of a level that the fit has not seen."""
    frame = table(case_id).sample(frac=1.0, random_state=3)
    if "Days" in frame:
        frame["Days"] = frame["Days"] * 1.5 - 2.0
    column = NEW_LEVEL[case_id]
    frame[column] = np.where(np.arange(len(frame)) % 7 == 2, "never seen", frame[column])
    return frame.drop(columns=case(case_id)["formula"].split(" ~ ", maxsplit=1)[0])


@each_case
def test_predictions_of_the_data_are_the_fitted_values(case_id: str) -> None:
    f, frame = fit(case_id), table(case_id)
    np.testing.assert_array_equal(f.predict(), f.fittedvalues)
    for rows in (frame, pl.from_pandas(frame), nw.from_native(frame), frame.to_dict(orient="list")):
        np.testing.assert_allclose(f.predict(rows), f.fittedvalues, rtol=1e-13)
    backwards = f.predict(frame[::-1])
    assert backwards.index.equals(frame[::-1].index)
    np.testing.assert_allclose(backwards.sort_index(), f.fittedvalues, rtol=1e-13)
    assert isinstance(f.predict(frame), pd.Series)


@each_case
def test_predictions_without_random_effects_are_x_beta(case_id: str) -> None:
    f, frame = fit(case_id), table(case_id)
    x, _ = model_columns(case_id, frame)
    mean = x @ f.params.to_numpy()
    np.testing.assert_allclose(f.predict(random=False), mean, rtol=1e-13)
    # Grouping factors are not needed then, nor their columns where they are not fixed effects as well.
    only = frame[["Days"]] if case_id == "sleep_max" else frame
    np.testing.assert_allclose(f.predict(only, random=False), mean, rtol=1e-13)


@each_case
def test_predictions_with_some_factors_add_their_modes(case_id: str) -> None:
    f, frame = fit(case_id), table(case_id)
    x, blocks = model_columns(case_id, frame)
    for block in blocks:
        wanted = x @ f.params.to_numpy() + np.einsum("rk,rk->r", block.z, f.ranef()[block.name].loc[block.labels])
        np.testing.assert_allclose(f.predict(random=[block.name]), wanted, rtol=1e-13)
        np.testing.assert_allclose(f.predict(frame, random=[block.name]), wanted, rtol=1e-13)
    np.testing.assert_allclose(f.predict(random=FACTORS[case_id]), f.predict(), rtol=1e-14)
    np.testing.assert_allclose(f.predict(random=[]), f.predict(random=False), rtol=1e-14)


def included(case_id: str, random: bool | int) -> list[str]:
    if isinstance(random, bool):
        return FACTORS[case_id] if random else []
    return [FACTORS[case_id][random]]


CHOICES = [
    *((case_id, random) for case_id in CASES for random in (True, False)),
    *(("machines_nested", 0), ("penicillin", 1)),
]


@pytest.mark.parametrize("new", [False, True], ids=["data", "new"])
@pytest.mark.parametrize("interval", ["confidence", "prediction"])
@pytest.mark.parametrize(("case_id", "random"), CHOICES)
def test_intervals_are_those_of_the_mixed_model_equations(
    case_id: str, random: bool | int, interval: str, new: bool
) -> None:
    f = fit(case_id)
    rows = new_rows(case_id) if new else table(case_id)
    factors = included(case_id, random)
    value, variance = henderson(case_id).predict(rows, factors, interval)
    answer = f.predict(
        rows if new else None,
        random=random if isinstance(random, bool) else factors,
        interval=interval,
        allow_new_levels=True,
    )
    assert list(answer.columns) == ["prediction", "lower", "upper"]
    assert answer.index.equals(rows.index)
    np.testing.assert_allclose(answer["prediction"], value, atol=REFERENCE * np.sqrt(variance.max()))
    half = stats.norm.ppf(0.975) * np.sqrt(variance)
    tolerance = REFERENCE * half.max()
    np.testing.assert_allclose(answer["prediction"] - answer["lower"], half, rtol=0, atol=tolerance)
    np.testing.assert_allclose(answer["upper"] - answer["prediction"], half, rtol=0, atol=tolerance)


@each_case
def test_interval_without_random_effects_is_that_of_the_coefficients(case_id: str) -> None:
    f, frame = fit(case_id), table(case_id)
    x, _ = model_columns(case_id, frame)
    se = np.sqrt(np.einsum("ri,ij,rj->r", x, f.cov_params().to_numpy(), x))
    answer = f.predict(random=False, interval="confidence", level=0.8)
    np.testing.assert_allclose(answer["upper"] - answer["prediction"], stats.norm.ppf(0.9) * se, rtol=1e-9)


@each_case
def test_unseen_levels(case_id: str) -> None:
    f, rows = fit(case_id), new_rows(case_id)
    with pytest.raises(DataError, match="never seen"):
        f.predict(rows)
    unseen = rows[NEW_LEVEL[case_id]] == "never seen"
    value = f.predict(rows, allow_new_levels=True)
    # A new level of one factor has mode zero; what the other factors know about the row still counts.
    known = [name for name in FACTORS[case_id] if NEW_LEVEL[case_id] not in name.split(":")]
    old = f.predict(rows, random=known)
    np.testing.assert_allclose(value[unseen], old[unseen], rtol=1e-13)
    np.testing.assert_allclose(value[~unseen], f.predict(rows[~unseen]), rtol=1e-13)


def test_a_new_level_of_one_factor_leaves_the_other_alone() -> None:
    f = fit("penicillin")
    rows = pd.DataFrame({"plate": ["new", "a"], "sample": ["A", "new"]})
    modes = f.ranef()
    wanted = f.params["Intercept"] + np.array(
        [modes["sample"].loc["A", "Intercept"], modes["plate"].loc["a", "Intercept"]]
    )
    np.testing.assert_allclose(f.predict(rows, allow_new_levels=True), wanted, rtol=1e-13)


def test_intervals_do_not_depend_on_the_company_of_a_row() -> None:
    f, frame = fit("sleep_max"), table("sleep_max")
    twice = pd.concat([frame, frame], ignore_index=True)
    assert len(twice) > 256, "more than one chunk"
    answer = f.predict(twice, interval="confidence")
    own = f.predict(interval="confidence")
    np.testing.assert_allclose(answer, np.vstack([own, own]), rtol=ROUNDING)


def test_offset_in_new_data() -> None:
    f = fit("sleep_offset")
    rows = table("sleep_offset")
    np.testing.assert_allclose(f.predict(rows), f.fittedvalues, rtol=1e-13)
    np.testing.assert_allclose(f.predict(rows, random=False), f.params["Intercept"] + 10.0 * rows["Days"], rtol=1e-13)


STATEFUL = [
    ("Reaction ~ poly(Days, 2) + (1 | Subject)", "sleepstudy"),
    ("Reaction ~ scale(Days) + (scale(Days) | Subject)", "sleepstudy"),
    ("Reaction ~ center(Days) + (1 | Subject)", "sleepstudy"),
    ("Reaction ~ 0 + bs(Days, df=3) + (1 | Subject)", "sleepstudy"),
    ("angle ~ C(recipe, contr.sum) + (1 | recipe:replicate)", "cake"),
]


def some(f: MixedModelResults, rows: Any) -> None:
    subset = f.predict(rows)
    np.testing.assert_allclose(subset, f.fittedvalues[rows.index], rtol=1e-12)


@pytest.mark.parametrize(("formula", "dataset"), STATEFUL)
def test_new_data_is_encoded_as_the_old_was(formula: str, dataset: str) -> None:
    f, frame = fitted(formula, dataset), data(dataset)
    # One level of each factor only, and a range of its own: means, knots and levels are the fit's.
    some(f, frame.iloc[2:5])
    some(f, frame.iloc[[17]])
    some(f, frame.iloc[::-1])


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda t: t.drop(columns="Days"), "Days"),
        (lambda t: t.drop(columns="Subject"), "Subject"),
        (lambda t: t.assign(Days=np.nan), "Days"),
        (lambda t: t.assign(Days="a"), "Days"),
        (lambda t: t.assign(Subject="nobody"), "nobody"),
    ],
)
def test_new_data_that_cannot_be_used(change: Any, word: str) -> None:
    with pytest.raises(DataError, match=word):
        fit("sleep_max").predict(change(table("sleep_max")))


def test_prediction_interval_of_a_weighted_fit() -> None:
    f = fitted("Reaction ~ Days + (1 | Subject)", "sleepstudy", weights="w")
    both = [f.predict(interval=interval) for interval in ("confidence", "prediction")]
    half = [(answer["upper"] - answer["prediction"]).to_numpy() / stats.norm.ppf(0.975) for answer in both]
    # A new response on the rows of the fit has the weight of its row: Var = sigma**2 / w.
    np.testing.assert_allclose(half[1] ** 2 - half[0] ** 2, f.scale / table("sleep_weights")["w"], rtol=1e-9)
