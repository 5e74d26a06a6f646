"""From tokens to trees: formulaic's operator table with bars in it, and the split of fixed from random.

formulaic's `tokens_to_ast` builds the tree by the table in `_Operators`: its own operators, `|` and `||` as
two more that bind weakest, and the covariance structures as prefix operators. `parse` then walks the tree
once, takes out every bar and every offset, which may only be summands, and leaves formulaic's algebra (+,
-, :, *, /, **) to evaluate what remains. Called by `jaxlmm.formula.mixed`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from formulaic.errors import FormulaicError
from formulaic.parser.algos.tokens_to_ast import tokens_to_ast
from formulaic.parser.parser import DefaultOperatorResolver
from formulaic.parser.types import ASTNode, Factor, Operator, OrderedSet, Term, Token
from formulaic.parser.utils import merge_operator_tokens

from jaxlmm.formula.grammar import BARS, check_sentence
from jaxlmm.formula.tokens import COVARIANCES, Dots, DotToken, OffsetToken, read_tokens
from jaxlmm.formula.where import Where

Tree: TypeAlias = ASTNode | Token
PRODUCTS = ("*", ":", "/")
_MOST_TERMS = 5000


class _Refused(Exception):
    """What an operator refuses while formulaic evaluates a tree; `position` is None where nobody knows it."""

    def __init__(self, message: str, position: int | None = None):
        self.position = position
        Exception.__init__(self, message)


@dataclass(frozen=True)
class Bar:
    """One random-effects term as it was written."""

    effects: Tree
    group: Tree
    symbol: str
    covariance: str | None
    position: int | None


Summand: TypeAlias = Bar | OffsetToken | DotToken


@dataclass
class Parsed:
    """The parts of a formula, apart from each other.

    Attributes
    ----------
    response, fixed : Tree or None
        Left and right of ~, the latter without bars and offsets.
    bars, offsets
        Those that are added.
    edits : list of (sign, part)
        Of an update: every bar, offset and dot that is a summand, in the order of the text, with "+" or "-".
    """

    response: Tree | None = None
    fixed: Tree | None = None
    bars: list[Bar] = field(default_factory=list)
    offsets: list[OffsetToken] = field(default_factory=list)
    edits: list[tuple[str, Summand]] = field(default_factory=list)


def parse(text: str, *, trusted: bool, dots: Dots | None = None) -> tuple[Parsed, list[Token]]:
    """Parse a formula, or an update in which `dots` are understood; answer its parts and the user's tokens.

    Raises
    ------
    FormulaError
        The formula is no sentence of the language.
    """
    tokens = read_tokens(text, trusted=trusted, dots=dots)
    with_bar = check_sentence(tokens, text)
    if not tokens:
        raise Where(text).error("The formula is empty. Write, for example, y ~ x + (1 | g).")
    tilde = next((i for i, token in enumerate(tokens) if token.token == "~" and token.kind is Token.Kind.OPERATOR), -1)
    if tilde == len(tokens) - 1:
        raise Where(text, tokens[-1].source_start).error("Nothing follows ~. Write y ~ 1 for an intercept alone.")
    # The intercept that the user need not write follows the tilde and each parenthesis that holds a bar.
    after = {*with_bar, tilde}
    if dots and not dots.intercept and any(isinstance(token, DotToken) for token in tokens[tilde + 1 :]):
        after.discard(tilde)
    try:
        response = _tree(tokens[:tilde], set()) if tilde > 0 else None
        model = _tree(tokens[tilde + 1 :], {i - tilde - 1 for i in after})
        return _take_apart(response, model, text, is_update=dots is not None), tokens
    except FormulaicError as error:
        raise Where(text).error(f"The formula cannot be read: {str(error).splitlines()[0]}") from None
    except RecursionError:
        raise Where(text).error("The formula is nested too deeply to be read.") from None


def terms_of(tree: Tree, text: str) -> list[Term]:
    """Evaluate a tree without bars by formulaic's algebra; numbers may only be the intercept.

    Raises
    ------
    FormulaError
        A number stands where a column should.
    """
    try:
        terms: Iterable[Term] = tree.to_terms()
    except _Refused as refused:
        raise Where(text, refused.position).error(str(refused)) from None
    terms = list(terms)
    for term in terms:
        for factor in term.factors:
            alone = len(term.factors) == 1
            if factor.eval_method is Factor.EvalMethod.LITERAL and not (alone and factor.expr == "1"):
                raise Where(text, factor.token.source_start if factor.token else None).error(
                    f"The number {factor.expr} cannot stand here: 1 and 0 switch the intercept on "
                    f"and off, and arithmetic goes into I(...), as in I({factor.expr} * x)."
                )
    return terms


def leaves(tree: object) -> Iterator[Token]:
    """Yield the tokens of a tree from left to right."""
    stack = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, ASTNode):
            stack.extend(reversed(list(node.args)))
        elif isinstance(node, Token):
            yield node


def position_of(tree: object) -> int | None:
    """Return the place of the leftmost token that the user wrote."""
    return next((t.source_start for t in leaves(tree) if t.source_start is not None), None)


def _where(tree: object, text: str) -> Where:
    return Where(text, position_of(tree))


def _tree(tokens: list[Token], intercept_after: set[int]) -> Tree:
    one, plus, minus = (Token("1", kind="value"), Token("+", kind="operator"), Token("-", kind="operator"))
    written: list[Token] = [one] if -1 in intercept_after else []
    for index, token in enumerate(tokens):
        if written and written[-1] is one and not _is(token, "+", "-") and not _is_zero(tokens, index):
            written.append(plus)
        # As in R, 0 takes the intercept away.
        written.extend([minus, token.copy_with_attrs(token="1")] if _is_zero(tokens, index) else [token])
        if index in intercept_after:
            written.append(one)
    tree = tokens_to_ast(merge_operator_tokens(written, symbols={"+", "-"}), _Operators())
    assert tree is not None
    return tree


def _is(token: Token | None, *symbols: str) -> bool:
    return token is not None and token.kind is not Token.Kind.NAME and token.token in symbols


def _is_zero(tokens: list[Token], index: int) -> bool:
    """Whether this is a 0 that is a summand, and not on the right of a bar."""
    before = tokens[index - 1] if index else None
    after = tokens[index + 1] if index + 1 < len(tokens) else None
    return (
        tokens[index].kind is Token.Kind.VALUE
        and tokens[index].token == "0"
        and (before is None or _is(before, "+", "-", "("))
        and (after is None or _is(after, "+", "-", ")", *BARS))
    )


class _Nothing:
    """What stands in the sum in place of a bar or an offset that was taken out."""

    def to_terms(self, *, context: object = None) -> OrderedSet[Term]:
        return OrderedSet()


def _take_apart(response: Tree | None, model: Tree, text: str, is_update: bool) -> Parsed:
    """Take the bars and offsets out of the model; they may only be summands, and be subtracted only in an update."""
    parsed = Parsed(response)
    if response is not None:
        _refuse_random(response, text, "{} cannot be part of the response: it goes to the right of ~.")
    root = ASTNode(_Operators.SUM, [model])
    # Left to right, on a stack of our own: sums of a thousand terms are deeper than Python's.
    stack: list[tuple[ASTNode, int, str]] = [(root, 0, "+")]
    while stack:
        parent, index, sign = stack.pop()
        args: list = parent.args
        node = args[index]
        bar = _as_bar(node, text) if isinstance(node, ASTNode) else None
        part = bar if bar is not None else node
        if isinstance(part, Bar | OffsetToken | DotToken):
            parsed.edits.append((sign, part))
        if isinstance(part, Bar | OffsetToken):
            if sign == "+":
                parsed.bars.extend([part] if isinstance(part, Bar) else [])
                parsed.offsets.extend([part] if isinstance(part, OffsetToken) else [])
            args[index] = _Nothing()
        elif not isinstance(node, ASTNode):
            continue
        elif node.operator.symbol == "+":
            stack.extend((node, i, sign) for i in reversed(range(len(list(node.args)))))
        elif node.operator.symbol == "-":
            *left, right = node.args
            if is_update and sign == "+":
                stack.append((node, len(left), "-"))
            else:
                _refuse_random(right, text, "{} cannot be subtracted. Leave it out instead.")
            stack.extend((node, 0, sign) for _ in left)
        else:
            symbol = node.operator.symbol
            what = "be part of an interaction" if symbol in PRODUCTS else "be combined"
            advice = f"{{}} cannot {what} (`{symbol}`). Add it to the other terms with +: y ~ x + (1 | g)."
            _refuse_random(node, text, advice)
    parsed.fixed = root
    return parsed


def _as_bar(node: ASTNode, text: str) -> Bar | None:
    symbol = node.operator.symbol
    if symbol in COVARIANCES:
        inner = next(iter(node.args))
        if not (isinstance(inner, ASTNode) and inner.operator.symbol in BARS):
            raise _where(node, text).error(f"{symbol}(...) goes around one random-effects term: {symbol}(x | g).")
        if inner.operator.symbol == "||":
            raise _where(node, text).error(f"{symbol}(...) and || are two choices at once. Write {symbol}(x | g).")
        covariance, node = symbol, inner
    elif symbol in BARS:
        covariance = None
    else:
        return None
    effects, group = node.args
    for side in (effects, group):
        _refuse_random(side, text, "{} cannot stand inside another random-effects term. Write (x | g) + (1 | h).")
    return Bar(effects, group, node.operator.symbol, covariance, position_of(node))


def _refuse_random(tree: object, text: str, message: str) -> None:
    stack = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, OffsetToken):
            raise _where(node, text).error(message.format("An offset"))
        if isinstance(node, ASTNode):
            if node.operator.symbol in (*BARS, *COVARIANCES):
                raise _where(node, text).error(message.format("A random-effects term"))
            stack.extend(node.args)


def _power(base: OrderedSet[Term], exponent: OrderedSet[Term]) -> OrderedSet[Term]:
    """All products of at most `exponent` terms; formulaic's own power tries every sequence of them."""
    factor = next(iter(exponent)).factors[0]
    if not (factor.eval_method is Factor.EvalMethod.LITERAL and factor.expr.isdigit() and int(factor.expr) > 0):
        raise _Refused(
            "The power of a term is a positive whole number, as in (a + b)**2; that of a column goes into I(x**2).",
            factor.token.source_start if factor.token else None,
        )
    product = base
    for _ in range(min(int(factor.expr), len(base)) - 1):
        product = OrderedSet(left * right for left, right in itertools.product(product, base))
        _check_size(len(product))
    return product


