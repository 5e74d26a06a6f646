"""The numbers of every plot equal formulas of their own, and every plot draws those numbers."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy import stats

import jaxlmm
from jaxlmm import plot
from jaxlmm.errors import DataError


@pytest.fixture(scope="module")
def sleep() -> pd.DataFrame:
    return jaxlmm.load_dataset("sleepstudy")


@pytest.fixture(scope="module")
def fit(sleep: pd.DataFrame) -> Any:
    return jaxlmm.lmer("Reaction ~ Days + (Days | Subject)", sleep)


@pytest.fixture(scope="module")
def machines() -> Any:
    return jaxlmm.lmer("score ~ Machine + (1 | Worker)", jaxlmm.load_dataset("machines"))


@pytest.fixture(scope="module")
def profile() -> Any:
    return jaxlmm.lmer("Yield ~ 1 + (1 | Batch)", jaxlmm.load_dataset("dyestuff")).profile()


@pytest.fixture(scope="module")
def bootstrap(fit: Any) -> Any:
    return fit.bootstrap(500, seed=1)


@pytest.fixture(scope="module")
def many(fit: Any, sleep: pd.DataFrame) -> Any:
    responses = pd.DataFrame(fit.simulate(30, seed=1)).add_prefix("r")
    return jaxlmm.fit_many("~ Days + (Days | Subject)", sleep, responses)


def offsets(ax: Any, number: int) -> np.ndarray:
    """Points of a scatter."""
    return np.asarray(ax.collections[number].get_offsets())


def test_caterpillar(fit: Any) -> None:
    """lme4's published interval is mode ± 1.96 conditional standard deviations; levels stand in the order of the first."""
    table = plot.data.caterpillar(fit, level=0.9)
    modes = fit.ranef(condvar=True).set_index(["level", "effect"])
    for _, row in table.iterrows():
        mode = modes.loc[(row["level"], row["effect"])]
        assert row["upper"] == pytest.approx(mode["estimate"] + 1.6448536269514722 * mode["std_error"])
        assert row["lower"] == pytest.approx(mode["estimate"] - 1.6448536269514722 * mode["std_error"])
    first = table[table["effect"] == "Intercept"].sort_values("position")
    assert first["estimate"].is_monotonic_increasing
    axes = plot.caterpillar(fit)
    drawn = offsets(axes[1], 1)
    days = table[table["effect"] == "Days"]
    np.testing.assert_allclose(drawn, days[["estimate", "position"]])
    assert [tick.get_text() for tick in axes[0].get_yticklabels()] == list(first["level"])


def test_ranef_quantiles(fit: Any) -> None:
    table = plot.data.ranef_qq(fit, effects="Days").sort_values("estimate")
    np.testing.assert_allclose(table["theoretical"], stats.norm.ppf((np.arange(1, 19) - 0.5) / 18))


def test_shrinkage_is_least_squares_of_each_subject(fit: Any, sleep: pd.DataFrame) -> None:
    """All fixed effects vary by subject, so what a subject says alone is its own regression line."""
    table = plot.data.shrinkage(fit).pivot(index="level", columns="effect")
    for subject, rows in sleep.groupby("Subject"):
        slope, intercept = np.polyfit(rows["Days"], rows["Reaction"], 1)
        own = table.loc[str(subject), "within"]
        assert (own["Intercept"], own["Days"]) == (pytest.approx(intercept), pytest.approx(slope))
    pd.testing.assert_frame_equal(
        table["mixed"], fit.coef()["Subject"], check_names=False, check_like=True, check_index_type=False
    )
    ax = plot.shrinkage(fit)
    np.testing.assert_allclose(offsets(ax, 2), fit.coef()["Subject"])


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


def test_undetermined_levels_are_missing() -> None:
    """Two effects want two rows with different values."""
    frame = jaxlmm.load_dataset("sleepstudy")
    frame = frame[(frame["Subject"] != "308") | (frame["Days"] == 0)]
    table = plot.data.shrinkage(jaxlmm.lmer("Reaction ~ Days + (Days | Subject)", frame)).set_index("level")
    assert table.loc["308", "within"].isna().all()
    assert table.drop(index="308")["within"].notna().all()


