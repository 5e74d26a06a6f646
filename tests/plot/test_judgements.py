"""Plots of coefficients, means, profiles and influence draw R's numbers."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import jaxlmm
from jaxlmm import plot
from jaxlmm.errors import DataError
from tests.plot.drawn import curves, legend_of, scatters, segments, shaded, texts, uprights
from tests.reference.loader import HERE, case, data


def reference(name: str) -> dict[str, Any]:
    return json.loads(Path(HERE / "inference" / f"{name}.json").read_text())["cases"]


@pytest.mark.parametrize(("level", "intercept"), [(0.95, False), (0.8, True)])
def test_coefficients(machines: Any, level: float, intercept: bool) -> None:
    """Estimate ± t quantile × standard error with lmerTest's degrees of freedom, each beside its name."""
    r = case("machines_ri")
    names = {"Intercept": "(Intercept)", "Machine[T.B]": "MachineB", "Machine[T.C]": "MachineC"}
    ax = plot.coefficients(machines, level=level, intercept=intercept)
    place = {tick.get_text(): y for tick, y in zip(ax.get_yticklabels(), ax.get_yticks(), strict=True)}
    assert list(place) == (
        ["Machine[T.C]", "Machine[T.B]", "Intercept"] if intercept else ["Machine[T.C]", "Machine[T.B]"]
    )
    (points,), ends = scatters(ax), segments(ax)
    assert len(points) == len(ends) == len(place)
    for name, y in place.items():
        estimate, error, df = (r["beta"][names[name]], r["se"][names[name]], r["satterthwaite"]["df"][names[name]])
        half = stats.t.ppf((1 + level) / 2, df) * error
        (point,) = points[np.isclose(points[:, 1], y)]
        (end,) = ends[np.isclose(ends[:, 0, 1], y)]
        assert point[0] == pytest.approx(estimate, rel=1e-5)
        np.testing.assert_allclose(end[:, 0], [estimate - half, estimate + half], rtol=1e-4)
    assert ax.get_xlabel() == f"estimate, {100 * level:.0f} % interval"


def test_coefficients_of_several_fits(machines: Any) -> None:
    """Two fits stand side by side, the first above; nine differ in colour or marker, and in the legend."""
    other = jaxlmm.lmer("score ~ Machine + (1 | Worker)", data("machines").assign(score=lambda d: d["score"] * 2))
    ax = plot.coefficients(other, terms=["Machine[T.C]"], single=machines)
    assert legend_of(ax) == ["model 1", "single"]
    double, single = scatters(ax)
    assert (double[0, 0], single[0, 0]) == (pytest.approx(2 * 13.9166667), pytest.approx(13.9166667))
    assert double[0, 1] > single[0, 1]
    ax = plot.coefficients(*[machines] * 9)
    looks = [(tuple(p.get_facecolor()[0]), p.get_paths()[0].vertices.round(3).tobytes()) for p in ax.collections[1::2]]
    assert len(legend_of(ax)) == len(set(looks)) == 9


def test_names_of_fits_that_clash(machines: Any) -> None:
    with pytest.raises(DataError, match="'model 1' is the name of a fit given without one"):
        plot.coefficients(machines, **{"model 1": machines})


@pytest.fixture(scope="module")
def workers() -> Any:
    return jaxlmm.lmer("score ~ Machine + (1 | Worker) + (1 | Worker:Machine)", data("machines"))


def test_means(workers: Any) -> None:
    """emmeans' estimates and limits, and behind them the rows of each machine."""
    r = pd.DataFrame(reference("emmeans")["machines"]["means"]["Machine"]["ddf"]["satterthwaite"]["emmeans"])
    ax = plot.emmeans(workers.emmeans("Machine"), workers)
    rows, means = scatters(ax)
    assert [tick.get_text() for tick in ax.get_xticklabels()] == list(r["Machine"])
    np.testing.assert_allclose(means, np.column_stack([np.arange(3), r["estimate"]]), rtol=1e-6)
    ends = segments(ax)
    np.testing.assert_allclose(ends[:, :, 0], np.repeat(np.arange(3), 2).reshape(3, 2))
    np.testing.assert_allclose(ends[:, :, 1], r[["lower", "upper"]], rtol=1e-5)
    raw = data("machines")
    for place, machine in enumerate(r["Machine"]):
        near = np.abs(rows[:, 0] - place) < 0.4
        np.testing.assert_allclose(np.sort(rows[near, 1]), np.sort(raw.loc[raw["Machine"] == machine, "score"]))
    assert ax.get_ylabel() == "score: mean, 95 % interval"


def test_means_within_others() -> None:
    """Cells of a balanced design: a mean is the mean of its rows; each Variety has its colour and stands at its place."""
    rows = data("oats").assign(nitro=lambda d: d["nitro"].astype(str))
    fit = jaxlmm.lmer("yield ~ nitro * Variety + (1 | Block/Variety)", rows)
    ax = plot.emmeans(fit.emmeans("nitro", by="Variety"))
    cells = rows.groupby(["Variety", "nitro"])["yield"].mean().unstack()
    assert legend_of(ax) == list(cells.index)
    for i, (points, variety) in enumerate(zip(scatters(ax), cells.index, strict=True)):
        np.testing.assert_allclose(points[:, 1], cells.loc[variety])
        np.testing.assert_allclose(points[:, 0], np.arange(4) + 0.5 / 3 * (i - 1))


