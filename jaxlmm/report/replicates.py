"""Replicates as a table: a column for each term of `tidy`, beside the covariance parameters."""

from __future__ import annotations

import numpy as np
import pandas as pd

from jaxlmm.covariance import lambda_lanes, n_theta
from jaxlmm.fit import STATUSES, LaneFits
from jaxlmm.report.components import terms
from jaxlmm.report.components import theta as theta_of
from jaxlmm.report.record import Fitted


def replicates(fitted: Fitted, lanes: LaneFits, numbers: np.ndarray) -> pd.DataFrame:
    """One row per replicate: status, objective, theta, coefficients, standard deviations and correlations."""
    order = theta_of(fitted)
    columns: dict[str, np.ndarray] = {
        "replicate": numbers,
        "status": np.asarray(STATUSES, dtype=object)[lanes.status],
        "singular": lanes.singular,
        "retried": lanes.retried,
        "iterations": lanes.iterations,
        "objective": lanes.objective,
    }
    covariance = _parameters(fitted, lanes)
    thetas = {f"theta.{name}": values for name, values in zip(order.index, covariance.pop("theta").T, strict=True)}
    fixed = dict(zip(fitted.coefficients, lanes.beta.T, strict=True))
    return pd.DataFrame(columns | thetas | fixed | covariance)


def estimates(fitted: Fitted) -> pd.Series:
    """The fit's own values of the columns of `replicates` that are estimates, by the same names."""
    fit = fitted.fit
    nothing = np.zeros(1, dtype=int)
    own = LaneFits(
        fit.theta[None],
        np.array([fit.objective]),
        np.array([fit.sigma]),
        fit.beta[None],
        fitted.standard_errors()[None],
        nothing,
        nothing,
        nothing.astype(bool),
        nothing.astype(bool),
    )
    return replicates(fitted, own, nothing).drop(columns=NOT_ESTIMATES).iloc[0].astype(float)


NOT_ESTIMATES = ["replicate", "status", "singular", "retried", "iterations", "objective"]
"""Columns of `replicates` that are no estimates."""


def _parameters(fitted: Fitted, lanes: LaneFits) -> dict[str, np.ndarray]:
    """Standard deviations and correlations (R,), named "sd__(term)|group"; and theta (R, n_theta) in lme4's order."""
    plan_terms = fitted.model.plan.terms
    ends = np.cumsum([0, *(n_theta(t) for t in plan_terms)])
    lambdas = [lambda_lanes(t, lanes.theta[:, ends[i] : ends[i + 1]].T) for i, t in enumerate(plan_terms)]
    found: dict[str, np.ndarray] = {}
    thetas = []
    for (f, t), term in zip(fitted.frame.term_order, terms(fitted), strict=True):
        begin = sum(other.structure.size for other in fitted.factors[f].terms[:t])
        lam = lambdas[f][:, begin : begin + term.structure.size, begin : begin + term.structure.size]
        rows, columns = term.structure.positions()
        thetas.append(lam[:, rows, columns])
        covariance = lanes.sigma[:, None, None] ** 2 * lam @ lam.swapaxes(1, 2)
        sd = np.sqrt(np.einsum("rii->ri", covariance))
        for i, name in enumerate(term.names):
            found[f"sd__{name}|{term.group}"] = sd[:, i]
            if term.structure.name == "diag":
                continue
            for j in range(i + 1, len(term.names)):
                scale = sd[:, i] * sd[:, j]
                value = covariance[:, j, i] / np.where(scale > 0, scale, 1.0)
                found[f"cor__{name}.{term.names[j]}|{term.group}"] = np.where(scale > 0, value, np.nan)
    found["sd__Observation|Residual"] = lanes.sigma
    return found | {"theta": np.concatenate(thetas, axis=1)}
