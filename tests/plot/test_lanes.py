"""Plots of many fits: densities are sums of normal curves over replicates, p-values and variances are R's."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import same_color
from scipy import stats

import jaxlmm
from jaxlmm import plot
from tests.plot.drawn import curves, legend_of, scatters, shaded, texts, uprights
from tests.reference.loader import HERE, case

ESTIMATES = {
    "Intercept": 251.405104848485,
    "Days": 10.4672859595959,
    "sd__Intercept|Subject": 24.7404651388437,
    "cor__Intercept.Days|Subject": 0.0655512,
    "sd__Days|Subject": 5.9221326,
    "sd__Observation|Residual": 25.5918152143337,
}
"""lme4's."""


def density(values: np.ndarray, at: np.ndarray, low: float, high: float) -> np.ndarray:
    """Mean of normal curves with Scott's bandwidth s n^(-1/5), and of their mirror images in the bounds."""
    width = values.std(ddof=1) * len(values) ** -0.2
    images = [values, *(2 * bound - values for bound in (low, high) if np.isfinite(bound))]
    return sum(stats.norm.pdf(at[:, None], image, width).mean(axis=1) for image in images)


def bounds(name: str) -> tuple[float, float]:
    return {"sd": (0.0, np.inf), "co": (-1.0, 1.0)}.get(name[:2], (-np.inf, np.inf))


@pytest.mark.parametrize("level", [0.95, 0.8])
def test_densities(sleep_draws: Any, level: float) -> None:
    axes = plot.bootstrap_density(sleep_draws, level=level)
    assert [ax.get_xlabel() for ax in axes] == list(ESTIMATES)
    for ax in axes:
        name = ax.get_xlabel()
        values = sleep_draws.frame[name].to_numpy()
        inside = values[(values > -1 + 1e-9) & (values < 1 - 1e-9)] if name.startswith("cor") else values
        (curve,) = curves(ax)
        at, height = curve.T
        np.testing.assert_allclose(height, density(inside, at, *bounds(name)) * len(inside) / len(values), rtol=1e-6)
        assert uprights(ax)[0] == pytest.approx(ESTIMATES[name], rel=1e-4)
        ends = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
        np.testing.assert_allclose(shaded(ax), ends, atol=0.1 * values.std())
        assert texts(ax) == ([f"{100 * (1 - len(inside) / 300):.2g} % at 1"] if len(inside) < 300 else [])
    assert legend_of(axes[0].figure) == ["estimate", f"{100 * level:.0f} % percentile interval"]


def test_replicates_at_a_bound(singular: Any) -> None:
    """Half of the variances are zero: a bar of that share of the axis and a number, and a curve for the others only."""
    draws = singular.bootstrap(300, seed=1)
    values = draws.frame["sd__Intercept|Batch"].to_numpy()
    share = np.mean(values == 0.0)
    assert 0.4 < share < 0.6
    ax = plot.bootstrap_density(draws, "sd__Intercept|Batch")
    assert texts(ax) == [f"{100 * share:.0f} % at 0"]
    (bar,) = [line for line in ax.lines if len(line.get_xdata()) == 2 and line.get_linewidth() == 3]
    assert list(bar.get_xdata()) == [0.0, 0.0]
    assert bar.get_ydata()[1] == pytest.approx(share * ax.get_ylim()[1])
    at, height = curves(ax)[0].T
    np.testing.assert_allclose(height, density(values[values > 0], at, 0.0, np.inf) * (1 - share), rtol=1e-6)
    names = [tick.get_text() for tick in plot.bootstrap_ridgeline(draws).get_yticklabels()]
    assert f"sd__Intercept|Batch\n({100 * share:.0f} % at 0)" in names


def test_ridgeline(sleep_draws: Any) -> None:
    """From below in reverse, each as high as its density over the highest, in units of its standard deviation."""
    names = ["Intercept", "Days", "sd__Days|Subject"]
    ax = plot.bootstrap_ridgeline(sleep_draws, names)
    assert [tick.get_text() for tick in ax.get_yticklabels()] == names[::-1]
    found = {}
    for row, (name, curve) in enumerate(zip(names[::-1], curves(ax), strict=True)):
        values = sleep_draws.frame[name].to_numpy()
        mean, spread = values.mean(), values.std(ddof=1)
        expected = density(values, mean + spread * curve[:, 0], *bounds(name)) * spread
        found[name] = (curve[:, 1] - row) / expected
        np.testing.assert_allclose(found[name], found[name][0], rtol=1e-6)
    np.testing.assert_allclose(found["Days"][0], found["Intercept"][0], rtol=1e-6)
    assert max((curve[:, 1] - row).max() for row, curve in enumerate(curves(ax))) == pytest.approx(1.6)


def test_correlations(sleep_draws: Any) -> None:
    names = ["Intercept", "Days", "sd__Intercept|Subject"]
    ax = plot.bootstrap_correlation(sleep_draws, names)
    expected = np.corrcoef(sleep_draws.frame[names].to_numpy().T)
    np.testing.assert_allclose(ax.images[0].get_array(), expected)
    assert texts(ax) == [f"{value:.2f}" for value in expected.ravel()]
    assert [tick.get_text() for tick in ax.get_yticklabels()] == names


