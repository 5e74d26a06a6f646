"""The named model of rows that were read and not kept: its columns, its levels in order, and how sums become those of them.

`name_model` does for a `Learnt` what `build` does for a table: contrasts, names, levels, lme4's order. Called by
`results.cross_products`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from formulaic.formula import SimpleFormula
from formulaic.parser.types import Term

from jaxlmm.covariance import STRUCTURES
from jaxlmm.design.build import FactorTerms, Frame, TermColumns, lme4_order, offset_matrix, without_rows
from jaxlmm.design.checks import check_effects, check_factor, check_names, notice_of_response
from jaxlmm.design.contrasts import Codings
from jaxlmm.design.dictionaries import sorted_order
from jaxlmm.design.kept_rows import Rows
from jaxlmm.design.learnt import TEXT, Learnt
from jaxlmm.design.levels import Grouping, joined_labels
from jaxlmm.design.matrices import Matrix, model_matrix
from jaxlmm.design.raw import RawColumns, coding, factor_of
from jaxlmm.errors import DataError, DesignError
from jaxlmm.formula import TRANSFORMS


@dataclass(frozen=True)
class Gathered:
    """The named side of sums, and the way to it.

    Attributes
    ----------
    frame : Frame
        Of a model without rows.
    fixed : (P, p) array
        The fixed-effects columns in raw columns.
    random : list of (K, k) arrays
        The same of each grouping factor, in the order of the frame.
    factors : list of int
        Which grouping factor of the formula each factor of the frame is.
    levels : list of int arrays
        Which raw level each level of the frame is.
    """

    frame: Frame
    fixed: np.ndarray
    random: list[np.ndarray]
    factors: list[int]
    levels: list[np.ndarray]


def name_model(learnt: Learnt, n_obs: int) -> Gathered:
    """Name the model of `n_obs` rows.

    Raises
    ------
    FormulaError, DataError, DesignError
        When the model cannot be built; the message says what to change.
    """
    formula, arguments = learnt.formula, learnt.arguments
    table = _table(learnt)
    codings = Codings(arguments.contrasts, table, (formula.fixed, *(term.effects for term in formula.random)))
    fixed = model_matrix(formula.fixed, table, codings, "the fixed effects", learnt.states)
    check_names(fixed.names)
    low, high, truths = learnt.response
    name = _response_name(learnt)
    if low == high:
        raise DataError(
            f"the response {name!r} is constant ({low:g}), so there is no variance to attribute", culprit=name
        )
    if n_obs <= len(fixed.names):
        raise DesignError(
            f"{n_obs} rows cannot determine {len(fixed.names)} fixed-effects coefficients and a variance; remove "
            "terms or add "
            "data"
        )
    groupings, orders = zip(*(_grouping(learnt, group) for group in learnt.groups), strict=True)
    columns: dict[int, list[tuple[int, TermColumns]]] = {}
    for number, term in enumerate(formula.random):
        f = learnt.groups.index(term.group)
        matrix = model_matrix(term.effects, table, codings, term.source, learnt.states)
        structure = STRUCTURES[term.covariance](len(matrix.names))
        check_factor(groupings[f], term.source, structure.size, n_obs)
        check_effects(term, matrix.names, [(t.source, t.matrix.names) for _, t in columns.get(f, [])])
        columns.setdefault(f, []).append((number, TermColumns(term.source, matrix, structure)))
    order = lme4_order([groupings[learnt.groups.index(term.group)].n_levels for term in formula.random])
    which = list(dict.fromkeys(learnt.groups.index(formula.random[number].group) for number in order))
    where = {number: (place, t) for place, f in enumerate(which) for t, (number, _) in enumerate(columns[f])}
    kinds, context = learnt.kinds_known(), {**TRANSFORMS, **codings.context}

    def made_of(raw: RawColumns, matrix: Matrix, effects: SimpleFormula) -> np.ndarray:
        written = codings.write(effects)
        return coding(raw, matrix, written, _variables(effects, written, kinds), table, context)

    random = [
        np.column_stack(
            [
                made_of(learnt.random[learnt.groups[f]], own.matrix, formula.random[number].effects)
                for number, own in columns[f]
            ]
        )
        for f in which
    ]
    factors = tuple(
        FactorTerms(
            groupings[f],
            tuple(TermColumns(own.source, own.matrix.without_values(), own.structure) for _, own in columns[f]),
        )
        for f in which
    )
    frame = Frame(
        formula,
        without_rows(len(fixed.names), factors),
        Rows.counted(learnt.n_data, learnt.n_used, learnt.missing, learnt.response[:2]),
        fixed.without_values(),
        factors,
        tuple(where[number] for number in order),
        name,
        None,
        tuple(offset_matrix(text, table, codings).without_values() for text in formula.offsets),
        table,
        codings,
        {
            "weights": arguments.weights,
            "offset": arguments.offset,
            "contrasts": arguments.contrasts,
            "na_action": arguments.na_action,
            **{name: column for name, column in arguments.columns.items() if name in ("counts", "within_ss")},
        },
        notice_of_response(name) if truths and arguments.counts is None else (),
    )
    return Gathered(frame, made_of(learnt.fixed, fixed, formula.fixed), random, which, [orders[f] for f in which])


def _table(learnt: Learnt) -> pd.DataFrame:
    """Columns with every level of every factor, and values that occurred: enough to build model matrices."""
    levels = {name: _sorted_levels(learnt, name)[0] for name in learnt.dictionaries}
    # Grouping factors may have millions of levels, and stand here for nothing but their kind.
    coded = {name: own for name, own in levels.items() if name in _factors(learnt)}
    n = max([1, *(len(own) for own in coded.values())])
    columns = {}
    for name, kind in learnt.kinds.items():
        if name not in learnt.formula.variables:
            continue
        own = levels.get(name, pd.Index([]))
        if kind.factor or name in learnt.formula.labels:
            # A column of text that only an expression names has no dictionary.
            own = own if name in coded else own[:1] if len(own) else pd.Index([""])
            values = np.resize(np.arange(len(own)), n)
            columns[name] = pd.Series(pd.Categorical.from_codes(values, categories=own, ordered=kind.ordered))
        elif name in coded:
            columns[name] = pd.Series(np.resize(own.to_numpy(dtype=float), n))
        else:
            columns[name] = pd.Series(np.full(n, learnt.sample.get(name, 0.0)))
    return pd.DataFrame(columns)


def _factors(learnt: Learnt) -> set[str]:
    """Columns that are factors of the fixed or random effects."""
    kinds = learnt.kinds_known()
    return {name for factor in learnt.factors.values() if (name := factor_of(factor, kinds)) is not None}


def _sorted_levels(learnt: Learnt, name: str) -> tuple[pd.Index, np.ndarray]:
    """Levels of a column in order, and the number of each in the dictionary."""
    values, kind = learnt.dictionaries[name].array(), learnt.kinds[name]
    unknown = set(values.tolist()).difference(kind.order) if kind.order is not None else set()
    if unknown and kind.ordered:
        raise DataError(
            f"column {name!r} has ordered categories in some rows, and {min(map(repr, unknown))}, which is none of them, in "
            "others; give all rows the same categories",
            culprit=name,
        )
    if kind.order is not None and not unknown:
        place = {value: i for i, value in enumerate(kind.order)}
        order = np.argsort([place[value] for value in values.tolist()], kind="stable")
    else:
        order = sorted_order(values)
    ordered = values[order]
    truths = ordered.dtype == object and isinstance(ordered[0], bool)
    index = pd.Index(ordered.astype(bool) if truths else ordered, dtype=object if kind.holds == TEXT else None)
    grouping = any(name in group for group in learnt.groups)
    whole = grouping and kind.whole and index.dtype.kind == "f"
    return index.astype(np.int64) if whole else index, order


def _grouping(learnt: Learnt, group: tuple[str, ...]) -> tuple[Grouping, np.ndarray]:
    """A grouping factor with its levels in order, and the number of each as it appeared."""
    n_levels = learnt.n_levels(group)
    combined, parts = np.zeros(n_levels, dtype=np.int64), []
    for name, own in zip(group, learnt.combinations[group].parts(n_levels), strict=True):
        levels, order = _sorted_levels(learnt, name)
        rank = np.empty(order.size, dtype=np.int64)
        rank[order] = np.arange(order.size)
        combined = combined * len(levels) + rank[own]
        parts.append(levels)
    order = np.argsort(combined, kind="stable")
    keys, called = combined[order], ":".join(group)
    labels = parts[0] if len(group) == 1 else pd.Index(joined_labels(keys, parts), dtype=object)
    if not labels.is_unique:
        raise DataError(
            f"two levels of {called!r} would both be called {labels[labels.duplicated()][0]!r}, since a column's "
            "own values hold "
            "a colon; rename them",
            culprit=group[0],
        )
    return Grouping(called, group, tuple(parts), keys, labels.rename(called)), order


def _response_name(learnt: Learnt) -> str:
    (term,) = learnt.formula.response or (Term(()),)
    return str(term)


def _variables(effects: Iterable[Term], written: Iterable[Term], kinds: dict[str, bool]) -> dict[str, str]:
    """The column of the data of each expression that is a factor, as formulaic was given it."""
    answer = {}
    for term, own in zip(effects, written, strict=True):
        for factor, as_written in zip(term.factors, own.factors, strict=True):
            name = factor_of(factor, kinds)
            if name is not None:
                answer[as_written.expr] = name
    return answer