def test_residuals(fit: Any) -> None:
    table = plot.data.resid_fitted(fit)
    np.testing.assert_allclose(table["std_resid"], fit.resid / fit.sigma)
    np.testing.assert_allclose(offsets(plot.resid_fitted(fit), 0), table[["fitted", "std_resid"]])
    quantiles = plot.data.resid_qq(fit)
    assert quantiles["std_resid"].is_monotonic_increasing
    # The median of an even number of draws lies between its neighbours' bands, which hold it with 95 %.
    middle = quantiles.iloc[90]
    assert stats.norm.cdf(middle["lower"]) == pytest.approx(stats.beta.ppf(0.025, 91, 90))
    assert stats.norm.cdf(middle["upper"]) == pytest.approx(stats.beta.ppf(0.975, 91, 90))


def test_trajectories(fit: Any, sleep: pd.DataFrame) -> None:
    table = plot.data.trajectories(fit, levels=["309", "308"])
    assert list(dict.fromkeys(table["level"])) == ["309", "308"]
    rows = sleep[sleep["Subject"] == "309"]
    np.testing.assert_allclose(table["observed"][:10], rows["Reaction"])
    own = fit.coef()["Subject"].loc["309"]
    np.testing.assert_allclose(table["fitted"][:10], own["Intercept"] + own["Days"] * rows["Days"])
    np.testing.assert_allclose(table["fixed"][:10], fit.params["Intercept"] + fit.params["Days"] * rows["Days"])
    assert len(plot.trajectories(fit)) == 18
    _, ax = plt.subplots()
    assert plot.trajectories(fit, levels=["308"], ax=ax) is ax


def test_profiles(profile: Any) -> None:
    """The density's quantiles are the interval's limits, where ζ is a normal quantile."""
    curve = plot.data.profile_density(profile, ".sigma")
    steps = np.diff(curve["value"]) * 0.5 * (curve["density"].to_numpy()[1:] + curve["density"].to_numpy()[:-1])
    below = np.interp(profile.conf_int().loc[".sigma"], curve["value"], np.concatenate([[0.0], np.cumsum(steps)]))
    np.testing.assert_allclose(below, [0.025, 0.975], atol=2e-3)
    ax = plot.profile_zeta(profile, "Intercept")
    line = next(line for line in ax.lines if len(line.get_xdata()) > 2)
    points = profile.frame[profile.frame["parameter"] == "Intercept"].sort_values("value")
    np.testing.assert_allclose(line.get_ydata(), points["zeta"])
    assert len(plot.profile_density(profile)) == 3


def test_bootstrap(bootstrap: Any) -> None:
    curve = plot.data.bootstrap_density(bootstrap)
    for term, own in curve.groupby("term"):
        # What a smoothed curve of 500 replicates cut at its ends may lack.
        assert np.trapezoid(own["density"], own["value"]) == pytest.approx(1.0, abs=0.01), term
    correlation = curve[curve["term"] == "cor__Intercept.Days|Subject"]
    assert correlation["value"].between(-1.0, 1.0).all()
    drawn = bootstrap.frame.loc[bootstrap.frame["status"] == "converged", ["Intercept", "Days"]].to_numpy()
    table = plot.data.bootstrap_correlation(bootstrap, ["Intercept", "Days"])
    assert table.loc["Intercept", "Days"] == pytest.approx(np.corrcoef(drawn.T)[0, 1])
    ridge = plot.data.bootstrap_ridgeline(bootstrap, "Days")
    assert np.trapezoid(ridge["density"] * ridge["value"], ridge["value"]) == pytest.approx(0.0, abs=0.01)
    assert len(plot.bootstrap_density(bootstrap)) == 6
    assert len(plot.bootstrap_ridgeline(bootstrap).get_yticks()) == 6
    assert len(plot.bootstrap_correlation(bootstrap).texts) == 36


