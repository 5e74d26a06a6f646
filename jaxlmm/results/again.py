"""Fitting again: another response, or another formula."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from jaxlmm.design import Frame, build, is_source, open_source
from jaxlmm.design.checks import check_response
from jaxlmm.design.contrasts import still_written
from jaxlmm.design.kept_rows import shown_row
from jaxlmm.design.table import as_floats
from jaxlmm.errors import DataError, JaxlmmError, located
from jaxlmm.fit import Control
from jaxlmm.formula import parse_formula, update_formula, variables_of
from jaxlmm.report import Fitted
from jaxlmm.results.fitting import fit_frame
from jaxlmm.results.gathering import arguments_of, fit_source
from jaxlmm.results.spellings import NOT_IN_UPDATE, refusal

CHANGES = ("reml", "weights", "offset", "contrasts", "na_action", "ddf")


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
    if values.shape == (fitted.n_obs, 1):
        values = values[:, 0]  # one draw of `simulate`
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
    frame = replace(frame, design=design, notices=notices, table=_with_response(frame, values))
    return fit_frame(frame, fitted.fit.reml, control, fitted.ddf, 0.0, like=fitted)


def _with_response(frame: Frame, values: np.ndarray) -> pd.DataFrame:
    """The model's columns with another response; what only the old one was made of is left out."""
    old = variables_of(frame.formula.response or ())
    kept = {*variables_of(frame.formula.fixed), *frame.formula.offset_columns}
    for term in frame.formula.random:
        kept |= {*variables_of(term.effects), *term.group}
    if frame.response in frame.table:
        return frame.table.assign(**{frame.response: values})
    return frame.table.drop(columns=[name for name in old if name not in kept])


def updated(
    fitted: Fitted, control: Control, data: Any, formula: str, changes: dict[str, Any], other: bool = False
) -> Fitted:
    """Another formula on the same data, or on `other` data; `.` stands for what the old one has on that side.

    Contrasts of a factor that the new formula does not have are left out, unless `changes` gives others.

    Raises
    ------
    FormulaError
        When the update cannot be read.
    DataError
        When an argument is not one that can be changed, or values of the old rows would have to go with other data.
    """
    for name in changes:
        if name not in CHANGES:
            if spelled := refusal(name, NOT_IN_UPDATE, "update()"):
                raise spelled
            raise DataError(
                f"update() cannot change {name!r}; it changes the formula, the data and {', '.join(CHANGES)}"
            )
    frame = fitted.frame
    for name in ("weights", "offset"):
        value = frame.arguments[name]
        if other and name not in changes and value is not None and not isinstance(value, str):
            raise DataError(
                f"this fit was given {name}= as values for its own rows; give those of the other data, too: "
                f"update(data=..., {name}=...)"
            )
    text = update_formula(frame.formula, formula)
    begin = time.perf_counter()
    parsed = parse_formula(text, trusted=frame.formula.trusted)
    arguments = {**frame.arguments, **{k: v for k, v in changes.items() if k in frame.arguments}}
    if "contrasts" not in changes:
        # A factor that the new formula does not have, or codes itself, takes its coding along.
        parts = (parsed.fixed, *(term.effects for term in parsed.random))
        arguments["contrasts"] = still_written(frame.arguments["contrasts"], parts)
    reml, ddf = changes.get("reml", fitted.fit.reml), changes.get("ddf", fitted.ddf)
    if is_source(data) or "counts" in frame.arguments:
        source = open_source(data)
        if not other and not source.replayable:
            raise DataError(f"{source.described} can be read only once; give the rows again: update(data=...)")
        given = arguments_of(
            arguments["weights"],
            arguments["offset"],
            frame.arguments.get("counts"),
            frame.arguments.get("within_ss"),
            arguments["contrasts"],
            arguments["na_action"],
        )
        return fit_source(parsed, source, given, reml, replace(control, start=None), ddf)
    try:
        new = build(parsed, data, **{name: arguments[name] for name in ("weights", "offset", "contrasts", "na_action")})
    except JaxlmmError as problem:
        raise located(problem, text) from None
    return fit_frame(new, reml, replace(control, start=None), ddf, time.perf_counter() - begin)
