"""A mixed-model formula, taken apart: response, fixed effects, random-effects terms, offsets.

`parse_formula` is the front door of `jaxlmm.formula`, called by `jaxlmm.design` for every fit;
`parse_effects` reads the one-sided formulas of `mixedlm`. The parts are formulaic's `SimpleFormula`s, which
formulaic turns into model matrices with `TRANSFORMS` as its context; the bars have already been expanded as
lme4 expands them:

    (x | g)            one term, intercept and slope correlated
    (1 + x + f || g)   (1 | g) + (0 + x | g) + (0 + f | g): terms are split, the levels of f stay correlated
    zerocorr(f | g)    one term with uncorrelated columns, the levels of f among them; diag is the same
    (1 | a/b)          (1 | b:a) + (1 | a)
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, cast

from formulaic.formula import SimpleFormula
from formulaic.parser.types import ASTNode, Factor, Term, Token

from jaxlmm.errors import FormulaError
from jaxlmm.formula.groups import grouping_factors
from jaxlmm.formula.parser import Bar, Parsed, leaves, parse, position_of, terms_of
from jaxlmm.formula.spelling import read_factor
from jaxlmm.formula.tokens import COVARIANCES, FactorToken
from jaxlmm.formula.where import Where, quote

CALL = re.compile(r"\s*(?:[\w.]+\s*(?:<-|=)\s*)?(?:lme4::|lmerTest::|jaxlmm\.|smf\.)?(?P<name>g?lmer|lme|mixedlm)\s*\(")
"""A whole call pasted in place of a formula."""


DIGITS = tuple("0123456789.")
"""How a number begins."""


@dataclass(frozen=True)
class RandomEffectsTerm:
    """Random effects of one grouping factor that share a covariance matrix.

    Parameters
    ----------
    effects : SimpleFormula
        The terms on the left of the bar, the intercept `1` among them unless it was removed.
    group : tuple of str
        The columns whose combinations are the levels, in the order of lme4's label: ("cask", "batch") is
        cask:batch.
    covariance : str
        "us", unstructured, or "diag", columns uncorrelated.
    source : str
        The term as it would be written alone, for messages: "(Days | Subject)".
    """

    effects: SimpleFormula
    group: tuple[str, ...]
    covariance: str
    source: str


@dataclass(frozen=True)
class MixedFormula:
    """A formula whose parts can be evaluated on data.

    Parameters
    ----------
    source : str
        The user's string, untouched.
    response : SimpleFormula or None
        One term; None for a one-sided formula.
    fixed : SimpleFormula
        Fixed effects, the intercept `1` among them unless it was removed.
    random : tuple of RandomEffectsTerm
        In the order in which lme4 expands them; empty when the formula has no bar.
    offsets : tuple of str
        The Python expressions inside `offset(...)`.
    trusted : bool
        Whether the factors escaped the allowlist.
    """

    source: str
    response: SimpleFormula | None
    fixed: SimpleFormula
    random: tuple[RandomEffectsTerm, ...]
    offsets: tuple[str, ...]
    trusted: bool

    @property
    def variables(self) -> tuple[str, ...]:
        """The columns that the formula needs, unquoted, each once.

        First those of the response, then the fixed effects, the random effects with their grouping factors,
        and the offsets.
        """
        names = dict.fromkeys((*variables_of(self.response or ()), *variables_of(self.fixed)))
        for term in self.random:
            names |= dict.fromkeys((*variables_of(term.effects), *term.group))
        return tuple(names | dict.fromkeys(self.offset_columns))

    @property
    def offset_columns(self) -> tuple[str, ...]:
        """The columns that the offsets need."""
        found = (read_factor(text, Where(self.source), trusted=self.trusted).columns for text in self.offsets)
        return tuple(dict.fromkeys(name for columns in found for name in columns))

    @property
    def numbers(self) -> frozenset[str]:
        """The columns that must be numbers, booleans among them: those of the response and of the offsets."""
        return frozenset((*variables_of(self.response or ()), *self.offset_columns))

    @property
    def labels(self) -> frozenset[str]:
        """The columns that stand on the right of bars and nowhere else: their values only tell groups apart."""
        elsewhere = {*variables_of(self.response or ()), *variables_of(self.fixed)}
        for term in self.random:
            elsewhere |= {*variables_of(term.effects)}
        elsewhere |= {*self.offset_columns}
        return frozenset(name for term in self.random for name in term.group) - elsewhere


def variables_of(terms: Iterable[Term]) -> tuple[str, ...]:
    """Return the columns that terms of `parse_formula` or `parse_effects` need, unquoted, each once.

    Examples
    --------
    >>> variables_of(parse_effects("~ log(age):sex"))
    ('age', 'sex')
    """
    names: dict[str, None] = {}
    for factor in (factor for term in terms for factor in term.factors):
        if factor.eval_method is Factor.EvalMethod.LOOKUP:
            names[factor.expr] = None
        elif isinstance(factor.token, FactorToken):
            names |= dict.fromkeys(factor.token.factor.columns)
    return tuple(names)


def functions_of(factor: Factor) -> frozenset[str]:
    """Return the names of the functions that a factor of a formula calls."""
    return factor.token.factor.functions if isinstance(factor.token, FactorToken) else frozenset()


def parse_formula(text: str, *, trusted: bool = False, one_sided: bool = False) -> MixedFormula:
    """Read a mixed-model formula in lme4's language.

    Parameters
    ----------
    text : str
        The formula, such as "Reaction ~ Days + (Days | Subject)"; it may run over several lines.
    trusted : bool
        Whether Python factors may call anything. By default they are checked against an allowlist, so that a
        formula is text and not a program.
    one_sided : bool
        Whether the formula has no response, as in "~ age + (1 | donor)".

    Returns
    -------
    MixedFormula
        The parts of the formula, bars expanded.

    Raises
    ------
    FormulaError
        The formula cannot be read, or says something that a formula may not say; the message says where and
        what to write instead.

    Examples
    --------
    >>> formula = parse_formula("strength ~ 1 + (1 | batch/cask)")
    >>> [term.source for term in formula.random]
    ['(1 | cask:batch)', '(1 | batch)']
    >>> formula.variables
    ('strength', 'cask', 'batch')
    """
    parsed, tokens = _parse(text, trusted)
    response = None if one_sided else read_response(parsed, text)
    if one_sided and parsed.response is not None:
        raise Where(text, position_of(parsed.response)).error(
            "This formula has a response on the left of ~, but the responses are given separately. Begin it with ~."
        )
    assert parsed.fixed is not None
    fixed = simple(terms_of(parsed.fixed, text))
    random = tuple(term for bar in parsed.bars for term in expand(bar, text))
    offsets = tuple(offset.factor.text for offset in parsed.offsets)
    formula = MixedFormula(text, response, fixed, random, offsets, trusted)
    _check_double_names(formula.variables, tokens, text)
    return formula


def parse_effects(text: str, *, trusted: bool = False) -> SimpleFormula:
    """Read a one-sided formula without bars, such as `mixedlm`'s `re_formula="~age"`.

    Parameters
    ----------
    text : str
        Effects such as "~age", "1 + age" or "0 + x"; the intercept need not be written.
    trusted : bool
        Whether Python factors may call anything, see `parse_formula`.

    Returns
    -------
    SimpleFormula
        formulaic's terms, the intercept `1` among them unless it was removed.

    Raises
    ------
    FormulaError
        The text cannot be read, or holds a response, a bar or an offset, or nothing at all.

    Examples
    --------
    >>> [str(term) for term in parse_effects("~age")]
    ['1', 'age']
    """
    parsed, tokens = _parse(text, trusted)
    if parsed.response is not None:
        raise Where(text, position_of(parsed.response)).error("Nothing may stand on the left of ~ here. Write ~ x.")
    if parsed.bars:
        raise Where(text, parsed.bars[0].position).error(
            "A bar cannot stand here. Write only its left side, as in ~ x."
        )
    if parsed.offsets:
        raise Where(text, position_of(parsed.offsets[0])).error(
            "An offset cannot stand here, only in the main formula."
        )
    assert parsed.fixed is not None
    effects = simple(terms_of(parsed.fixed, text))
    if not effects:
        raise Where(text).error("This formula removes every effect. Write ~ 1 for an intercept, ~ x for a slope too.")
    _check_double_names(variables_of(effects), tokens, text)
    return effects


def _parse(text: str, trusted: bool) -> tuple[Parsed, list[Token]]:
    if not isinstance(text, str):
        raise FormulaError(
            f'A formula is a string, such as "y ~ x + (1 | g)"; this is of type {type(text).__name__}: {text!r:.60}'
        )
    if not text.strip():
        raise FormulaError('The formula is empty. Write, for example, "y ~ x + (1 | g)".')
    if call := CALL.match(text):
        raise FormulaError(
            f"This is a whole call of {call['name']}(), and the formula only is wanted: "
            f'jaxlmm.lmer("{_first_argument(text[call.end() :])}", data).',
            text,
            call.start("name"),
        )
    return parse(text, trusted=trusted)


def _first_argument(text: str) -> str:
    """The text up to the comma or parenthesis that ends the first argument of a call."""
    depth = 0
    for i, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if depth < 0 or (depth == 0 and character == ","):
            text = text[:i]
            break
    return re.sub(r"^\s*formula\s*=\s*", "", text).strip().strip("\"'")


def read_response(parsed: Parsed, text: str) -> SimpleFormula:
    """Return the response as a formula of one term."""
    if parsed.response is None:
        raise Where(text, 0).error("The response is missing. Begin the formula with it and ~, as in y ~ x + (1 | g).")
    where = Where(text, position_of(parsed.response))
    written = text.split("~", maxsplit=1)[0].strip()
    arithmetic = where.at(text.index(written)).error(
        f"The response is one column or one function of columns. Write arithmetic in I(...): I({written})."
    )
    numbers = [leaf for leaf in leaves(parsed.response) if leaf.kind is Token.Kind.VALUE and leaf.token[:1] in DIGITS]
    if isinstance(parsed.response, ASTNode) and numbers:
        raise arithmetic
    terms = terms_of(parsed.response, text)
    if len(terms) > 1 and all(len(term.factors) == 1 for term in terms):
        names = " and ".join(str(term) for term in terms[:2])
        raise where.error(
            f"The formula has two responses, {names}. Fit each one by itself, or write I(a + b) for their sum."
        )
    if len(terms) != 1 or len(terms[0].factors) != 1:
        raise arithmetic
    if terms[0].factors[0].eval_method is Factor.EvalMethod.LITERAL:
        raise where.error("The response is a number. Write the name of a column.")
    return simple(terms)


def expand(bar: Bar, text: str) -> Iterator[RandomEffectsTerm]:
    """Yield the terms that one bar stands for: the parts of ||, for each the grouping factors, as lme4."""
    effects = terms_of(bar.effects, text)
    if not effects:
        raise Where(text, bar.position).error(
            "This term removes its intercept and has no other effect. Write (1 | g) for a random intercept, "
            "(0 + x | g) for a slope alone."
        )
    whole = simple(effects)
    parts = [simple([term]) for term in whole] if bar.symbol == "||" else [whole]
    covariance = COVARIANCES[bar.covariance] if bar.covariance else "us"
    groups = grouping_factors(bar.group, text)
    for part in parts:
        for group in groups:
            written = f"({write_effects(part)} | {':'.join(map(quote, group))})"
            source = {"us": written, "diag": f"zerocorr{written}"}.get(covariance, f"{covariance}{written}")
            yield RandomEffectsTerm(part, group, covariance, source)


def simple(terms: list[Term]) -> SimpleFormula:
    """Return terms as a formula of formulaic's."""
    # The metaclass of formulaic's Formula hides from a type checker that the class makes its own instances.
    return cast(SimpleFormula, SimpleFormula(cast(Any, terms)))


def write_effects(effects: SimpleFormula) -> str:
    """Return effects as short as they can be written, an intercept understood: "x + f", "0 + x", "1"."""
    names = [":".join(_factor_text(f) for f in term.factors) for term in effects if term != "1"]
    if len(names) == len(effects):
        return " + ".join(["0", *names])
    return " + ".join(names) or "1"


def _factor_text(factor: Factor) -> str:
    if factor.eval_method is Factor.EvalMethod.LOOKUP:
        return quote(factor.expr)
    # {x / 2} without its braces would be read as nesting.
    braces = isinstance(factor.token, FactorToken) and not isinstance(factor.token.factor.tree, ast.Call)
    return f"{{{factor.expr}}}" if braces else factor.expr


def _check_double_names(variables: tuple[str, ...], tokens: Iterable[Token], text: str) -> None:
    """Refuse a column named like a function that the formula calls: formulaic would call the column."""
    for token in tokens:
        for name in token.factor.functions.intersection(variables) if isinstance(token, FactorToken) else ():
            raise Where(text, token.source_start).error(
                f"`{name}` is used both as a column and as a function. Rename the column.", name
            )
