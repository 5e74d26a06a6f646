"""Predictions for the fit's rows or new ones, with intervals.

A prediction is x'β̂ + z'b̂. Its uncertainty is that of β̂ and b̂ jointly, from Henderson's mixed-model equations at
the estimated covariance parameters (McCulloch & Searle 2001, §9.2); the level of a new group is drawn from the
estimated distribution, so its variance z'Σz comes on top. The uncertainty of the covariance parameters themselves
is not included. Called by `results`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from jaxlmm.design import Frame, NewData
from jaxlmm.errors import DataError
from jaxlmm.fit import Fit, Model, prediction_variances
from jaxlmm.inference.wald import wald_interval

INTERVALS = (None, "confidence", "prediction")


def predict(
    frame: Frame,
    model: Model,
    fit: Fit,
    newdata: Any,
    random: bool | list[str],
    allow_new_levels: bool,
    interval: str | None,
    level: float,
) -> pd.Series | pd.DataFrame:
    """Point predictions, with limits where an interval is asked for.

    Returns
    -------
    pandas.Series or pandas.DataFrame
        "prediction", and "lower" and "upper" with an interval, on the row labels of the data.

    Raises
    ------
    DataError
        When newdata lacks a column or has an unknown level, or an argument is not known.
    """
    if interval not in INTERVALS:
        raise DataError(f"interval={interval!r} is not known; write 'confidence', 'prediction' or None")
    included = _included(frame, random)
    rows = _fitted_rows(frame) if newdata is None else _new_rows(frame, newdata, included, allow_new_levels, interval)
    index, x, z, codes, offset, weights = rows
    x = x[:, model.coordinates.kept]
    value = x @ fit.beta + offset
    for t in included:
        known = codes[t] >= 0
        value = value + np.where(known, np.einsum("nk,nk->n", z[t], fit.b[t][np.where(known, codes[t], 0)]), 0.0)
    if interval is None:
        return pd.Series(value, index=index, name="prediction")
    estimated = [codes[t] if t in included else None for t in range(len(z))]
    variance = prediction_variances(model, fit, x, z, estimated)
    for t, block in enumerate(z):
        if block is None:
            continue
        drawn = codes[t] < 0 if t in included else np.full(len(x), interval == "prediction")
        spread = fit.sigma * block @ fit.lambdas[t]
        variance = variance + np.where(drawn, np.einsum("nk,nk->n", spread, spread), 0.0)
    if interval == "prediction":
        variance = variance + fit.sigma**2 / weights
    lower, upper = wald_interval(value, np.sqrt(variance), np.full(len(x), np.inf), level)
    return pd.DataFrame({"prediction": value, "lower": lower, "upper": upper}, index=index)


def _included(frame: Frame, random: bool | list[str]) -> list[int]:
    """Numbers of the grouping factors whose conditional modes enter."""
    names = [factor.grouping.name for factor in frame.factors]
    if isinstance(random, bool | np.bool_):
        return list(range(len(names))) if random else []
    if random is None:
        raise DataError(
            "random=None says neither all nor none; write random=True for all random effects (lme4's re.form=NULL) or "
            "random=False for none (re.form=NA)"
        )
    if not isinstance(random, str | list | tuple | set):
        raise DataError(
            f"random={random!r} is not known; write True, False, or a list of grouping factors such as {names}"
        )
    wanted = [random] if isinstance(random, str) else list(dict.fromkeys(random))
    for name in wanted:
        if name not in names:
            raise DataError(
                f"random={wanted!r}: {name!r} is not a grouping factor of this fit; those are: "
                f"{', '.join(map(repr, names))}"
            )
    return [names.index(name) for name in wanted]


def _fitted_rows(frame: Frame):
    design = frame.with_rows()
    n = design.n_obs
    offset = np.zeros(n) if frame.offset is None else frame.offset
    return (
        frame.rows.index,
        design.x,
        [block.z for block in design.random],
        [block.codes for block in design.random],
        offset,
        design.row_weights,
    )


def _new_rows(frame: Frame, newdata: Any, included: list[int], allow_new_levels: bool, interval: str | None):
    factors = frame.factors
    used = range(len(factors)) if interval == "prediction" else included
    new = NewData(frame, newdata, tuple(factors[t] for t in included), tuple(factors[t] for t in used))
    z = [new.random(factors[t]) if t in used else None for t in range(len(factors))]
    codes = [new.codes(factors[t], allow_new_levels) if t in included else None for t in range(len(factors))]
    weights = new.weights() if interval == "prediction" else np.ones(len(new.index))
    return new.index, new.fixed(), z, codes, new.offset(), weights
