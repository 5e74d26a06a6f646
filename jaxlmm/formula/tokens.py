"""From the user's string to tokens: formulaic's tokenizer, and what mixed models need on top of it.

formulaic's tokenizer does the cutting. What is added here, for `jaxlmm.formula.parser`: every token knows
where it stands in the user's string; runs of operator characters (`||`, `~-`) are cut into single
operators; `zerocorr(x | g)`, which formulaic takes for one Python call, becomes a prefix operator and a
parenthesis; `offset(...)` is recognized; and every Python call is translated and examined
(`jaxlmm.formula.spelling`) before formulaic sees it again.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from formulaic.errors import FormulaicError
from formulaic.parser.algos.tokenize import tokenize
from formulaic.parser.types import OrderedSet, Term, Token

from jaxlmm.formula.spelling import PIECES, PythonFactor, read_factor
from jaxlmm.formula.transforms import FUNCTIONS
from jaxlmm.formula.where import Where

Kind = Token.Kind
OPERATORS = ("**", "||", "~", "|", "+", "-", "*", "/", ":", "^")
COVARIANCES = {"us": "us", "zerocorr": "diag", "diag": "diag"}
"""Words around a random-effects term, and the covariance structure that each asks for."""

RESERVED_COVARIANCES = ("cs", "ar1")

_CALLED = re.compile(r"([^\W\d]\w*)\s*\(")
_STRAY = {
    "=": "Write ~ between the response and the rest; a comparison goes into I(a == b).",
    ",": "A comma can only stand inside a call such as poly(x, 2).",
    "$": "Write the name of the column alone: x, not data$x.",
    "@": "Write the name of the column alone.",
    "&": "Write I(a & b).",
    "!": "Write I(~a).",
    "<": "Write I(a < b).",
    ">": "Write I(a > b).",
    "#": "Comments cannot stand in a formula.",
    "%": "Of R's %operators% only %in% is understood, as another spelling of `:`; arithmetic goes into I(...).",
}


class FactorToken(Token):
    """A Python factor that has been examined; `factor` holds what was found."""

    factor: PythonFactor


class OffsetToken(FactorToken):
    """The argument of `offset(...)`: no term of the model."""


class DotToken(Token):
    """R's `.` in an update; `terms` are those that it stands for."""

    terms: tuple[Term, ...]

    def to_terms(self, *, context: object = None) -> OrderedSet[Term]:
        """Answer formulaic, which asks a tree for its terms."""
        return OrderedSet(self.terms)


@dataclass(frozen=True)
class Dot:
    """What `.` stands for on one side of an update.

    Parameters
    ----------
    terms : tuple of Term
        Its terms, without the intercept.
    text : str
        The same inside a call: "(a + b)".
    """

    terms: tuple[Term, ...]
    text: str


@dataclass(frozen=True)
class Dots:
    """What `.` stands for in an update: on the left of ~, on the right of it, and whether there is an intercept."""

    response: Dot
    model: Dot
    intercept: bool


_LONE_DOT = re.compile(r"(?<![\w.])\.(?![\w.])")

_T = TypeVar("_T", bound=FactorToken)


def replace_dots(code: str, text: str) -> str:
    """Write `text` for every dot of a call that stands alone, outside quotes."""
    pieces = PIECES.split(code)
    return "".join(p if p[:1] in ("'", '"', "`") else _LONE_DOT.sub(lambda _: text, p) for p in pieces)


def read_tokens(text: str, *, trusted: bool, dots: Dots | None = None) -> list[Token]:
    """Cut a formula into tokens, each with its place in `text`.

    Parameters
    ----------
    text : str
        The user's formula.
    trusted : bool
        Whether Python factors escape the allowlist.
    dots : Dots, optional
        What `.` stands for, in an update; elsewhere it is refused.

    Returns
    -------
    list of Token
        Names, numbers, Python factors (`FactorToken`, `OffsetToken`), parentheses and single operators.

    Raises
    ------
    FormulaError
        A character, a call or a number that no formula can hold.
    """
    return list(_read(text, 0, len(text), trusted, _Sides(dots, _first_tilde(text) if dots else -1)))


@dataclass(frozen=True)
class _Sides:
    """The dots of an update, and where its ~ divides left from right."""

    dots: Dots | None
    tilde: int

    def at(self, position: int | None) -> Dot | None:
        if self.dots is None:
            return None
        return self.dots.response if (position or 0) < self.tilde else self.dots.model


def _first_tilde(text: str) -> int:
    tokens: Iterable[Token] = _tokenize(text, 0, len(text))
    starts = (t.source_start or 0 for t in tokens if t.kind is Kind.OPERATOR and "~" in t.token)
    return next((text.index("~", start) for start in starts), -1)


def _read(text: str, start: int, stop: int, trusted: bool, sides: _Sides) -> Iterator[Token]:
    for token in _tokenize(text, start, stop):
        where = Where(text, token.source_start)
        match token.kind:
            case Kind.OPERATOR:
                yield from _single_operators(token, where)
            case Kind.PYTHON:
                yield from _python(token, text, where, trusted, sides)
            case Kind.CONTEXT if token.token in "[]":
                raise where.error("Square brackets have no meaning in a formula. Group terms with parentheses.")
            case Kind.VALUE if token.token[0] in "\"'":
                raise where.error(f"{token.token} is quoted text, not a column. A column name goes in backticks.")
            case Kind.NAME | Kind.VALUE if token.token == "." and text[where.start or 0] != "`":
                if (dot := sides.at(where.start)) is not None:
                    yield _dot_token(token, dot)
                    continue
                raise where.error(
                    "R's `.` for all other columns is not available. Name the columns, "
                    'or build the text: " + ".join(data.columns.drop("y")).'
                )
            case _:
                yield token


