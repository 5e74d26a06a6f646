"""Replicates as a table: a column for each term of `tidy`, beside the covariance parameters."""

from __future__ import annotations

import numpy as np
import pandas as pd

from jaxlmm.fit import LaneFits, as_lane
from jaxlmm.report.components import theta as theta_of
from jaxlmm.report.lane_terms import lane_deviations, lane_thetas
from jaxlmm.report.record import Fitted


def replicates(fitted: Fitted, lanes: LaneFits, numbers: np.ndarray) -> pd.DataFrame:
    """One row per replicate: status, objective, theta, coefficients, standard deviations and correlations."""
    order = theta_of(fitted)
    columns: dict[str, np.ndarray] = {
        "replicate": numbers,
        "status": lanes.status_names,
        "singular": lanes.singular,
        "retried": lanes.retried,
        "iterations": lanes.iterations,
        "objective": lanes.objective,
    }
    covariance = lane_deviations(fitted.frame, lanes)
    found = lane_thetas(fitted.frame, lanes)
    thetas = {f"theta.{name}": values for name, values in zip(order.index, found.T, strict=True)}
    fixed = dict(zip(fitted.coefficients, lanes.beta.T, strict=True))
    return pd.DataFrame(columns | thetas | fixed | covariance)


def estimates_as_replicate(fitted: Fitted) -> pd.DataFrame:
    """The fit's own values as a table of one replicate."""
    return replicates(fitted, as_lane(fitted.fit), np.zeros(1, dtype=int))


NOT_ESTIMATES = ["replicate", "status", "singular", "retried", "iterations", "objective"]
"""Columns of `replicates` that are no estimates."""
