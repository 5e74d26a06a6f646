"""Plots of random effects draw lme4's modes with their intervals, and each level's own least squares."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.patches import FancyArrowPatch
from scipy import stats

import jaxlmm
from jaxlmm import plot
from tests.plot.drawn import legend_of, scatters, segments, texts
from tests.reference.loader import case, data

QUANTILE = {0.95: 1.959963984540054, 0.9: 1.6448536269514722}


@pytest.fixture(scope="module")
def modes() -> pd.DataFrame:
    """lme4's conditional modes and standard deviations: level by (condval | condsd, effect)."""
    table = pd.DataFrame(case("sleep_max")["ranef"])
    table["term"] = table["term"].replace("(Intercept)", "Intercept")
    return table.pivot(index="grp", columns="term", values=["condval", "condsd"])


@pytest.mark.parametrize(("effects", "level"), [(None, 0.95), ("Days", 0.9), (["Days", "Intercept"], 0.9)])
def test_caterpillar(sleep: Any, modes: pd.DataFrame, effects: Any, level: float) -> None:
    names = ["Intercept", "Days"] if effects is None else [effects] if isinstance(effects, str) else effects
    axes = np.ravel(plot.caterpillar(sleep, effects=effects, level=level))
    order = modes["condval"][names[0]].sort_values().index
    assert [tick.get_text() for tick in axes[0].get_yticklabels()] == list(order)
    for ax, name in zip(axes, names, strict=True):
        value, error = (modes[what].loc[order, name].to_numpy() for what in ("condval", "condsd"))
        (points,) = scatters(ax)
        points, ends = points[points[:, 1].argsort()], segments(ax)
        ends = ends[ends[:, 0, 1].argsort()]
        np.testing.assert_allclose(points[:, 1], np.arange(18))
        np.testing.assert_allclose(points[:, 0], value, rtol=1e-5, atol=1e-4)
        np.testing.assert_allclose(ends[:, :, 1], np.repeat(np.arange(18), 2).reshape(18, 2))
        np.testing.assert_allclose(ends[:, 0, 0], value - QUANTILE[level] * error, rtol=1e-5, atol=1e-4)
        np.testing.assert_allclose(ends[:, 1, 0], value + QUANTILE[level] * error, rtol=1e-5, atol=1e-4)
        assert (ax.get_title(), ax.get_xlabel()) == (name, f"conditional mode, {100 * level:.0f} % interval")


def test_normal_quantiles(sleep: Any, modes: pd.DataFrame) -> None:
    """Sorted modes at Φ⁻¹((i - 1/2)/18), and the line through both quartiles."""
    ax = plot.ranef_qq(sleep, effects="Days")
    value = np.sort(modes["condval"]["Days"])
    normal = stats.norm.ppf((np.arange(1, 19) - 0.5) / 18)
    (points,) = scatters(ax)
    points = points[points[:, 0].argsort()]
    np.testing.assert_allclose(points, np.column_stack([normal, value]), rtol=1e-5, atol=1e-4)
    line = ax.lines[0]
    (low, high), (left, right) = np.percentile(value, [25, 75]), np.percentile(normal, [25, 75])
    assert line.get_xy1() == pytest.approx((left, low), rel=1e-4)
    assert line.get_slope() == pytest.approx((high - low) / (right - left), rel=1e-4)
    np.testing.assert_allclose(np.ptp(segments(ax)[:, :, 1], axis=1), 2 * 1.959964 * modes["condsd"]["Days"], rtol=1e-4)


def test_shrinkage(sleep: Any, modes: pd.DataFrame) -> None:
    """All fixed effects vary by subject, so what one says alone is its own regression line; arrows go to β̂ + b̂."""
    ax = plot.shrinkage(sleep)
    beta = pd.Series(case("sleep_max")["beta"]).rename({"(Intercept)": "Intercept"})
    rows = data("sleepstudy")
    own = {s: np.polyfit(part["Days"], part["Reaction"], 1)[::-1] for s, part in rows.groupby("Subject")}
    own_points = np.array([own[s] for s in modes.index])
    mixed = modes["condval"][["Intercept", "Days"]].to_numpy() + beta[["Intercept", "Days"]].to_numpy()
    within, shrunken, population = scatters(ax)
    np.testing.assert_allclose(within, own_points, rtol=1e-8)
    np.testing.assert_allclose(shrunken, mixed, rtol=1e-5)
    np.testing.assert_allclose(population, [beta[["Intercept", "Days"]]], rtol=1e-8)
    arrows = [patch for patch in ax.get_children() if isinstance(patch, FancyArrowPatch)]
    ends = np.array([patch._posA_posB for patch in arrows])
    np.testing.assert_allclose(ends[:, 0], own_points, rtol=1e-8)
    np.testing.assert_allclose(ends[:, 1], mixed, rtol=1e-5)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("Subject: Intercept", "Subject: Days")
    assert legend_of(ax) == ["within group", "mixed model", "population"]


