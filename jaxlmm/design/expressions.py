"""Python factors of a formula as syntax trees: which call stands outermost, and what its first argument is."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass

from jaxlmm.formula import quote

HOLDER = "_quoted{}_column_"
"""Stands for a column in backticks while Python reads the expression."""


@dataclass(frozen=True)
class Call:
    """The outermost call of an expression.

    Attributes
    ----------
    function : str
        Its name.
    argument : str or None
        The first argument as text; of one column, the column's own name.
    column : str or None
        The column that the first argument is, if it is one.
    keywords : dict of str to ast.expr
        Named arguments.
    n_arguments : int
        Number of positional arguments.
    """

    function: str
    argument: str | None
    column: str | None
    keywords: dict[str, ast.expr]
    n_arguments: int


def outermost_call(expression: str) -> Call | None:
    """The call that an expression consists of, if it is one of a plain name."""
    quoted = list(dict.fromkeys(re.findall(r"`([^`]*)`", expression)))
    text = expression
    for number, name in enumerate(quoted):
        text = text.replace(f"`{name}`", HOLDER.format(number))
    tree = ast.parse(text.strip(), mode="eval").body
    if not (isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name)):
        return None
    argument = column = None
    if tree.args:
        first, argument = tree.args[0], ast.unparse(tree.args[0])
        for number, name in enumerate(quoted):
            argument = argument.replace(HOLDER.format(number), quote(name) if quote(name) != name else f"`{name}`")
        if isinstance(first, ast.Call) and isinstance(first.func, ast.Name) and first.func.id == "Q" and first.args:
            column = ast.literal_eval(first.args[0])
        elif isinstance(first, ast.Name):
            holders = {HOLDER.format(number): name for number, name in enumerate(quoted)}
            column = holders.get(first.id, first.id)
    keywords = {own.arg: own.value for own in tree.keywords if own.arg is not None}
    return Call(tree.func.id, column or argument, column, keywords, len(tree.args))
