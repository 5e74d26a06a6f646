"""Formulas that cannot be read: where the caret points, and what the message says."""

import contextlib

import pytest

from jaxlmm.errors import FormulaError
from jaxlmm.formula import parse_effects, parse_formula, update_formula

# formula               index of the caret, words of the message
MISTAKES = [
    ("", None, "empty"),
    ("   \n ", None, "empty"),
    ("y", 0, "response is missing"),
    ("~ x", 0, "response is missing"),
    ("x + (1|g)", 0, "response is missing"),
    ("y ~", 2, "Nothing follows ~"),
    ("y ~ x +", 6, "Nothing follows `+`"),
    ("y ~ * x", 4, "left of `*`"),
    ("y ~ x : + z", 8, "left of `+`"),
    ("y1 + y2 ~ x", 0, "two responses, y1 and y2"),
    ("cbind(y1, y2) ~ x", 0, "One response per model"),
    ("y:z ~ x", 0, "one column"),
    ("1 ~ x", 0, "number"),
    ("(1|g) ~ x", 1, "right of ~"),
    ("y ~ x ~ z", 6, "one ~"),
    ("y ~ (x ~ z)", 7, "inside parentheses"),
    ("y ~ (1|g", 4, "closing )"),
    ("y ~ log(x + (1|g)", 4, "closing )"),
    ("y ~ x + `my g", 8, "closing `"),
    ("y ~ x)", 5, "closes nothing"),
    ("y ~ ()", 5, "empty"),
    ("y ~ x | g", 6, "outside parentheses"),
    ("y ~ 1|g", 5, "outside parentheses"),
    ("y ~ x || g", 6, "outside parentheses"),
    ("y ~ x:(1|g)", 7, "interaction"),
    ("y ~ x*(1|g)", 7, "interaction"),
    ("y ~ (1|g):x", 5, "interaction"),
    ("y ~ (x + (1|g))**2", 10, "combined"),
    ("y ~ x/(1|g)", 7, "interaction"),
    ("y ~ -(1|g)", 6, "subtracted"),
    ("y ~ x - (1|g)", 9, "subtracted"),
    ("y ~ (0|g)", 5, "removes its intercept"),
    ("y ~ (x-1-x|g)", 5, "removes its intercept"),
    ("y ~ (x|1+g)", 7, "Write (x | g)"),
    ("y ~ (x|0+g)", 7, "Write (x | g)"),
    ("y ~ (x|0)", 7, "number 0"),
    ("y ~ (x|1)", 7, "number 1"),
    ("y ~ (1|g+h)", 7, "(1 | g) + (1 | h)"),
    ("y ~ (1|g**2)", 7, "`**`"),
    ("y ~ (1|cut(x, 3))", 7, "pandas.cut"),
    ("y ~ (1|I(g))", 7, "not a column"),
    ("y ~ (1|(x|g))", 8, "inside another"),
    ("y ~ ((x|g)|h)", 6, "inside another"),
    ("y ~ (x|g|h)", 8, "one bar"),
    ("y ~ (|g)", 5, "left of the bar"),
    ("y ~ (x + |g)", 9, "between `+` and the bar"),
    ("y ~ (x : || g)", 9, "between `:` and the bar"),
    ("y x + (1|g)", 2, "no ~. Write ~"),
    ("y (1|g)", 2, "no ~. Write ~"),
    ("log(y) log(x)", 7, "no ~. Write ~"),
    ("y ~ (x|)", 7, "grouping factor is missing"),
    ("y ~ cs(x|g)", 4, "not available yet"),
    ("y ~ ar1(x|g)", 4, "not available yet"),
    ("y ~ zerocorr(x)", 4, "zerocorr(x | g)"),
    ("y ~ zerocorr(x||g)", None, "two choices"),
    ("y ~ zerocorr((x|g) + (1|h))", None, "one random-effects term"),
    ("y ~ x(1|g)", 4, "no operator"),
    ("y ~ x (1|g)", 6, "no operator"),
    ("y ~ x z", 6, "no operator"),
    ("y ~ lgo(x)", 4, "Did you mean log"),
    ("y ~ sclae(x)", 4, "Did you mean scale"),
    ("y ~ np.lgo(x)", 4, "np.log"),
    ("y ~ z + C(x, contr.summ)", 13, "contr.sum,"),
    ("y ~ C(x, contr.foo)", 9, "are contr.treatment, contr.sum, contr.sdif, contr.helmert, contr.poly."),
    ("y ~ ns(x, 3)", 4, "cr(x, df=4)"),
    ("y ~ as.numeric(f)", 4, "astype(float)"),
    ("y ~ lag(x)", 4, "lagged column"),
    ("y ~ 2*x", 4, "I(2 * x)"),
    ("y ~ 2 + x", 4, "I(...)"),
    ("y ~ x:0", 6, "I(...)"),
    ("y ~ 'x'", 4, "backticks"),
    ("y ~ .", 4, "Name the columns"),
    ("y ~ x + (. | g)", 9, "Name the columns"),
    ("y = x + (1|g)", 2, "Write ~"),
    ("y ~ data$x", 8, "name of the column alone"),
    ("y ~ (x| |g)", 8, "one bar"),
    ("y ~ z + I(x == 1) + (x|g) + sclae(z)", 28, "scale"),
    ("y ~ x + (0 + z)", 9, "inner parenthesis"),
    ("y ~ (x - 1)", 9, "inner parenthesis"),
    ("y ~ ((0 + x)|g)", 6, "inner parenthesis"),
    ("y ~ x %*% z", 6, "%*%"),
    ("y ~ x %*% z", 6, "spelling of `:`"),
    ("y ~ x, z", 5, "comma"),
    ("y ~ C(class)", 6, "word of Python"),
    ("y ~ log(`class`)", 8, "word of Python"),
    ("y ~ x[1]", 4, "cannot say"),
    ("y ~ [x]", 4, "Square brackets"),
    ("y ~ I(x +)", 4, "not a Python expression"),
    ("y ~ log(x, 2, 3)", 4, "at most 2"),
    ("y ~ log(x, z=2)", 4, "at most 2"),
    ("y ~ offset()", 4, None),
    ("y ~ offset(x, z)", 4, "one expression"),
    ("y ~ x:offset(z)", 6, "An offset"),
    ("y ~ x - offset(z)", 8, "An offset"),
    ("y ~ (offset(z)|g)", 5, "An offset"),
    ("y ~ (a + b)**0", 13, "positive whole number"),
    ("y ~ (a + b)**x", 13, "positive whole number"),
    ("y ~ log + log(x)", 10, "both as a column and as a function"),
    ("y ~ x & z", 6, "I(a & b)"),
    ("y ~ x # comment", 6, "Comments"),
    ("y ~ x + (1|g) +\n lgo(z)", 17, "log"),
]