def test_means_of_a_logarithm() -> None:
    """Rows and means on one scale: both as logarithms, or both in the column's units."""
    rows = data("oats").rename(columns={"yield": "gain"})
    fit = jaxlmm.lmer("log(gain) ~ Variety + (1 | Block)", rows)
    for kind, back, label in (("link", np.log, "log(gain)"), ("response", np.asarray, "gain")):
        ax = plot.emmeans(fit.emmeans("Variety", type=kind), fit)
        drawn, means = scatters(ax)
        np.testing.assert_allclose(np.sort(drawn[:, 1]), np.sort(back(rows["gain"])))
        logs = np.log(rows["gain"]).groupby(rows["Variety"]).mean()
        np.testing.assert_allclose(means[:, 1], back(np.exp(logs)), rtol=1e-6)
        assert ax.get_ylabel() == f"{label}: mean, 95 % interval"


def test_rows_that_do_not_belong_to_the_means(machines: Any, workers: Any) -> None:
    fit = jaxlmm.lmer("yield ~ nitro * Variety + (1 | Block/Variety)", data("oats"))
    slopes = fit.emtrends("Variety", "nitro")
    with pytest.raises(DataError, match="these are slopes"):
        plot.emmeans(slopes, fit)
    with pytest.raises(DataError, match="another fit"):
        plot.emmeans(machines.emmeans("Machine"), workers)
    assert plot.emmeans(slopes).get_ylabel() == "nitro.trend, 95 % interval"


def test_influence(sleep: Any) -> None:
    """Cook's distances of R's refits, largest first, each with the coefficient whose change in standard errors is largest
    (R's sign is that of the fit without the level less the fit with it)."""
    r = reference("diagnostics")["sleepstudy"]["influence"]["Subject"]
    cook = pd.Series(r["cooks_distance_plain"], index=r["levels"]).sort_values(ascending=False)
    moved = -pd.DataFrame(r["dfbetas"], index=r["levels"], columns=["Intercept", "Days"]).loc[cook.index]
    ax = plot.influence(sleep.influence(), 6)
    (points,) = scatters(ax)
    np.testing.assert_allclose(points, np.column_stack([cook[:6], np.arange(6)[::-1]]), rtol=1e-4)
    place = {y: tick.get_text() for tick, y in zip(ax.get_yticklabels(), ax.get_yticks(), strict=True)}
    assert [place[y] for y in points[:, 1]] == list(cook.index[:6])
    expected = []
    for level in cook.index[:6]:
        term = moved.loc[level].abs().idxmax()
        expected.append(f"{term} {moved.loc[level, term]:+.2f}".replace("-", "−"))
    assert texts(ax) == expected
    assert {text.split()[0] for text in expected} == {"Intercept", "Days"}


def test_profiles(sleep: Any) -> None:
    """R's points lie on the curve, its intervals are shaded, and the density holds as much between them as their level."""
    r, profile = reference("profile")["sleepstudy"], sleep.profile()
    points = pd.DataFrame(r["profile"]).replace({"par": {"(Intercept)": "Intercept"}})
    for level, key in ((0.95, "confint_95"), (0.8, "confint_80")):
        limits = {name.replace("(Intercept)", "Intercept"): ends for name, ends in r[key].items()}
        zetas, densities = plot.profile_zeta(profile, level=level), plot.profile_density(profile, level=level)
        for zeta, density in zip(zetas, densities, strict=True):
            name = zeta.get_xlabel()
            (curve,), band = curves(zeta), zeta.patches[0].get_bbox()
            assert (band.x0, band.x1) == pytest.approx(limits[name], rel=1e-4, abs=1e-4)
            own = points[(points["par"] == name) & (points["zeta"].abs() < 2.5)]
            np.testing.assert_allclose(np.interp(own["value"], *curve.T), own["zeta"], atol=0.1)
            normal = sorted(float(line.get_ydata()[0]) for line in zeta.lines if line.get_linestyle() == "--")
            assert normal == pytest.approx(stats.norm.ppf([(1 - level) / 2, (1 + level) / 2]))
            (own_density,) = curves(density)
            step = own_density[1, 0] - own_density[0, 0]
            assert shaded(density) == pytest.approx(limits[name], abs=1.01 * step)
            value, height = own_density.T
            below = np.concatenate([[0.0], np.cumsum(0.5 * np.diff(value) * (height[1:] + height[:-1]))])
            np.testing.assert_allclose(
                np.interp(limits[name], value, below), [(1 - level) / 2, (1 + level) / 2], atol=4e-3
            )
        assert legend_of(zetas[0].figure) == [
            f"{100 * level:.0f} % profile interval",
            f"normal quantiles ±{normal[1]:.3g}",
        ]
        assert legend_of(densities[0].figure) == [f"{100 * level:.0f} % profile interval"]


def test_mass_of_a_profile_at_its_bound(singular: Any) -> None:
    """The estimate is zero, so ζ starts at 0 and half of the mass is there."""
    ax = plot.profile_density(singular.profile(), ".sig01")
    assert texts(ax) == ["50 % at 0"]
    assert uprights(ax) == [0.0]
