"""Sums as things: added, subtracted, saved, made of cells, spread over devices, processes and workers."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import jaxlmm
from jaxlmm import DataError, SavedModelError
from tests.streams.test_models import MODELS, accuracy, table

ROOT = Path(__file__).parents[2]
FORMULAS = [
    "y ~ x * c + (1 | g)",
    "y ~ x + (x || g) + (0 + c || h)",
    "y ~ x + (1 | c/k/g)",
    "y ~ c * k * x + (1 | g)",
    "y ~ far + (far | g)",
]


def equal(sums: jaxlmm.CrossProducts, whole: pd.DataFrame, **arguments: Any) -> None:
    """The fit of sums is that of the rows."""
    ours, expected = jaxlmm.lmer_from(sums), jaxlmm.lmer(sums.formula, whole, **arguments)
    assert sums.nobs == expected.nobs
    assert ours.objective == pytest.approx(expected.objective, rel=1e-10)
    assert np.abs((ours.params - expected.params) / expected.bse).max() < accuracy(expected, 1e-5)
    assert ours.sigma == pytest.approx(expected.sigma, rel=accuracy(expected, 1e-6))


@pytest.mark.parametrize("formula", FORMULAS)
def test_sites_with_other_levels(formula: str) -> None:
    """Each site has levels that no other has, in groups and in coded factors."""
    whole = table()
    order = np.lexsort((whole["g"], whole["c"]))
    sites = [whole.iloc[order[i : i + 150]] for i in range(0, len(whole), 150)]
    arguments = MODELS.get(formula, {})
    sums = [jaxlmm.cross_products(formula, site, **arguments) for site in sites]
    equal(sum(sums), whole, **arguments)
    equal(sums[2] + sums[0] + (sums[3] + sums[1]), whole, **arguments)
    assert sum(sums).n_groups == jaxlmm.cross_products(formula, whole, **arguments).n_groups


@pytest.mark.parametrize("formula", FORMULAS)
def test_a_rolling_window(formula: str) -> None:
    """Add the new rows, take out the oldest: levels that are gone are gone."""
    whole, arguments = table(), MODELS.get(formula, {})
    first, middle, last = whole[:200], whole[200:420], whole[420:]
    window = jaxlmm.cross_products(formula, [first, middle], **arguments)
    window = window + jaxlmm.cross_products(formula, last, **arguments)
    window = window - jaxlmm.cross_products(formula, first, **arguments)
    equal(window, whole[200:], **arguments)


def test_levels_that_are_gone() -> None:
    whole = table()
    model = "y ~ x + (1 | g)"
    left = jaxlmm.cross_products(model, whole) - jaxlmm.cross_products(model, whole[whole["g"] < 10])
    assert left.n_groups == {"g": 20}
    assert left.levels("g").index.tolist() == list(range(10, 30))
    assert left.levels("g").sum() == left.nobs == (whole["x"].notna() & (whole["g"] >= 10)).sum()
    equal(left, whole[whole["g"] >= 10])


def test_what_cannot_be_taken_out() -> None:
    whole, model = table(), "y ~ x + (1 | g)"
    sums = jaxlmm.cross_products(model, whole[:300])
    with pytest.raises(DataError, match="nothing be left"):
        _ = sums - sums
    with pytest.raises(DataError, match="not all among"):
        _ = sums - jaxlmm.cross_products(model, whole)
    with pytest.raises(DataError, match="fewer than none"):
        rest = whole[160:]
        _ = jaxlmm.cross_products(model, whole[:160]) - jaxlmm.cross_products(model, rest[rest["g"] < 3])
    tiny = pd.concat([whole[:50], whole[50:52].assign(y=1e9, x=1e9)])
    with pytest.raises(DataError, match="rounding errors"):
        _ = jaxlmm.cross_products(model, tiny) - jaxlmm.cross_products(model, tiny[50:])


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"formula": "y ~ (1 | g)"}, "different formulas"),
        ({"weights": "w"}, "different weights"),
        ({"contrasts": {"c": "contr.sum"}}, "different contrasts"),
        ({"data": table().assign(k=1.0)}, "'k' holds numbers in one place|other columns"),
        ({"data": table().assign(o=table()["o"].cat.reorder_categories(["hi", "mid", "lo"]))}, "ordered categories"),
    ],
)
def test_sums_of_different_models(other: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {"formula": "y ~ c + k + o + (1 | g)", "data": table()}
    one = jaxlmm.cross_products(given["formula"], given["data"])
    changed = given | other
    rest = {name: value for name, value in changed.items() if name not in given}
    with pytest.raises(DataError, match=message):
        _ = jaxlmm.cross_products(changed["formula"], changed["data"], **rest) + one
    with pytest.raises(TypeError):
        _ = one + 1


def test_a_transform_of_other_rows() -> None:
    whole, model = table(), "y ~ scale(x) + (1 | g)"
    with pytest.raises(DataError, match="has seen different rows"):
        _ = jaxlmm.cross_products(model, whole[:300]) + jaxlmm.cross_products(model, whole[300:])


@pytest.mark.parametrize("formula", [*FORMULAS, "y ~ poly(x, 2) + o + b + (1 | g)"])
def test_files(formula: str, tmp_path: Path) -> None:
    whole, arguments = table(), MODELS.get(formula, {})
    path = tmp_path / "sums.npz"
    sums = jaxlmm.cross_products(formula, whole, **arguments)
    sums.save(path, min_rows=1)
    loaded = jaxlmm.load_cross_products(path)
    assert repr(loaded) == repr(sums)
    equal(loaded, whole, **arguments)
    if "poly" not in formula:  # whose columns are those of all rows
        equal(loaded + jaxlmm.load_cross_products(path), pd.concat([whole, whole]), **arguments)
    assert [file.name for file in tmp_path.iterdir()] == ["sums.npz"]


def test_small_groups_do_not_leave(tmp_path: Path) -> None:
    few = table()[:60]
    sums = jaxlmm.cross_products("y ~ x + (1 | g) + (1 | h)", few)
    with pytest.raises(DataError, match=r"groups of g have fewer than min_rows=5 rows"):
        sums.save(tmp_path / "sums.npz")
    with pytest.raises(DataError, match=r"groups of \w and \w together have fewer than min_rows=2 rows"):
        jaxlmm.cross_products("y ~ x + (1 | g) + (1 | h)", table()).save(tmp_path / "sums.npz", min_rows=2)
    with pytest.raises(DataError, match="min_rows=0"):
        sums.save(tmp_path / "sums.npz", min_rows=0)
    assert not list(tmp_path.iterdir())


def changed(path: Path, change: Any) -> None:
    """The same file with its header or arrays changed."""
    with np.load(path) as archive:
        arrays = {name: archive[name] for name in archive.files}
    header = json.loads(arrays.pop("header").tobytes())
    change(header, arrays)
    np.savez(path, **arrays, header=np.frombuffer(json.dumps(header).encode(), dtype=np.uint8))


DAMAGE: dict[str, Any] = {
    "another kind of file": lambda header, arrays: header.update(format="jaxlmm model"),
    "another version": lambda header, arrays: header.update(version=9),
    "no rows": lambda header, arrays: header.update(n_obs=0),
    "a formula of another model": lambda header, arrays: header.update(formula="y ~ x + (1 | h)"),
    "a formula that runs a program": lambda header, arrays: header.update(formula="y ~ __import__('os') + (1 | g)"),
    "an array too short": lambda header, arrays: arrays.update(ff=arrays["ff"][1:]),
    "a value that is none": lambda header, arrays: arrays["zf0"].__setitem__((0, 0, 0), np.nan),
    "a level that stands twice": lambda header, arrays: arrays["levels0"].__setitem__(1, arrays["levels0"][0]),
    "an unknown level": lambda header, arrays: arrays["parts0_0"].__setitem__(0, 99),
    "no counts": lambda header, arrays: arrays.pop("rows0"),
}


@pytest.mark.parametrize("change", DAMAGE.values(), ids=DAMAGE)
def test_damaged_files(change: Any, tmp_path: Path) -> None:
    path = tmp_path / "sums.npz"
    jaxlmm.cross_products("y ~ x + (1 | g)", table()).save(path, min_rows=1)
    changed(path, change)
    with pytest.raises(SavedModelError):
        jaxlmm.load_cross_products(path)


@pytest.mark.parametrize("formula", ["y ~ x * c + (x | g)", "y ~ x + (1 | g) + (1 | h)"])
@pytest.mark.parametrize("weights", [None, "w"])
def test_cells_fit_like_their_rows(formula: str, weights: str | None) -> None:
    rng = np.random.default_rng(2)
    n = 4000
    whole = pd.DataFrame(
        {
            "g": rng.integers(0, 40, n),
            "h": rng.choice(list("abcdef"), n),
            "x": rng.integers(0, 4, n),
            "c": rng.choice(["u", "v"], n),
            "w": rng.choice([1.0, 2.5], n),
        }
    )
    whole["y"] = 1e3 + 0.2 * whole["x"] + rng.normal(size=40)[whole["g"]] + rng.normal(size=n)
    for rows in (100, 10**6):
        cells = jaxlmm.aggregate(formula, whole, weights=weights, chunk_rows=rows)
        assert cells["n_rows"].sum() == n > 2 * len(cells)
        fit = jaxlmm.lmer(formula, cells, counts="n_rows", within_ss="within_ss", weights=weights)
        expected = jaxlmm.lmer(formula, whole, weights=weights)
        assert fit.nobs == n
        assert fit.objective == pytest.approx(expected.objective, rel=1e-10)
        np.testing.assert_allclose(fit.bse, expected.bse, rtol=1e-6)
        assert fit.sigma == pytest.approx(expected.sigma, rel=1e-9)
    # Means and sums of squares are pandas' own.
    by = [name for name in cells if name not in ("y", "n_rows", "within_ss")]
    grouped = whole.groupby(by)["y"]
    np.testing.assert_allclose(cells["y"], grouped.mean(), rtol=1e-13)
    np.testing.assert_allclose(cells["within_ss"], grouped.var(ddof=0) * grouped.size(), rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ({"n": [0.0, 2, 2, 2]}, "counts='n' is 0 in row 0"),
        ({"n": [1.5, 2, 2, 2]}, "counts='n' is 1.5 in row 0"),
        ({"s": [1.0, -1, 0, 0]}, "within_ss='s' is -1 in row 1"),
        ({"n": [2, 1, 2, 2], "s": [0.0, 3, 0, 0]}, "within_ss='s' is 3 in row 1, a cell of 1"),
    ],
)
def test_cells_that_cannot_be(cells: dict[str, Any], message: str) -> None:
    given = pd.DataFrame({"y": [1.0, 2, 3, 4], "g": list("aabb"), "n": [2] * 4, "s": [0.5] * 4}).assign(**cells)
    with pytest.raises(DataError, match=message):
        jaxlmm.lmer("y ~ 1 + (1 | g)", given, counts="n", within_ss="s")


def test_cells_that_save_nothing() -> None:
    with pytest.raises(DataError, match="hardly repeat"):
        jaxlmm.aggregate("y ~ x + (1 | g)", [table()[:300], table()[300:]], max_cells=100)
    with pytest.raises(DataError, match="no plain column"):
        jaxlmm.aggregate("log(y) ~ x + (1 | g)", table())


def test_workers_of_dask() -> None:
    """Map cross_products over partitions, and add."""
    distributed = pytest.importorskip("distributed")
    whole = table()
    model = "y ~ x * c + (1 | g)"
    with (
        distributed.LocalCluster(n_workers=2, processes=False, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        parts = client.map(lambda part: jaxlmm.cross_products(model, part), [whole[:200], whole[200:350], whole[350:]])
        sums = client.submit(sum, parts).result()
    equal(sums, whole)


def run(*arguments: str, **environment: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_two_processes() -> None:
    """The example of several processes, on loopback: the same fit on both, and that of all rows together."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    both = [run("examples/several_processes.py", str(rank), "2", address) for rank in range(2)]
    said = [process.communicate(timeout=300)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], "\n".join(said)
    code = (ROOT / "examples" / "several_processes.py").read_text()
    names: dict[str, Any] = {}
    exec(code[code.index("def rows") : code.index("sums =")], names)
    model = code.split('MODEL = "')[1].split('"')[0]
    whole = pd.concat([*names["rows"](0), *names["rows"](1)], ignore_index=True)
    expected = jaxlmm.lmer(model, whole)
    for text in said:
        assert f"{len(whole)} rows" in text
        found = float(text.split("criterion ")[1].split(",")[0])
        assert found == pytest.approx(expected.objective, rel=1e-11)


SHARDED = """
import jax, numpy as np, jaxlmm
from tests.streams.test_models import table
assert len(jax.devices()) == 3
for model, weights in (("y ~ x * c + (1 | g)", "w"), ("y ~ x + (0 + far | g) + (c || h)", None)):
    host, over = (jaxlmm.cross_products(model, table(), weights, devices=own) for own in (None, jax.devices()))
    difference = jaxlmm.lmer_from(host).objective / jaxlmm.lmer_from(over).objective - 1
    assert abs(difference) < 1e-11, difference
    assert (host.levels("g") == over.levels("g")).all()
print("equal")
"""


def test_rows_over_several_devices() -> None:
    """Three devices of one process; what the host sums is compared with lme4 elsewhere."""
    process = run("-c", SHARDED, XLA_FLAGS="--xla_force_host_platform_device_count=3")
    said = process.communicate(timeout=300)[0]
    assert said.strip().endswith("equal"), said
