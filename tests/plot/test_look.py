"""Every plot is rendered, with names that no plot has room for: no text leaves the figure, and no two names touch."""

import io
import itertools
from collections.abc import Callable
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

import jaxlmm
from jaxlmm import plot
from jaxlmm.plot import labels

LONG = "service_long_condition_name", "other_covariate_long", "third_covariate_name"


class Draws:
    """What plots read of a bootstrap, of a model whose bootstrap would take long: ten terms, one at its bound."""

    n_singular = 40

    def __init__(self) -> None:
        effects, rng = ["Intercept", "Machine[T.B]", "Machine[T.C]"], np.random.default_rng(6)
        columns = {name: rng.normal(50, 3, 100) for name in effects}
        for i, name in enumerate(effects):
            columns[f"sd__{name}|Worker"] = np.maximum(rng.normal(1, 2, 100), 0)
            columns |= {f"cor__{name}.{other}|Worker": rng.uniform(-1, 1, 100) for other in effects[i + 1 :]}
        columns["sd__Observation|Residual"] = rng.uniform(1, 2, 100)
        self.frame = pd.DataFrame(columns).assign(status="converged")
        self.numbers = self.frame.drop(columns="status")

    def summary(self) -> pd.DataFrame:
        return pd.DataFrame({"estimate": self.numbers.mean()})

    def conf_int(self, method: str, level: float) -> pd.DataFrame:
        return self.numbers.quantile([(1 - level) / 2, (1 + level) / 2]).T.set_axis(["lower", "upper"], axis=1)


@pytest.fixture(scope="module")
def things(long_fit: Any, long_names: pd.DataFrame, sleep: Any, machines: Any) -> dict[str, Any]:
    """What the plots are of."""
    rng = np.random.default_rng(5)
    frame = long_names.assign(**{name: rng.normal(size=288) for name in LONG})
    responses = pd.DataFrame(rng.normal(size=(288, 30))).add_prefix("gene_with_a_long_name_")
    cells = jaxlmm.lmer(
        "y ~ condition * half + (1 | school)",
        frame.assign(
            y=rng.normal(size=288), half=np.where(np.arange(288) % 2, "first half of the year", "second half")
        ),
    )
    slopes = jaxlmm.lmer("`response time in the second session (ms)` ~ x + condition + (x | school)", frame)
    return {
        "fit": long_fit,
        "slopes": slopes,
        "few": sleep,
        "influence": long_fit.influence(approximate=True),
        "draws": Draws(),
        "profile": machines.profile(),
        "many": jaxlmm.fit_many(f"~ {' + '.join(LONG)} + (1 | school)", frame, responses),
        "cells": cells,
        "means": cells.emmeans(["condition", "half"]),
        "by": cells.emmeans("condition", by="half"),
    }


PLOTS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "overview": lambda t: t["fit"].plot(),
    "caterpillar": lambda t: plot.caterpillar(t["slopes"]),
    "ranef_qq": lambda t: plot.ranef_qq(t["slopes"]),
    "shrinkage": lambda t: plot.shrinkage(t["slopes"]),
    "shrinkage of one effect": lambda t: plot.shrinkage(t["fit"]),
    "resid_fitted": lambda t: plot.resid_fitted(t["fit"]),
    "resid_qq": lambda t: plot.resid_qq(t["fit"]),
    "trajectories": lambda t: plot.trajectories(t["fit"]),
    "trajectories of one level": lambda t: plot.trajectories(t["few"], levels="308"),
    "trajectories of few": lambda t: plot.trajectories(t["few"]),
    "influence": lambda t: plot.influence(t["influence"], 10),
    "coefficients": lambda t: plot.coefficients(t["fit"], t["slopes"]),
    "coefficients of many": lambda t: plot.coefficients(*[t["few"]] * 10),
    "emmeans": lambda t: plot.emmeans(t["means"], t["cells"]),
    "emmeans by": lambda t: plot.emmeans(t["by"]),
    "profile_zeta": lambda t: plot.profile_zeta(t["profile"]),
    "profile_density": lambda t: plot.profile_density(t["profile"]),
    "profile_density of one": lambda t: plot.profile_density(t["profile"], ".sigma"),
    "bootstrap_density": lambda t: plot.bootstrap_density(t["draws"]),
    "bootstrap_density of one": lambda t: plot.bootstrap_density(t["draws"], "sd__Intercept|Worker"),
    "bootstrap_ridgeline": lambda t: plot.bootstrap_ridgeline(t["draws"]),
    "bootstrap_correlation": lambda t: plot.bootstrap_correlation(t["draws"]),
    "volcano": lambda t: plot.volcano(t["many"], LONG[0]),
    "variance_fractions": lambda t: plot.variance_fractions(t["many"]),
}


