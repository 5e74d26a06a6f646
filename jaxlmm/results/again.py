"""Fitting again: another response, or another formula."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from jaxlmm.design import build
from jaxlmm.design.checks import check_response
from jaxlmm.design.table import as_floats, shown_row
from jaxlmm.errors import DataError, FormulaError
from jaxlmm.fit import Control
from jaxlmm.formula import MixedFormula, parse_formula, write_effects
from jaxlmm.report import Fitted
from jaxlmm.results.fitting import fit_frame

BAR = re.compile(r"([+-]?)\s*((?:zerocorr|diag|us)?\s*\((?:[^()|]|\([^()]*\))*\|(?:[^()]|\([^()]*\))*\))")
"""A random-effects term in the text of an update, with its sign."""

DOT = r"(?<![\w.])\.(?![\w.])"
"""A dot that stands alone."""

CHANGES = ("reml", "ddf", "na_action")


def refitted(fitted: Fitted, control: Control, y: Any) -> Fitted:
    """The same design with another response.

    Raises
    ------
    DataError
        When `y` is not one finite number per row of the fit.
    """
    frame = fitted.frame
    design = frame.with_rows()
    if isinstance(y, pd.Series) and not y.index.equals(frame.rows.index):
        raise DataError("y is a Series whose index is not that of the fit's rows; align it, or pass y.to_numpy()")
    values = as_floats(y, "y")
    if values.shape != (fitted.n_obs,):
        raise DataError(f"y has shape {values.shape}, but the fit has {fitted.n_obs} rows")
    if not np.isfinite(values).all():
        position = int(np.argmin(np.isfinite(values)))
        what = "missing" if np.isnan(values[position]) else "infinite"
        raise DataError(
            f"y is {what} in row {shown_row(frame.rows.index, position)}; refit needs a finite value in every row"
        )
    notices = check_response(frame.response, values, design.x, frame.fixed.names)
    design = replace(design, y=values if frame.offset is None else values - frame.offset)
    frame = replace(frame, design=design, notices=notices)
    return fit_frame(frame, fitted.fit.reml, control, fitted.ddf, 0.0)


def updated(fitted: Fitted, control: Control, data: Any, formula: str, changes: dict[str, Any]) -> Fitted:
    """Another formula on the same data; `.` stands for what the old one has on that side.

    Raises
    ------
    FormulaError
        When the update cannot be read.
    DataError
        When an argument is not one that can be changed.
    """
    for name in changes:
        if name not in CHANGES:
            raise DataError(f"update() cannot change {name!r}; it changes the formula and {', '.join(CHANGES)}")
    if not isinstance(formula, str):
        raise FormulaError(f'an update is a string, such as ". ~ . - x"; this is of type {type(formula).__name__}')
    frame = fitted.frame
    text = update_formula(frame.formula, formula)
    begin = time.perf_counter()
    parsed = parse_formula(text, trusted=frame.formula.trusted)
    new = build(parsed, data, **{**frame.arguments, **{k: v for k, v in changes.items() if k == "na_action"}})
    reml, ddf = changes.get("reml", fitted.fit.reml), changes.get("ddf", fitted.ddf)
    return fit_frame(new, reml, replace(control, start=None), ddf, time.perf_counter() - begin)


def update_formula(old: MixedFormula, change: str) -> str:
    """Write out an update such as ". ~ . - x + (1 | g)" (R's update.formula)."""
    left, tilde, right = change.partition("~")
    if not tilde:
        raise FormulaError('An update has two sides; write ". ~ . - x", where a dot is what stood there before', change)
    response = write_effects(old.response).removeprefix("0 + ") if old.response is not None else ""
    random = [term.source for term in old.random]
    keeps = re.search(DOT, BAR.sub("", right)) is not None
    kept = list(random) if keeps else []
    for sign, written in BAR.findall(right):
        terms = [t.source for t in parse_formula(f"{response} ~ 1 + {written}").random]
        if sign == "-":
            for term in terms:
                if term not in kept:
                    raise FormulaError(
                        f"{term} is not in the model, so it cannot be removed; it has {', '.join(random)}", change
                    )
                kept.remove(term)
        else:
            kept += [term for term in terms if term not in kept]
    before = write_effects(old.fixed) if old.fixed else "0"
    before = before if before.startswith("0") else f"({before})"
    fixed = re.sub(DOT, before, BAR.sub("", right)).strip() or "1"
    offsets = [f"offset({text})" for text in old.offsets] if keeps else []
    fixed, gone = _without_offsets(fixed)
    for text in gone:
        if text not in offsets:
            raise FormulaError(f"{text} is not in the model, so it cannot be removed", change)
        offsets.remove(text)
    side = re.sub(DOT, response, left).strip() or response
    new = parse_formula(f"{side} ~ {' + '.join([fixed, *kept, *offsets])}", trusted=old.trusted)
    offsets = [f"offset({text})" for text in new.offsets]
    return f"{side} ~ {' + '.join([write_effects(new.fixed) if new.fixed else '0', *kept, *offsets])}"


def _without_offsets(text: str) -> tuple[str, list[str]]:
    """The text less every `- offset(...)` in it, and those offsets as the parser writes them."""
    gone = []
    while (found := re.search(r"-\s*offset\(", text)) is not None:
        end, depth = found.end(), 1
        while end < len(text) and depth:
            depth += {"(": 1, ")": -1}.get(text[end], 0)
            end += 1
        written = text[found.start() : end].lstrip("- ")
        gone += [f"offset({inner})" for inner in parse_formula(f"y ~ 1 + {written}").offsets]
        text = text[: found.start()] + text[end:]
    return text, gone
