"""Formulas on the left, what they mean on the right; the meanings are those that lme4 documents."""

import numpy as np
import pandas as pd
import pytest

from jaxlmm.errors import FormulaError
from jaxlmm.formula import TRANSFORMS, parse_effects, parse_formula, update_formula, variables_of


def fixed(formula):
    return [str(term) for term in formula.fixed]


def random(formula):
    return [([str(t) for t in term.effects], term.group, term.covariance) for term in formula.random]


# right-hand side of "y ~ ..."                 fixed effects             random: effects, group, covariance
TERMS = [
    ("x", ["1", "x"], []),
    ("0 + x", ["x"], []),
    ("x - 1", ["x"], []),
    ("-1 + x", ["x"], []),
    ("x + 0", ["x"], []),
    ("0", [], []),
    ("a*b", ["1", "a", "b", "a:b"], []),
    ("a/b", ["1", "a", "a:b"], []),
    ("(a + b + c)^2", ["1", "a", "b", "c", "a:b", "a:c", "b:c"], []),
    ("(a + b)**50", ["1", "a", "b", "a:b"], []),
    ("x^2", ["1", "x"], []),
    ("a*b - a:b", ["1", "a", "b"], []),
    ("a:b + c", ["1", "c", "a:b"], []),
    ("z %in% f", ["1", "z:f"], []),
    ("a + b%in%a", ["1", "a", "b:a"], []),
    ("a*b %in% c", ["1", "a", "b:c", "a:b:c"], []),
    ("a:b %in% c - a", ["1", "a:b:c"], []),
    ("(1 | b %in% a)", ["1"], [(["1"], ("b", "a"), "us")]),
    ("x.y", ["1", "x.y"], []),
    ("`my x` + log(`my x`)", ["1", "my x", "log(`my x`)"], []),
    ("(1|g)", ["1"], [(["1"], ("g",), "us")]),
    ("1 + (1 | g)", ["1"], [(["1"], ("g",), "us")]),
    ("x + (x|g)", ["1", "x"], [(["1", "x"], ("g",), "us")]),
    ("x + (1 + x|g)", ["1", "x"], [(["1", "x"], ("g",), "us")]),
    ("(0+x|g)", ["1"], [(["x"], ("g",), "us")]),
    ("(x-1|g)", ["1"], [(["x"], ("g",), "us")]),
    ("(-1+x|g)", ["1"], [(["x"], ("g",), "us")]),
    ("(x + 0 | g)", ["1"], [(["x"], ("g",), "us")]),
    ("(0 + f | g)", ["1"], [(["f"], ("g",), "us")]),
    ("0 + x + (1|g)", ["x"], [(["1"], ("g",), "us")]),
    ("x + (1|g) - 1", ["x"], [(["1"], ("g",), "us")]),
    ("(x||g)", ["1"], [(["1"], ("g",), "us"), (["x"], ("g",), "us")]),
    ("(x-1||g)", ["1"], [(["x"], ("g",), "us")]),
    ("(1||g)", ["1"], [(["1"], ("g",), "us")]),
    ("(0 + x || g)", ["1"], [(["x"], ("g",), "us")]),
    ("(1 + x + f || g)", ["1"], [(["1"], ("g",), "us"), (["x"], ("g",), "us"), (["f"], ("g",), "us")]),
    (
        "(x*f || g)",
        ["1"],
        [(["1"], ("g",), "us"), (["x"], ("g",), "us"), (["f"], ("g",), "us"), (["x:f"], ("g",), "us")],
    ),
    (
        "(x || a/b)",
        ["1"],
        [(["1"], ("b", "a"), "us"), (["1"], ("a",), "us"), (["x"], ("b", "a"), "us"), (["x"], ("a",), "us")],
    ),
    ("zerocorr(x|g)", ["1"], [(["1", "x"], ("g",), "diag")]),
    ("zerocorr(0 + f | g)", ["1"], [(["f"], ("g",), "diag")]),
    ("zerocorr((x|g))", ["1"], [(["1", "x"], ("g",), "diag")]),
    ("diag(x | a/b)", ["1"], [(["1", "x"], ("b", "a"), "diag"), (["1", "x"], ("a",), "diag")]),
    ("us(x|g) + us(1|h)", ["1"], [(["1", "x"], ("g",), "us"), (["1"], ("h",), "us")]),
    ("(1|a/b)", ["1"], [(["1"], ("b", "a"), "us"), (["1"], ("a",), "us")]),
    ("(1|a/b/c)", ["1"], [(["1"], ("c", "b", "a"), "us"), (["1"], ("b", "a"), "us"), (["1"], ("a",), "us")]),
    ("(1|a/(b:c))", ["1"], [(["1"], ("b", "c", "a"), "us"), (["1"], ("a",), "us")]),
    ("(1|a:b)", ["1"], [(["1"], ("a", "b"), "us")]),
    ("(1|a:b:c)", ["1"], [(["1"], ("a", "b", "c"), "us")]),
    ("(1|a*b)", ["1"], [(["1"], ("a",), "us"), (["1"], ("b",), "us"), (["1"], ("a", "b"), "us")]),
    ("größe+(größe|`schüler nr.`)", ["1", "größe"], [(["1", "größe"], ("schüler nr.",), "us")]),
    ("(1|`my group`)", ["1"], [(["1"], ("my group",), "us")]),
    ("(1|my.group)", ["1"], [(["1"], ("my.group",), "us")]),
    ("(1|factor(g)) + (1|C(h)) + (1|as.factor(`k l`):m)", ["1"], "g, h, k l:m"),
    ("x + (x|g) + (1|h)", ["1", "x"], [(["1", "x"], ("g",), "us"), (["1"], ("h",), "us")]),
    ("(1|g) + (0+x|g)", ["1"], [(["1"], ("g",), "us"), (["x"], ("g",), "us")]),
    ("((1|g)+(0+f|h))", ["1"], [(["1"], ("g",), "us"), (["f"], ("h",), "us")]),
    ("(1+(a+b)**2|g:h)", ["1"], [(["1", "a", "b", "a:b"], ("g", "h"), "us")]),
    ("a*b + (a*b|g)", ["1", "a", "b", "a:b"], [(["1", "a", "b", "a:b"], ("g",), "us")]),
    ("(bs(x, df=4)|g)", ["1"], [(["1", "bs(x, df=4)"], ("g",), "us")]),
    ("cs(x, df=4) + (cs(x, df=4)|g)", ["1", "cs(x, df=4)"], [(["1", "cs(x, df=4)"], ("g",), "us")]),
    ("(C(x, contr.sum)|g)", ["1"], [(["1", "C(x, contr.sum)"], ("g",), "us")]),
    ("(poly(x, 2) || g)", ["1"], [(["1"], ("g",), "us"), (["poly(x, 2)"], ("g",), "us")]),
    ("(1 + I(age - 11) || g)", ["1"], [(["1"], ("g",), "us"), (["I(age - 11)"], ("g",), "us")]),
    ("x +\n  (1|g1) +\n  (1|g2)", ["1", "x"], [(["1"], ("g1",), "us"), (["1"], ("g2",), "us")]),
    ("x\n + (1|g1)\n + (1|g2)\n", ["1", "x"], [(["1"], ("g1",), "us"), (["1"], ("g2",), "us")]),
]