def test_every_plot_is_here() -> None:
    assert {name.split()[0] for name in PLOTS} == set(plot.__all__) - {"data"}


@pytest.mark.parametrize("name", PLOTS)
def test_names_have_room(things: dict[str, Any], name: str) -> None:
    axes = np.ravel(np.asarray(PLOTS[name](things), dtype=object))
    figure = axes[0].figure
    figure.savefig(io.BytesIO())  # warnings are errors here: of a layout that collapsed, for instance
    around = figure.bbox.padded(1.0)
    ticks = [tick for ax in figure.axes for axis in (ax.xaxis, ax.yaxis) for tick in axis.get_major_ticks()]
    on_ticks = {id(label) for tick in ticks for label in (tick.label1, tick.label2)}
    names = {id(ax): {axis: labels_of(axis) for axis in (ax.xaxis, ax.yaxis)} for ax in figure.axes}
    others = [text for text in figure.findobj(Text) if id(text) not in on_ticks and text.get_visible()]
    drawn = [text for own in names.values() for texts in own.values() for text in texts] + others
    for text in [text for text in drawn if text.get_text().strip()]:
        box = text.get_window_extent()
        inside = around.x0 <= box.x0 and box.x1 <= around.x1 and around.y0 <= box.y0 and box.y1 <= around.y1
        assert inside, f"{text.get_text()!r} leaves the figure"
    for ax in axes:
        assert ax.get_window_extent().width > 0.6 * figure.dpi
        for texts in names[id(ax)].values():
            for first, second in itertools.pairwise(texts):
                assert not touch(ax, first, second), f"{first.get_text()!r} and {second.get_text()!r} touch"
    titles = [ax.title.get_window_extent() for ax in axes if ax.get_title()]
    assert not any(a.overlaps(b) for a, b in itertools.combinations(titles, 2))
    below = [ax.xaxis.label.get_window_extent() for ax in axes if ax.get_xlabel()]
    assert not any(a.overlaps(b) for a, b in itertools.combinations(below, 2))


def labels_of(axis: Any) -> list[Text]:
    """Names along an axis that are drawn: those of ticks within its limits."""
    low, high = sorted(axis.get_view_interval())
    ticks = [tick for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
    return [tick.label1 for tick in ticks if tick.label1.get_visible() and tick.label1.get_text()]


def touch(ax: Any, first: Text, second: Text) -> bool:
    """Of upright texts, whether their boxes overlap; of turned ones, whether their lines are closer than they are high."""
    angle = np.deg2rad(first.get_rotation())
    if not angle:
        return bool(first.get_window_extent().overlaps(second.get_window_extent()))
    apart = abs(second.get_position()[0] - first.get_position()[0]) * np.sin(angle)
    pixels = ax.get_window_extent().width / np.ptp(ax.get_xlim()) * apart
    return bool(pixels < first.get_fontsize() * ax.figure.dpi / 72)


def test_axes_of_the_user(things: dict[str, Any]) -> None:
    """Notes of `influence` end inside axes that were given, and so do the names of `volcano`."""
    _, axes = plt.subplots(1, 2, figsize=(9, 4))
    plot.influence(things["influence"], 6, ax=axes[0])
    plot.volcano(things["many"], LONG[0], ax=axes[1])
    for ax in axes:
        around = ax.get_window_extent().padded(2.0)
        assert ax.texts
        assert all(around.x0 <= box.x0 and box.x1 <= around.x1 for box in (t.get_window_extent() for t in ax.texts))


NAMES = {
    # name, letters of a line, lines: how it is broken
    ("Days", 10, 3): "Days",
    ("cor__Intercept.Machine[T.B]|Worker", 20, 3): "cor__Intercept.\nMachine[T.B]|Worker",
    ("a name of five words", 8, 3): "a name\nof five\nwords",
    ("service_long_condition_name", 14, 2): "service_long_\ncondition_name",
    ("x" * 30, 10, 2): "xxxxxxxxxx\nxxxxxxxxx…",
}


@pytest.mark.parametrize("case", NAMES)
def test_wrapping(case: tuple[str, int, int]) -> None:
    name, letters, lines = case
    rows = labels.wrapped(name, letters * 0.6 * 10 / 72 + 1e-9, 10, lines).split("\n")
    assert len(rows) <= lines
    assert max(map(len, rows)) <= letters
    if name != "x" * 30:
        assert "\n".join(rows) == NAMES[case]


def test_shortening() -> None:
    assert labels.shortened("abcdefghij", 10) == "abcdefghij"
    assert labels.shortened("abcdefghijk", 5) == "ab…jk"
