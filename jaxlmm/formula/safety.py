"""A formula is text, not a program: the allowlist that every Python factor passes before anything evaluates
it.

formulaic evaluates `log(x)` with Python's `eval`, builtins included, so `{__import__('os').system('...')}`
would run and `np.save('f', x)` would write a file. `examine` walks the syntax tree of a factor and refuses
every kind of node that is not listed here: what remains are columns, numbers, strings, arithmetic,
comparisons, lists, dicts, and calls of functions named in `jaxlmm.formula.transforms`. Called by
`jaxlmm.formula.spelling` for each factor; `trusted=True` skips the refusal and keeps the bookkeeping of
names.
"""

from __future__ import annotations

import ast
import difflib
from collections.abc import Sequence
from dataclasses import dataclass, field

from jaxlmm.errors import FormulaError
from jaxlmm.formula.transforms import (
    ADVICE,
    ARGUMENTS,
    CODINGS,
    CONTRASTS,
    FUNCTIONS,
    NUMPY_CONSTANTS,
    NUMPY_FUNCTIONS,
    PATSY_CONTRASTS,
)
from jaxlmm.formula.where import Where

_OPERATORS = (
    *(ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow, ast.BitAnd, ast.BitOr, ast.BitXor),
    *(ast.USub, ast.UAdd, ast.Invert, ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE),
)
_CONTAINERS = (ast.Tuple, ast.List, ast.Dict)
_HINTS: dict[type[ast.AST], str] = {
    ast.IfExp: "Write where(condition, a, b).",
    ast.BoolOp: "Write (a) & (b) for and, (a) | (b) for or.",
    ast.Not: "Write ~(a) for not.",
    ast.Subscript: "Name a column of the data; a column whose name is no Python name goes in backticks.",
    ast.Attribute: "A column name with a dot goes in backticks; compute anything else in the data first.",
}
_LARGEST_EXPONENT = 64


@dataclass
class Names:
    """What one Python factor mentions: columns in order of appearance, and functions."""

    columns: dict[str, None] = field(default_factory=dict)
    functions: set[str] = field(default_factory=set)


def examine(tree: ast.expr, where: Where) -> Names:
    """Return the names in a factor's syntax tree, refusing whatever a formula may not say.

    Parameters
    ----------
    tree : ast.expr
        Body of the parsed expression.
    where : Where
        Start of the factor in the user's formula, for messages.

    Raises
    ------
    FormulaError
        A construct or a function is not on the allowlist.
    """
    names = Names()
    _expression(tree, names, where)
    return names


def _expression(node: ast.expr, names: Names, where: Where) -> None:  # noqa: PLR0912 (one table of nodes)
    match node:
        case ast.Name(id=name):
            _column(name, names, where)
        case ast.Constant(value=value):
            _constant(value, where)
        case ast.Call():
            _call(node, names, where)
        case ast.Attribute(value=ast.Name(id="np"), attr=attr) if attr in NUMPY_CONSTANTS:
            names.functions.add("np")
        case ast.Attribute(value=ast.Name(id="contr"), attr=attr) if attr in CONTRASTS:
            names.functions.add("contr")
        case ast.Attribute(value=ast.Name(id="contr"), attr=attr):
            raise unknown_function(f"contr.{attr}", where)
        case ast.BinOp(left=left, op=op, right=right):
            _operands([left, right], [op], names, where)
            if isinstance(op, ast.Pow):
                _power(left, right, where)
        case ast.UnaryOp(op=op, operand=operand):
            _operands([operand], [op], names, where)
        case ast.Compare(left=left, ops=ops, comparators=comparators):
            _operands([left, *comparators], ops, names, where)
        case ast.Tuple(elts=elements) | ast.List(elts=elements):
            for element in elements:
                _expression(element, names, where)
        case ast.Dict(keys=keys, values=values):
            for entry in [*keys, *values]:
                if entry is None:
                    raise _refused(node, where)
                _expression(entry, names, where)
        case _:
            raise _refused(node, where)


def _operands(nodes: list[ast.expr], operators: Sequence[ast.AST], names: Names, where: Where) -> None:
    for operator in operators:
        if not isinstance(operator, _OPERATORS):
            raise _refused(operator, where)
    for node in nodes:
        # [0] * 10**9 would allocate without touching the data.
        if isinstance(node, _CONTAINERS):
            raise where.error("A list takes no part in arithmetic or comparisons in a formula.")
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and isinstance(operators[0], ast.operator):
            raise where.error("Quoted text takes no part in arithmetic; a column name goes in backticks.", node.value)
        _expression(node, names, where)


def _power(base: ast.expr, exponent: ast.expr, where: Where) -> None:
    """Refuse 9**9**9: without a column in it, it is an integer of Python's, which has no largest value."""
    if _mentions_a_column(base) or _mentions_a_column(exponent):
        return
    sign_free = exponent.operand if isinstance(exponent, ast.UnaryOp) else exponent
    value = sign_free.value if isinstance(sign_free, ast.Constant) else None
    plain_base = not any(isinstance(node, ast.Pow) for node in ast.walk(base))
    if not (plain_base and isinstance(value, (int, float)) and abs(value) <= _LARGEST_EXPONENT):
        raise where.error(f"The power ({ast.unparse(base)}) ** ({ast.unparse(exponent)}) is too large for a formula.")


