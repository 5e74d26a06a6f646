"""What a sentence of the formula language looks like: operands and operators in turn, bars inside
parentheses.

One pass over the tokens, before any tree is built, so that every mistake is met where it stands and can be
shown with a caret. Called by `jaxlmm.formula.parser`, which relies on it: after `check_sentence`
formulaic's tree builder meets nothing that it would have to refuse.
"""

from __future__ import annotations

from formulaic.parser.types import Token

from jaxlmm.formula.tokens import COVARIANCES
from jaxlmm.formula.where import Where

BARS = ("|", "||")


def check_sentence(tokens: list[Token], text: str) -> set[int]:
    """Check the order of tokens; answer the indices of the parentheses that directly hold a bar.

    Raises
    ------
    FormulaError
        Something is missing, misplaced, or never closed.
    """
    opened: list[int] = []
    with_bar: set[int] = set()
    removed: dict[int, Where] = {}
    previous: Token | None = None
    tildes = 0
    has_tilde = any(token.kind is Token.Kind.OPERATOR and token.token == "~" for token in tokens)
    for index, token in enumerate(tokens):
        where = Where(text, token.source_start)
        if token.kind is Token.Kind.CONTEXT and token.token == "(":
            _check_operand(previous, token, where, has_tilde)
            opened.append(index)
        elif token.kind is Token.Kind.CONTEXT:
            _check_closing(previous, opened, tokens, where)
            opening = opened.pop()
            if opening in removed and opening not in with_bar:
                # R would take the intercept of the whole away, formulaic that of the parenthesis alone.
                raise removed[opening].error(
                    "The intercept is taken away inside an inner parenthesis. Write 0 + or - 1 outside of it."
                )
        elif token.kind is not Token.Kind.OPERATOR:
            _check_operand(previous, token, where, has_tilde)
            if opened and token.kind is Token.Kind.VALUE and _removes_intercept(previous, token):
                removed[opened[-1]] = where
        elif token.token == "~":
            _check_tilde(previous, tildes, opened, where)
            tildes += 1
        elif token.token in BARS:
            _check_bar(previous, token, opened, with_bar, where)
            with_bar.add(opened[-1])
        elif token.token in COVARIANCES:
            _check_operand(previous, token, where, has_tilde)
        else:
            _check_operator(previous, token, where)
        previous = token
    if opened:
        what = "the random-effects term" if opened[-1] in with_bar else "the parenthesis"
        raise Where(text, tokens[opened[-1]].source_start).error(
            f"The formula ends before a closing ) is found for {what} that starts here."
        )
    if previous is not None and not _ends_operand(previous) and previous.token != "~":
        raise Where(text, previous.source_start).error(f"Nothing follows `{previous.token}`. Add a term or delete it.")
    return with_bar


def _removes_intercept(previous: Token | None, token: Token) -> bool:
    symbol = previous.token if previous else ""
    return (token.token == "0" and symbol in ("(", "+")) or (token.token == "1" and symbol == "-")


def _ends_operand(token: Token | None) -> bool:
    """Whether an operand is complete after this token, so that an operator may follow."""
    if token is None or token.kind is Token.Kind.OPERATOR:
        return False
    return not (token.kind is Token.Kind.CONTEXT and token.token == "(")


def _check_operand(previous: Token | None, token: Token, where: Where, has_tilde: bool) -> None:
    if not _ends_operand(previous) or previous is None:
        return
    if not has_tilde:
        raise where.error(
            f"There is no operator between `{previous.token}` and `{token.token}`, and the formula has no ~. Write ~ "
            "between the response and the model, as in y ~ x + (1 | g), and + between two terms."
        )
    if token.kind is Token.Kind.CONTEXT and previous.kind is Token.Kind.NAME:
        raise where.error(
            f"There is no operator between `{previous.token}` and the parenthesis. Write "
            f"{previous.token} + (...), "
            f"or, if {previous.token} is a function, leave no blank before its parenthesis."
        )
    raise where.error(
        f"There is no operator between `{previous.token}` and `{token.token}`. Write + between two terms."
    )


def _check_operator(previous: Token | None, token: Token, where: Where) -> None:
    if _ends_operand(previous):
        return
    signed = previous is None or previous.token in ("(", "~", "+", "-", *BARS)
    if not (signed and token.token in ("+", "-")):
        raise where.error(f"Nothing stands on the left of `{token.token}`.")


def _check_closing(previous: Token | None, opened: list[int], tokens: list[Token], where: Where) -> None:
    if not opened:
        raise where.error("This ) closes nothing. Delete it, or add the ( that it belongs to.")
    if _ends_operand(previous):
        return
    if previous is not None and previous.token in BARS:
        raise where.error("The grouping factor is missing after the bar. Write (1 | g), with g a column of the data.")
    if previous is tokens[opened[-1]]:
        raise where.error("This parenthesis is empty.")
    raise where.error(f"Nothing follows `{previous.token if previous else ''}` in this parenthesis.")


def _check_tilde(previous: Token | None, tildes: int, opened: list[int], where: Where) -> None:
    if opened:
        raise where.error("A ~ cannot stand inside parentheses: it divides the response from the model.")
    if tildes:
        raise where.error("A formula has one ~, between the response and the model: y ~ x + (1 | g).")
    if previous is not None and not _ends_operand(previous):
        raise where.error(f"Nothing stands between `{previous.token}` and ~. Write the response: y ~ x + (1 | g).")


def _check_bar(previous: Token | None, token: Token, opened: list[int], with_bar: set[int], where: Where) -> None:
    if not opened:
        raise where.error(
            f"The bar {token.token} stands outside parentheses. Put parentheses around the "
            "random-effects term: "
            "(1 | g), or (x | g) for a random slope."
        )
    if opened[-1] in with_bar:
        raise where.error("A random-effects term has one bar. For two grouping factors write (x | g) + (x | h).")
    if previous is not None and previous.kind is Token.Kind.OPERATOR:
        raise where.error(
            f"Nothing stands between `{previous.token}` and the bar. Add a term there or delete the `{previous.token}`."
        )
    if not _ends_operand(previous):
        raise where.error("Nothing stands on the left of the bar. Write (1 | g) for a random intercept.")
