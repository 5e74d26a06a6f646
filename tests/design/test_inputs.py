"""What good input gets: the same model from every kind of table, and what is decided about rows, levels and codings."""

import decimal

import numpy as np
import pandas as pd
import pytest

import jaxlmm
from jaxlmm.design import build
from jaxlmm.formula import parse_formula

N_GROUPS, PER_GROUP = 12, 6
N = N_GROUPS * PER_GROUP
MODEL = "y ~ x + (1 | g)"


def table() -> pd.DataFrame:
    """Response y, covariate x, factor a of three levels, grouping factor g of twelve, weights w."""
    rng = np.random.default_rng(42)
    group = np.repeat(np.arange(N_GROUPS), PER_GROUP)
    x = np.tile(np.arange(PER_GROUP), N_GROUPS)
    return pd.DataFrame(
        {
            "y": 10 + x + rng.normal(size=N_GROUPS)[group] + rng.normal(size=N),
            "x": x,
            "a": np.tile(["low", "mid", "top"], N // 3),
            "g": [f"g{i:02d}" for i in group],
            "w": rng.uniform(0.5, 2.0, size=N),
        }
    )


@pytest.fixture(scope="module")
def plain():
    """The model that most tests compare with."""
    return jaxlmm.lmer(MODEL, table())


def frame_of(formula, data, **arguments):
    """The named design, without a fit."""
    return build(parse_formula(formula), data, **arguments)


def same(one, other):
    """Two fits of the same numbers."""
    assert one.objective == pytest.approx(other.objective, rel=1e-12)
    np.testing.assert_allclose(one.params, other.params, rtol=1e-9)
    np.testing.assert_allclose(one.fittedvalues, other.fittedvalues, rtol=1e-9)


def polars_frame(frame):
    return pytest.importorskip("polars").DataFrame(frame.to_dict("list"))


def arrow_table(frame):
    return pytest.importorskip("pyarrow").table(frame.to_dict("list"))


TABLES = {
    "polars": polars_frame,
    "polars, Categorical": lambda frame: polars_frame(frame).with_columns(
        g=pytest.importorskip("polars").Series(frame["g"].to_list()).cast(pytest.importorskip("polars").Categorical)
    ),
    "pyarrow": arrow_table,
    "pyarrow, dictionary": lambda frame: arrow_table(frame).set_column(
        3, "g", pytest.importorskip("pyarrow").array(frame["g"].to_list()).dictionary_encode()
    ),
    "dict of arrays": lambda frame: {name: frame[name].to_numpy() for name in frame},
    "dict of lists": lambda frame: frame.to_dict("list"),
    "pandas, rows in another order of columns": lambda frame: frame[frame.columns[::-1]],
    "pandas, nullable": lambda frame: frame.astype({"y": "Float64", "x": "Int64", "g": "string", "w": "Float64"}),
    "pandas, arrow": lambda frame: frame.convert_dtypes(dtype_backend="pyarrow"),
    "pandas, category": lambda frame: frame.astype({"g": "category"}),
    "pandas, float32 and uint8": lambda frame: frame.astype({"x": "uint8"}),
    "pandas, objects": lambda frame: frame.astype(object),
    "pandas, decimals": lambda frame: frame.assign(x=[decimal.Decimal(int(value)) for value in frame["x"]]),
    "pandas, sparse": lambda frame: frame.assign(x=pd.arrays.SparseArray(frame["x"])),
    "pandas, labels that repeat": lambda frame: frame.set_index(np.zeros(N, dtype=int)),
    "pandas, labels of two levels": lambda frame: frame.set_index(pd.MultiIndex.from_product([range(12), range(6)])),
    "pandas, numbered columns beside": lambda frame: frame.assign(**{"spare": 1}).rename(columns={"spare": 7}),
    "pandas, a spare column twice": lambda frame: pd.concat([frame, frame[["a"]]], axis=1),
}


@pytest.mark.parametrize("make", TABLES.values(), ids=TABLES)
def test_every_kind_of_table_gives_the_same_fit(make, plain):
    fit = jaxlmm.lmer(MODEL, make(table()))
    same(fit, plain)
    assert list(fit.ranef()["g"].index) == list(plain.ranef()["g"].index)


# Grouping columns of every type; the labels that ranef shows.
NUMBERS = np.repeat(np.arange(N_GROUPS), PER_GROUP)
GROUPS = {
    "strings": ([f"g{i:02d}" for i in NUMBERS], [f"g{i:02d}" for i in range(N_GROUPS)]),
    "integers": (NUMBERS + 100, list(range(100, 112))),
    "integers beyond 2**53": (NUMBERS + 10**17, [10**17 + i for i in range(N_GROUPS)]),
    "unsigned integers beyond 2**63": (
        NUMBERS.astype("uint64") + np.uint64(2**63),
        [2**63 + i for i in range(N_GROUPS)],
    ),
    "Python's integers": (
        pd.Series([10**25 + int(i) for i in NUMBERS], dtype=object),
        [10**25 + i for i in range(N_GROUPS)],
    ),
    "nullable integers": (pd.Series(NUMBERS, dtype="Int64"), list(range(N_GROUPS))),
    "floats": (NUMBERS / 4, [i / 4 for i in range(N_GROUPS)]),
    "whole floats": (NUMBERS * 1.0, list(range(N_GROUPS))),
    "categories of strings": (pd.Categorical([f"g{i:02d}" for i in NUMBERS]), [f"g{i:02d}" for i in range(N_GROUPS)]),
    "categories of integers": (pd.Categorical(NUMBERS), list(range(N_GROUPS))),
    "ordered categories": (
        pd.Categorical(NUMBERS, categories=range(N_GROUPS)[::-1], ordered=True),
        list(range(N_GROUPS))[::-1],
    ),
    "an unused category": (pd.Categorical(NUMBERS, categories=range(-1, N_GROUPS)), list(range(N_GROUPS))),
}


@pytest.mark.parametrize(("values", "levels"), GROUPS.values(), ids=GROUPS)
def test_every_kind_of_grouping_factor(values, levels, plain):
    fit = jaxlmm.lmer(MODEL, table().assign(g=values))
    same(fit, plain)
    assert fit.ranef()["g"].index.tolist() == levels


def as_objects(values):
    return values.astype(object).where(np.arange(N) != 7, None)


@pytest.mark.parametrize(
    "change", [lambda v: v, lambda v: v.astype("boolean"), as_objects], ids=["bool", "boolean", "object"]
)
def test_a_boolean_is_a_factor(change):
    """As in R and in patsy: levels False and True, treatment coding; full dummies where the intercept is missing."""
    data = table().assign(b=change(table()["x"] > 2))
    frame = frame_of("y ~ b + (1 | b) + (1 | g)", data)
    assert frame.factors[1].grouping.levels.tolist() == [False, True]
    assert frame.fixed.names == ("Intercept", "b[T.True]")
    np.testing.assert_array_equal(frame.design.x[:, 1], (table()["x"] > 2)[frame.rows.used])
    assert frame_of("y ~ 0 + b + (1 | g)", data).fixed.names == ("b[False]", "b[True]")
    assert frame_of("y ~ w:b + (1 | g)", data).fixed.names == ("Intercept", "w:b[False]", "w:b[True]")
    assert frame_of("y ~ x + (0 + b | g)", data).factors[0].columns == ("b[False]", "b[True]")


def test_a_boolean_response_or_offset_is_a_number():
    data = table().assign(b=table()["w"] > 1.2)
    fit = jaxlmm.lmer("b ~ x + (1 | g)", data)
    same(fit, jaxlmm.lmer("b ~ x + (1 | g)", data.assign(b=data.b.astype(float))))
    assert any("linear probability" in note for note in fit.summary().notes)
    shifted = jaxlmm.lmer("y ~ x + offset(b) + (1 | g)", data)
    subtracted = jaxlmm.lmer("y ~ x + (1 | g)", data.assign(y=data.y - data.b))
    np.testing.assert_allclose(shifted.params, subtracted.params, rtol=1e-9)
    np.testing.assert_allclose(shifted.objective, subtracted.objective, rtol=1e-12)


def test_integer_labels_in_polars_are_not_rounded():
    data = polars_frame(table().assign(g=NUMBERS + 10**17))
    frame = frame_of(MODEL, data)
    assert frame.factors[0].grouping.levels.tolist() == [10**17 + i for i in range(N_GROUPS)]


def test_unused_categories_are_dropped_before_and_after_the_rows():
    data = table().assign(a=pd.Categorical(table()["a"], categories=["none", "top", "mid", "low"]))
    frame = frame_of("y ~ a + (1 | g)", data)
    assert frame.fixed.names == ("Intercept", "a[T.mid]", "a[T.low]")
    data.loc[data["a"] == "top", "y"] = np.nan
    assert frame_of("y ~ a + (1 | g)", data).fixed.names == ("Intercept", "a[T.low]")


@pytest.mark.parametrize(
    ("values", "names"),
    [
        (["top", "low", "mid"], ("a[T.mid]", "a[T.top]")),
        (
            pd.Categorical(["top", "low", "mid"], categories=["top", "low", "mid"], ordered=True),
            ("a[T.low]", "a[T.mid]"),
        ),
        (pd.Series(["top", "low", "mid"], dtype="string"), ("a[T.mid]", "a[T.top]")),
    ],
    ids=["strings are sorted", "categories keep their order", "the string type is sorted"],
)
def test_order_of_levels(values, names):
    values = pd.concat([pd.Series(values)] * (N // 3), ignore_index=True)
    assert frame_of("y ~ a + (1 | g)", table().assign(a=values)).fixed.names[1:] == names


def test_order_of_levels_in_polars():
    pl = pytest.importorskip("polars")
    data = polars_frame(table())
    enum = data.with_columns(pl.col("a").cast(pl.Enum(["top", "never", "low", "mid"])))
    assert frame_of("y ~ a + (1 | g)", enum).fixed.names[1:] == ("a[T.low]", "a[T.mid]")
    by_appearance = data.sort("a", descending=True).with_columns(pl.col("a").cast(pl.Categorical))
    assert frame_of("y ~ a + (1 | g)", by_appearance).fixed.names[1:] == ("a[T.mid]", "a[T.top]")


def test_levels_of_numbers_have_no_point():
    names = frame_of("y ~ C(x) + (1 | g)", table()).fixed.names
    assert names[1:] == ("C(x)[T.1]", "C(x)[T.2]", "C(x)[T.3]", "C(x)[T.4]", "C(x)[T.5]")
    halves = frame_of("y ~ C(x) + (1 | g)", table().assign(x=table()["x"] % 3 / 2)).fixed.names
    assert halves[1:] == ("C(x)[T.0.5]", "C(x)[T.1.0]")


# Rows


def test_missing_rows_are_counted(plain):
    data = table()
    data.loc[3, "y"] = np.nan
    data["x"] = data["x"].astype("Int64")
    data.loc[[7, 8], "x"] = pd.NA
    data.loc[8, "g"] = None
    fit = jaxlmm.lmer(MODEL, data)
    assert (fit.nobs, fit.n_dropped) == (N - 3, 3)
    text = str(fit.summary())
    assert "3 more left out for missing values" in text
    assert all(word in text for word in ("y 1", "x 2", "g 1"))
    assert fit.fittedvalues.index.tolist() == [i for i in range(N) if i not in (3, 7, 8)]
    same(fit, jaxlmm.lmer(MODEL, data.dropna()))


def test_a_column_that_the_model_does_not_use_may_be_anything(plain):
    data = table().assign(when=pd.Timestamp("2024-01-01"), a=np.nan, w=[[1]] * N)
    same(jaxlmm.lmer(MODEL, data), plain)


def test_an_infinite_value_in_a_row_left_out_does_not_matter():
    data = table().astype({"x": float})
    data.loc[3, ["x", "y"]] = [np.inf, np.nan]
    assert frame_of(MODEL, data).rows.n_dropped == 1


def test_scale_and_center_use_complete_rows_only():
    data = table().astype({"x": float})
    data.loc[3, "x"] = np.nan
    frame = frame_of("y ~ scale(x) + center(x) + (1 | g)", data)
    left = data["x"].dropna()
    np.testing.assert_allclose(frame.design.x[:, 1], (left - left.mean()) / left.std(), rtol=1e-12)
    np.testing.assert_allclose(frame.design.x[:, 2], left - left.mean(), atol=1e-12)


def test_missing_weights_are_counted_under_their_name():
    weights = table()["w"].where(table().index != 5)
    fit = jaxlmm.lmer(MODEL, table(), weights=weights)
    assert fit.n_dropped == 1
    assert "weights 1)" in str(fit.summary())


def test_labels_are_kept():
    data = table().set_axis([f"row {i}" for i in range(N)])
    data.loc["row 2", "y"] = np.nan
    fit = jaxlmm.lmer(MODEL, data)
    kept = data.index.drop("row 2")
    for series in (fit.fittedvalues, fit.resid, fit.predict(), fit.augment()):
        assert series.index.equals(kept)
    new = data.iloc[[5, 1]]
    assert fit.predict(new).index.equals(new.index)


# Weights and offset


def test_weights_in_every_form():
    weights = table()["w"]
    expected = frame_of(MODEL, table(), weights="w").design.weights
    np.testing.assert_array_equal(expected, weights)
    forms = [weights, weights.to_numpy(), weights.to_list(), weights.astype("Float64"), polars_frame(table())["w"]]
    for form in forms:
        np.testing.assert_array_equal(frame_of(MODEL, table(), weights=form).design.weights, expected)
    weighted = jaxlmm.lmer(MODEL, table(), weights="w")
    doubled = jaxlmm.lmer(MODEL, table(), weights=2 * weights)
    assert doubled.sigma == pytest.approx(weighted.sigma * np.sqrt(2), rel=1e-9)
    np.testing.assert_allclose(doubled.params, weighted.params, rtol=1e-9)


def test_weights_of_one_change_nothing(plain):
    same(jaxlmm.lmer(MODEL, table(), weights=np.ones(N, dtype=bool)), plain)


def test_offset_in_every_form():
    data = table()
    written = jaxlmm.lmer("y ~ x + offset(w) + (1 | g)", data)
    for offset in ("w", data["w"], data["w"].to_numpy(), data["w"].to_list()):
        same(jaxlmm.lmer(MODEL, data, offset=offset), written)
    moved = jaxlmm.lmer(MODEL, data.assign(y=data["y"] - data["w"]))
    np.testing.assert_allclose(written.params, moved.params, rtol=1e-9)
    np.testing.assert_allclose(written.fittedvalues - data["w"], moved.fittedvalues, rtol=1e-9)
    twice = jaxlmm.lmer("y ~ x + offset(w) + offset(2 * w) + (1 | g)", data)
    same(twice, jaxlmm.lmer("y ~ x + offset(3 * w) + (1 | g)", data))


# Codings: rows low, mid, top, as R's contr.* functions print them.
THIRD, ROOT = 1 / 3, np.sqrt(1 / 6)
CODINGS = {
    "contr.treatment": ("contr.treatment", [[0, 0], [1, 0], [0, 1]]),
    "contr.sum": ("contr.sum", [[1, 0], [0, 1], [-1, -1]]),
    "contr.helmert": ("contr.helmert", [[-1, -1], [1, -1], [0, 2]]),
    "contr.sdif": ("contr.sdif", [[-2 * THIRD, -THIRD], [THIRD, -THIRD], [THIRD, 2 * THIRD]]),
    "contr.poly": ("contr.poly", [[-np.sqrt(0.5), ROOT], [0, -2 * ROOT], [np.sqrt(0.5), ROOT]]),
    "matrix": (np.array([[1, 0.5], [0, 2], [-1, 0]]), [[1, 0.5], [0, 2], [-1, 0]]),
    "matrix of one column": (np.array([[1], [0], [-1]]), [[1], [0], [-1]]),
    "matrix with labelled rows": (
        pd.DataFrame([[-1, 0], [1, 0.5], [0, 2]], index=["top", "low", "mid"]),
        [[1, 0.5], [0, 2], [-1, 0]],
    ),
}


@pytest.mark.parametrize(("coding", "rows"), CODINGS.values(), ids=CODINGS)
def test_codings_in_fixed_and_random_parts(coding, rows):
    columns = np.array(rows)[np.tile([0, 1, 2], N // 3)]
    frame = frame_of("y ~ a + (a | g)", table(), contrasts={"a": coding})
    np.testing.assert_allclose(frame.design.x[:, 1:], columns, atol=1e-12)
    np.testing.assert_allclose(frame.design.random[0].z[:, 1:], columns, atol=1e-12)
    wrapped = frame_of("y ~ C(a) + (C(a) | g)", table(), contrasts={"a": coding})
    np.testing.assert_allclose(wrapped.design.x, frame.design.x, atol=1e-12)
    if columns.shape[1] == 2:
        fit = jaxlmm.lmer("y ~ a + (1 | g)", table(), contrasts={"a": coding})
        data = table().assign(c1=columns[:, 0], c2=columns[:, 1])
        by_hand = jaxlmm.lmer("y ~ c1 + c2 + (1 | g)", data)
        np.testing.assert_allclose(fit.params, by_hand.params, rtol=1e-9)
        np.testing.assert_allclose(fit.bse, by_hand.bse, rtol=1e-9)
        new = table().iloc[:4]
        np.testing.assert_allclose(fit.predict(new), by_hand.predict(data.iloc[:4]), rtol=1e-9)


def test_the_formula_and_the_argument_code_alike():
    written = frame_of("y ~ C(a, contr.sum) + (1 | g)", table())
    given = frame_of("y ~ a + (1 | g)", table(), contrasts={"a": "sum"})
    np.testing.assert_array_equal(written.design.x, given.design.x)
    assert given.fixed.names == ("Intercept", "a[S.low]", "a[S.mid]")


@pytest.mark.parametrize("name", ["class", "None", "my.factor", "my factor", "2nd"])
def test_a_factor_of_any_name_can_be_coded(name):
    frame = frame_of(f"y ~ `{name}` + (1 | g)", table().rename(columns={"a": name}), contrasts={name: "contr.sum"})
    assert frame.fixed.names == ("Intercept", f"{name}[S.low]", f"{name}[S.mid]")
    # Sum coding: low, mid, top are (1, 0), (0, 1), (-1, -1).
    np.testing.assert_array_equal(frame.design.x[:3], [[1, 1, 0], [1, 0, 1], [1, -1, -1]])


def test_a_number_made_a_factor_can_be_coded():
    frame = frame_of("y ~ C(x) + (1 | g)", table(), contrasts={"x": "contr.sum"})
    assert frame.fixed.names[1:] == tuple(f"C(x)[S.{i}]" for i in range(5))
    np.testing.assert_array_equal(frame.design.x[5, 1:], -np.ones(5))


def test_codings_survive_a_file(tmp_path):
    coding = CODINGS["matrix with labelled rows"][0]
    data = table().assign(g=NUMBERS + 10**17)
    fit = jaxlmm.lmer("y ~ a + (1 | g)", data, contrasts={"a": coding})
    fit.save(tmp_path / "fit.npz")
    loaded = jaxlmm.load(tmp_path / "fit.npz")
    new = data.iloc[[0, 20, 40]]
    np.testing.assert_allclose(loaded.predict(new), fit.predict(new), rtol=1e-12)


def test_a_number_made_a_factor_survives_a_file(tmp_path):
    data = table().assign(x=2 * table()["x"] + 2001)
    fit = jaxlmm.lmer("y ~ C(x) + (1 | g)", data)
    fit.save(tmp_path / "fit.npz", rows=True)
    loaded = jaxlmm.load(tmp_path / "fit.npz")
    assert loaded.params.index.tolist() == fit.params.index.tolist()
    np.testing.assert_allclose(loaded.predict(data), fit.predict(data), rtol=1e-12)
    np.testing.assert_allclose(loaded.augment()["fitted"], fit.fittedvalues, rtol=1e-12)


def test_a_fit_without_its_rows_says_so(tmp_path, plain):
    plain.save(tmp_path / "fit.npz")
    loaded = jaxlmm.load(tmp_path / "fit.npz")
    assert "REML criterion" in str(loaded.summary())
    for ask in (
        lambda: loaded.fittedvalues,
        lambda: loaded.resid,
        loaded.predict,
        loaded.augment,
        loaded.simulate,
        lambda: loaded.refit(np.zeros(N)),
        lambda: loaded.update(". ~ ."),
    ):
        with pytest.raises(jaxlmm.DataError, match="loaded from a file"):
            ask()
    trusted = jaxlmm.lmer("y ~ np.abs(x) + (1 | g)", table(), trusted=True)
    trusted.save(tmp_path / "trusted.npz")
    assert len(jaxlmm.load(tmp_path / "trusted.npz", trusted=True).params) == 2