@pytest.mark.parametrize(("text", "fixed_terms", "random_terms"), TERMS, ids=[t[0] for t in TERMS])
def test_terms(text, fixed_terms, random_terms):
    formula = parse_formula("y ~ " + text)
    assert [str(term) for term in formula.response or ()] == ["y"]
    assert fixed(formula) == fixed_terms
    if isinstance(random_terms, str):
        assert ", ".join(":".join(term.group) for term in formula.random) == random_terms
    else:
        assert random(formula) == random_terms
    assert formula.source == "y ~ " + text


# R's spelling in a call            formulaic's
SPELLINGS = [
    ("I(x^2)", "I(x ** 2)"),
    ("I(2*x^2)", "I(2 * x ** 2)"),
    ("{x^2}", "x ** 2"),
    ("factor(f)", "C(f)"),
    ("as.factor(f)", "C(f)"),
    ("as.factor( f )", "C(f)"),
    ("factor(f, levels = c('a', 'b'))", "C(f, levels=['a', 'b'])"),
    ("ordered(f)", "C(f, contr.poly)"),
    ('relevel(f, ref = "b")', "C(f, contr.treatment(base='b'))"),
    ("C(f, sum)", "C(f, contr.sum)"),
    ("C(f, contr.sdif)", "C(f, contr.diff)"),
    ("poly(x,2,raw=TRUE)", "poly(x, 2, raw=True)"),
    ("scale(x, scale=FALSE)", "scale(x, scale=False)"),
    ("log(x.y)", "log(`x.y`)"),
    ("log(x.y.z + `a b`)", "log(`x.y.z` + `a b`)"),
    ("numpy.log(x)", "np.log(x)"),
    ("I(x %% 2)", "I(x % 2)"),
    ("I(x %/% 2)", "I(x // 2)"),
    ("I(!b)", "I(~b)"),
    ("I(f != 'a^b')", "I(f != 'a^b')"),
    ("I(x\n + 1)", "I(x + 1)"),
]


