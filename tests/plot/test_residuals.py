"""Plots of residuals draw R's standardized residuals, and a band from the order statistics of uniform numbers."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats
from statsmodels.nonparametric.smoothers_lowess import lowess

import jaxlmm
from jaxlmm import plot
from jaxlmm.plot.data import rows as rows_of
from tests.plot.drawn import curves, scatters, shaded
from tests.reference.loader import HERE, data

CASES = json.loads(Path(HERE / "inference" / "diagnostics.json").read_text())["cases"]


@pytest.fixture(params=["sleep", "weighted"])
def known(request: Any) -> tuple[Any, dict[str, np.ndarray]]:
    """A fit, and R's residuals of it: rstudent and scaled, with the fitted values that they leave."""
    name = {"sleep": "sleepstudy", "weighted": "sleepstudy_weights"}[request.param]
    points = {key: np.array(values) for key, values in CASES[name]["points"].items()}
    return request.getfixturevalue(request.param), points | {
        "fitted": data("sleepstudy")["Reaction"] - points["residuals"]
    }


def test_against_fitted(known: Any) -> None:
    fit, r = known
    ax = plot.resid_fitted(fit)
    expected = np.column_stack([r["fitted"], r["residuals_studentized"]])
    np.testing.assert_allclose(scatters(ax)[0], expected, rtol=1e-4, atol=1e-4)
    # The curve from R's numbers, without the approximation between its points.
    curve = lowess(expected[:, 1], expected[:, 0], frac=2 / 3, it=3)
    (drawn,) = curves(ax)
    np.testing.assert_allclose(np.interp(curve[:, 0], *drawn.T), curve[:, 1], atol=0.01)
    assert np.ptp(curve[:, 1]) > 0.1
    assert ax.get_ylabel() == "standardized residual"


@pytest.mark.parametrize("level", [0.95, 0.8])
def test_against_normal(known: Any, level: float) -> None:
    """The least of n uniform numbers is below u with probability 1 - (1 - u)ⁿ, which gives the band's first value."""
    fit, r = known
    ax = plot.resid_qq(fit, level)
    expected = np.sort(r["residuals_studentized"])
    normal = stats.norm.ppf((np.arange(1, 181) - 0.5) / 180)
    np.testing.assert_allclose(scatters(ax)[0], np.column_stack([normal, expected]), rtol=1e-4, atol=1e-4)
    band = np.concatenate([path.vertices for path in ax.collections[0].get_paths()])
    first = band[np.isclose(band[:, 0], normal[0]), 1]
    tails = [(1 - level) / 2, (1 + level) / 2]
    np.testing.assert_allclose([first.min(), first.max()], [stats.norm.ppf(1 - (1 - t) ** (1 / 180)) for t in tails])
    middle = band[np.isclose(band[:, 0], normal[90]), 1]
    np.testing.assert_allclose([middle.min(), middle.max()], [stats.norm.ppf(stats.beta.ppf(t, 91, 90)) for t in tails])
    assert shaded(ax) == pytest.approx((normal[0], normal[-1]))
    assert (ax.lines[0].get_xy1(), ax.lines[0].get_slope()) == ((0.0, 0.0), 1.0)
    assert f"{100 * level:.0f} % band" in ax.get_xlabel()


def test_where_leverages_take_too_long(known: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Residuals over σ, under a name of their own and said on the axis."""
    fit, r = known
    monkeypatch.setattr(rows_of, "CONNECTED", 1)
    table = plot.data.resid_fitted(fit)
    assert list(table) == ["fitted", "resid", "scaled_resid"]
    np.testing.assert_allclose(table["scaled_resid"], r["residuals_pearson_scaled"], rtol=1e-4, atol=1e-4)
    assert plot.resid_fitted(fit).get_ylabel() == plot.resid_qq(fit).get_ylabel() == "residual / σ"


def test_a_right_model_with_pairs_of_rows() -> None:
    """Leverages are 1/m + (1 - 1/m)·s and so on: whatever they are, their residuals have variance one, those over σ less."""
    rng = np.random.default_rng(3)
    group = np.repeat(np.arange(300), 2)
    frame = {"g": group, "y": 2 * rng.normal(size=300)[group] + rng.normal(size=600)}
    fit = jaxlmm.lmer("y ~ 1 + (1 | g)", frame)
    table = plot.data.resid_fitted(fit)
    assert (table["resid"] / fit.sigma).std() < 0.8
    assert table["std_resid"].std() == pytest.approx(1.0, abs=0.1)


def test_a_row_that_decides_its_fitted_value() -> None:
    """A coefficient of its own: leverage one, no residual to standardize."""
    frame = data("sleepstudy").assign(first=lambda d: (np.arange(180) == 0).astype(float))
    fit = jaxlmm.lmer("Reaction ~ Days + first + (1 | Subject)", frame)
    assert plot.data.resid_fitted(fit)["std_resid"].isna().tolist() == [True] + [False] * 179
    assert len(plot.data.resid_qq(fit)) == 179
    assert "1 of 180 rows decide" in plot.resid_qq(fit).get_ylabel()
