"""broom.mixed's three tables: tidy (one row per term), glance (one row per model), augment (one row per row)."""

from __future__ import annotations

import numpy as np
import pandas as pd

from jaxlmm.covariance import covarying
from jaxlmm.errors import DataError, DesignError
from jaxlmm.inference import Method, p_values, standard_errors, variance_covariance, wald_interval
from jaxlmm.report.components import ranef_long, terms
from jaxlmm.report.record import Fitted
from jaxlmm.report.rows import fitted_values, response

COLUMNS = ["effect", "group", "term", "estimate", "std_error", "statistic", "df", "p_value", "conf_low", "conf_high"]


def coefficients(fitted: Fitted, method: Method, level: float = 0.95) -> pd.DataFrame:
    """Fixed-effects table by coefficient: estimate, std_error, statistic, df, p_value, conf_low, conf_high."""
    error = fitted.reference.standard_errors(method)
    df = fitted.reference.degrees(method)
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = fitted.fit.beta / error
    low, high = wald_interval(fitted.fit.beta, error, df, level)
    return pd.DataFrame(
        {
            "estimate": fitted.fit.beta,
            "std_error": error,
            "statistic": statistic,
            "df": df,
            "p_value": p_values(statistic, df),
            "conf_low": low,
            "conf_high": high,
        },
        index=fitted.coefficients,
    )


def tidy(fitted: Fitted, effects: str, method: Method, level: float, variances) -> pd.DataFrame:
    """One row per term with broom.mixed's columns; `variances` is called for conditional modes only."""
    makers = {
        "fixed": lambda: _fixed(fitted, method, level),
        "ran_pars": lambda: _with_errors(fitted, _parameters(fitted)),
        "ran_vals": lambda: _modes(fitted, level, variances()),
    }
    if effects == "all":
        parts = [make().reindex(columns=[*COLUMNS[:2], "level", *COLUMNS[2:]]) for make in makers.values()]
        return pd.concat([_filled(part) for part in parts], ignore_index=True)
    if not isinstance(effects, str) or effects not in makers:
        raise DataError(f"effects={effects!r} is not known; write 'fixed', 'ran_pars', 'ran_vals' or 'all'")
    return makers[effects]()


def glance(fitted: Fitted) -> pd.DataFrame:
    """One row about the whole model."""
    log_likelihood, k = fitted.log_likelihood(), fitted.n_parameters
    return pd.DataFrame(
        {
            "nobs": [fitted.n_obs],
            "n_parameters": [k],
            "sigma": [fitted.fit.sigma],
            "log_lik": [log_likelihood],
            "aic": [-2.0 * log_likelihood + 2.0 * k],
            "bic": [-2.0 * log_likelihood + np.log(fitted.n_obs) * k],
            "objective": [fitted.fit.objective],
            "df_residual": [fitted.n_obs - k],
            "reml": [fitted.fit.reml],
            "converged": [fitted.fit.certificate.converged],
            "is_singular": [bool(fitted.fit.certificate.singular)],
        }
    )


def augment(fitted: Fitted) -> pd.DataFrame:
    """The columns of the model with fitted values and residuals beside them."""
    value, fixed = fitted_values(fitted), fitted_values(fitted, random=False)
    y = response(fitted)
    table = fitted.frame.table.copy(deep=False)
    for name in ("fitted", "resid", "fixed"):
        if name in table or name == fitted.frame.response:
            raise DataError(f"the data has a column {name!r}, and augment() adds one of that name; rename the column")
    if fitted.frame.response not in table:
        table.insert(0, fitted.frame.response, y)
    return table.assign(fitted=value, resid=y - value, fixed=fixed)


def _fixed(fitted: Fitted, method: Method, level: float) -> pd.DataFrame:
    table = coefficients(fitted, method, level).rename_axis("term").reset_index()
    return table.assign(effect="fixed", group=None)[COLUMNS]


def _parameters(fitted: Fitted) -> pd.DataFrame:
    """Standard deviations and correlations, named as broom.mixed does: sd__(term), cor__(a).(b)."""
    sigma, rows = fitted.fit.sigma, []
    for term in terms(fitted):
        covariance = sigma**2 * term.lambda_ @ term.lambda_.T
        sd = np.sqrt(np.diagonal(covariance))
        for i, name in enumerate(term.names):
            rows.append((term.group, f"sd__{name}", sd[i]))
            for j in range(i + 1, len(term.names)):
                if not covarying(term.structure)[i, j]:
                    continue
                scale = sd[i] * sd[j]
                value = covariance[j, i] / scale if scale > 0 else np.nan
                rows.append((term.group, f"cor__{name}.{term.names[j]}", value))
    rows.append(("Residual", "sd__Observation", sigma))
    table = pd.DataFrame(rows, columns=["group", "term", "estimate"])
    return table.assign(effect="ran_pars").reindex(columns=COLUMNS)


def _with_errors(fitted: Fitted, table: pd.DataFrame) -> pd.DataFrame:
    """Standard errors of standard deviations and correlations; NaN for a singular fit, or one too large for them."""
    try:
        covariance = variance_covariance(fitted.frame, fitted.reference, "sd", "observed")
    except DesignError:
        return table
    return table.assign(std_error=standard_errors(covariance).reindex(table["term"] + "|" + table["group"]).to_numpy())


def _modes(fitted: Fitted, level: float, variances) -> pd.DataFrame:
    table = ranef_long(fitted, None, variances)
    low, high = wald_interval(
        table["estimate"].to_numpy(), table["std_error"].to_numpy(), np.full(len(table), np.inf), level
    )
    return table.rename(columns={"effect": "term"}).assign(effect="ran_vals", conf_low=low, conf_high=high)[
        ["effect", "group", "level", "term", "estimate", "std_error", "conf_low", "conf_high"]
    ]


def _filled(table: pd.DataFrame) -> pd.DataFrame:
    """Numbers as floats, so that an all-missing column concatenates without a change of type."""
    numbers = COLUMNS[3:]
    return table.astype(dict.fromkeys(numbers, float))