@pytest.mark.parametrize(("r", "python"), SPELLINGS)
def test_spelling_of_r(r, python):
    assert fixed(parse_formula(f"y ~ 0 + {r}")) == [python]
    assert random(parse_formula(f"y ~ (0 + {r} | g)")) == [([python], ("g",), "us")]


@pytest.mark.parametrize("response", ["y", "log(y)", "np.log(y)", "I(y / 2)", "`y`", "sqrt(y + 1)", "(y)", "{y / 2}"])
def test_response(response):
    formula = parse_formula(f"{response} ~ x + (1 | g)")
    assert len(formula.response or ()) == 1
    assert formula.variables == ("y", "x", "g")


def test_offsets_are_no_terms():
    formula = parse_formula("y ~ 1 + offset(10 * Days) + offset(log(`a b`)) + offset(w) + (1 | g)")
    assert fixed(formula) == ["1"]
    assert formula.offsets == ("10 * Days", "log(`a b`)", "w")
    assert formula.variables == ("y", "g", "Days", "a b", "w")
    assert fixed(parse_formula("y ~ offset + (1 | g)")) == ["1", "offset"]


VARIABLES = [
    ("log(y) ~ x1:np.log(x2) + (bs(x3, df=x4)|a/b) + offset(o)", "y x1 x2 x3 x4 b a o"),
    ("y ~ C(f, contr.treatment(base='b')) + C(h, Sum) + C(Treatment)", "y f h Treatment"),
    ("y ~ Q('a b') + I(np.pi * x) + I(x == 'level')", "y,a b,x"),
    ("y ~ x.y + log(x.y) + `x y`", "y,x.y,x y"),
    ("y ~ (0 + x || g) + zerocorr(z | g)", "y x g z"),
]


@pytest.mark.parametrize(("text", "expected"), VARIABLES)
def test_variables(text, expected):
    assert parse_formula(text).variables == tuple(expected.split("," if "," in expected else " "))


def test_one_sided():
    formula = parse_formula("~ disease + (1 | donor)", one_sided=True)
    assert formula.response is None
    assert fixed(formula) == ["1", "disease"]
    assert formula.variables == ("disease", "donor")
    with pytest.raises(FormulaError, match="response"):
        parse_formula("y ~ x + (1 | donor)", one_sided=True)


