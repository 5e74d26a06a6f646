"""statsmodels' arguments written as one formula in lme4's language.

`mixedlm(formula, groups=, re_formula=, vc_formula=)` says in up to four places what one formula with bars says in
one. `one_formula` writes that formula, and refuses arguments that contradict each other. What each says:

    groups="g"                                   (1 | g)
    groups="g", re_formula="~x"                  (x | g)
    re_formula={"a": "~1", "b": "~x"}            (1 | a) + (x | b), or a check of the bars on a and b
    vc_formula={"a": "diag"}                     zerocorr(...) around every term on a
    groups="g", vc_formula={"v": "0 + C(a)"}     (1 | g:a)          one effect per level of a within g
                            "0 + C(a):C(b)"      (1 | g:a:b)
                            "0 + C(a):x"         (0 + x | g:a)
                            "0 + x"              (0 + x | g)
                            "1"                  (1 | g)

The last block is what statsmodels calls variance components: independent effects with one common variance, one for
each column that the formula has within each group. As in statsmodels, `groups` brings no random intercept of its own
once there is a variance component, unless `re_formula` asks for it. Called by `api.mixedlm`; everything below, saved
models and updates among them, sees the one formula only.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, NoReturn, cast

from formulaic.formula import SimpleFormula
from formulaic.parser.types import Factor, Term

from jaxlmm.errors import FormulaError
from jaxlmm.formula import MixedFormula, RandomEffectsTerm, parse_effects, parse_formula, write_effects
from jaxlmm.formula.tokens import FactorToken
from jaxlmm.formula.where import quote

Group = frozenset[str]
"""A grouping factor, whatever the order of its columns."""

STRUCTURES = {"diag": "diag", "zerocorr": "diag", "unstructured": "us", "us": "us"}
"""What `vc_formula` calls a covariance structure, and what a term calls it."""

STATEFUL = frozenset({"bs", "cr", "cs", "cc", "poly", "scale", "center", "standardize"})
"""Functions of a whole column: statsmodels would call them once per group, on the rows of that group."""

NOT_IN_A_KEY = re.compile(r"[()|~+,\n]|-\s*\d")
"""What cannot stand in the name of a grouping factor that is no column: "a:b" and "a/b" can."""


class Setting(NamedTuple):
    """What one entry of a dict says about one grouping factor."""

    group: tuple[str, ...]
    value: str
    entry: str


def one_formula(
    formula: MixedFormula,
    *,
    columns: Iterable[str],
    is_factor: Callable[[str], bool],
    group: str | None,
    re_formula: Any,
    vc_formula: Any,
) -> MixedFormula:
    """Write the arguments of `mixedlm` as one formula.

    Parameters
    ----------
    formula : MixedFormula
        The user's formula, with bars or without.
    columns : iterable of str
        Columns of the data.
    is_factor : callable
        Whether a column of the data is categorical.
    group : str or None
        The column that `groups` means.
    re_formula : str, dict or None
        Random effects of `groups`, or of each grouping factor.
    vc_formula : dict or None
        Covariance structure of each grouping factor, and variance components within `groups`.

    Returns
    -------
    MixedFormula
        The user's own when no other argument changes it.

    Raises
    ------
    FormulaError
        When two of the arguments contradict each other; the message names both.
    """
    columns, trusted = list(columns), formula.trusted
    effects = _settings("re_formula", re_formula, columns) if isinstance(re_formula, Mapping) else {}
    structures, components = _split(vc_formula, columns)
    written = _checked_bars(formula, effects)
    if group is not None and frozenset((group,)) not in written:
        told = re_formula if isinstance(re_formula, str) else None if components else "1"
        if told is not None:
            what = f"groups={group!r}" + (f" with re_formula={told!r}" if isinstance(re_formula, str) else "")
            written[frozenset((group,))] = Setting((group,), told, what)
    elif isinstance(re_formula, str):
        raise FormulaError(
            f"re_formula={re_formula!r} is about groups, but groups is not given. Write groups=..., or a dict "
            "that names the grouping factor: re_formula={'school': " + repr(re_formula) + "}."
        )
    terms = list(formula.random)
    for setting in written.values():
        new = f"({write_effects(parse_effects(setting.value, trusted=trusted))} | {_written(setting.group)})"
        _add(terms, new, setting.entry, trusted)
    for name, text in components.items():
        entry = f"vc_formula[{name!r}] = {text!r}"
        if group is None:
            raise FormulaError(
                f"{entry} is a variance component within groups, but groups is not given. Write groups=..., a term "
                "such as (1 | g) in the formula, or, for a covariance structure, 'diag' or 'unstructured'."
            )
        within, covariates = _component(entry, parse_effects(text, trusted=trusted), columns, is_factor)
        left = write_effects(_effects(Term(covariates))) if covariates else "1"
        _add(terms, f"({left} | {_written((group, *within))})", entry, trusted)
    if not terms:
        raise FormulaError(
            "There are no random effects. Add a term such as (1 | g) to the formula, or name a grouping factor in "
            "groups.",
            formula.source,
        )
    return _rewritten(formula, terms, _structured(terms, structures))


def _checked_bars(formula: MixedFormula, effects: dict[Group, Setting]) -> dict[Group, Setting]:
    """Hold `re_formula` against the bars; return what it says about factors that have none."""
    new = {}
    for factor, setting in effects.items():
        bars = [term for term in formula.random if frozenset(term.group) == factor]
        if not bars:
            new[factor] = setting
            continue
        wanted = parse_effects(setting.value, trusted=formula.trusted)
        if set(map(str, wanted)) != {str(effect) for bar in bars for effect in bar.effects}:
            raise FormulaError(
                f"{setting.entry} contradicts the formula: it means ({write_effects(wanted)} | "
                f"{_written(bars[0].group)}), but the formula says {' + '.join(bar.source for bar in bars)}. Leave one "
                "of the two out, or let them say the same.",
                formula.source,
            )
    return new


def _settings(argument: str, mapping: Mapping[Any, Any], columns: list[str]) -> dict[Group, Setting]:
    """What a dict says about each grouping factor, the factors of "a/b" one by one."""
    settings: dict[Group, Setting] = {}
    for key, value in mapping.items():
        entry = f"{argument}[{key!r}] = {value!r}"
        if not isinstance(value, str):
            raise FormulaError(f"{entry} is of type {type(value).__name__}; it must be a string.")
        for group in _groups_of(argument, key, columns):
            other = settings.setdefault(frozenset(group), Setting(group, value, entry))
            if other.entry != entry:
                raise FormulaError(f"{entry} contradicts {other.entry}: both are about {':'.join(group)}. Keep one.")
    return settings


def _groups_of(argument: str, key: Any, columns: list[str]) -> list[tuple[str, ...]]:
    """The grouping factors that a key means: a column, or "a:b" or "a/b"."""
    if not isinstance(key, str):
        _no_factor(argument, key, f"is of type {type(key).__name__}", columns)
    if key in columns:
        return [(key,)]
    if NOT_IN_A_KEY.search(key):
        _no_factor(argument, key, "is not a column of the data", columns)
    try:
        groups = [term.group for term in parse_formula(f"~ 1 + (1 | {key})", one_sided=True).random]
    except FormulaError:
        _no_factor(argument, key, "cannot be read", columns)
    for name in (name for group in groups for name in group if name not in columns):
        _no_factor(argument, key, f"is no grouping factor: {name!r} is not a column of the data", columns)
    return groups


def _no_factor(argument: str, key: Any, problem: str, columns: list[str]) -> NoReturn:
    shown = ", ".join(columns[:12]) + (", ..." if len(columns) > 12 else "")
    raise FormulaError(
        f"The key {key!r} of {argument} {problem}. Its keys are grouping factors: columns, or 'a:b' or 'a/b' of "
        f"columns. The columns are: {shown}"
    )


def _split(vc_formula: Any, columns: list[str]) -> tuple[dict[Group, Setting], dict[str, str]]:
    """Tell covariance structures from statsmodels' variance components."""
    if vc_formula is None:
        return {}, {}
    if not isinstance(vc_formula, Mapping):
        raise FormulaError(
            f"vc_formula is of type {type(vc_formula).__name__}; it is a dict, "
            "{'school': 'diag'} or {'classroom': '0 + C(classroom)'}."
        )
    structures = {k: v for k, v in vc_formula.items() if isinstance(v, str) and v.strip() in STRUCTURES}
    components = {k: v for k, v in vc_formula.items() if k not in structures}
    for key, text in components.items():
        if not isinstance(text, str):
            raise FormulaError(
                f"vc_formula[{key!r}] is of type {type(text).__name__}; it is 'diag', 'unstructured' or a formula."
            )
    return _settings("vc_formula", structures, columns), components