def test_shrinkage_of_one_effect() -> None:
    """Dyestuff: batch means along the levels in their order, drawn to the mean by n/(n + 1/θ²)."""
    fit, rows = jaxlmm.lmer("Yield ~ 1 + (1 | Batch)", data("dyestuff")), data("dyestuff")
    means = rows.groupby("Batch")["Yield"].mean().sort_values()
    share = 5 / (5 + 1 / case("dyestuff")["theta"][0] ** 2)
    ax = plot.shrinkage(fit)
    within, mixed = scatters(ax)
    np.testing.assert_allclose(within, np.column_stack([means, np.arange(6)]))
    np.testing.assert_allclose(mixed[:, 0], 1527.5 + share * (means - 1527.5), rtol=1e-6)
    assert [tick.get_text() for tick in ax.get_yticklabels()] == list(means.index)


def test_shrinkage_of_weighted_rows() -> None:
    """A random intercept: the weighted mean of what the fixed effects leave; a level of one row is that row."""
    rng = np.random.default_rng(1)
    group = np.repeat(np.arange(6), [1, 2, 3, 4, 5, 6])
    frame = pd.DataFrame({"g": group.astype(str), "x": rng.normal(size=21), "w": rng.uniform(0.5, 2.0, 21)})
    frame["y"] = frame["x"] + rng.normal(size=6)[group] + rng.normal(size=21)
    fit = jaxlmm.lmer("y ~ x + (1 | g)", frame, weights="w")
    rest = frame["y"] - fit.params["x"] * frame["x"]
    expected = (rest * frame["w"]).groupby(frame["g"]).sum() / frame["w"].groupby(frame["g"]).sum()
    table = plot.data.shrinkage(fit).set_index("level")
    np.testing.assert_allclose(table["within"], expected)
    assert table["rows"].tolist() == [1, 2, 3, 4, 5, 6]


def test_levels_that_say_little() -> None:
    """Subject 308 has one row; 309 has two rows a hundredth of a day apart: neither leaves the others without room."""
    frame = data("sleepstudy")
    frame = frame[~frame["Subject"].isin(["308", "309"]) | (frame["Days"] == 0)]
    second = frame[frame["Subject"] == "309"].assign(Days=0.01, Reaction=lambda d: d["Reaction"] + 40)
    fit = jaxlmm.lmer("Reaction ~ Days + (Days | Subject)", pd.concat([frame, second]))
    table = plot.data.shrinkage(fit).pivot(index="level", columns="effect", values="within")
    assert table.loc["308"].isna().all()
    assert table.drop(index="308").notna().all().all()
    assert table.loc["309", "Days"] == pytest.approx(4000)
    ax = plot.shrinkage(fit)
    assert ax.get_ylim()[1] < 100
    assert legend_of(ax)[0] == "within group (1 beyond the axes, 1 undetermined)"


def test_many_levels_are_counted_and_not_named() -> None:
    rng = np.random.default_rng(2)
    group = np.repeat(np.arange(70), 2)
    fit = jaxlmm.lmer("y ~ 1 + (1 | g)", {"y": rng.normal(size=70)[group] + rng.normal(size=140), "g": group})
    ax = plot.caterpillar(fit)
    assert ax.get_ylabel() == "g: 70 levels, in order"
    assert not ax.get_yticklabels()


def test_names_are_as_large_as_the_axes_allow(sleep: Any) -> None:
    """18 levels fit in small axes in small type, and in tiny ones not at all."""
    _, (large, small, tiny) = plt.subplots(1, 3, figsize=(9, 4))
    small.set_position([0.4, 0.1, 0.2, 0.42])
    tiny.set_position([0.7, 0.1, 0.2, 0.2])
    sizes = []
    for ax in (large, small):
        plot.caterpillar(sleep, effects="Days", ax=ax)
        sizes.append(ax.get_yticklabels()[0].get_fontsize())
    assert sizes[0] > sizes[1] >= 5
    assert plot.caterpillar(sleep, effects="Days", ax=tiny).get_ylabel() == "Subject: 18 levels, in order"


def test_page_of_a_fit(sleep: Any, modes: pd.DataFrame) -> None:
    """The page holds the plots of the parts: here the third panel is the caterpillar's."""
    axes = sleep.plot()
    (points,) = scatters(axes[1, 0])
    np.testing.assert_allclose(np.sort(points[:, 0]), np.sort(modes["condval"]["Intercept"]), rtol=1e-5, atol=1e-4)
    assert [ax.get_title() for ax in axes[0]] == ["residuals", "residual quantiles"]
    assert not texts(axes[0, 0])
