"""The same fit from every source of rows, and what a source that cannot be used gets."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import jaxlmm
from jaxlmm import DataError, FormulaError
from tests.design.test_inputs import GROUPS, N, table

arrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")
datasets = pytest.importorskip("pyarrow.dataset")

MODEL = "y ~ x * a + (x | g)"


@pytest.fixture(scope="module")
def plain() -> jaxlmm.MixedModelResults:
    return jaxlmm.lmer(MODEL, table())


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rows") / "rows.parquet"
    parquet.write_table(
        arrow.Table.from_pandas(table()), path, row_group_size=20, write_page_checksum=True, compression="none"
    )
    return path


def folder(file: Path) -> Path:
    path = file.parent / "parts"
    path.mkdir(exist_ok=True)
    for number, begin in enumerate(range(0, N, 30)):
        parquet.write_table(arrow.Table.from_pandas(table()[begin : begin + 30]), path / f"{number}.parquet")
    return path


def in_duckdb(file: Path) -> Any:
    return pytest.importorskip("duckdb").sql(f"SELECT * FROM '{file}'")


def chunks(rows: int) -> Any:
    return (table()[begin : begin + rows] for begin in range(0, N, rows))


SOURCES: dict[str, Callable[[Path], Any]] = {
    "a file": lambda file: file,
    "its name": str,
    "a folder": folder,
    "a dataset": datasets.dataset,
    "a scanner": lambda file: datasets.dataset(file).scanner(),
    "a reader": lambda file: parquet.ParquetFile(file).iter_batches(17),
    "an Arrow stream": lambda file: datasets.dataset(file).scanner().to_reader(),
    "record batches": lambda file: arrow.Table.from_pandas(table()).to_batches(11),
    "a DuckDB relation": in_duckdb,
    "a polars LazyFrame": lambda file: pytest.importorskip("polars").scan_parquet(file),
    "an iterator": lambda file: chunks(7),
    "rows one by one": lambda file: chunks(1),
    "a callable": lambda file: lambda: chunks(50),
    "a callable that gives a file": lambda file: lambda: file,
    "tables": lambda file: list(chunks(40)),
    "dicts": lambda file: [part.to_dict("list") for part in chunks(40)],
    "an empty table among others": lambda file: [*chunks(40), table()[:0], table()[:0]],
}


@pytest.mark.parametrize("make", SOURCES.values(), ids=SOURCES)
def test_every_source_gives_the_same_fit(
    make: Callable[[Path], Any], file: Path, plain: jaxlmm.MixedModelResults
) -> None:
    fit = jaxlmm.lmer(MODEL, make(file))
    assert fit.objective == pytest.approx(plain.objective, rel=1e-12)
    pd.testing.assert_series_equal(fit.params, plain.params, rtol=1e-9)
    pd.testing.assert_series_equal(fit.bse, plain.bse, rtol=1e-9)
    pd.testing.assert_frame_equal(fit.ranef()["g"], plain.ranef()["g"], rtol=1e-7)
    assert (fit.nobs, fit.n_dropped) == (N, 0)


@pytest.mark.parametrize(("values", "levels"), GROUPS.values(), ids=GROUPS)
def test_every_kind_of_grouping_factor(values: Any, levels: list[Any], plain: jaxlmm.MixedModelResults) -> None:
    whole = table().assign(g=values)
    fit = jaxlmm.lmer(MODEL, [whole[40:], whole[:3], whole[3:40]])
    assert fit.objective == pytest.approx(plain.objective, rel=1e-12)
    assert fit.ranef()["g"].index.tolist() == levels


def test_columns_that_are_not_named_are_not_read(file: Path) -> None:
    """Were they read, this one could not be."""
    beside = datasets.dataset(file).to_table().append_column("odd", [[{"a": 1}] * N])
    assert jaxlmm.lmer(MODEL, lambda: beside.to_reader(9)).nobs == N


def test_missing_values_are_counted() -> None:
    holes = table()
    holes.loc[[0, 5, 40], "y"] = np.nan
    holes.loc[[5, 6], "g"] = None
    whole, parts = jaxlmm.lmer(MODEL, holes), jaxlmm.lmer(MODEL, [holes[:1], holes[1:30], holes[30:]])
    assert parts.objective == pytest.approx(whole.objective, rel=1e-12)
    assert (parts.nobs, parts.n_dropped) == (whole.nobs, whole.n_dropped) == (N - 4, 4)
    assert "4 more left out for missing values: y 3, g 2" in str(parts.summary())
    with pytest.raises(DataError, match="'y', first in row 0"):
        jaxlmm.lmer(MODEL, [holes], na_action="raise")


def test_categories_that_differ_between_tables(plain: jaxlmm.MixedModelResults) -> None:
    """Each table has categories of its own, in an order of its own: they mean no more than text."""
    parts = [part.assign(a=part["a"].astype("category")) for part in (table()[:1], table()[1:])]
    assert jaxlmm.lmer(MODEL, parts).objective == pytest.approx(plain.objective, rel=1e-12)
    order = ["top", "mid", "low"]
    declared = [part.assign(a=pd.Categorical(part["a"], categories=order)) for part in (table()[:1], table()[1:])]
    whole = jaxlmm.lmer(MODEL, pd.concat(declared))
    pd.testing.assert_series_equal(jaxlmm.lmer(MODEL, declared).params, whole.params, rtol=1e-9)


def gone() -> Any:
    yield table()[:30]
    raise ConnectionError("the network went away")


def damaged(file: Path) -> Path:
    """One byte in the middle of a page is another."""
    content = bytearray(file.read_bytes())
    values = table()["y"].to_numpy()[40:43].tobytes()
    content[content.find(values) + 4] ^= 0xFF
    other = file.parent / "damaged.parquet"
    other.write_bytes(content)
    return other


def ordered(categories: str) -> pd.DataFrame:
    return table().assign(a=pd.Categorical(table()["a"], categories=categories.split(), ordered=True))


BAD: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no such file": (lambda file: "absent.parquet", "no file or folder 'absent.parquet'"),
    "no Parquet": (lambda file: Path(__file__), "no Parquet file"),
    "a damaged page": (damaged, "cannot be read beyond row"),
    "a reader that fails": (lambda file: gone(), "beyond row 30 .*network went away"),
    "a column that goes": (
        lambda file: [table()[:9], table()[9:].drop(columns="x")],
        "'x' is not in the table that begins at row 9",
    ),
    "a column of another type": (
        lambda file: [table()[:9], table()[9:].assign(x="a")],
        "'x' holds text or categories in the table that begins at row 9, and numbers before",
    ),
    "other ordered categories": (
        lambda file: [ordered("low mid top")[:9], ordered("top mid low")[9:]],
        "'a' has the ordered categories",
    ),
    "no rows": (lambda file: iter([]), "has no rows"),
    "no complete rows": (lambda file: [table().assign(y=np.nan)], "no complete row: missing values in 'y'"),
    "no tables": (lambda file: iter([1, 2]), "an object of type int, which is no table"),
    "a function that gives nothing": (lambda file: lambda: None, "returned NoneType"),
    "an infinite value": (lambda file: [table()[:9], table()[9:].assign(x=np.inf)], "'x' is infinite in row 9"),
    "a constant response": (lambda file: [table().assign(y=1.0)], "constant"),
    "as many levels as rows": (lambda file: [table().assign(g=np.arange(N))], "as many levels as there are rows"),
}


@pytest.mark.parametrize(("make", "message"), BAD.values(), ids=BAD)
def test_a_source_that_cannot_be_used(make: Callable[[Path], Any], message: str, file: Path) -> None:
    with pytest.raises(jaxlmm.JaxlmmError, match=message):
        jaxlmm.lmer(MODEL, make(file))


def test_a_file_that_goes_while_it_is_read(file: Path, tmp_path: Path) -> None:
    paths = [tmp_path / f"{i}.parquet" for i in range(2)]
    for path in paths:
        path.write_bytes(file.read_bytes())
    found = datasets.dataset(tmp_path)
    paths[1].unlink()
    with pytest.raises(DataError, match=r"cannot be read beyond row [\d,]+ \(FileNotFoundError"):
        jaxlmm.lmer(MODEL, found)


@pytest.mark.parametrize("arguments", [{"weights": np.ones(N)}, {"offset": np.ones(N)}, {"counts": "w"}])
def test_arguments_that_are_no_columns(arguments: dict[str, Any], file: Path) -> None:
    with pytest.raises(DataError, match=r"name of a column|without within_ss"):
        jaxlmm.lmer(MODEL, file, **arguments)


def test_a_reader_is_not_read_twice() -> None:
    """It says so before the first row is read, for the rows would be gone."""
    reader = chunks(10)
    with pytest.raises(FormulaError, match="can be read only once"):
        jaxlmm.lmer("y ~ scale(x) + (1 | g)", reader)
    assert len(next(reader)) == 10


@pytest.mark.parametrize(
    ("effect", "message"),
    [
        ("bs(x, df=5)", "places its knots at quantiles"),
        ("log(1 + scale(x)**2)", "stands inside another expression"),
        ("C(x > 3)", "makes a factor of an expression"),
        ("cr(x, knots=[2, 3], constraints='center')", "needs all rows at once"),
    ],
)
def test_effects_that_need_all_rows(effect: str, message: str, file: Path) -> None:
    with pytest.raises(FormulaError, match=message) as caught:
        jaxlmm.lmer(f"y ~ {effect} + (1 | g)", file)
    assert "^" in str(caught.value)


def test_rows_are_written_out(file: Path, tmp_path: Path, plain: jaxlmm.MixedModelResults) -> None:
    fit = jaxlmm.lmer(MODEL, file, control=jaxlmm.Control(chunk_rows=25))
    rows, levels = tmp_path / "rows.parquet", tmp_path / "levels.parquet"
    assert fit.augment(to=rows) == N
    written = pd.read_parquet(rows)
    assert written.columns.tolist() == ["y", "x", "a", "g", "fitted", "resid", "fixed"]
    np.testing.assert_allclose(written["fitted"], plain.fittedvalues, rtol=1e-8)
    np.testing.assert_allclose(written["resid"], plain.resid, atol=1e-7)
    pd.testing.assert_series_equal(written["x"], table()["x"])
    assert fit.ranef(to=levels, condvar=True) == 24
    long = pd.read_parquet(levels)
    np.testing.assert_allclose(long["std_error"], plain.ranef(condvar=True)["std_error"], rtol=1e-8)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["levels.parquet", "rows.parquet"]


def test_what_is_half_written_is_not_left_there(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fit = jaxlmm.lmer(MODEL, file)
    path = tmp_path / "rows.parquet"
    path.write_bytes(b"what was there before")

    class Full(parquet.ParquetWriter):
        def write_table(self, *arguments: Any, **named: Any) -> None:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(parquet, "ParquetWriter", Full)
    with pytest.raises(DataError, match="No space left on device"):
        fit.augment(to=path)
    assert [path.name for path in tmp_path.iterdir()] == ["rows.parquet"]
    assert path.read_bytes() == b"what was there before"


def test_questions_about_rows_say_that_there_are_none(file: Path) -> None:
    fit = jaxlmm.lmer(MODEL, file)
    with pytest.raises(DataError, match="read from a source and not kept"):
        _ = fit.fittedvalues
    once = jaxlmm.lmer(MODEL, chunks(20))
    with pytest.raises(DataError, match="can be read only once"):
        once.augment(to="rows.parquet")


def test_update_reads_the_source_again(file: Path) -> None:
    fit = jaxlmm.lmer(MODEL, file).update(". ~ . - x:a", reml=False)
    same_model = jaxlmm.lmer("y ~ x + a + (x | g)", table(), reml=False)
    assert fit.objective == pytest.approx(same_model.objective, rel=1e-12)


def test_the_dry_run(file: Path) -> None:
    found = jaxlmm.plan(MODEL, file)
    assert (found.rows, found.levels, found.n_fixed) == (N, {"g": 12}, 6)
    assert found.plan.startswith("grouped")
    assert "about 12" in str(found)
    rng = np.random.default_rng(3)
    big = pd.DataFrame({"y": rng.normal(size=600_000), "g": rng.integers(0, 50_000, 600_000)})
    seen = jaxlmm.plan("y ~ 1 + (1 | g)", lambda: [big])
    assert (seen.rows, seen.seconds) == (None, None)
    whole = jaxlmm.plan("y ~ 1 + (1 | g)", big)
    assert whole.rows == 600_000
    assert whole.levels["g"] == pytest.approx(50_000, rel=0.02)
    for n in (40, 1000, 3000, 5000):  # all of them in the sample, many times
        assert jaxlmm.plan("y ~ 1 + (1 | g)", big.assign(g=big["g"] % n)).levels == {"g": n}


def test_likelihood_ratios(file: Path) -> None:
    """Fits without rows are compared by what they were made of."""
    models = ["y ~ x + (1 | g)", "y ~ x + a + (1 | g)", "y ~ x + a + (x | g)"]
    ours = jaxlmm.anova(*(jaxlmm.lmer(model, file) for model in models))
    whole = jaxlmm.anova(*(jaxlmm.lmer(model, table()) for model in models))
    pd.testing.assert_frame_equal(ours, whole, rtol=1e-8)
    full = jaxlmm.lmer(models[1], file)
    for other, message in (
        (jaxlmm.lmer("y ~ w + (1 | g)", file), "not nested"),
        (jaxlmm.lmer("y ~ x + (1 | a)", file), "not nested"),
        (jaxlmm.lmer(models[0], [table()[:50]]), "different rows"),
        (jaxlmm.lmer(models[0], [table().assign(y=lambda d: d["y"] + 1)]), "not the same response"),
        (jaxlmm.lmer(models[0], file, weights="w"), "not the same weights"),
    ):
        with pytest.raises(jaxlmm.DesignError, match=message):
            jaxlmm.anova(full, other)


def test_text_in_dictionaries() -> None:
    """Arrow's dictionaries differ from chunk to chunk, and hold what does not occur."""
    whole = arrow.Table.from_pandas(table())
    at = whole.schema.get_field_index("g")
    parts = [
        whole.slice(begin, 36).set_column(
            at, "g", arrow.chunked_array([whole["g"].slice(begin, 36).combine_chunks().dictionary_encode()])
        )
        for begin in (0, 36)
    ]
    both = arrow.concat_tables(parts)
    plain = jaxlmm.lmer(MODEL, table())
    for given in (both, both.slice(0, N), parts):
        fit = jaxlmm.lmer(MODEL, given)
        assert fit.objective == pytest.approx(plain.objective, rel=1e-12)
        assert fit.ranef()["g"].index.tolist() == plain.ranef()["g"].index.tolist()


def test_progress(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tqdm")
    jaxlmm.lmer("y ~ scale(x) + (1 | g)", file, control=jaxlmm.Control(progress=True))
    shown = capsys.readouterr().err
    assert "rows (first pass)" in shown
    assert "72.0/72.0" in shown