def _tokenize(text: str, start: int, stop: int) -> Iterator[Token]:
    """Run formulaic's tokenizer on text[start:stop]; blanks in front keep every index that of `text`."""
    end = start
    try:
        for token in tokenize(" " * start + text[start:stop]):
            # The closing backtick or brace is no part of the token.
            end = (token.source_end or 0) + (2 if text[token.source_start or 0] in "`{" else 1)
            yield token
    except FormulaicError as error:
        rest = text[end:stop]
        position = end + len(rest) - len(rest.lstrip())
        where = Where(text, min(position, len(text)))
        if "quote context" in str(error):
            closer = str(error).rsplit("Expected: ", 1)[-1].strip()[:1]
            raise where.error(f"The formula ends before a closing {closer} is found for what starts here.") from None
        raise where.error("Quotes cannot stand here. A column name goes in backticks, text inside a call.") from None


def _single_operators(token: Token, where: Where) -> Iterator[Token]:
    """Cut a run of operator characters, between which blanks may stand, into operators with their places."""
    if token.token == "in":
        # R's a %in% b is a:b, and binds as tightly; formulaic would make b/a of it.
        yield Token(":", kind=Kind.OPERATOR, source=where.formula, source_start=where.start)
        return
    if where.formula[where.start or 0] == "%":
        raise where.error(f"The operator %{token.token}% has no meaning in a formula here. {_STRAY['%']}")
    position = where.start or 0
    rest = token.token
    while rest:
        position = where.formula.find(rest[0], position)
        # In the user's string, not in the token: a blank between two bars makes two bars of them.
        symbol = next((s for s in OPERATORS if where.formula.startswith(s, position)), None)
        if symbol is None:
            advice = _STRAY.get(rest[0], "Compute the column in the data first.")
            raise where.at(position).error(f"The character {rest[0]} has no meaning in a formula here. {advice}")
        yield Token(symbol, kind=Kind.OPERATOR, source=where.formula, source_start=position)
        rest = rest[len(symbol) :]
        position += len(symbol)


def _python(token: Token, text: str, where: Where, trusted: bool, sides: _Sides) -> Iterator[Token]:
    start, stop = where.start or 0, (token.source_end or 0) + 1
    called = None if text[start] == "{" else _CALLED.match(token.token)
    name = called[1] if called else ""
    if name in (*COVARIANCES, *RESERVED_COVARIANCES):
        opening = start + len(name)
        has_bar = _holds_bar(text, opening, stop)
        if has_bar and name in RESERVED_COVARIANCES:
            raise where.error(
                f"The covariance structure {name}(...) is not available yet. Available are "
                "us(...), the default with "
                "all correlations, and zerocorr(...) or diag(...) without any."
            )
        if has_bar:
            yield Token(name, kind=Kind.OPERATOR, source=text, source_start=start)
            yield from _read(text, opening, stop, trusted, sides)
            return
        if name in COVARIANCES:
            raise where.error(f"{name}(...) goes around a random-effects term: {name}(x | g).")
    if "|" in token.token and name and not trusted:
        _check_missing_operator(name, text, start, stop, where)
    if (dot := sides.at(where.start)) is not None:
        token = token.copy_with_attrs(token=replace_dots(token.token, dot.text))
    if name == "offset":
        yield _offset(token, where, trusted)
        return
    yield _factor_token(FactorToken, token, read_factor(token.token, where, trusted=trusted))


def _holds_bar(text: str, start: int, stop: int) -> bool:
    return any(t.kind is Kind.OPERATOR and "|" in t.token for t in _tokenize(text, start, stop))


def _check_missing_operator(name: str, text: str, start: int, stop: int, where: Where) -> None:
    """Take `x(1 | g)` for a forgotten + when x is no function."""
    if name not in FUNCTIONS and name != "offset" and _holds_bar(text, start + len(name), stop):
        inner = text[start + len(name) : stop].strip()
        raise where.error(
            f"There is no operator between `{name}` and {inner}. Write {name} + {inner}, or, for "
            "a covariance "
            "structure, zerocorr(x | g), diag(x | g) or us(x | g)."
        )


def _offset(token: Token, where: Where, trusted: bool) -> OffsetToken:
    inner = token.token[token.token.index("(") + 1 : token.token.rindex(")")]
    try:
        whole = ast.parse(f"f({_without_backticks(inner)})", mode="eval").body
        lone = isinstance(whole, ast.Call) and len(whole.args) == 1 and not whole.keywords
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        lone = bool(inner.strip())  # read_factor says what is wrong with it
    if not lone:
        raise where.error("offset() takes one expression, as in offset(log(exposure)).")
    return _factor_token(OffsetToken, token, read_factor(inner, where, trusted=trusted))


def _without_backticks(code: str) -> str:
    return re.sub(r"`[^`]*`", "_", code).replace("^", "**")


def _dot_token(token: Token, dot: Dot) -> DotToken:
    made = DotToken(token.token, kind=Kind.NAME, source=token.source, source_start=token.source_start)
    made.terms = dot.terms
    return made


def _factor_token(cls: type[_T], token: Token, factor: PythonFactor) -> _T:
    made = cls(
        factor.text,
        kind=Kind.PYTHON,
        source=token.source,
        source_start=token.source_start,
        source_end=token.source_end,
    )
    made.factor = factor
    return made