EFFECTS = [
    ("~age", ["1", "age"]),
    ("1 + age", ["1", "age"]),
    ("0 + x", ["x"]),
    ("~ 0 + C(classroom)", ["C(classroom)"]),
    ("~1", ["1"]),
    ("~ a*b - 1", ["a", "b", "a:b"]),
]


@pytest.mark.parametrize(("text", "terms"), EFFECTS)
def test_effects(text, terms):
    assert [str(term) for term in parse_effects(text)] == terms


def test_variables_of_effects():
    assert variables_of(parse_effects("~ log(a):b + `c d`")) == ("c d", "a", "b")


@pytest.mark.parametrize("text", ["y ~ x", "~ (1 | g)", "~ offset(x)", "~ 0", "", "~"])
def test_what_effects_cannot_hold(text):
    with pytest.raises(FormulaError):
        parse_effects(text)


SOURCES = [
    ("(1+Days|Subject)", ["(Days | Subject)"]),
    ("(1|a/b)", ["(1 | b:a)", "(1 | a)"]),
    ("(x||`my g`)", ["(1 | `my g`)", "(0 + x | `my g`)"]),
    ("zerocorr(x:z|g)", ["zerocorr(x:z | g)"]),
    ("(0 + {x/2}|g)", ["(0 + {x / 2} | g)"]),
]


@pytest.mark.parametrize(("text", "sources"), SOURCES)
def test_source_of_a_term(text, sources):
    terms = parse_formula(f"y ~ {text}").random
    assert [term.source for term in terms] == sources
    for term in terms:  # each is itself a formula with the same meaning
        (again,) = parse_formula(f"y ~ {term.source}").random
        assert (list(again.effects), again.group, again.covariance) == (
            list(term.effects),
            term.group,
            term.covariance,
        )


# model                     update                                  what R's update.formula means by it, bars as here
UPDATES = [
    ("y ~ x + (1|g)", ". ~ .", "y ~ x + (1 | g)"),
    ("y ~ x + (1|g)", "~ . - x", "y ~ 1 + (1 | g)"),
    ("y ~ x + (1|g)", "log(.) ~ .:z", "log(y) ~ x:z + (1 | g)"),
    ("y ~ x + (1|g)", ". ~ . + log(.) + I(f == '.')", "y ~ x + log(x) + I(f == '.') + (1 | g)"),
    ("y ~ a + b + (1|g)", ". ~ (.)^2 - b", "y ~ a + a:b + (1 | g)"),
    ("y ~ 0 + x + (1|g)", ". ~ . + z", "y ~ 0 + x + z + (1 | g)"),
    ("y ~ 0 + x + (1|g)", ". ~ . + 1", "y ~ x + (1 | g)"),
    ("y ~ 0 + x + (1|g)", ". ~ z + (1|g)", "y ~ z + (1 | g)"),
    ("y ~ x + (1|g)", ". ~ z - . + (1|h)", "y ~ z + (1 | h)"),
    ("y ~ x + (1|g)", ". ~ . + (0 + scale(log(x + 1)) | g)", "y ~ x + (1 | g) + (0 + scale(log(x + 1)) | g)"),
    ("y ~ x + (0 + scale(log(x + 1)) | g)", ". ~ . - (0 + scale(log(x+1))|g) + (1|g)", "y ~ x + (1 | g)"),
    ("y ~ 1 + (1 | a/b)", ". ~ . - (1|a/b) + (1|a)", "y ~ 1 + (1 | a)"),
    ("y ~ 1 + (1 | a/b)", ". ~ . - (1 | b:a)", "y ~ 1 + (1 | a)"),
    ("y ~ 1 + (1 | a/b)", ". ~ . - (1 | a:b)", "y ~ 1 + (1 | a)"),
    ("y ~ x + (x || g)", ". ~ . - (x || g) + zerocorr(x | g)", "y ~ x + zerocorr(x | g)"),
    ("y ~ x + (x + z | g)", ". ~ . - ((z + x | g) + x) + (1|h)", "y ~ 1 + (1 | h)"),
    ("y ~ x + offset(log(a + (2 * b))) + (1|g)", ". ~ . - offset(log(a + 2*b))", "y ~ x + (1 | g)"),
    ("{y/2} ~ {x/2} + (1|g)", ". ~ . + {. + 1}", "{y / 2} ~ {x / 2} + {x / 2 + 1} + (1 | g)"),
    ("y ~ offset(w) + (1|g)", ". ~ . + x", "y ~ x + (1 | g) + offset(w)"),
]