def _check_size(size: int) -> None:
    if size > _MOST_TERMS:
        raise _Refused(f"This product has more than {_MOST_TERMS} terms. Name the interactions that you want.")


def _bounded(operator: Operator) -> Operator:
    """Return formulaic's product, refusing one whose terms no data could tell apart and no memory hold."""
    compute = operator.to_terms

    def to_terms(left: OrderedSet[Term], right: OrderedSet[Term]) -> OrderedSet[Term]:
        _check_size(len(left) * len(right))
        return compute(left, right)

    return Operator(
        operator.symbol,
        arity=2,
        precedence=operator.precedence,
        associativity=operator.associativity,
        to_terms=to_terms,
    )


class _Operators(DefaultOperatorResolver):
    """formulaic's table of operators, with bars and covariance structures in place of multi-part formulas."""

    SUM = Operator("+", arity=1, precedence=100, fixity="prefix", to_terms=lambda terms: terms)

    @property
    def operators(self) -> list[Operator]:
        """The operators; `tokens_to_ast` decides by arity and precedence which one a symbol is."""
        return [
            *(op for op in DefaultOperatorResolver().operators if op.symbol in ("+", "-")),
            *(_bounded(op) for op in DefaultOperatorResolver().operators if op.symbol in PRODUCTS),
            *(Operator(s, arity=2, precedence=500, associativity="right", to_terms=_power) for s in ("**", "^")),
            *(Operator(symbol, arity=2, precedence=-50) for symbol in BARS),
            *(Operator(symbol, arity=1, precedence=1000, fixity="prefix") for symbol in COVARIANCES),
        ]
