"""The right-hand side of a bar: which grouping factors it names, and what is wrong with it when it names
none.

    (1 | a:b)      one factor, the combinations of a and b           ("a", "b")
    (1 | a/b)      b within a, then a, in lme4's order and labels    ("b", "a"), ("a",)
    (1 | a*b)      a, b and their combinations                       ("a",), ("b",), ("a", "b")

Called by `jaxlmm.formula.mixed`.
"""

from __future__ import annotations

import ast
import itertools

from formulaic.parser.types import ASTNode, Token

from jaxlmm.formula.parser import Tree, position_of
from jaxlmm.formula.tokens import FactorToken
from jaxlmm.formula.where import Where

Group = tuple[str, ...]
_MOST_FACTORS = 100


def grouping_factors(tree: Tree, text: str) -> list[Group]:
    """Return the grouping factors of one bar, each as the columns that make it, in lme4's order.

    Raises
    ------
    FormulaError
        The right-hand side of the bar is not made of column names, `:`, `/` and `*`.
    """
    try:
        groups = _groups(tree, text)
    except RecursionError:
        raise Where(text, position_of(tree)).error("This grouping factor is nested too deeply to be read.") from None
    return list(dict.fromkeys(tuple(dict.fromkeys(group)) for group in groups))


def _groups(tree: Tree, text: str) -> list[Group]:
    if isinstance(tree, Token):
        return [(_column(tree, text),)]
    where = Where(text, position_of(tree))
    symbol = tree.operator.symbol
    if symbol in ("+", "-"):
        raise where.error(_advice_on_sum(tree))
    if symbol not in (":", "/", "*"):
        raise where.error(
            f"A grouping factor cannot be made with `{symbol}`. Use a column, a:b for combinations, or a/b for b in a."
        )
    left, right = (_groups(side, text) for side in tree.args)
    if symbol == "/":
        # Nesting goes from coarse to fine on the page; lme4 lists and labels it from fine to coarse.
        within = tuple(dict.fromkeys(itertools.chain.from_iterable(left)))
        return [*((*fine, *within) for fine in right), *left]
    if len(left) * len(right) > _MOST_FACTORS:
        raise where.error("This asks for more grouping factors than any data can tell apart. Name those you want.")
    products = [(*a, *b) for a, b in itertools.product(left, right)]
    return products if symbol == ":" else [*left, *right, *products]


def _column(token: Token, text: str) -> str:
    where = Where(text, token.source_start)
    if token.kind is Token.Kind.NAME:
        return token.token
    if token.kind is Token.Kind.VALUE:
        raise where.error(
            f"The number {token.token} stands on the right of the bar, where the grouping factor goes. "
            "Write (1 | g), with g a column of the data."
        )
    if isinstance(token, FactorToken):
        # factor(g) has become C(g) on the way here; a grouping factor is one already.
        match token.factor.tree:
            case ast.Call(func=ast.Name(id="C"), args=[ast.Name()], keywords=[]):
                return token.factor.columns[0]
    raise where.error(
        f"The grouping factor {token.token} is not a column. Make it one in the data first, "
        "or use a:b for the combinations of two columns."
    )


def _advice_on_sum(tree: ASTNode) -> str:
    names = [t.token for t in _tokens(tree) if t.kind is Token.Kind.NAME]
    if len(names) > 1:
        terms = " + ".join(f"(1 | {name})" for name in names)
        return f"Terms cannot be added on the right of a bar. Write {terms}, or (1 | {':'.join(names)})."
    if names:
        return f"An intercept has no meaning on the right of a bar. Write (x | {names[0]}) alone."
    return "The grouping factor is missing. Write (1 | g), with g a column of the data."


def _tokens(tree: Tree) -> list[Token]:
    return [tree] if isinstance(tree, Token) else [t for side in tree.args for t in _tokens(side)]