@pytest.mark.parametrize(("old", "change", "new"), UPDATES)
def test_update(old, change, new):
    assert update_formula(parse_formula(old), change) == new


@pytest.fixture(scope="module")
def data():
    x = np.linspace(0.1, 0.9, 24)
    return pd.DataFrame({"y": x**2, "x": x, "a b": x, "x.y": x, "f": list("abc") * 8, "b": x > 0.5})


# factor                     expected values, None where only evaluation is tested
EVALUATED = [
    ("log(x)", np.log),
    ("log(x, 2)", np.log2),
    ("log(x, base=10)", np.log10),
    ("log1p(x)", np.log1p),
    ("sqrt(x)", np.sqrt),
    ("exp10(x)", lambda x: 10**x),
    ("I(x^2)", lambda x: x**2),
    ("I((x > 0.3) & (x < 0.6))", lambda x: (x > 0.3) & (x < 0.6)),
    ("ifelse(x > 0.5, 1, 0)", lambda x: x > 0.5),
    ("np.where(x > 0.5, 1, 0)", lambda x: x > 0.5),
    ("sin(2 * np.pi * x)", lambda x: np.sin(2 * np.pi * x)),
    ("log(x.y + `a b`)", lambda x: np.log(2 * x)),
    ("`a b`", lambda x: x),
    ("x.y", lambda x: x),
    ('Q("a b")', lambda x: x),
    ("center(x)", lambda x: x - x.mean()),
    ("scale(x)", lambda x: (x - x.mean()) / x.std(ddof=1)),
    ("round(x, 1)", lambda x: np.round(x, 1)),
    ("logit(x)", lambda x: np.log(x / (1 - x))),
    ("expit(x)", lambda x: 1 / (1 + np.exp(-x))),
    ("I(!b)", lambda x: ~(x > 0.5)),
    *((text, None) for text in ("poly(x, 2)", "bs(x, df=4)", "cr(x, df=4)", "cs(x, df=4)", "cc(x, df=4)")),
    *((text, None) for text in ("C(f)", "C(f, contr.sum)", "C(f, contr.helmert)", "C(f, contr.poly)")),
    *((text, None) for text in ("C(f, contr.sdif)", "C(f, contr.treatment('b'))", "C(f, Sum)", "C(f, Treatment('b'))")),
    *((text, None) for text in ("relevel(f, ref='b')", "factor(f)", "ordered(f)", "standardize(x)", "C(f, contr.SAS)")),
    *((text, None) for text in ("C(f, {'low': [1, 0, -1]})", "C(f, contr.custom([[1, 0], [0, 1], [-1, -1]]))")),
]


@pytest.mark.parametrize(("text", "expected"), EVALUATED)
def test_formulaic_evaluates(text, expected, data):
    effects = parse_effects(f"~ 1 + {text}")
    columns = data[list(variables_of(effects))]
    matrix = np.asarray(effects.get_model_matrix(columns, context=TRANSFORMS, na_action="raise"), float)[:, 1:]
    assert np.linalg.matrix_rank(matrix) == matrix.shape[1] >= 1
    if expected is not None:
        np.testing.assert_allclose(matrix[:, 0], expected(data["x"].to_numpy()), rtol=1e-13)