def _component(
    entry: str, effects: SimpleFormula, columns: list[str], is_factor: Callable[[str], bool]
) -> tuple[list[str], list[Factor]]:
    """The factors and the covariates whose product is one of statsmodels' variance components."""
    if len(effects) != 1:
        raise FormulaError(
            f"{entry} has the effects {', '.join(map(str, effects))} (an intercept is implied unless 0 + is written), "
            "which would share one variance. One effect per component is supported: '0 + C(a)', '0 + C(a):C(b)', "
            "'0 + C(a):x', '0 + x' or '1'; give each component a key of its own, or write re_formula."
        )
    within, covariates = [], []
    for factor in effects[0].factors:
        column = _categorical(factor, entry, columns, is_factor)
        if column is not None:
            within.append(column)
        elif factor.eval_method is not Factor.EvalMethod.LITERAL:
            covariates.append(factor)
    return within, covariates


def _categorical(factor: Factor, entry: str, columns: list[str], is_factor: Callable[[str], bool]) -> str | None:
    """The column whose levels a factor of a variance component runs over; None for a covariate."""
    if factor.eval_method is Factor.EvalMethod.LOOKUP:
        if factor.expr not in columns:
            raise FormulaError(f"{entry} uses {factor.expr!r}, which is not a column of the data.")
        return factor.expr if is_factor(factor.expr) else None
    if not isinstance(factor.token, FactorToken):
        return None
    call = factor.token.factor
    if "C" in call.functions:
        match call.tree:
            case ast.Call(func=ast.Name(id="C"), args=[ast.Name()], keywords=[]):
                return call.columns[0]
        raise FormulaError(f"{entry} codes a factor in a way that has no meaning here. Write C(a), with a a column.")
    if stateful := sorted(STATEFUL & call.functions):
        raise FormulaError(
            f"{entry} calls {stateful[0]}(...), which statsmodels computes within each group. Make the column in the "
            "data first."
        )
    return None