def test_coefficients(machines: Any) -> None:
    table = plot.data.coefficients(machines, terms=["Machine[T.C]"], level=0.9)
    low, high = machines.conf_int(level=0.9).loc["Machine[T.C]"]
    assert (table["conf_low"][0], table["conf_high"][0]) == (pytest.approx(low), pytest.approx(high))
    ax = plot.coefficients(a=machines, b=machines)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a", "b"]
    with pytest.raises(DataError, match="no fit was given"):
        plot.coefficients()


def test_means(machines: Any) -> None:
    means = machines.emmeans("Machine")
    np.testing.assert_allclose(plot.data.emmeans(means)["estimate"], means.frame["emmean"])
    rows = plot.data.emmeans_rows(means, machines)
    raw = jaxlmm.load_dataset("machines")
    np.testing.assert_allclose(rows.groupby("label")["observed"].mean(), raw.groupby("Machine")["score"].mean())
    np.testing.assert_allclose(offsets(plot.emmeans(means), 1), np.column_stack([range(3), means.frame["emmean"]]))


def test_influence(fit: Any) -> None:
    influence = fit.influence()
    table = plot.data.influence(influence, 3)
    cook = influence.cooks_distance
    assert table["level"].tolist() == list(cook.sort_values(ascending=False).index[:3])
    assert abs(table["dfbetas"][0]) == pytest.approx(influence.dfbetas.loc[table["level"][0]].abs().max())
    np.testing.assert_allclose(offsets(plot.influence(influence, 3), 1)[:, 0], table["cooks_distance"])


def test_many(many: Any) -> None:
    table = plot.data.volcano(many, "Days").set_index("response")
    own = many.frame[many.frame["term"] == "Days"].set_index("response")
    np.testing.assert_allclose(10.0 ** -table["minus_log10_p"], own["p_value"])
    named = plot.volcano(many, "Days", labels=len(table)).texts
    assert named[0].get_text() == table["minus_log10_p"].idxmax()
    boxes = [text.get_window_extent() for text in named]
    assert 1 < len(boxes) <= len(table)
    assert not any(box.overlaps(other) for i, box in enumerate(boxes) for other in boxes[:i])
    fractions = plot.data.variance_fractions(many).pivot(index="response", columns="component", values="fraction")
    wide = many.variance_fractions()
    np.testing.assert_allclose(fractions.loc[wide.index, list(wide.columns)], wide)
    assert plot.variance_fractions(many).get_xticklabels()[-1].get_text() == "Residual"


def test_overview(fit: Any) -> None:
    axes = fit.plot()
    assert axes.shape == (2, 2)
    np.testing.assert_allclose(offsets(axes[0, 0], 0)[:, 0], fit.fittedvalues)


BAD = {
    "group": (lambda fit: plot.caterpillar(fit, "School"), "no grouping factor; write one of 'Subject'"),
    "effect": (lambda fit: plot.ranef_qq(fit, effects="age"), "write one of 'Intercept', 'Days'"),
    "axes": (lambda fit: plot.caterpillar(fit, ax=plt.subplots()[1]), "has 2 panels"),
    "column": (lambda fit: plot.trajectories(fit, x="age"), "write one of 'Days'"),
    "level": (lambda fit: plot.trajectories(fit, levels=["999"]), "no level of 'Subject'"),
    "bootstrap": (plot.bootstrap_density, "got MixedModelResults; write fit.bootstrap"),
    "profile": (plot.profile_zeta, "write fit.profile"),
    "means": (plot.emmeans, "write fit.emmeans"),
    "many": (lambda fit: plot.volcano(fit, "Days"), "write jaxlmm.fit_many"),
    "frame": (lambda fit: plot.caterpillar(fit.params), "this plot is of a fit"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_drawn_is_refused(fit: Any, name: str) -> None:
    call, message = BAD[name]
    with pytest.raises(DataError, match=message):
        call(fit)
