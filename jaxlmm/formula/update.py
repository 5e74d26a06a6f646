"""R's update of a formula: `. ~ . - x + (1 | g)`, where a dot is what stood on that side before.

The change is read by the same tokenizer and parser as any formula, told what a dot stands for; a bar or an offset may
then also be subtracted. Called by `jaxlmm.results.again`.
"""

from __future__ import annotations

from formulaic.parser.types import Factor, Term, Token

from jaxlmm.errors import FormulaError
from jaxlmm.formula.mixed import (
    MixedFormula,
    RandomEffectsTerm,
    expand,
    read_response,
    simple,
    write_effects,
)
from jaxlmm.formula.parser import Bar, Summand, leaves, parse, position_of, terms_of
from jaxlmm.formula.tokens import Dot, Dots, DotToken, FactorToken, OffsetToken, replace_dots
from jaxlmm.formula.where import Where, quote


def update_formula(old: MixedFormula, change: str) -> str:
    """Write out an update such as ". ~ . - x + (1 | g)" (R's update.formula).

    Parameters
    ----------
    old : MixedFormula
        The formula that dots refer to.
    change : str
        Two sides with ~ between them; without a left side the response stays.

    Returns
    -------
    str
        The new formula, bars expanded.

    Raises
    ------
    FormulaError
        When the change cannot be read, or takes away random effects or an offset that are not there.

    Examples
    --------
    >>> from jaxlmm.formula import parse_formula
    >>> update_formula(parse_formula("y ~ x + (1 | a/b)"), "log(.) ~ . - x - (1 | a)")
    'log(y) ~ 1 + (1 | b:a)'
    """
    if not isinstance(change, str):
        raise FormulaError(f'an update is a string, such as ". ~ . - x"; this is of type {type(change).__name__}')
    parsed, tokens = parse(change, trusted=old.trusted, dots=_dots(old))
    tilde = next((i for i, t in enumerate(tokens) if t.kind is Token.Kind.OPERATOR and t.token == "~"), None)
    if tilde is None:
        raise FormulaError('An update has two sides; write ". ~ . - x", where a dot is what stood there before', change)
    response = old.response if parsed.response is None else read_response(parsed, change)
    assert parsed.fixed is not None
    fixed = simple(terms_of(parsed.fixed, change))
    random: list[RandomEffectsTerm] = []
    offsets: list[str] = []
    if _keeps(tokens[tilde + 1 :], parsed.edits, change):
        random, offsets = [*old.random], [*old.offsets]
    for sign, part in parsed.edits:
        if isinstance(part, Bar):
            _edit_random(random, sign, part, change)
        elif isinstance(part, OffsetToken):
            _edit_offsets(offsets, sign, part, change)
    sources = [term.source for term in random]
    parts = [write_effects(fixed) if fixed else "0", *sources, *(f"offset({text})" for text in offsets)]
    side = write_effects(response).removeprefix("0 + ") if response is not None else ""
    return f"{side} ~ {' + '.join(parts)}".lstrip()


def _dots(old: MixedFormula) -> Dots:
    response = tuple(old.response or ())
    fixed = tuple(term for term in old.fixed if term != "1")
    left, right = (Dot(terms, f"({_in_a_call(terms)})") for terms in (response, fixed))
    return Dots(left, right, intercept=len(fixed) < len(old.fixed))


def _in_a_call(terms: tuple[Term, ...]) -> str:
    """Terms as Python would read them inside a call, where braces are no quotes."""
    lookup = Factor.EvalMethod.LOOKUP
    written = (":".join(quote(f.expr) if f.eval_method is lookup else f.expr for f in term.factors) for term in terms)
    return " + ".join(written) or "1"


def _keeps(tokens: list[Token], edits: list[tuple[str, Summand]], text: str) -> bool:
    """Whether a dot on the right keeps the random effects and offsets: any that is not taken away itself."""
    inside = {
        id(leaf)
        for _, bar in edits
        if isinstance(bar, Bar)
        for side in (bar.effects, bar.group)
        for leaf in leaves(side)
    }
    away = {id(dot) for sign, dot in edits if sign == "-"}
    keeps = False
    for token in tokens:
        if not _holds_dot(token, text):
            continue
        if id(token) in inside:
            raise Where(text, token.source_start).error(
                "A dot cannot stand in a random-effects term of an update. Write its effects out."
            )
        keeps |= id(token) not in away
    return keeps


def _holds_dot(token: Token, text: str) -> bool:
    if not isinstance(token, FactorToken):
        return isinstance(token, DotToken)
    written = text[token.source_start : (token.source_end or 0) + 1]
    return replace_dots(written, "") != written


def _edit_random(random: list[RandomEffectsTerm], sign: str, bar: Bar, text: str) -> None:
    """Add the terms that a bar stands for, or take them away, however they are spelled."""
    for term in expand(bar, text):
        present = next((t for t in random if _key(t) == _key(term)), None)
        if sign == "+":
            random.extend([term] if present is None else [])
        elif present is not None:
            random.remove(present)
        else:
            it_has = ", ".join(t.source for t in random) or "no random effects"
            raise Where(text, bar.position).error(
                f"{term.source} is not in the model, so it cannot be removed; it has {it_has}."
            )


def _key(term: RandomEffectsTerm) -> tuple[frozenset, frozenset[str], str]:
    return frozenset(term.effects), frozenset(term.group), term.covariance


def _edit_offsets(offsets: list[str], sign: str, offset: OffsetToken, text: str) -> None:
    written = offset.factor.text
    if sign == "+":
        offsets.append(written)
    elif written in offsets:
        offsets.remove(written)
    else:
        it_has = ", ".join(f"offset({text})" for text in offsets) or "no offset"
        raise Where(text, position_of(offset)).error(
            f"offset({written}) is not in the model, so it cannot be removed; it has {it_has}."
        )
