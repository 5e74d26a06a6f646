"""What bad input gets: one table; every row is an error of our tree whose message names the culprit.

A row is what was done, the class of the error, and words that the message must hold: the column, level, argument or
bit of formula at fault, and where there is one the spelling to write instead.
"""

import datetime
import os
import pickle
import re
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import jaxlmm
from jaxlmm import Control, DataError, DesignError, FormulaError, JaxlmmError, SavedModelError

N_GROUPS, PER_GROUP = 12, 6
N = N_GROUPS * PER_GROUP
MODEL = "y ~ x + a + (1 | g)"


def table() -> pd.DataFrame:
    """A sound table: response y, covariates x and z, factor a of three levels, groups g (12) and h (4)."""
    rng = np.random.default_rng(20240229)
    group = np.repeat(np.arange(N_GROUPS), PER_GROUP)
    x = np.tile(np.arange(PER_GROUP, dtype=float), N_GROUPS)
    y = 10 + x + rng.normal(size=N_GROUPS)[group] + rng.normal(size=N)
    return pd.DataFrame(
        {
            "y": y,
            "x": x,
            "z": rng.normal(size=N),
            "a": np.tile(["low", "mid", "top"], N // 3),
            "g": [f"g{i:02d}" for i in group],
            "h": [f"h{i % 4}" for i in group],
        }
    )


@pytest.fixture(scope="module")
def model():
    """The sound model, for what can go wrong after the fit."""
    return jaxlmm.lmer(MODEL, table())


@dataclass(frozen=True)
class Row:
    """One mistake: its name, what is done (fit, folder) -> anything, and what must come back."""

    id: str
    act: Callable[..., Any]
    error: type[JaxlmmError]
    words: tuple[str, ...]
    needs_fit: bool = False


def fit(id: str, formula: Any, error, *words: str, data: Any = lambda frame: frame, **arguments: Any) -> Row:
    """A fit that must be refused; `data` makes the bad table of the sound one."""
    return Row(id, lambda: jaxlmm.lmer(formula, data(table()), **arguments), error, words)


def after(id: str, act: Callable[[Any], Any], error, *words: str) -> Row:
    """Something asked of a sound fit that must be refused."""
    return Row(id, act, error, words, needs_fit=True)


def column(name: str, value: Any) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """The table with a column replaced; `value` may be a function of the table."""
    return lambda frame: frame.assign(**{name: value})


def cell(name: str, row: int, value: Any) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """The table with one value replaced."""

    def change(frame: pd.DataFrame) -> pd.DataFrame:
        frame.loc[row, name] = value
        return frame

    return change


def write(path: str, content: bytes) -> Path:
    """A file in the test's own folder."""
    Path(path).write_bytes(content)
    return Path(path)


def exactly(frame: pd.DataFrame) -> pd.Series:
    """A response without any noise."""
    return 3.0 + 2.0 * frame["x"]


def missing_but_constant(frame: pd.DataFrame) -> pd.DataFrame:
    """A response that varies only in rows whose covariate is missing."""
    return frame.assign(y=np.where(frame.index < 5, frame["y"], 1.0), x=frame["x"].where(frame.index >= 5))


def twice(frame: pd.DataFrame) -> pd.DataFrame:
    """Two columns of the name x."""
    return pd.concat([frame, frame[["x"]]], axis=1)


DAYS = pd.date_range("2024-01-01", periods=N)
MIXED = [1, "two", 3.0] * (N // 3)
WEIGHTS = np.ones(N)

DATA = [
    fit("empty data", MODEL, DataError, "no rows", data=lambda frame: frame.iloc[:0]),
    fit("data without columns", MODEL, DataError, "column", data=lambda frame: pd.DataFrame()),
    fit("None as data", MODEL, DataError, "None", "DataFrame", data=lambda frame: None),
    fit("list as data", MODEL, DataError, "list", "DataFrame", data=lambda frame: [1, 2, 3]),
    fit("array as data", MODEL, DataError, "ndarray", "DataFrame", data=lambda frame: frame.to_numpy()),
    fit("series as data", MODEL, DataError, "Series", data=lambda frame: frame["y"]),
    fit("file name as data", MODEL, DataError, "str", "read", data=lambda frame: "table.csv"),
    fit(
        "dict of unequal columns", "y ~ x + (1 | g)", DataError, "x", data=lambda f: {"y": f.y, "x": f.x[:5], "g": f.g}
    ),
    fit("unknown column, fixed", "y ~ nope + (1 | g)", DataError, "nope", "x"),
    fit("unknown column, near miss", "y ~ X + (1 | g)", DataError, "'X'", "'x'"),
    fit("unknown column, response", "nope ~ x + (1 | g)", DataError, "nope"),
    fit("unknown column, random effect", "y ~ x + (nope | g)", DataError, "nope"),
    fit("unknown column, group", "y ~ x + (1 | nope)", DataError, "nope"),
    fit("unknown column, nested group", "y ~ x + (1 | g/nope)", DataError, "nope"),
    fit("unknown column, weights", MODEL, DataError, "nope", "weights", weights="nope"),
    fit("unknown column, offset", MODEL, DataError, "nope", "offset", offset="nope"),
    fit("unknown column, offset()", "y ~ x + offset(nope) + (1 | g)", DataError, "nope"),
    fit("duplicate column names", MODEL, DataError, "'x'", "twice", data=twice),
    # values
    fit("NaN in y, raise", MODEL, DataError, "'y'", "missing", data=cell("y", 3, np.nan), na_action="raise"),
    fit("NaN in x, raise", MODEL, DataError, "'x'", "missing", data=cell("x", 3, np.nan), na_action="raise"),
    fit("missing group, raise", MODEL, DataError, "'g'", "missing", data=cell("g", 3, None), na_action="raise"),
    fit("inf in y", MODEL, DataError, "'y'", "inf", data=cell("y", 3, np.inf)),
    fit("inf in x", MODEL, DataError, "'x'", "inf", data=cell("x", 3, -np.inf)),
    fit("inf in a random effect", "y ~ x + (z | g)", DataError, "'z'", "inf", data=cell("z", 3, np.inf)),
    fit(
        "inf in a grouping column",
        "y ~ x + (1 | k)",
        DataError,
        "'k'",
        "inf",
        data=lambda f: f.assign(k=f.x.replace(5, np.inf)),
    ),
    fit("log of zero", "y ~ log(x) + (1 | g)", DataError, "log(x)", "inf"),
    fit("log of a negative", "y ~ log(z) + (1 | g)", DataError, "log(z)", "NaN"),
    fit("log of zero in a random effect", "y ~ x + (log(x) | g)", DataError, "log(x)", "inf"),
    fit("log of a negative response", "log(y) ~ x + (1 | g)", DataError, "log(y)", "NaN", data=cell("y", 3, -1.0)),
    fit("all-missing column", MODEL, DataError, "'x'", "missing", data=column("x", np.nan)),
    fit("all-missing group", MODEL, DataError, "'g'", "missing", data=column("g", None)),
    fit(
        "every row incomplete",
        "y ~ x + z + (1 | g)",
        DataError,
        "missing",
        "'x'",
        "'z'",
        data=lambda f: f.assign(x=f.x.where(f.index % 2 == 0), z=f.z.where(f.index % 2 == 1)),
    ),
    fit("overflowing integers as text", MODEL, DataError, "'x'", data=column("x", ["1", "2", "oops"] * (N // 3))),
    # the response
    fit("constant response", MODEL, DataError, "'y'", "constant", data=column("y", 5.0)),
    fit("constant integer response", MODEL, DataError, "'y'", "constant", data=column("y", 5)),
    fit(
        "constant response in complete rows",
        "y ~ z + x + (1 | g)",
        DataError,
        "'y'",
        "constant",
        data=missing_but_constant,
    ),
    fit("response of strings", "g ~ x + (1 | h)", DataError, "'g'", "numeric"),
    fit("response a category", "a ~ x + (1 | g)", DataError, "'a'", data=lambda f: f.astype({"a": "category"})),
    fit("response wrapped in C()", "C(y) ~ x + (1 | g)", JaxlmmError, "C(y)"),
    fit("datetime response", MODEL, DataError, "'y'", "date", data=column("y", DAYS)),
    fit("complex response", MODEL, DataError, "'y'", "complex", data=lambda f: f.assign(y=f.y + 1j)),
    # covariates
    fit("datetime covariate", MODEL, DataError, "'x'", "date", data=column("x", DAYS)),
    fit("timedelta covariate", MODEL, DataError, "'x'", "duration", data=column("x", DAYS - DAYS[0])),
    fit(
        "dates as objects",
        MODEL,
        DataError,
        "'x'",
        "date",
        data=column("x", [datetime.date(2024, 1, 1 + i % 9) for i in range(N)]),
    ),
    fit(
        "object column of mixed types",
        MODEL,
        DataError,
        "'x'",
        "mixed",
        data=column("x", pd.Series(MIXED, dtype=object)),
    ),
    fit(
        "mixed types in a random effect",
        "y ~ x + (z | g)",
        DataError,
        "'z'",
        "mixed",
        data=column("z", pd.Series(MIXED, dtype=object)),
    ),
    fit(
        "mixed types in a group",
        "y ~ x + (1 | h)",
        DataError,
        "'h'",
        "mixed",
        data=column("h", pd.Series(MIXED, dtype=object)),
    ),
    fit("column of lists", MODEL, DataError, "'x'", "list", data=column("x", pd.Series([[1]] * N))),
    fit("complex covariate", MODEL, DataError, "'x'", "complex", data=lambda f: f.assign(x=f.x + 1j)),
    fit("log of a string", "y ~ log(a) + (1 | g)", JaxlmmError, "a"),
    fit("arithmetic on a string", "y ~ I(a + 1) + (1 | g)", JaxlmmError, "a + 1"),
    fit("factor with one level", "y ~ x + k + (1 | g)", DesignError, "'k'", "only", data=column("k", "same")),
]

WEIGHTS_AND_OFFSET = [
    fit("wrong length of weights", MODEL, DataError, "weights", "71", "72", weights=np.ones(N - 1)),
    fit("weights a number", MODEL, DataError, "weights", weights=2.0),
    fit("weights in two dimensions", MODEL, DataError, "weights", weights=np.ones((N, 2))),
    fit("zero weights", MODEL, DataError, "weights", "positive", weights=np.r_[0.0, WEIGHTS[1:]]),
    fit("negative weights", MODEL, DataError, "weights", "positive", weights=np.r_[-1.0, WEIGHTS[1:]]),
    fit(
        "negative weights in a column",
        MODEL,
        DataError,
        "'w'",
        "positive",
        data=lambda f: f.assign(w=-1.0),
        weights="w",
    ),
    fit("infinite weights", MODEL, DataError, "weights", "inf", weights=np.r_[np.inf, WEIGHTS[1:]]),
    fit(
        "missing weights, raise",
        MODEL,
        DataError,
        "weights",
        "missing",
        weights=np.r_[np.nan, WEIGHTS[1:]],
        na_action="raise",
    ),
    fit("weights of strings", MODEL, DataError, "weights", "numeric", weights=np.array(["heavy"] * N)),
    fit("weights in a column of strings", MODEL, DataError, "weights", "'a'", weights="a"),
    fit(
        "misaligned weights",
        MODEL,
        DataError,
        "weights",
        "index",
        weights=pd.Series(WEIGHTS, index=np.arange(N) + 1000),
    ),
    fit("wrong length of offset", MODEL, DataError, "offset", "71", "72", offset=np.ones(N - 1)),
    fit("infinite offset", MODEL, DataError, "offset", "inf", offset=np.r_[np.inf, WEIGHTS[1:]]),
    fit("misaligned offset", MODEL, DataError, "offset", "index", offset=pd.Series(WEIGHTS, index=np.arange(N) + 1000)),
    fit("offset() of a factor", "y ~ x + offset(a) + (1 | g)", JaxlmmError, "offset", "a"),
]

DESIGNS = [
    fit("group with one level", "y ~ x + (1 | k)", DesignError, "'k'", "one level", data=column("k", "same")),
    fit(
        "as many levels as rows",
        "y ~ x + (1 | k)",
        DesignError,
        "'k'",
        "72",
        "residual",
        data=lambda f: f.assign(k=f.index),
    ),
    fit("interaction with a level per row", "y ~ x + (1 | g:x)", DesignError, "g:x", "72"),
    fit(
        "more random effects than rows",
        "y ~ x + (x + z | k)",
        DesignError,
        "k",
        "72",
        data=lambda f: f.assign(k=f.index // 2),
    ),
    fit(
        "as many random effects as rows",
        "y ~ x + (z | k)",
        DesignError,
        "k",
        "72",
        data=lambda f: f.assign(k=f.index // 2),
    ),
    fit("no rank left", "y ~ 0 + k + (1 | g)", DesignError, "k", data=column("k", 0.0)),
    fit(
        "no more rows than coefficients",
        "y ~ poly(x, 3) + a + (1 | h)",
        DesignError,
        "6",
        data=lambda f: f.iloc[[0, 7, 14, 21, 28, 35]],
    ),
    fit("one row", MODEL, JaxlmmError, data=lambda f: f.iloc[:1]),
    fit(
        "response exactly fitted",
        "y ~ x + (1 | g)",
        DesignError,
        "exactly",
        "residual",
        data=lambda f: f.assign(y=exactly(f)),
    ),
    fit(
        "response exactly fitted, random",
        "y ~ x + (1 | g)",
        DesignError,
        "exactly",
        data=lambda f: f.assign(y=exactly(f) + f.g.str[1:].astype(float)),
    ),
    fit("no random effects", "y ~ x", DesignError, "random", "(1 |"),
    fit("unknown contrasts factor", MODEL, DataError, "'nope'", "contrasts", contrasts={"nope": "contr.sum"}),
    fit("unknown contrasts name", MODEL, JaxlmmError, "contr.nope", "contr.sum", contrasts={"a": "contr.nope"}),
    fit("contrasts matrix of wrong shape", MODEL, JaxlmmError, "'a'", "3", contrasts={"a": np.eye(4)}),
    fit("contrasts matrix not of full rank", MODEL, JaxlmmError, "'a'", contrasts={"a": np.ones((3, 2))}),
    fit("contrasts of a number", MODEL, JaxlmmError, "'x'", contrasts={"x": "contr.sum"}),
    fit("contrasts not a mapping", MODEL, JaxlmmError, "contrasts", contrasts="contr.sum"),
]

FORMULAS = [
    fit("empty formula", "", FormulaError, "empty"),
    fit("blank formula", "  \n ", FormulaError, "empty"),
    fit("formula None", None, FormulaError, "None", "str"),
    fit("formula of bytes", b"y ~ x", FormulaError, "bytes"),
    fit("formula a list", ["y", "x"], FormulaError, "list"),
    fit("missing response", "~ x + (1 | g)", FormulaError, "response", "y ~"),
    fit("no tilde", "x + (1 | g)", FormulaError, "~"),
    fit("two responses", "y + z ~ x + (1 | g)", FormulaError, "response"),
    fit("two responses, cbind", "cbind(y, z) ~ x + (1 | g)", FormulaError, "cbind"),
    fit("two tildes", "y ~ x ~ (1 | g)", FormulaError, "~"),
    fit("misspelled function", "y ~ lgo(x) + (1 | g)", FormulaError, "lgo", "log"),
    fit("misspelled function in a bar", "y ~ x + (sacle(x) | g)", FormulaError, "sacle", "scale"),
    fit("misspelled numpy function", "y ~ np.lgo(x) + (1 | g)", FormulaError, "np.lgo"),
    fit("unclosed bar", "y ~ x + (1 | g", FormulaError, "("),
    fit("unopened parenthesis", "y ~ x + 1 | g)", FormulaError, ")"),
    fit("bar without group", "y ~ x + (1 | )", FormulaError, "|"),
    fit("bar without effects", "y ~ x + ( | g)", FormulaError, "|"),
    fit("bar outside parentheses", "y ~ x + 1 | g", FormulaError, "parenthes", "(1 | g)"),
    fit("bar inside an interaction", "y ~ x:(1 | g)", FormulaError, "(1 | g)"),
    fit("bar multiplied", "y ~ x * (1 | g)", FormulaError, "(1 | g)"),
    fit("bar to a power", "y ~ x + (1 | g)**2", FormulaError, "(1 | g)"),
    fit("bar in the response", "(1 | g) ~ x", FormulaError, "response"),
    fit("zero before the bar", "y ~ x + (0 | g)", FormulaError, "(0 | g)"),
    fit("group a sum", "y ~ x + (x | 1 + g)", FormulaError, "1 + g"),
    fit("group a constant", "y ~ x + (1 | 1)", FormulaError, "1"),
    fit("nested bars", "y ~ x + (1 | (1 | g))", FormulaError, "|"),
    fit("bars in a row", "y ~ x + (1 | g | h)", FormulaError, "|"),
    fit("three bars", "y ~ x + (1 ||| g)", FormulaError, "|"),
    fit("dot", "y ~ . + (1 | g)", FormulaError, "'.'"),
    fit("trailing plus", "y ~ x +", FormulaError, "+"),
    fit("R's caret without I", "y ~ x%in%g + (1 | g)", FormulaError, "%in%"),
    fit("string literal as group", "y ~ x + (1 | 'g')", FormulaError, "'g'"),
    fit("lmer's arguments in the formula", "y ~ x + (1 | g), data", FormulaError, ","),
    fit("unclosed quote", "y ~ `x + (1 | g)", FormulaError, "`"),
    fit("poly of degree zero", "y ~ poly(x, 0) + (1 | g)", JaxlmmError, "poly(x, 0)"),
    fit("poly of too high a degree", "y ~ poly(x, 6) + (1 | g)", JaxlmmError, "poly(x, 6)", "6"),
    fit("spline without df", "y ~ bs(x, df=1) + (1 | g)", JaxlmmError, "bs(x, df=1)"),
]

ARGUMENTS = [
    fit("unknown ddf", MODEL, DesignError, "ddf", "nope", "normal", ddf="nope"),
    fit("ddf that is to come", MODEL, DesignError, "satterthwaite", "normal", ddf="satterthwaite"),
    fit("unknown plan", MODEL, DesignError, "plan", "quick", "grouped", control=Control(plan="quick")),
    fit(
        "plan that does not suit", "y ~ x + (1 | g) + (1 | h)", DesignError, "grouped", control=Control(plan="grouped")
    ),
    fit("no iterations", MODEL, JaxlmmError, "max_iterations", control=Control(max_iterations=0)),
    fit("start of wrong length", MODEL, JaxlmmError, "start", "1", control=Control(start=np.ones(3))),
    fit("control a dict", MODEL, JaxlmmError, "control", "Control", control={"plan": "dense"}),
    fit("na_action of R", MODEL, JaxlmmError, "na_action", "omit", "drop", na_action="omit"),
    fit("reml a word", MODEL, JaxlmmError, "reml", "'ML'", reml="ML"),
    Row("unknown data set", lambda: jaxlmm.load_dataset("sleepstudi"), DataError, ("sleepstudi", "sleepstudy")),
    Row("data set None", lambda: jaxlmm.load_dataset(None), DataError, ("None", "sleepstudy")),
]


def new(**columns: Any) -> dict[str, Any]:
    """A sound new row, with some columns replaced; None leaves a column out."""
    sound = {"x": [1.0], "a": ["mid"], "g": ["g03"]} | columns
    return {name: values for name, values in sound.items() if values is not None}


AFTER = [
    after("predict, unseen group", lambda m: m.predict(new(g=["g99"])), DataError, "'g'", "g99", "allow_new_levels"),
    after("predict, unseen fixed level", lambda m: m.predict(new(a=["huge"])), DataError, "'a'", "huge", "mid"),
    after(
        "predict, unseen level despite new groups",
        lambda m: m.predict(new(a=["huge"]), allow_new_levels=True),
        DataError,
        "huge",
    ),
    after("predict, missing column", lambda m: m.predict(new(x=None)), DataError, "'x'"),
    after("predict, missing grouping column", lambda m: m.predict(new(g=None)), DataError, "'g'"),
    after("predict, missing value", lambda m: m.predict(new(x=[np.nan])), DataError, "'x'", "missing"),
    after("predict, missing fixed level", lambda m: m.predict(new(a=[None])), DataError, "'a'", "missing"),
    after("predict, infinite value", lambda m: m.predict(new(x=[np.inf])), DataError, "'x'", "inf"),
    after("predict, text for a number", lambda m: m.predict(new(x=["one"])), DataError, "'x'", "numeric"),
    after("predict, number for a factor", lambda m: m.predict(new(a=[2])), DataError, "'a'", "2"),
    after("predict, dates for a number", lambda m: m.predict(new(x=[datetime.datetime(2024, 1, 1)])), DataError, "'x'"),
    after("predict, no table", lambda m: m.predict([1.0, 2.0]), DataError, "list"),
    after(
        "predict, unknown interval",
        lambda m: m.predict(new(), interval="nope"),
        JaxlmmError,
        "interval",
        "nope",
        "confidence",
    ),
    after(
        "predict, level in per cent",
        lambda m: m.predict(new(), interval="confidence", level=95),
        JaxlmmError,
        "level",
        "95",
    ),
    after("predict, unknown random", lambda m: m.predict(new(), random=["nope"]), JaxlmmError, "nope", "'g'"),
    after("predict, random neither", lambda m: m.predict(new(), random=3), JaxlmmError, "random", "3"),
    after("ranef of no factor", lambda m: m.ranef("nope"), JaxlmmError, "nope", "'g'"),
    after("coef of no factor", lambda m: m.coef("nope"), JaxlmmError, "nope", "'g'"),
    after("conf_int, level 2", lambda m: m.conf_int(level=2), JaxlmmError, "level", "2"),
    after("conf_int, level text", lambda m: m.conf_int(level="high"), JaxlmmError, "level", "high"),
    after("conf_int, unknown method", lambda m: m.conf_int(method="nope"), JaxlmmError, "method", "nope", "wald"),
    after("conf_int, ddf", lambda m: m.conf_int(ddf="nope"), JaxlmmError, "ddf", "nope"),
    after("tidy of nothing known", lambda m: m.tidy("x"), JaxlmmError, "'x'", "ran_pars"),
    after("tidy, level 0", lambda m: m.tidy(level=0), JaxlmmError, "level", "0"),
    after("summary, ddf", lambda m: m.summary(ddf="nope"), JaxlmmError, "ddf", "nope"),
    after("simulate, no replicates", lambda m: m.simulate(n=0), JaxlmmError, "n", "0"),
    after("simulate, seed text", lambda m: m.simulate(n=1, seed="abc"), JaxlmmError, "seed", "abc"),
    after("refit, wrong length", lambda m: m.refit(np.ones(N - 1)), DataError, "71", "72"),
    after("refit, missing value", lambda m: m.refit(table().y.where(table().index > 0)), DataError, "missing"),
    after("refit, infinite value", lambda m: m.refit(table().y.where(table().index > 0, np.inf)), DataError, "inf"),
    after("refit, constant", lambda m: m.refit(np.ones(N)), DataError, "constant"),
    after("refit, text", lambda m: m.refit(["a"] * N), DataError, "numeric"),
    after("refit, misaligned", lambda m: m.refit(table().y.set_axis(range(5, 5 + N))), DataError, "index"),
    after("update, unknown column", lambda m: m.update(". ~ . + nope"), DataError, "nope"),
    after("update, unreadable", lambda m: m.update("~~"), FormulaError, "~"),
    after("update, unknown argument", lambda m: m.update(". ~ .", nope=1), JaxlmmError, "nope"),
]

FILES = [
    Row("load, no such file", lambda: jaxlmm.load("nowhere.npz"), SavedModelError, ("nowhere.npz", "no such file")),
    Row("load, a folder", lambda: jaxlmm.load("."), SavedModelError, (".",)),
    Row("load, a text file", lambda: jaxlmm.load(write("a.csv", b"x,y\n1,2\n")), SavedModelError, ("a.csv",)),
    Row("load, an empty file", lambda: jaxlmm.load(write("empty.npz", b"")), SavedModelError, ("empty.npz",)),
    Row("load, a pickle", lambda: jaxlmm.load(write("m.pkl", pickle.dumps({"a": 1}))), SavedModelError, ("m.pkl",)),
    Row("load, other arrays", lambda: jaxlmm.load(other_arrays()), SavedModelError, ("other.npz",)),
    Row("load, a pickle inside", lambda: jaxlmm.load(pickled_inside()), SavedModelError, ("evil.npz",)),
    after("load, cut short", lambda m: jaxlmm.load(cut_short(m)), SavedModelError, "cut.npz"),
]


def other_arrays() -> Path:
    """Somebody else's archive."""
    np.savez("other.npz", weights=np.ones(3))
    return Path("other.npz")


class Bomb:
    """Writes a file when it is unpickled."""

    def __reduce__(self):
        return (os.system, ("touch owned",))


def pickled_inside() -> Path:
    """An archive whose members are pickles with a side effect."""
    np.savez("evil.npz", **{name: np.array([Bomb()], dtype=object) for name in ("header", "meta", "json", "theta")})
    return Path("evil.npz")


def cut_short(model: Any) -> Path:
    """A saved model whose second half was lost."""
    model.save("whole.npz")
    content = Path("whole.npz").read_bytes()
    return write("cut.npz", content[: len(content) // 2])


HOSTILE = {
    "import": "y ~ x + __import__('os').system('touch owned') + (1 | g)",
    "import in braces": "y ~ x + {__import__('os').system('touch owned')} + (1 | g)",
    "attribute access": "y ~ x + I(x.to_csv('owned')) + (1 | g)",
    "method of a column": "y ~ x.to_csv('owned') + (1 | g)",
    "np.save": "y ~ np.save('owned', x) + (1 | g)",
    "open": "y ~ open('owned', 'w') + (1 | g)",
    "eval": "y ~ eval(\"open('owned', 'w')\") + (1 | g)",
    "lambda": "y ~ I((lambda: open('owned', 'w'))()) + (1 | g)",
    "comprehension": "y ~ I([open('owned', 'w') for i in x]) + (1 | g)",
    "getattr": "y ~ getattr(np, 'save')('owned', x) + (1 | g)",
    "dunder": "y ~ I(().__class__.__base__.__subclasses__()) + (1 | g)",
    "walrus": "y ~ I((f := open('owned', 'w'))) + (1 | g)",
    "bar, left": "y ~ x + (open('owned', 'w') | g)",
    "bar, right": "y ~ x + (1 | open('owned', 'w'))",
    "bar, nested right": "y ~ x + (1 | g/np.save('owned', x))",
    "zerocorr": "y ~ x + zerocorr(np.save('owned', x) | g)",
    "offset": "y ~ x + offset(np.save('owned', x)) + (1 | g)",
    "response": "np.save('owned', y) ~ x + (1 | g)",
    "argument of a sound function": "y ~ poly(x, open('owned', 'w')) + (1 | g)",
    "quoted name": "y ~ I(`open`('owned', 'w')) + (1 | g)",
}
ATTACKS = [fit(f"hostile, {name}", formula, FormulaError) for name, formula in HOSTILE.items()]

TABLE = DATA + WEIGHTS_AND_OFFSET + DESIGNS + FORMULAS + ARGUMENTS + AFTER + FILES + ATTACKS


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Every row runs in an empty folder of its own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.id)
def test_the_error_names_the_culprit(row, request, folder):
    arguments = [request.getfixturevalue("model")] if row.needs_fit else []
    with pytest.raises(JaxlmmError) as caught:
        row.act(*arguments)
    error, message = caught.value, str(caught.value)
    assert isinstance(error, row.error) and isinstance(error, ValueError)
    for word in row.words:
        assert word.lower() in message.lower(), f"{word!r} is not in: {message}"
    assert 20 < len(message) < 700, message
    assert not re.search(r"0x[0-9a-f]{6}|<class|object at|Traceback", message), message
    assert error.__cause__ is None or error.__suppress_context__ is False or isinstance(error.__cause__, Exception)
    report = "".join(traceback.format_exception(error))
    assert "During handling of the above exception" not in report, report
    assert not (folder / "owned").exists()


def test_the_table_is_as_long_as_promised():
    assert len(TABLE) >= 45
    assert len({row.id for row in TABLE}) == len(TABLE)
