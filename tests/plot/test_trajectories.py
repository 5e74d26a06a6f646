"""Trajectories: lines where fitted values depend on the axis alone, hollow markers elsewhere."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

import jaxlmm
from jaxlmm import plot
from tests.plot.drawn import curves, legend_of, scatters
from tests.reference.loader import case, data


def test_lines(sleep: Any) -> None:
    """lme4's β̂ + b̂ of each subject, β̂ of the population, and the rows."""
    reference, rows = case("sleep_max"), data("sleepstudy")
    beta = list(reference["beta"].values())
    modes = pd.DataFrame(reference["ranef"]).pivot(index="grp", columns="term", values="condval")
    axes = plot.trajectories(sleep)
    assert [ax.get_title() for ax in axes] == sorted(modes.index)
    days = np.arange(10)
    for ax in axes:
        mode = modes.loc[ax.get_title()]
        population, own = curves(ax)
        np.testing.assert_allclose(population, np.column_stack([days, beta[0] + beta[1] * days]), rtol=1e-6)
        line = beta[0] + mode["(Intercept)"] + (beta[1] + mode["Days"]) * days
        np.testing.assert_allclose(own, np.column_stack([days, line]), rtol=1e-5)
        mine = rows[rows["Subject"] == ax.get_title()]
        np.testing.assert_allclose(scatters(ax)[0], mine[["Days", "Reaction"]])
    figure = axes[0].figure
    assert legend_of(figure) == ["observed", "fitted line", "population's line"]
    assert (figure.get_supxlabel(), figure.get_supylabel()) == ("Days", "Reaction")


def test_some_levels(sleep: Any) -> None:
    table = plot.data.trajectories(sleep, levels=["309", "308"])
    assert list(dict.fromkeys(table["level"])) == ["309", "308"]
    axes = plot.trajectories(sleep, levels=["309", "308"])
    assert axes[0].figure.get_supxlabel() == "Days\nSubject: 2 of 18 levels"
    _, ax = plt.subplots()
    assert plot.trajectories(sleep, levels=["308"], ax=ax) is ax
    assert "1 of 18" in ax.get_xlabel()
    np.testing.assert_allclose(scatters(ax)[0][:, 1], data("sleepstudy")["Reaction"][:10])
    assert len(curves(ax)) == 1


@pytest.fixture(scope="module")
def crossed() -> pd.DataFrame:
    """Persons and items; dose varies within persons, sex between them."""
    rng = np.random.default_rng(4)
    person, item = np.repeat(np.arange(15), 8), np.tile(np.arange(8), 15)
    return pd.DataFrame(
        {
            "y": rng.normal(size=15)[person] + rng.normal(size=8)[item] + rng.normal(size=120),
            "time": rng.normal(size=120),
            "dose": rng.integers(0, 2, 120).astype(str),
            "sex": np.where(person % 2, "f", "m"),
            "base": rng.normal(size=120),
            "person": person.astype(str),
            "item": item.astype(str),
        }
    )


ALONG = {
    # formula: whether fitted values, and the population's, depend on time alone within a person
    "y ~ time + (1 | person)": (True, True),
    "y ~ time + I(time**2) + sex + (1 | person)": (True, True),
    "y ~ time + dose + (1 | person)": (False, False),
    "y ~ time + (1 | person) + (1 | item)": (False, True),
    "y ~ time + (1 + dose | person)": (False, True),
    "y ~ time + offset(base) + (1 | person)": (False, False),
    "y ~ time + (1 | sex/person)": (True, True),
}


@pytest.mark.parametrize("formula", ALONG)
def test_what_is_a_line(crossed: pd.DataFrame, formula: str) -> None:
    fit = jaxlmm.lmer(formula, crossed)
    table = plot.data.trajectories(fit)
    assert (table["fitted_along"].all(), table["fixed_along"].all()) == ALONG[formula]
    ax = plot.trajectories(fit)[0]
    assert len(curves(ax)) == sum(ALONG[formula])
    hollow = [part for part in ax.collections if len(part.get_facecolors()) == 0]
    assert len(hollow) == 2 - sum(ALONG[formula])
    said = legend_of(ax.figure)
    assert ("fitted line" in said, "population's line" in said) == ALONG[formula]
    assert sum("not only time varies" in text for text in said) == len(hollow)


def test_numbers_below_every_column(crossed: pd.DataFrame) -> None:
    """15 panels in six columns: the last three columns end a row higher."""
    axes = plot.trajectories(jaxlmm.lmer("y ~ time + (1 | person)", crossed))
    below = [ax.xaxis.get_major_ticks()[0].label1.get_visible() for ax in axes]
    assert below == [False] * 9 + [True] * 6


def test_numbers_of_levels_are_no_axis(crossed: pd.DataFrame) -> None:
    """Persons and items that are numbered, and a time that is drawn along because it is the only quantity."""
    frame = crossed.astype({"person": int, "item": int})
    fit = jaxlmm.lmer("y ~ time + (1 | person) + (1 | item)", frame)
    assert plot.data.asked.numeric_columns(fit, "person") == ["time"]
    np.testing.assert_allclose(np.sort(plot.data.trajectories(fit)["x"]), np.sort(crossed["time"]))


def test_a_saved_fit(sleep: Any, tmp_path: Any) -> None:
    """Rows that were saved are drawn as those that were fitted."""
    sleep.save(tmp_path / "fit.npz", rows=True)
    again = jaxlmm.load(tmp_path / "fit.npz")
    ours, theirs = plot.data.trajectories(again), plot.data.trajectories(sleep)
    assert list(ours["level"]) == list(theirs["level"])
    np.testing.assert_allclose(ours[["x", "observed"]], data("sleepstudy")[["Days", "Reaction"]])
