"""Likelihood-ratio tests: of nested fits, and of each random effect of one.

A variance of zero lies on the boundary of its space, where twice the log-likelihood ratio of one effect among k + 1 is
distributed as an equal mixture of χ² with k and k + 1 degrees of freedom (Self & Liang 1987, JASA 82(398); Stram & Lee 1994,
Biometrics 50(4)). Called by `results`; the caller holds the double-precision scope.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy import stats

from jaxlmm.design import Frame, Reduction, reductions, without_effects
from jaxlmm.errors import DesignError
from jaxlmm.fit import Control, Fit, Model, fit_model, null_objective, prepare
from jaxlmm.inference.nesting import check_fixed, check_random, check_rows, n_parameters


@dataclass(frozen=True)
class Candidate:
    """A fit that is compared.

    Attributes
    ----------
    frame, model, fit, control : Frame, Model, Fit, Control
        What was fitted, and how.
    """

    frame: Frame
    model: Model
    fit: Fit
    control: Control

    @property
    def n_parameters(self) -> int:
        """Coefficients, covariance parameters and the residual variance."""
        return self.fit.beta.size + self.fit.theta.size + 1

    def by_likelihood(self) -> Candidate:
        """The same model fitted by maximum likelihood."""
        if not self.fit.reml:
            return self
        return replace(self, fit=fit_model(self.model, False, replace(self.control, start=None)))


def compare(candidates: list[Candidate], refit: bool) -> pd.DataFrame:
    """Each fit against the next smaller one, with the columns of lme4's anova.

    Raises
    ------
    DesignError
        When the fits are not nested, not of the same rows, or, without `refit`, not of one criterion.
    """
    for other in candidates[1:]:
        check_rows(candidates[0].frame, other.frame)
    if refit:
        candidates = [own.by_likelihood() for own in candidates]
    elif len({own.fit.reml for own in candidates}) > 1:
        raise DesignError("some of the fits are by REML and some by maximum likelihood; write refit=True")
    candidates = sorted(candidates, key=lambda own: own.n_parameters)
    for small, large in itertools.pairwise(candidates):
        check_fixed((small.frame, small.model), (large.frame, large.model), small.fit.reml)
        check_random(small.frame, large.frame)
    k = np.array([own.n_parameters for own in candidates])
    deviance = np.array([own.fit.objective for own in candidates])
    n = candidates[0].model.coordinates.n_obs
    chisq = np.concatenate([[np.nan], np.maximum(deviance[:-1] - deviance[1:], 0.0)])
    df = np.concatenate([[np.nan], np.diff(k)])
    table = pd.DataFrame(
        {
            "n_parameters": k,
            "aic": deviance + 2.0 * k,
            "bic": deviance + np.log(n) * k,
            "log_lik": -0.5 * deviance,
            "deviance": deviance,
            "chisq": chisq,
            "df": df,
            "p_value": np.where(df > 0, stats.chi2.sf(chisq, np.where(df > 0, df, 1.0)), np.nan),
        }
    )
    errors = np.array([own.fit.objective_error for own in candidates])
    if errors.any():
        table["monte_carlo_error"] = [np.nan, *np.hypot(errors[:-1], errors[1:])]
    names = [" ".join(own.frame.formula.source.split()) for own in candidates]
    return table.set_axis(names, axis=0)


def random_table(own: Candidate) -> pd.DataFrame:
    """The fit without each random effect in turn, by the fit's own criterion, with lmerTest's columns.

    `p_value_boundary` is NaN where several variances go at once, for which the mixture is not known in general.
    """
    p, k = own.fit.beta.size, own.n_parameters
    rows = [("<none>", k, own.fit.objective, np.nan, np.nan, np.nan, np.nan)]
    errors = [np.nan]
    for reduction in reductions(own.frame):
        smaller, objective, error = _without(own, reduction)
        errors.append(float(np.hypot(own.fit.objective_error, error)))
        df, ratio = k - n_parameters(smaller, p), max(objective - own.fit.objective, 0.0)
        plain = float(stats.chi2.sf(ratio, df))
        below = float(stats.chi2.sf(ratio, df - 1)) if df > 1 else float(ratio <= 0.0)
        mixed = 0.5 * (plain + below) if len(reduction.columns) == 1 else np.nan
        rows.append((reduction.name, k - df, objective, ratio, df, plain, mixed))
    names = ["term", "n_parameters", "objective", "lrt", "df", "p_value_chisq", "p_value_boundary"]
    table = pd.DataFrame(rows, columns=names).set_index("term").rename_axis(None)
    table.insert(1, "log_lik", -0.5 * table["objective"])
    table.insert(2, "aic", table["objective"] + 2.0 * table["n_parameters"])
    if np.nansum(errors):
        table["monte_carlo_error"] = errors
    return table.drop(columns="objective")


def _without(own: Candidate, reduction: Reduction):
    """The smaller design, its criterion at the minimum, and what probes leave uncertain of that."""
    smaller = without_effects(own.frame.with_rows(), own.frame.factors, reduction)
    if not smaller.random:
        return smaller, null_objective(own.model, own.fit.reml), 0.0
    control = replace(own.control, start=None)
    # What was asked for the whole design may not apply to one with fewer factors.
    plan = control.plan if len(smaller.random) == len(own.frame.factors) else "auto"
    fit = fit_model(prepare(smaller, plan), own.fit.reml, control)
    return smaller, fit.objective, fit.objective_error
