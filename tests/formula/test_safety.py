"""A formula is text, not a program: nothing that is not on the allowlist is ever evaluated."""

import builtins
import os
import pickle

import numpy as np
import pandas as pd
import pytest

from jaxlmm.errors import FormulaError
from jaxlmm.formula import TRANSFORMS, parse_effects, parse_formula
from jaxlmm.formula.transforms import FUNCTIONS, NUMPY_FUNCTIONS

ATTACKS = [
    "__import__('os').system('touch owned')",
    "{__import__('os').system('touch owned')}",
    "__import__('os').system('touch owned')()",
    "np.save('owned', x)",
    "np.load('owned')",
    "np.fromfile('owned')",
    "np.lib.npyio.DataSource('x')",
    "np.ctypeslib.load_library('c', '.')",
    "np.f2py.compile('x')",
    "np.vectorize(open)('owned')",
    "I(np.log.__class__)",
    "np.log(x, x)",
    "np.log(x, out=x)",
    "np.maximum(x, x, x)",
    "exp(x, x)",
    "open('owned', 'w')",
    "eval('1')",
    "exec('import os')",
    "compile('1', '', 'eval')",
    "getattr(np, 'save')('owned', x)",
    "globals()",
    "breakpoint()",
    "input()",
    "print(x)",
    "hashed(x, 3, hash_func=eval)",
    "().__class__.__base__.__subclasses__()",
    "I(().__class__.__base__.__subclasses__())",
    "I(x.__class__)",
    "I(__builtins__)",
    "I(__import__)",
    "I(`__import__`)",
    "`__import__`('os')",
    "I(`lambda` - x)",
    "I(`yield`)",
    "I(`__import__`('os').system('touch owned'))",
    "{`__import__`('os')}",
    "x.to_csv('owned')",
    "x.y.to_csv('owned')",
    "x.apply(open)",
    "I(x.to_pickle('owned'))",
    "I((lambda: 1)())",
    "I([open('owned') for i in x])",
    "I({i for i in x})",
    "I(sum(i for i in x))",
    "I((z := 1))",
    "I(f'{open(1)}')",
    "I(x if y else z)",
    "I(x[0])",
    "I(np[0])",
    "I(*x)",
    "I(**x)",
    "I({**x})",
    "I(await_)(x)",
    "I(b'bytes')",
    "I(...)",
    "I(np)",
    "I(contr)",
    "I(9**9**9**9)",
    "I(I(9)**I(9**9))",
    "I((9**9)**99)",
    "I(1 << 10**9)",
    "I([0] * 10**10)",
    "I('a' * 10**10)",
    "C(x, levels=__import__('os').listdir('.'))",
    "C(x, contr.__class__)",
    "C(x, contr.treatment.__init__)",
    "scale(x, _state=__import__('os'))",
    "scale(x, _state={})",
    "Q('__class__')",
    "Q(x)",
    "Q('a', _context=1)",
    "poly(x, eval('2'))",
    "poly(x, degree=eval('2'))",
    "I(x and open('owned'))",
    "I(x) or open('owned')",
    "I(`a'` + '' + `__import__(chr(111)+chr(115)).system(chr(49))) #`)",
    'I(`a"` + "" + `__import__(chr(111))) #`)',
    "I('\\\\' + `__import__(1)` + '\\\\')",
    "I(x, '`' + __import__('os') + '`')",
    "C(x, levels=['\\'', '`'])",
]
PLACES = {
    "fixed": "y ~ x + {}",
    "interaction": "y ~ x:{}",
    "left of a bar": "y ~ ({} | g)",
    "left of a double bar": "y ~ (x + {} || g)",
    "right of a bar": "y ~ (1 | {})",
    "right of a bar, nested": "y ~ (1 | a/{})",
    "structure": "y ~ zerocorr({} | g)",
    "offset": "y ~ offset({})",
    "response": "{} ~ x",
    "nested call": "y ~ log({})",
}


@pytest.fixture(autouse=True)
def alarms(monkeypatch, tmp_path):
    """Whatever an attack would reach for fails the test, from the parse on."""

    def caught(*args, **kwargs):
        raise AssertionError("the attack was evaluated")

    monkeypatch.chdir(tmp_path)
    for module, name in [(os, "system"), (os, "listdir"), (np, "save"), (np, "load"), (builtins, "eval")]:
        monkeypatch.setattr(module, name, caught)
    yield
    monkeypatch.undo()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("place", PLACES, ids=str)
def test_no_attack_is_read(place):
    for attack in ATTACKS:
        with pytest.raises(FormulaError):
            parse_formula(PLACES[place].format(attack))


@pytest.mark.parametrize("attack", ATTACKS)
def test_no_attack_is_read_as_effects(attack):
    with pytest.raises(FormulaError):
        parse_effects(f"~ {attack}")


def test_a_quoted_name_is_only_ever_a_name():
    formula = parse_formula("y ~ `__import__('os').system('touch owned')` + (1 | `open('owned', 'w')`)")
    assert formula.variables == ("y", "__import__('os').system('touch owned')", "open('owned', 'w')")


def test_trusted_lifts_the_allowlist(monkeypatch):
    monkeypatch.undo()
    formula = parse_formula("y ~ x.clip(0, 1) + I([i for i in x]) + (1 | g)", trusted=True)
    assert formula.trusted
    assert formula.variables == ("y", "x", "g")
    data = pd.DataFrame({"x": [-1.0, 0.5, 2.0], "y": [1.0, 2.0, 3.0]})
    matrix = np.asarray(formula.fixed.get_model_matrix(data, context=TRANSFORMS), float)
    np.testing.assert_array_equal(matrix[:, 1], [0.0, 0.5, 1.0])
    np.testing.assert_array_equal(matrix[:, 2], [-1.0, 0.5, 2.0])
    with pytest.raises(FormulaError, match="trusted=True"):
        parse_formula("y ~ mystery(x)")


def test_every_allowed_name_exists(monkeypatch):
    monkeypatch.undo()
    from formulaic.transforms import TRANSFORMS as FORMULAIC

    assert set(TRANSFORMS) | set(FORMULAIC) >= FUNCTIONS
    assert all(callable(getattr(np, name)) for name in NUMPY_FUNCTIONS)


def test_no_allowed_function_writes_into_the_data(monkeypatch):
    """Given as many arguments as the allowlist lets through, every function leaves them as they were."""
    monkeypatch.undo()
    x = np.array([1.0])
    for name, most in NUMPY_FUNCTIONS.items():
        if name in ("round", "around"):
            continue  # the second argument is a number of digits
        arguments = [x.copy() for _ in range(most)]
        with np.errstate(all="ignore"):
            getattr(np, name)(*arguments)
        for argument in arguments:
            np.testing.assert_array_equal(argument, x, err_msg=name)


def test_a_formula_survives_pickling():
    formula = parse_formula("log(y) ~ bs(x, df=4) + (x | a/b) + offset(w)")
    again = pickle.loads(pickle.dumps(formula))
    assert again.variables == formula.variables
    assert again.random[0].group == ("b", "a")