def _add(terms: list[RandomEffectsTerm], written: str, entry: str, trusted: bool) -> None:
    """Add a term, unless an effect of it is there already for the same factor."""
    (new,) = parse_formula(f"~ 1 + {written}", trusted=trusted, one_sided=True).random
    for term in terms:
        shared = set(map(str, term.effects)) & set(map(str, new.effects))
        if frozenset(term.group) == frozenset(new.group) and shared:
            effect = "an intercept" if "1" in shared else sorted(shared)[0]
            raise FormulaError(
                f"{entry} adds {written}, but {term.source} has {effect} for {':'.join(new.group)} already, and two "
                "variances of the same effects are not identified. Leave one of the two out."
            )
    terms.append(new)


def _structured(terms: list[RandomEffectsTerm], structures: dict[Group, Setting]) -> list[str]:
    """Write the terms, each with the covariance structure that `vc_formula` gives to its factor."""
    for factor, setting in structures.items():
        own = [term for term in terms if frozenset(term.group) == factor]
        if not own:
            names = ", ".join(dict.fromkeys(":".join(term.group) for term in terms))
            raise FormulaError(
                f"{setting.entry}, but {':'.join(setting.group)} is no grouping factor of this model; those are: "
                f"{names}. Add a term such as (1 | {_written(setting.group)}), or leave the entry out."
            )
        kept_apart = len(own) > 1 or own[0].covariance == "diag"
        if STRUCTURES[setting.value.strip()] == "us" and kept_apart:
            raise FormulaError(
                f"{setting.entry} contradicts {' + '.join(term.source for term in own)}, which has no correlations. "
                "Write one term (x | g), or leave the entry out."
            )
    diagonal = {g for g, setting in structures.items() if STRUCTURES[setting.value.strip()] == "diag"}
    return [
        f"zerocorr{term.source}"
        if frozenset(term.group) in diagonal and term.covariance == "us" and list(map(str, term.effects)) != ["1"]
        else term.source
        for term in terms
    ]


def _rewritten(formula: MixedFormula, terms: list[RandomEffectsTerm], sources: list[str]) -> MixedFormula:
    """Put the terms into the formula: behind the user's text where its own bars stay as they are."""
    count = len(formula.random)
    if sources[:count] == [term.source for term in formula.random]:
        added = sources[count:]
        text = " + ".join([formula.source.rstrip(), *added])
    else:
        assert formula.response is not None
        response = write_effects(formula.response).removeprefix("0 + ")
        fixed = write_effects(formula.fixed) if formula.fixed else "0"
        text = f"{response} ~ {' + '.join([fixed, *sources, *(f'offset({offset})' for offset in formula.offsets)])}"
    return formula if text == formula.source else parse_formula(text, trusted=formula.trusted)


def _effects(term: Term) -> SimpleFormula:
    # The metaclass of formulaic's Formula hides from a type checker that the class makes its own instances.
    return cast(SimpleFormula, SimpleFormula(cast(Any, [term])))


def _written(group: tuple[str, ...]) -> str:
    return ":".join(map(quote, dict.fromkeys(group)))
