"""What a reviewer's scripts found: models fitted wrongly in silence, levels that stayed, errors that were not ours."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd
import pytest

import jaxlmm
from jaxlmm import DataError, DesignError, FormulaError, JaxlmmError, SavedModelError
from tests.streams.test_models import accuracy, table

CHUNKS = 100


def parts(whole: pd.DataFrame) -> list[pd.DataFrame]:
    return [whole[i : i + CHUNKS] for i in range(0, len(whole), CHUNKS)]


def cells() -> pd.DataFrame:
    return jaxlmm.aggregate("y ~ k + (1 | g)", table())


REFUSED: dict[str, tuple[Callable[[], Any], type[JaxlmmError], str]] = {
    "the mean of a logarithm is not that of a mean": (
        lambda: jaxlmm.lmer("log(y + 20) ~ k + (1 | g)", cells(), counts="n_rows", within_ss="within_ss"),
        DataError,
        "before the rows are aggregated",
    ),
    "a transform that would weigh cells alike": (
        lambda: jaxlmm.lmer("y ~ scale(x) + (1 | g)", cells().assign(x=1.0), counts="n_rows", within_ss="within_ss"),
        FormulaError,
        "every cell alike",
    ),
    "an offset that looks at its rows": (
        lambda: jaxlmm.lmer("y ~ k + offset(center(w)) + (1 | g)", parts(table())),
        FormulaError,
        "an offset cannot wait",
    ),
    "no random effects": (lambda: jaxlmm.plan("y ~ x", table()), FormulaError, "no random effects"),
    "ordered categories, and text": (
        lambda: jaxlmm.lmer("y ~ o + (1 | g)", [table()[:300], table()[300:].assign(o="other")]),
        DataError,
        "none of them",
    ),
    "no devices": (lambda: jaxlmm.cross_products("y ~ k + (1 | g)", table(), devices=[]), DataError, "no devices"),
    "a number of devices": (
        lambda: jaxlmm.cross_products("y ~ k + (1 | g)", table(), devices=3),
        DataError,
        "no devices",
    ),
    "a coding that is none": (
        lambda: jaxlmm.cross_products("y ~ c + (1 | g)", table(), contrasts={"c": object()}),
        DesignError,
        "neither the name",
    ),
    "codings without names": (
        lambda: jaxlmm.cross_products("y ~ c + (1 | g)", table(), contrasts="contr.sum"),
        DesignError,
        "write a dict",
    ),
    "no path": (lambda: jaxlmm.load_cross_products(None), SavedModelError, "no path"),
    "no file to write": (
        lambda: jaxlmm.lmer("y ~ k + (1 | g)", parts(table())).augment(to=1, source=table()),
        DataError,
        "no path",
    ),
    "cells of text": (lambda: jaxlmm.aggregate("c ~ k + (1 | g)", table()), DataError, "text or categories"),
    "weights of cells": (
        lambda: jaxlmm.aggregate("y ~ k + (1 | g)", table(), weights=np.ones(600)),
        DataError,
        "name of a column",
    ),
    "one cell": (lambda: jaxlmm.aggregate("y ~ 1", table()), DataError, "one cell"),
}


@pytest.mark.parametrize("formula", ["y ~ c * x + (1 | g)", "y ~ c/x + (1 | g)"])
@pytest.mark.parametrize(("far", "fits"), [(1e2, True), (1.6e9, False)])
def test_products_far_from_zero(formula: str, far: float, fits: bool) -> None:
    """A column of ones beside x takes its origin up; beside the levels of c nothing does, and sums of squares lose digits."""
    whole = table().dropna().assign(x=lambda d: d["x"] + far)
    if fits:
        expected = jaxlmm.lmer(formula, whole).objective
        assert jaxlmm.lmer(formula, parts(whole)).objective == pytest.approx(expected, rel=1e-9)
        return
    with pytest.raises(DataError, match=r"write I\(x - 1.6e9\)"):
        jaxlmm.lmer(formula, parts(whole))


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    question, error, words = REFUSED[name]
    with pytest.raises(error, match=words):
        question()


@pytest.mark.parametrize(
    ("formula", "gone"),
    [
        ("y ~ x + c + (1 | g)", lambda d: d["c"] == "u"),
        ("y ~ x + c + (1 | g)", lambda d: d["g"] < 12),
        ("y ~ x * c + (x | g)", lambda d: (d["g"] == 3) | (d["c"] == "w")),
        ("y ~ x + (1 | c:g) + (1 | h)", lambda d: (d["c"] == "w") | (d["h"] == "b")),
        ("y ~ k:c + (1 | g/c)", lambda d: d["g"] % 3 == 0),
    ],
)
def test_levels_whose_rows_were_taken_out(formula: str, gone: Callable[[pd.DataFrame], pd.Series]) -> None:
    """A rolling window is the fit of the rows that are in it: its levels, its reference level, its number of groups."""
    whole = table().dropna()
    out = gone(whole)
    left = jaxlmm.cross_products(formula, whole) - jaxlmm.cross_products(formula, whole[out])
    ours, expected = jaxlmm.lmer_from(left), jaxlmm.lmer(formula, whole[~out])
    assert ours.nobs == expected.nobs
    assert dict(ours.n_groups) == dict(expected.n_groups)
    assert ours.params.index.tolist() == expected.params.index.tolist()
    assert ours.objective == pytest.approx(expected.objective, rel=1e-9)
    assert np.abs((ours.params - expected.params) / expected.bse).max() < accuracy(expected, 1e-5)
    for name, modes in expected.ranef().items():
        assert ours.ranef()[name].index.tolist() == modes.index.tolist()
    again = jaxlmm.lmer_from(left + jaxlmm.cross_products(formula, whole[out]))
    assert again.objective == pytest.approx(jaxlmm.lmer(formula, whole).objective, rel=1e-9)


def test_single_persons_stay_where_they_are(tmp_path: Path) -> None:
    """A cell of one row, no group of which is small, is not saved; and no value of a row stands in the file."""
    whole = table().dropna().assign(c=lambda d: d["c"].replace("w", "u"), l=lambda d: np.log(d["w"]))
    alone = whole.copy()
    alone.iloc[17, alone.columns.get_loc("c")] = "w"
    with pytest.raises(DataError, match="fixed effects"):
        jaxlmm.cross_products("y ~ c + x + (1 | h)", alone).save(tmp_path / "alone.npz")
    sums = jaxlmm.cross_products("y ~ c + log(w) + (1 | h)", whole)
    sums.save(tmp_path / "sums.npz")
    with np.load(tmp_path / "sums.npz") as archive:
        header = json.loads(archive["header"].tobytes())
    assert not set(header["sample"].values()) & set(whole["w"])
    assert jaxlmm.lmer_from(jaxlmm.load_cross_products(tmp_path / "sums.npz")).nobs == len(whole)


def test_rows_that_were_never_there() -> None:
    formula, whole = "y ~ x + c + (1 | h)", table().dropna()
    others = whole.assign(y=whole["y"] * 3.0)[:200]
    with pytest.raises(DataError, match="not all among them"):
        jaxlmm.cross_products(formula, whole) - jaxlmm.cross_products(formula, others)


def test_a_source_is_not_written_over(tmp_path: Path) -> None:
    path = tmp_path / "rows" / "0.parquet"
    path.parent.mkdir()
    table().dropna().to_parquet(path)
    for source, to in ((path, path), (path.parent, path.parent / "fitted.parquet")):
        with pytest.raises(DataError, match="another place"):
            jaxlmm.lmer("y ~ x + (1 | g)", source).augment(to=to)
    assert len(pd.read_parquet(path)) == len(table().dropna())
    beside = tmp_path / "rows_fitted"
    beside.mkdir()
    assert jaxlmm.lmer("y ~ x + (1 | g)", path.parent).augment(to=beside / "fitted.parquet") == len(table().dropna())


def test_rows_without_a_weight_are_not_written(tmp_path: Path) -> None:
    whole = table().dropna().assign(w=lambda d: d["w"].where(d["g"] != 3))
    fit = jaxlmm.lmer("y ~ x + (1 | g)", parts(whole), weights="w")
    assert fit.augment(to=tmp_path / "out.parquet", source=whole) == fit.nobs == int((whole["g"] != 3).sum())


@pytest.mark.parametrize("ordered", [False, True])
def test_cells_keep_an_order_of_categories(ordered: bool) -> None:
    """What the first category is, others are compared with."""
    order = pd.CategoricalDtype(["w", "v", "u"], ordered=ordered)
    whole = table().assign(o=lambda d: d["c"].astype(order))
    made = jaxlmm.aggregate("y ~ o + (1 | g)", whole)
    ours = jaxlmm.lmer("y ~ o + (1 | g)", made, counts="n_rows", within_ss="within_ss")
    expected = jaxlmm.lmer("y ~ o + (1 | g)", whole)
    assert ours.params.index.tolist() == expected.params.index.tolist()
    np.testing.assert_allclose(ours.params, expected.params, rtol=1e-7)


def test_infinite_responses_of_cells() -> None:
    with pytest.raises(DataError, match="infinite"):
        jaxlmm.aggregate("y ~ k + (1 | g)", table().assign(y=np.inf))


def test_fits_of_cells_can_be_saved(tmp_path: Path) -> None:
    fit = jaxlmm.lmer("y ~ k + (1 | g)", cells(), counts="n_rows", within_ss="within_ss")
    fit.save(tmp_path / "cells.npz")
    assert jaxlmm.load(tmp_path / "cells.npz").tidy().equals(fit.tidy())


@pytest.mark.parametrize(
    ("formula", "whole"),
    [
        ("y ~ I(c == 'u') + (1 | g)", table()),
        ("y ~ x + (1 | g)", table().assign(g=lambda d: d["g"].astype(np.uint64) + np.uint64(2**63))),
    ],
)
def test_columns_of_other_kinds(formula: str, whole: pd.DataFrame, tmp_path: Path) -> None:
    expected = jaxlmm.lmer(formula, whole)
    sums = jaxlmm.cross_products(formula, parts(whole))
    sums.save(tmp_path / "sums.npz", min_rows=1)
    for own in (sums, jaxlmm.load_cross_products(tmp_path / "sums.npz")):
        fit = jaxlmm.lmer_from(own)
        assert fit.objective == pytest.approx(expected.objective, rel=1e-10)
        assert [str(v) for v in fit.ranef()["g"].index] == [str(v) for v in expected.ranef()["g"].index]


def test_categories_and_then_text() -> None:
    whole = table()
    first = whole[:300].assign(c=pd.Categorical(whole["c"][:300], categories=["w", "v", "u"]))
    last = whole[300:].assign(c=["new", *whole["c"][301:]])
    fit = jaxlmm.lmer("y ~ c + (1 | g)", [first, last])
    both = pd.concat([first.assign(c=first["c"].astype(str)), last])
    assert fit.objective == pytest.approx(jaxlmm.lmer("y ~ c + (1 | g)", both).objective, rel=1e-10)


@pytest.mark.parametrize("contrasts", [None, {}, {"c": [[1, 0], [-1, 1], [0, -1]]}, {"c": "contr.sum"}])
def test_codings_after_loading(contrasts: Any, tmp_path: Path) -> None:
    whole = table()
    first, last = (
        jaxlmm.cross_products("y ~ c + (1 | g)", own, contrasts=contrasts) for own in (whole[:300], whole[300:])
    )
    first.save(tmp_path / "first.npz", min_rows=1)
    both = jaxlmm.load_cross_products(tmp_path / "first.npz") + last
    expected = jaxlmm.lmer("y ~ c + (1 | g)", whole, contrasts=contrasts)
    np.testing.assert_allclose(jaxlmm.lmer_from(both).params, expected.params, rtol=1e-6)


def test_devices_of_this_process() -> None:
    one = jaxlmm.cross_products("y ~ k + (1 | g)", table(), devices=jax.devices())
    assert jaxlmm.lmer_from(one).objective == pytest.approx(
        jaxlmm.lmer("y ~ k + (1 | g)", table()).objective, rel=1e-11
    )
