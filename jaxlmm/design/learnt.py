"""What is known of rows that were read table by table: names, levels and counts, no sums and no rows.

It grows while tables are read (`stream`), names the model afterwards (`gathered`), and says where the sums of two places
belong when they are brought together (`Learnt.absorb`).
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from formulaic.parser.types import Factor, Term

from jaxlmm.design.dictionaries import Combinations, Dictionary
from jaxlmm.design.raw import RawColumns
from jaxlmm.design.states import STATEFUL, States, stateful_factors
from jaxlmm.errors import DataError, DesignError, FormulaError
from jaxlmm.formula import MixedFormula, RandomEffectsTerm

NUMBERS, TEXT, TRUTHS = "numbers", "text or categories", "booleans"


@dataclass
class Kind:
    """What a column of the data is.

    Attributes
    ----------
    factor : bool
        Whether it is a factor wherever the formula names it.
    holds : str
        What its values are, in words.
    order : list or None
        Its categories in the order that the user gave them; None where they are sorted.
    ordered : bool
        Whether they were declared to be ordered.
    whole : bool
        Whether all its numbers so far are whole.
    """

    factor: bool
    holds: str
    order: list[Hashable] | None = None
    ordered: bool = False
    whole: bool = True


@dataclass(frozen=True)
class Arguments:
    """Columns that the arguments of the call name, and its other settings.

    Attributes
    ----------
    weights, offset, counts, within_ss : str or None
        Columns: precision weights; a known part of the mean; the number of rows that a row stands for, and the sum of squares
        of the response within them.
    contrasts : mapping or None
        Coding of factors.
    na_action : str
        "drop" or "raise".
    """

    weights: str | None = None
    offset: str | None = None
    counts: str | None = None
    within_ss: str | None = None
    contrasts: Mapping[str, Any] | None = None
    na_action: str = "drop"

    @property
    def columns(self) -> dict[str, str]:
        """The column of each argument that was given, by the argument's name."""
        named = {name: getattr(self, name) for name in ("weights", "offset", "counts", "within_ss")}
        return {name: column for name, column in named.items() if column is not None}


@dataclass
class Learnt:
    """What is known of all rows so far: names, levels and counts, no sums.

    Attributes
    ----------
    formula : MixedFormula
        As parsed.
    arguments : Arguments
        Of the call.
    states : dict
        What transforms know of all rows.
    kinds : dict of str to Kind
        Of each column, once a table was read.
    dictionaries : dict of str to Dictionary
        Levels of the columns that are factors or that groups are made of.
    combinations : dict of tuple of str to Combinations
        Levels of each grouping factor.
    fixed : RawColumns
        Of the fixed effects.
    random : dict of tuple of str to RawColumns
        Of the random effects of each grouping factor.
    sample : dict of str to float
        Values of the numeric columns in one row.
    n_data, n_used : int
        Rows read, and those that were complete.
    missing : dict of str to int
        Number of missing values of each variable that had any.
    response : (float, float, bool)
        Smallest and largest response, and whether all are 0 or 1.
    less : bool
        Whether rows were taken out of sums, which leaves of redundant columns what rounding left.
    """

    formula: MixedFormula
    arguments: Arguments
    states: States = field(default_factory=dict)
    kinds: dict[str, Kind] = field(default_factory=dict)
    dictionaries: dict[str, Dictionary] = field(default_factory=dict)
    combinations: dict[tuple[str, ...], Combinations] = field(default_factory=dict)
    fixed: RawColumns = field(default_factory=lambda: RawColumns([]))
    random: dict[tuple[str, ...], RawColumns] = field(default_factory=dict)
    sample: dict[str, float] = field(default_factory=dict)
    n_data: int = 0
    n_used: int = 0
    missing: dict[str, int] = field(default_factory=dict)
    response: tuple[float, float, bool] = (np.inf, -np.inf, True)
    less: bool = False

    @property
    def groups(self) -> list[tuple[str, ...]]:
        """Grouping factors in the order of the formula."""
        return list(dict.fromkeys(term.group for term in self.formula.random))

    @property
    def columns(self) -> list[str]:
        """The columns of the data that are read."""
        return list(dict.fromkeys([*self.formula.variables, *self.arguments.columns.values()]))

    def terms_of(self, group: tuple[str, ...]) -> list[RandomEffectsTerm]:
        """The random-effects terms of a grouping factor, in the order of the formula."""
        return [term for term in self.formula.random if term.group == group]

    def n_levels(self, group: tuple[str, ...]) -> int:
        """Levels of a grouping factor so far."""
        return self.combinations[group].count(len(self.dictionaries[group[0]]))

    @property
    def factors(self) -> dict[str, Factor]:
        """The factors of the fixed and random effects, by their expressions."""
        effects = [*self.formula.fixed, *(t for term in self.formula.random for t in term.effects)]
        return {factor.expr: factor for term in effects for factor in term.factors}

    def kinds_known(self) -> dict[str, bool]:
        """Whether each column is a factor."""
        return {name: kind.factor for name, kind in self.kinds.items()}

    def absorb(self, other: Learnt) -> Placement:
        """Learn what another place knows; new levels and columns stand behind the old ones.

        Raises
        ------
        DataError
            When the two are of different models, or a column is not of one kind.
        """
        _check_alike(self, other)
        for name, kind in other.kinds.items():
            known = self.kinds[name]
            if known.order != kind.order:
                if known.ordered or kind.ordered:
                    raise DataError(f"column {name!r} has other ordered categories in one place than in the other")
                known.order = None
            known.whole &= kind.whole
        numbers = {name: self.dictionaries[name].of(own.values) for name, own in other.dictionaries.items()}
        levels = []
        for group in self.groups:
            count = other.n_levels(group)
            parts = other.combinations[group].parts(count)
            levels.append(
                self.combinations[group].of([numbers[name][part] for name, part in zip(group, parts, strict=True)])
            )
        self.n_data, self.n_used = self.n_data + other.n_data, self.n_used + other.n_used
        self.less |= other.less
        for name, count in other.missing.items():
            self.missing[name] = self.missing.get(name, 0) + count
        low, high, truths = other.response
        self.response = (min(self.response[0], low), max(self.response[1], high), self.response[2] and truths)
        return Placement(
            self.fixed.absorb(other.fixed),
            [self.random[group].absorb(other.random[group]) for group in self.groups],
            levels,
        )