def _mentions_a_column(node: ast.expr) -> bool:
    called = {id(call.func) for call in ast.walk(node) if isinstance(call, ast.Call)}
    return any(isinstance(name, ast.Name) and id(name) not in called for name in ast.walk(node))


def _constant(value: object, where: Where) -> None:
    if value is not None and not isinstance(value, (bool, int, float, str)):
        raise where.error(f"The constant {value!r} cannot stand in a formula.")
    # formulaic scans the text once more for backticks; with these characters its view could differ from ours.
    if isinstance(value, str) and ("\\" in repr(value) or "`" in value):
        raise where.error(
            f"The quoted text {value!r} has a backslash, a backtick or two kinds of quotes, "
            "which a formula cannot hold."
        )


def _column(name: str, names: Names, where: Where) -> None:
    if name.startswith("__"):
        raise where.error(f"`{name}` is not a name that a formula may use.", name)
    if name in ("np", "contr"):
        raise where.error(f"`{name}` needs a function after a dot, as in np.log(x) or contr.sum.", name)
    names.columns[name] = None


def _call(node: ast.Call, names: Names, where: Where) -> None:
    name, most = _function(node.func, names, where)
    for keyword in node.keywords:
        # formulaic's private arguments (_state, _context, ...) begin with an underscore.
        if keyword.arg is None or keyword.arg.startswith("_"):
            raise where.error(f"{name}() cannot take this argument in a formula: {ast.unparse(keyword)}.", name)
    if most is not None:
        allowed = {"base"} if name == "log" else {"decimals"} if most == 2 and "round" in name else set()
        if not 1 <= len(node.args) + len(node.keywords) <= most or {k.arg for k in node.keywords} - allowed:
            plural = "s" if most > 1 else ""
            raise where.error(f"{name}() takes at most {most} argument{plural}, without names.", name)
    if name == "Q":
        _quoted_column(node, names, where)
        return
    for index, value in enumerate(node.args):
        _argument(value, name == "C" and index == 1, names, where)
    for keyword in node.keywords:
        _argument(keyword.value, name == "C" and keyword.arg == "contrasts", names, where)


def _function(func: ast.expr, names: Names, where: Where) -> tuple[str, int | None]:
    """Return the name of an allowed function and how many arguments it takes at most, None for any number."""
    match func:
        case ast.Name(id=name):
            if name not in FUNCTIONS:
                raise unknown_function(name, where)
            names.functions.add(name)
            return name, ARGUMENTS.get(name)
        case ast.Attribute(value=ast.Name(id="np" | "contr" as module), attr=attr):
            if attr not in (NUMPY_FUNCTIONS if module == "np" else CONTRASTS):
                raise unknown_function(f"{module}.{attr}", where)
            names.functions.add(module)
            return f"{module}.{attr}", NUMPY_FUNCTIONS[attr] if module == "np" else None
    raise _refused(func, where)


def _argument(value: ast.expr, is_coding: bool, names: Names, where: Where) -> None:
    if is_coding and isinstance(value, ast.Name) and value.id in PATSY_CONTRASTS:
        names.functions.add(value.id)
    else:
        _expression(value, names, where)


def _quoted_column(node: ast.Call, names: Names, where: Where) -> None:
    """Take patsy's Q("a column") as the column that it names."""
    match node.args:
        case [ast.Constant(value=str(column))] if not node.keywords:
            _constant(column, where)
            _column(column, names, where)
            names.functions.add("Q")
        case _:
            raise where.error('Q() takes one name in quotes, as in Q("my column"); backticks do the same.', "Q")


def unknown_function(name: str, where: Where) -> FormulaError:
    """Return the error for a function that is not on the list, with the nearest names that are."""
    if name in ADVICE:
        return where.error(f"The function {name}() is not available in a formula. {ADVICE[name]}", name)
    if name.startswith("contr."):
        return where.error(f"There is no coding {name}. The codings are {', '.join(CODINGS)}.", name)
    if name.startswith("np."):
        near = difflib.get_close_matches(name[3:], NUMPY_FUNCTIONS, n=2, cutoff=0.7)
        nearest = [f"np.{function}" for function in near]
    else:
        known = [
            *sorted(FUNCTIONS),
            "factor",
            "offset",
            "zerocorr",
        ]
        nearest = difflib.get_close_matches(name, known, n=2, cutoff=0.6)
    if nearest:
        advice = f"Did you mean {' or '.join(nearest)}?"
    elif name.startswith("np."):
        advice = "Of NumPy only elementwise functions can be called, such as np.log, np.sqrt or np.where."
    else:
        advice = (
            "A formula can call log, exp, sqrt, I, C, poly, bs, cr, scale, center and their "
            "like; compute anything "
            "else as a column of the data first, or pass trusted=True for a formula that you wrote yourself."
        )
    return where.error(f"A formula cannot call {name}(). {advice}", name)


def _refused(node: ast.AST, where: Where) -> FormulaError:
    """Return the error for a construct that is not on the list."""
    hint = _HINTS.get(type(node), "Compute it as a column of the data first.")
    try:
        text = ast.unparse(node)
    except Exception:  # an operator alone has no text
        text = ""
    kind = type(node).__name__
    said = f"`{text}` ({kind})" if text else kind
    return where.error(f"A formula cannot say {said}. {hint}")