@pytest.mark.parametrize(("text", "position", "words"), MISTAKES, ids=[m[0] for m in MISTAKES])
def test_mistakes(text, position, words):
    with pytest.raises(FormulaError) as caught:
        parse_formula(text)
    message = str(caught.value)
    assert words is None or words in message
    if position is not None:
        assert caught.value.position == position, message
        assert message.endswith("^")


# update of y ~ x + (1 | g) + offset(w), index of the caret, words
BAD_UPDATES = [
    ("x", None, "two sides"),
    (". ~ . - (x | g)", 9, "it has (1 | g)"),
    (". ~ . - (0 + log(x + (2 * z)) | g)", 9, "not in the model"),
    (". ~ . - offset(2 * w)", 8, "it has offset(w)"),
    (". ~ . + (. | g)", 9, "Write its effects out"),
    (". ~ . + (0 + log(.) | g)", 13, "Write its effects out"),
    (". ~ . - (x - (1 | g))", 14, "subtracted"),
    (". ~ . : (1 | g)", 9, "interaction"),
    (". + z ~ .", 0, "two responses"),
    (". ~ . + lgo(.)", 8, "Did you mean log"),
]


@pytest.mark.parametrize(("change", "position", "words"), BAD_UPDATES, ids=[m[0] for m in BAD_UPDATES])
def test_mistakes_in_updates(change, position, words):
    with pytest.raises(FormulaError) as caught:
        update_formula(parse_formula("y ~ x + (1 | g) + offset(w)"), change)
    assert words in str(caught.value)
    assert caught.value.position == position, str(caught.value)


@pytest.mark.parametrize("thing", [None, 3, ["y ~ x"], b"y ~ x", {"y": "x"}])
def test_a_formula_is_a_string(thing):
    with pytest.raises(FormulaError, match="string"):
        parse_formula(thing)
    with pytest.raises(FormulaError, match="string"):
        parse_effects(thing)


@pytest.mark.parametrize(
    "text",
    [
        "y ~ " + "(" * 3000 + "x" + ")" * 3000,
        "y ~ I(" + "(" * 3000 + "x" + ")" * 3000 + ")",
        "y ~ I(" + "+".join(["x"] * 5000) + ")",
        "y ~ (1|" + ":".join(f"g{i}" for i in range(5000)) + ")",
        "y ~ " + "*".join(f"x{i}" for i in range(40)),
        "y ~ (" + "+".join(f"x{i}" for i in range(40)) + ")**40",
        "y ~ (1|" + "*".join(f"x{i}" for i in range(40)) + ")",
    ],
    ids=["parentheses", "call", "sum in a call", "combinations", "product", "power", "factors"],
)
def test_monsters_end_soon(text):
    """Either a formula or a FormulaError; neither a crash nor a hang."""
    with contextlib.suppress(FormulaError):
        parse_formula(text)


def test_a_long_sum_is_fine():
    text = "y ~ " + " + ".join(f"x{i}" for i in range(1500)) + " + (1 | g)"
    assert len(parse_formula(text).fixed) == 1501