@dataclass(frozen=True)
class Placement:
    """Where the columns and levels of one place stand in another.

    Attributes
    ----------
    fixed : int array
        Raw columns of the fixed effects.
    random : list of int arrays
        Raw columns of each grouping factor.
    levels : list of int arrays
        Levels of each grouping factor.
    """

    fixed: np.ndarray
    random: list[np.ndarray]
    levels: list[np.ndarray]


def _check_alike(a: Learnt, b: Learnt) -> None:
    """Refuse to bring different models together."""
    if a.formula.source.split() != b.formula.source.split():
        raise DataError(
            f"these are sums for different formulas: {a.formula.source.strip()!r} and {b.formula.source.strip()!r}"
        )
    for name in ("weights", "offset", "counts", "within_ss"):
        if getattr(a.arguments, name) != getattr(b.arguments, name):
            raise DataError(
                f"these are sums with different {name}: {getattr(a.arguments, name)!r} and {getattr(b.arguments, name)!r}"
            )
    if _plain_contrasts(a.arguments.contrasts) != _plain_contrasts(b.arguments.contrasts):
        raise DataError("these are sums with different contrasts; give all places the same")
    if not _same_states(a.states, b.states):
        raise DataError(
            "a transform such as scale(x), poly(x, 2) or bs(x, knots=[3]) has seen different rows in the two places, so its "
            "columns differ; write what it subtracts and divides by as numbers: I((x - 40) / 12), and give splines "
            "lower_bound= and upper_bound="
        )
    for name in a.kinds:
        if (a.kinds[name].factor, a.kinds[name].holds) != (b.kinds[name].factor, b.kinds[name].holds):
            raise DataError(
                f"column {name!r} holds {a.kinds[name].holds} in one place and {b.kinds[name].holds} in the other"
            )


def _same_states(a: States, b: States) -> bool:
    return repr(a) == repr(b)


def _plain_contrasts(contrasts: Mapping[str, Any] | None) -> dict[str, Any]:
    """Names, and matrices as lists."""
    return {k: v if isinstance(v, str) else np.asarray(v, dtype=float).tolist() for k, v in (contrasts or {}).items()}


def check_model(learnt: Learnt) -> None:
    """Refuse what sums over rows, or over cells, cannot say.

    Raises
    ------
    FormulaError, DataError, DesignError
        Saying what to write instead.
    """
    formula, arguments = learnt.formula, learnt.arguments
    if not formula.random:
        raise FormulaError(
            "the formula has no random effects; add a term such as (1 | group)",
            formula.source,
            len(formula.source.rstrip()),
        )
    _check_contrasts(arguments.contrasts)
    for text in formula.offsets:
        for function in sorted(STATEFUL):
            if re.search(rf"\b{function}\(", text):
                raise FormulaError(
                    f"offset({text}): {function}() must see all rows before it can be used on the first, which an offset "
                    "cannot wait for; write what it subtracts and divides by as numbers: offset(x - 40)",
                    culprit=text,
                )
    if arguments.counts is None:
        return
    (term,) = formula.response or (Term(()),)
    if len(term.factors) != 1 or str(term.factors[0].expr) not in formula.variables:
        raise DataError(
            f"counts= says that a row is the mean of several, and the mean of {str(term)!r} is not that of a column; make "
            f"it a column before the rows are aggregated",
            culprit=str(term),
        )
    for text in stateful_factors(learnt.factors.values()):
        raise FormulaError(
            f"`{text}` would weigh every cell alike, however many rows it stands for; write what it subtracts and divides by "
            "as numbers: I((x - 40) / 12)",
            culprit=text,
        )


def _check_contrasts(contrasts: Any) -> None:
    if contrasts is not None and not isinstance(contrasts, Mapping):
        raise DesignError(f'contrasts={contrasts!r:.60}; write a dict such as contrasts={{"cond": "contr.sum"}}')
    for name, own in (contrasts or {}).items():
        try:
            _ = own if isinstance(own, str) else np.asarray(own, dtype=float)
        except (TypeError, ValueError):
            raise DesignError(f"contrasts[{name!r}] is neither the name of a coding nor a numeric matrix") from None