@pytest.fixture(scope="module")
def expression() -> dict[str, Any]:
    """Fits of fifty responses, and lmerTest's numbers of them."""
    tables = {
        name: pd.read_csv(HERE / "many" / f"{name}.csv", keep_default_na=False)
        for name in ("data", "fits_intercept_expression", "lanes_intercept_expression")
    }
    responses = pd.read_csv(HERE / "many" / "expression.csv")
    frame = tables["data"].assign(disease=lambda d: pd.Categorical(d["disease"], ["none", "early", "late"]))
    many = jaxlmm.fit_many("~ disease + age + (1 | donor)", frame, responses)
    return {
        "many": many,
        "frame": frame,
        "r": tables["fits_intercept_expression"],
        "lanes": tables["lanes_intercept_expression"],
    }


def test_volcano(expression: dict[str, Any]) -> None:
    """-log₁₀ of lmerTest's p-values against its estimates; vermillion where Benjamini & Hochberg's are at most 0.05."""
    r = expression["r"][expression["r"]["term"] == "diseaselate"].set_index("response")
    p = r["p_value"].to_numpy()
    order = np.argsort(p)
    steps = p[order] * len(p) / np.arange(1, len(p) + 1)
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum.accumulate(steps[::-1])[::-1]
    found = adjusted <= 0.05
    assert 0 < found.sum() < (p <= 0.05).sum()  # else the colours would not tell which p-values they are of
    ax = plot.volcano(expression["many"], "disease[T.late]", labels=4)
    grey, coloured = scatters(ax)
    expected = np.column_stack([r["estimate"], -np.log10(p)])
    for drawn, own in ((grey, expected[~found]), (coloured, expected[found])):
        np.testing.assert_allclose(drawn[drawn[:, 0].argsort()], own[own[:, 0].argsort()], rtol=1e-4, atol=1e-5)
    assert same_color(ax.collections[1].get_facecolor()[0][:3], "#D55E00")
    assert ax.get_title() == f"{found.sum()} of 50 with adjusted p ≤ 0.05"
    named = texts(ax)
    assert named
    assert set(named) <= set(r.index[order[:4]])
    assert named[0] == r.index[order[0]]
    for text in ax.texts:
        assert text.xy == pytest.approx(tuple(expected[list(r.index).index(text.get_text())]), rel=1e-4)


def test_names_beside_points_do_not_meet(expression: dict[str, Any]) -> None:
    ax = plot.volcano(expression["many"], "age", labels=50)
    boxes = [text.get_window_extent() for text in ax.texts]
    assert len(boxes) > 3
    assert not any(box.overlaps(other) for i, box in enumerate(boxes) for other in boxes[:i])


def test_variance_fractions(expression: dict[str, Any]) -> None:
    """Of R's variances: donors', residual, and that of Xβ̂ over the rows, which is divided among its terms."""
    ax = plot.variance_fractions(expression["many"])
    names = [tick.get_text() for tick in ax.get_xticklabels()]
    assert names[-1] == "Residual"
    wide = (
        expression["r"].pivot(index="response", columns="term", values="estimate").loc[expression["lanes"]["response"]]
    )
    frame = expression["frame"]
    parts = {
        "disease": np.outer(wide["diseaseearly"], frame["disease"] == "early")
        + np.outer(wide["diseaselate"], frame["disease"] == "late"),
        "age": np.outer(wide["age"], frame["age"]),
    }
    fixed = np.var(sum(parts.values()), axis=1, ddof=1)
    own = {name: np.var(part, axis=1, ddof=1) for name, part in parts.items()}
    random, rest = (expression["lanes"][name].to_numpy() for name in ("var_donor", "var_residual"))
    total = fixed + random + rest
    shares = {name: fixed * part / sum(own.values()) / total for name, part in own.items()}
    shares |= {"donor": random / total, "Residual": rest / total}
    medians = {name: np.median(share) for name, share in shares.items()}
    boxes = [line for line in ax.lines if len(set(line.get_ydata())) == 1 and np.ptp(line.get_xdata()) > 0.1]
    drawn = {name: next(b for b in boxes if np.isclose(np.mean(b.get_xdata()), i)) for i, name in enumerate(names)}
    for name, line in drawn.items():
        assert line.get_ydata()[0] == pytest.approx(medians[name], abs=2e-3), name
    assert [medians[name] for name in names[:-1]] == sorted((medians[name] for name in names[:-1]), reverse=True)


def test_estimates_are_lme4s() -> None:
    """The table at the head of this file."""
    r = case("sleep_max")
    known = {(row["grp"], row["var1"], row["var2"]): row["sdcor"] for row in r["varcorr"]}
    assert ESTIMATES["Days"] == pytest.approx(r["beta"]["Days"])
    assert ESTIMATES["sd__Days|Subject"] == pytest.approx(known["Subject", "Days", None], rel=1e-4)
    assert ESTIMATES["cor__Intercept.Days|Subject"] == pytest.approx(known["Subject", "(Intercept)", "Days"], rel=1e-4)
