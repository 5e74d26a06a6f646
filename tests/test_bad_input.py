"""What bad input gets: one table; every row is an error of our tree whose message names the culprit.

A row is what was done, the class of the error, and words that the message must hold: the column, level, argument or
bit of formula at fault, and where there is one the spelling to write instead.
"""

import datetime
import pickle
import re

import numpy as np
import pandas as pd
import pytest

import jaxlmm
from jaxlmm import Control, DataError, DesignError, FormulaError, JaxlmmError, SavedModelError
from tests.bad_input import (
    DAYS,
    MIXED,
    MODEL,
    OTHER_LEVELS,
    WEIGHTS,
    N,
    Row,
    after,
    cell,
    column,
    cut_short,
    exactly,
    fit,
    missing_but_constant,
    new,
    numbered,
    other_arrays,
    pickled_inside,
    polars_column,
    table,
    trusted,
    twice,
    twice_in_arrow,
    write,
)
from tests.other_spellings import MESSAGES, SPELLINGS

# fmt: off
DATA = [
    fit("empty data", MODEL, DataError, "no rows", data=lambda frame: frame.iloc[:0]),
    fit("data without columns", MODEL, DataError, "column", data=lambda frame: pd.DataFrame()),
    fit("None as data", MODEL, DataError, "None", "DataFrame", data=lambda frame: None),
    fit("list as data", MODEL, DataError, "list", "DataFrame", data=lambda frame: [1, 2, 3]),
    fit("array as data", MODEL, DataError, "ndarray", "DataFrame", data=lambda frame: frame.to_numpy()),
    fit("series as data", MODEL, DataError, "Series", data=lambda frame: frame["y"]),
    fit("file name as data", MODEL, DataError, "str", "read", data=lambda frame: "table.csv"),
    fit("dict of unequal columns", MODEL, DataError, "same length", data=lambda f: {"y": [1, 2, 3], "x": [1, 2]}),
    fit("unknown column, fixed", "y ~ nope + (1 | g)", DataError, "nope", "x"),
    fit("unknown column, near miss", "y ~ X + (1 | g)", DataError, "'X'", "'x'"),
    fit("unknown column, response", "nope ~ x + (1 | g)", DataError, "nope"),
    fit("unknown column, random effect", "y ~ x + (nope | g)", DataError, "nope"),
    fit("unknown column, group", "y ~ x + (1 | nope)", DataError, "nope"),
    fit("unknown column, nested group", "y ~ x + (1 | g/nope)", DataError, "nope"),
    fit("unknown column, weights", MODEL, DataError, "nope", "weights", weights="nope"),
    fit("unknown column, offset", MODEL, DataError, "nope", "offset", offset="nope"),
    fit("unknown column, offset()", "y ~ x + offset(nope) + (1 | g)", DataError, "nope"),
    fit("duplicate column names", MODEL, DataError, "2 columns called 'x'", "rename", data=twice),
    fit("duplicate column names, arrow", MODEL, DataError, "'x'", "rename", data=twice_in_arrow),
    fit("unknown column, stray blank", "y ~ x + (1 | g)", DataError, "did you mean 'x '",
        data=lambda f: f.rename(columns={"x": "x "})),
    fit("NaN in y, raise", MODEL, DataError, "'y'", "missing", data=cell("y", 3, np.nan), na_action="raise"),
    fit("NaN in x, raise", MODEL, DataError, "'x'", "missing", data=cell("x", 3, np.nan), na_action="raise"),
    fit("missing group, raise", MODEL, DataError, "'g'", "missing", data=cell("g", 3, None), na_action="raise"),
    fit("inf in y", MODEL, DataError, "'y'", "inf", data=cell("y", 3, np.inf)),
    fit("inf in x", MODEL, DataError, "'x'", "inf", data=cell("x", 3, -np.inf)),
    fit("inf in a random effect", "y ~ x + (z | g)", DataError, "'z'", "inf", data=cell("z", 3, np.inf)),
    fit("inf in a grouping column", "y ~ x + (1 | k)", DataError, "'k'", "inf",
        data=lambda f: f.assign(k=f.x.replace(5, np.inf))),
    fit("values too large to square", MODEL, DataError, "'x'", "1e+200", "unit", data=lambda f: f.assign(x=f.x * 2e199)),
    fit("values too small to square", MODEL, DataError, "'y'", "1e-200", "unit", data=lambda f: f.assign(y=f.x * 2e-201)),
    fit("number and label beyond 2**53", "y ~ k + (1 | k)", DataError, "'k'", "1152921504606846977", "astype(str)",
        data=lambda f: f.assign(k=2**60 + np.arange(N) // 6)),
    fit("log of zero", "y ~ log(x) + (1 | g)", DataError, "log(x)", "inf"),
    fit("log of a negative", "y ~ log(z) + (1 | g)", DataError, "log(z)", "NaN"),
    fit("log of zero in a random effect", "y ~ x + (log(x) | g)", DataError, "log(x)", "inf"),
    fit("log of a negative response", "log(y) ~ x + (1 | g)", DataError, "log(y)", "NaN", data=cell("y", 3, -1.0)),
    fit("all-missing column", MODEL, DataError, "'x'", "missing", data=column("x", np.nan)),
    fit("all-missing group", MODEL, DataError, "'g'", "missing", data=column("g", None)),
    fit("every row incomplete", "y ~ x + z + (1 | g)", DataError, "missing", "'x'", "'z'",
        data=lambda f: f.assign(x=f.x.where(f.index % 2 == 0), z=f.z.where(f.index % 2 == 1))),
    fit("constant response", MODEL, DataError, "'y'", "constant", data=column("y", 5.0)),
    fit("constant integer response", MODEL, DataError, "'y'", "constant", data=column("y", 5)),
    fit("constant response in complete rows", "y ~ z + x + (1 | g)", DataError, "'y'", "constant", data=missing_but_constant),
    fit("response of strings", "g ~ x + (1 | h)", DataError, "'g'", "factor", "numeric"),
    fit("response of several columns", "poly(y, 2) ~ x + (1 | g)", DataError, "poly(y, 2)", "several columns"),
    fit("response a category", "a ~ x + (1 | g)", DataError, "'a'", data=lambda f: f.astype({"a": "category"})),
    fit("response wrapped in C()", "C(y) ~ x + (1 | g)", JaxlmmError, "C(y)"),
    fit("datetime response", MODEL, DataError, "'y'", "date", data=column("y", DAYS)),
    fit("complex response", MODEL, DataError, "'y'", "complex", data=lambda f: f.assign(y=f.y + 1j)),
    # covariates
    fit("datetime covariate", MODEL, DataError, "'x'", "date", ".dt.days", data=column("x", DAYS)),
    fit("timedelta covariate", MODEL, DataError, "'x'", "duration", data=column("x", DAYS - DAYS[0])),
    fit("dates as objects", MODEL, DataError, "'x'", "date",
        data=column("x", [datetime.date(2024, 1, 1 + i % 9) for i in range(N)])),
    fit("object column of mixed types", MODEL, DataError, "'x'", "mixes types",
        data=column("x", pd.Series(MIXED, dtype=object))),
    fit("mixed types in a random effect", "y ~ x + (z | g)", DataError, "'z'", "mixes types",
        data=column("z", pd.Series(MIXED, dtype=object))),
    fit("mixed types in a group", "y ~ x + (1 | h)", DataError, "'h'", "mixes types",
        data=column("h", pd.Series(MIXED, dtype=object))),
    fit("column of lists", MODEL, DataError, "'x'", "list", data=column("x", pd.Series([[1]] * N))),
    fit("polars dates", MODEL, DataError, "'x'", "date", data=polars_column(lambda pl: pl.date(2024, 1, 1))),
    fit("polars durations", MODEL, DataError, "'x'", "duration", data=polars_column(lambda pl: pl.duration(days=1))),
    fit("polars lists", MODEL, DataError, "'x'", "list", data=polars_column(lambda pl: pl.concat_list("x", "z"))),
    fit("complex covariate", MODEL, DataError, "'x'", "complex", data=lambda f: f.assign(x=f.x + 1j)),
    fit("log of a string", "y ~ log(a) + (1 | g)", FormulaError, "log(a)", "text or categories: 'a'", "to_numeric"),
    fit("arithmetic on a string", "y ~ I(a + 1) + (1 | g)", FormulaError, "a + 1", "text or categories: 'a'"),
    fit("scale of a constant", "y ~ scale(k) + (1 | g)", DataError, "scale(k)", "varies", data=column("k", 3.0)),
    fit("factor with one level in a bar", "y ~ x + (k | g)", DesignError, "'k'", "(k | g)", data=column("k", "same")),
    fit("factor with one level", "y ~ x + k + (1 | g)", DesignError, "'k'", "only", data=column("k", "same")),
]

WEIGHTS_AND_OFFSET = [
    fit("wrong length of weights", MODEL, DataError, "weights", "71", "72", weights=np.ones(N - 1)),
    fit("weights a number", MODEL, DataError, "weights", weights=2.0),
    fit("weights in two dimensions", MODEL, DataError, "weights", weights=np.ones((N, 2))),
    fit("zero weights", MODEL, DataError, "weights", "positive", weights=np.r_[0.0, WEIGHTS[1:]]),
    fit("negative weights", MODEL, DataError, "weights", "positive", weights=np.r_[-1.0, WEIGHTS[1:]]),
    fit("negative weights, row named", MODEL, DataError, "row 5 ", weights=np.r_[np.ones(5), -1.0, np.ones(N - 6)],
        data=cell("y", 3, np.nan)),
    fit("negative weights in a column", MODEL, DataError, "'w'", "positive", data=lambda f: f.assign(w=-1.0), weights="w"),
    fit("infinite weights", MODEL, DataError, "weights", "inf", weights=np.r_[np.inf, WEIGHTS[1:]]),
    fit("missing weights, raise", MODEL, DataError, "weights", "missing", weights=np.r_[np.nan, WEIGHTS[1:]],
        na_action="raise"),
    fit("weights of strings", MODEL, DataError, "weights", "numeric", weights=np.array(["heavy"] * N)),
    fit("weights of dates", MODEL, DataError, "weights", "numeric", weights=DAYS),
    fit("complex weights", MODEL, DataError, "weights", "numeric", weights=WEIGHTS * 1j),
    fit("weights in a column of strings", MODEL, DataError, "weights", "'a'", weights="a"),
    fit("misaligned weights", MODEL, DataError, "weights", "index", weights=pd.Series(WEIGHTS, index=np.arange(N) + 1000)),
    fit("wrong length of offset", MODEL, DataError, "offset", "71", "72", offset=np.ones(N - 1)),
    fit("infinite offset", MODEL, DataError, "offset", "inf", offset=np.r_[np.inf, WEIGHTS[1:]]),
    fit("misaligned offset", MODEL, DataError, "offset", "index", offset=pd.Series(WEIGHTS, index=np.arange(N) + 1000)),
    fit("offset() of a factor", "y ~ x + offset(a) + (1 | g)", JaxlmmError, "offset", "a"),
]

DESIGNS = [
    fit("group with one level", "y ~ x + (1 | k)", DesignError, "'k'", "one level", data=column("k", "same")),
    fit("as many levels as rows", "y ~ x + (1 | k)", DesignError, "'k'", "72", "residual",
        data=lambda f: f.assign(k=f.index)),
    fit("interaction with a level per row", "y ~ x + (1 | g:x)", DesignError, "g:x", "72"),
    fit("more random effects than rows", "y ~ x + (x + z | k)", DesignError, "k", "72",
        data=lambda f: f.assign(k=f.index // 2)),
    fit("as many random effects as rows", "y ~ x + (z | k)", DesignError, "k", "72", data=lambda f: f.assign(k=f.index // 2)),
    fit("no rank left", "y ~ 0 + k + (1 | g)", DesignError, "(k)", "zero", data=column("k", 0.0)),
    fit("no more rows than coefficients", "y ~ poly(x, 3) + a + (1 | h)", DesignError, "6",
        data=lambda f: f.iloc[[0, 7, 14, 21, 28, 35]]),
    fit("one row", MODEL, DataError, "one row", data=lambda f: f.iloc[:1]),
    fit("response exactly fitted", "y ~ x + (1 | g)", DesignError, "exactly", "residual",
        data=lambda f: f.assign(y=exactly(f))),
    fit("response exactly fitted by random effects", "y ~ 1 + (1 | g)", DesignError, "exactly", "random effects",
        data=lambda f: f.assign(y=f.g.str[1:].astype(float) ** 2)),
    fit("effect twice on one factor", "y ~ x + (1 | g) + (x | g)", DesignError, "(1 | g)", "(x | g)", "(0 + x | g)"),
    fit("column called Intercept", "y ~ Intercept + (1 | g)", DataError, "'Intercept'", "rename",
        data=lambda f: f.assign(Intercept=f.z)),
    fit("levels whose labels coincide", "y ~ x + (1 | g:h)", DataError, "'g:h'", "'a:b:c'", "colon",
        data=lambda f: f.assign(g=np.where(f.index % 2, "a:b", "a"), h=np.where(f.index % 2, "c", "b:c"))),
    fit("no random effects", "y ~ x", FormulaError, "random", "(1 |"),
    fit("unknown contrasts factor", MODEL, DesignError, "'nope'", "contrasts", contrasts={"nope": "contr.sum"}),
    fit("unknown contrasts name", MODEL, JaxlmmError, "contr.nope", "contr.sum", contrasts={"a": "contr.nope"}),
    fit("contrasts name near formulaic's", MODEL, DesignError, "contr.dif", "'contr.sdif'", contrasts={"a": "contr.dif"}),
    fit("contrasts matrix of wrong shape", MODEL, JaxlmmError, "'a'", "3", contrasts={"a": np.eye(4)}),
    fit("contrasts matrix not of full rank", MODEL, JaxlmmError, "'a'", contrasts={"a": np.ones((3, 2))}),
    fit("contrasts of a number", MODEL, JaxlmmError, "'x'", contrasts={"x": "contr.sum"}),
    fit("contrasts of a grouping factor", MODEL, DesignError, "'g'", "fixed or random effects", contrasts={"g": "contr.sum"}),
    fit("contrasts said twice", "y ~ C(a, contr.sum) + (1 | g)", DesignError, "C(a, contr.sum)",
        contrasts={"a": "contr.poly"}),
    fit("contrasts matrix of other levels", MODEL, DesignError, "'a'", "huge", "top", contrasts={"a": OTHER_LEVELS}),
    fit("contrasts matrix with a hole", MODEL, DesignError, "'a'", "finite", contrasts={"a": np.full((3, 2), np.nan)}),
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
    fit("dot", "y ~ . + (1 | g)", FormulaError, "`.`"),
    fit("trailing plus", "y ~ x +", FormulaError, "+"),
    fit("string literal as group", "y ~ x + (1 | 'g')", FormulaError, "'g'"),
    fit("lmer's arguments in the formula", "y ~ x + (1 | g), data", FormulaError, ","),
    fit("unclosed quote", "y ~ `x + (1 | g)", FormulaError, "`"),
    fit("poly of degree zero", "y ~ poly(x, 0) + (1 | g)", FormulaError, "poly(x, 0)", "1 or more"),
    fit("poly of too high a degree", "y ~ poly(x, 6) + (1 | g)", FormulaError, "poly(x, 6)", "7 different values"),
    fit("spline without df", "y ~ bs(x, df=1) + (1 | g)", JaxlmmError, "bs(x, df=1)"),
]

ARGUMENTS = [
    fit("unknown ddf", MODEL, DesignError, "ddf", "nope", "normal", ddf="nope"),
    fit("kenward-roger by ML", MODEL, DesignError, "kenward-roger", "reml=True", ddf="kenward-roger", reml=False),
    fit("unknown plan", MODEL, DesignError, "plan", "quick", "grouped", control=Control(plan="quick")),
    fit("plan that does not suit", "y ~ x + (1 | g) + (1 | h)", DesignError, "grouped", control=Control(plan="grouped")),
    fit("start of wrong length", MODEL, DataError, "start", "1 in this model", control=Control(start=np.ones(3))),
    fit("start not a number", MODEL, DataError, "start", "finite", control=Control(start=np.array([np.nan]))),
    fit("start no numbers", MODEL, DataError, "start", "finite", control=Control(start="x")),  # type: ignore[arg-type]
    fit("iterations a text", MODEL, DataError, "max_iterations='a'", control=Control(max_iterations="a")),  # type: ignore
    fit("no iterations", MODEL, DataError, "max_iterations=0", "from 1 on", control=Control(max_iterations=0)),
    fit("no rows in a chunk", MODEL, DataError, "chunk_rows=0", "1 or more", control=Control(chunk_rows=0)),
    fit("plan a number", MODEL, DataError, "plan=3", "'auto'", control=Control(plan=3)),  # type: ignore[arg-type]
    fit("control a dict", MODEL, JaxlmmError, "control", "Control", control={"plan": "dense"}),
    fit("na_action of R", MODEL, JaxlmmError, "na_action", "omit", "drop", na_action="omit"),
    fit("reml a word", MODEL, JaxlmmError, "reml", "'ML'", reml="ML"),
    Row("unknown data set", lambda: jaxlmm.load_dataset("sleepstudi"), DataError, ("sleepstudi", "sleepstudy")),
    Row("data set None", lambda: jaxlmm.load_dataset(None), DataError, ("None", "sleepstudy")),
]

AFTER = [
    after("predict, unseen group", lambda m: m.predict(new(g=["g99"])), DataError, "'g'", "g99", "allow_new_levels"),
    after("predict, unseen fixed level", lambda m: m.predict(new(a=["huge"])), DataError, "'a'", "huge", "mid"),
    after("predict, unseen level despite new groups", lambda m: m.predict(new(a=["huge"]), allow_new_levels=True), DataError,
        "huge"),
    after("predict, text for a numbered group", numbered, DataError, "'g'", "numbers in the fit", "text in newdata"),
    after("predict, no rows", lambda m: m.predict(table().iloc[:0]), DataError, "no rows"),
    after("predict, missing column", lambda m: m.predict(new(x=None)), DataError, "'x'"),
    after("predict, missing grouping column", lambda m: m.predict(new(g=None)), DataError, "'g'"),
    after("predict, missing value", lambda m: m.predict(new(x=[np.nan])), DataError, "'x'", "missing"),
    after("predict, missing fixed level", lambda m: m.predict(new(a=[None])), DataError, "'a'", "missing"),
    after("predict, infinite value", lambda m: m.predict(new(x=[np.inf])), DataError, "'x'", "inf"),
    after("predict, text for a number", lambda m: m.predict(new(x=["one"])), DataError, "'x'", "numeric"),
    after("predict, number for a factor", lambda m: m.predict(new(a=[2])), DataError, "'a'", "2"),
    after("predict, dates for a number", lambda m: m.predict(new(x=[datetime.datetime(2024, 1, 1)])), DataError, "'x'"),
    after("predict, no table", lambda m: m.predict([1.0, 2.0]), DataError, "list"),
    after("predict, unknown interval", lambda m: m.predict(new(), interval="nope"), JaxlmmError, "interval", "nope",
        "confidence"),
    after("predict, level in per cent", lambda m: m.predict(new(), interval="confidence", level=95), JaxlmmError, "level",
        "95"),
    after("predict, unknown random", lambda m: m.predict(new(), random=["nope"]), JaxlmmError, "nope", "'g'"),
    after("predict, random neither", lambda m: m.predict(new(), random=3), JaxlmmError, "random", "3"),
    after("ranef of no factor", lambda m: m.ranef("nope"), JaxlmmError, "nope", "'g'"),
    after("ranef of a number", lambda m: m.ranef(3), JaxlmmError, "3", "'g'"),
    after("coef of no factor", lambda m: m.coef("nope"), JaxlmmError, "nope", "'g'"),
    after("conf_int, level 2", lambda m: m.conf_int(level=2), JaxlmmError, "level", "2"),
    after("conf_int, level text", lambda m: m.conf_int(level="high"), JaxlmmError, "level", "high"),
    after("conf_int, unknown method", lambda m: m.conf_int(method="nope"), JaxlmmError, "method", "nope", "wald"),
    after("conf_int, ddf", lambda m: m.conf_int(ddf="nope"), JaxlmmError, "ddf", "nope"),
    after("tidy of nothing known", lambda m: m.tidy("x"), JaxlmmError, "'x'", "ran_pars"),
    after("tidy of a list", lambda m: m.tidy(["fixed"]), JaxlmmError, "['fixed']", "ran_pars"),
    after("tidy, level 0", lambda m: m.tidy(level=0), JaxlmmError, "level", "0"),
    after("summary, ddf", lambda m: m.summary(ddf="nope"), JaxlmmError, "ddf", "nope"),
    after("simulate, no replicates", lambda m: m.simulate(n=0), JaxlmmError, "n", "0"),
    after("simulate, seed of 71 bits", lambda m: m.simulate(n=1, seed=2**70), DataError, f"seed={2**70}", "64 bits"),
    after("simulate, negative seed", lambda m: m.simulate(n=1, seed=-(2**70)), DataError, f"seed=-{2**70}", "64 bits"),
    after("simulate, seed text", lambda m: m.simulate(n=1, seed="abc"), JaxlmmError, "seed", "abc"),
    after("refit, wrong length", lambda m: m.refit(np.ones(N - 1)), DataError, "71", "72"),
    after("refit, missing value", lambda m: m.refit(table().y.where(table().index > 0)), DataError, "missing"),
    after("refit, infinite value", lambda m: m.refit(table().y.where(table().index > 0, np.inf)), DataError, "inf"),
    after("refit, constant", lambda m: m.refit(np.ones(N)), DataError, "constant"),
    after("refit, text", lambda m: m.refit(["a"] * N), DataError, "numeric"),
    after("refit, misaligned", lambda m: m.refit(table().y.set_axis(range(5, 5 + N))), DataError, "index"),
    after("update, unknown column", lambda m: m.update(". ~ . + nope"), DataError, "nope"),
    after("update, unreadable", lambda m: m.update("~~"), FormulaError, "~"),
    after("refit, complex", lambda m: m.refit(np.ones(N) * 1j), DataError, "numeric"),
    after("update, no text", lambda m: m.update(None), FormulaError, "NoneType"),
    after("update, reml a word", lambda m: m.update(". ~ .", reml="no"), DataError, "reml", "'no'"),
    after("update, unknown argument", lambda m: m.update(". ~ .", nope=1), JaxlmmError, "nope"),
]

FILES = [
    Row("load, no such file", lambda: jaxlmm.load("nowhere.npz"), SavedModelError, ("nowhere.npz", "no file")),
    Row("load, a folder", lambda: jaxlmm.load("."), SavedModelError, (".",)),
    Row("load, a text file", lambda: jaxlmm.load(write("a.csv", b"x,y\n1,2\n")), SavedModelError, ("a.csv",)),
    Row("load, an empty file", lambda: jaxlmm.load(write("empty.npz", b"")), SavedModelError, ("empty.npz",)),
    Row("load, a pickle", lambda: jaxlmm.load(write("m.pkl", pickle.dumps({"a": 1}))), SavedModelError, ("m.pkl",)),
    Row("load, other arrays", lambda: jaxlmm.load(other_arrays()), SavedModelError, ("other.npz",)),
    Row("load, a pickle inside", lambda: jaxlmm.load(pickled_inside()), SavedModelError, ("evil.npz",)),
    Row("load, a trusted formula", lambda: jaxlmm.load(trusted()), SavedModelError, ("trusted.npz", "trusted=True")),
    after("save, no such folder", lambda m: m.save("nowhere/fit.npz"), SavedModelError, "nowhere/fit.npz", "folder"),
    after("save, into a folder", lambda m: m.save("."), SavedModelError, "'.'", "directory"),
    after("load, cut short", lambda m: jaxlmm.load(cut_short(m)), SavedModelError, "cut.npz"),
]

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
    "keyword argument": "y ~ C(x, levels=open('owned', 'w')) + (1 | g)",
    "f-string": "y ~ I(f'{open(1)}') + (1 | g)",
    "subscript": "y ~ I(np.__dict__['save']('owned', x)) + (1 | g)",
    "quoted name": "y ~ I(`open`('owned', 'w')) + (1 | g)",
}
# fmt: on

ATTACKS = [fit(f"hostile, {name}", formula, FormulaError) for name, formula in HOSTILE.items()]
TABLE = DATA + WEIGHTS_AND_OFFSET + DESIGNS + FORMULAS + ARGUMENTS + AFTER + FILES + ATTACKS + SPELLINGS + MESSAGES


@pytest.fixture(scope="module")
def model():
    """The sound model, for what can go wrong after the fit."""
    return jaxlmm.lmer(MODEL, table())


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
    assert not re.search(r"0x[0-9a-f]{6}|<class|object at|Traceback|np\.(int|float|str_)|_quoted", message), message
    # What the user sees is one traceback: nothing of formulaic's, narwhals' or NumPy's above it.
    assert error.__cause__ is None
    assert error.__context__ is None or error.__suppress_context__
    assert not list(folder.glob("owned*"))


def test_the_table_is_as_long_as_promised():
    assert len(TABLE) >= 45
    assert len({row.id for row in TABLE}) == len(TABLE)
