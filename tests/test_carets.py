"""Errors about the data of a part of the formula quote the formula, with a caret under that part."""

import pickle
import re

import numpy as np
import pandas as pd
import pytest

import jaxlmm
from jaxlmm import DataError, JaxlmmError
from tests.bad_input import MODEL, table


def constant(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(k="same")


# formula                                  the table                   the formula from the caret on
CARETS = [
    ("y ~ xx + X + (1 | g)", None, "xx"),
    ("y ~ x + X + (1 | g)", None, "X + (1"),
    ("y ~ exp(x) + log(e) + (1 | g)", None, "e) + (1"),
    ("y ~ x + (1 | g/nope)", None, "nope)"),
    ("y ~ x + log(  x ) + (1 | g)", None, "log("),
    ("y ~ a*x + I(1/x^2) + (1 | g)", None, "I(1/x^2)"),
    ("y ~ a:log(x) + (1 | g)", None, "a:log(x)"),
    ("y ~ x + poly(x,6) + (1 | g)", None, "poly(x,6)"),
    ("y ~ x + (poly(x, 0) | g)", None, "poly(x, 0)"),
    ("y ~ x + log(a) + (1 | g)", None, "log(a)"),
    ("y ~ x +\n  k +\n  (1 | g)", constant, "k +"),
    ("y ~ x + (1|k)", constant, "(1|k)"),
    ("y ~ x + (1 + x|k)", constant, "|k)"),
    ("y ~ x + (1 | g/x)", None, "| g/x)"),
    ("y ~ x + (1|g) + (1 + x|g)", None, "|g) + (1"),
    ("y ~ x + (1|g) + (x|g)", None, "(x|g)"),
    ("y ~ x + z", None, ""),
    ("y ~ x + offset( a ) + (1 | g)", None, "offset( a )"),
    ("log(y) ~ x + (1 | g)", lambda frame: frame.assign(y=1.0), "log(y)"),
    ("y ~ x + (z | g)", lambda frame: frame.assign(z=np.inf), "z | g"),
    ("y ~ x + z + (1 | g)", lambda frame: frame.assign(z=np.nan), "z + (1"),
]


@pytest.mark.parametrize(("formula", "change", "rest"), CARETS, ids=[c[0] for c in CARETS])
def test_the_caret_stands_under_the_culprit(formula, change, rest):
    with pytest.raises(JaxlmmError) as caught:
        jaxlmm.lmer(formula, change(table()) if change else table())
    error = caught.value
    assert error.formula == formula
    assert formula[error.position :].startswith(rest)
    assert rest or error.position == len(formula)
    quoted, caret = str(error).splitlines()[-2:]
    assert quoted[caret.index("^") :] == formula[error.position :].split("\n")[0]
    assert not re.search("[^ ^]", caret)


def test_what_is_no_part_of_the_formula_quotes_none():
    with pytest.raises(DataError) as caught:
        jaxlmm.lmer(MODEL, table(), weights="nope")
    assert caught.value.formula is None and "^" not in str(caught.value)


def test_an_error_survives_a_process_boundary():
    with pytest.raises(DataError) as caught:
        jaxlmm.lmer("y ~ nope + (1 | g)", table())
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value)
    assert (again.formula, again.position) == ("y ~ nope + (1 | g)", 4)
