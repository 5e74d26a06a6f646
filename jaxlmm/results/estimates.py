"""What was estimated, and the fit as a whole: the half of `MixedModelResults` that only looks numbers up."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from jaxlmm import report
from jaxlmm.fit import Certificate, MonteCarlo, measured_variances
from jaxlmm.inference import modes_of, p_values
from jaxlmm.pls import Plan
from jaxlmm.precision import double
from jaxlmm.report import Fitted
from jaxlmm.report.comparison import coefficient_table
from jaxlmm.results.rows_out import ranef_to
from jaxlmm.results.spellings import not_here


class Estimates:
    """Coefficients, criteria and the certificate of a fit. `MixedModelResults` is the public class.

    Parameters
    ----------
    fitted : Fitted
        The fit and its names.
    """

    def __init__(self, fitted: Fitted):
        self._fitted = fitted

    if not TYPE_CHECKING:  # a type checker shall still find misspelled names

        def __getattr__(self, name: str) -> Any:
            raise not_here(name, type(self).__name__)

    # Fixed effects

    @property
    def params(self) -> pd.Series:
        """Fixed-effects coefficients by name."""
        return pd.Series(self._fitted.fit.beta.copy(), index=self._fitted.coefficients)

    fe_params = params

    @property
    @double
    def bse(self) -> pd.Series:
        """Standard errors of the coefficients; Kenward and Roger's where that is the fit's `ddf`."""
        errors = self._fitted.reference.standard_errors(self._fitted.method())
        return pd.Series(errors, index=self._fitted.coefficients)

    bse_fe = bse

    @property
    def tvalues(self) -> pd.Series:
        """Coefficients over their standard errors."""
        return self.params / self.bse

    @property
    @double
    def pvalues(self) -> pd.Series:
        """Two-sided p-values of the coefficients, by the fit's `ddf`."""
        df = self._fitted.reference.degrees(self._fitted.method())
        return pd.Series(p_values(self.tvalues.to_numpy(), df), index=self._fitted.coefficients)

    @double
    def cov_params(self) -> pd.DataFrame:
        """Covariance matrix of the coefficients; Kenward and Roger's where that is the fit's `ddf`."""
        return self._fitted.vcov(self._fitted.method())

    # The model as a whole

    @property
    def theta(self) -> pd.Series:
        """Covariance parameters in lme4's order: lower triangles of the relative factors, column by column."""
        return report.theta(self._fitted)

    @property
    def sigma(self) -> float:
        """Residual standard deviation, in the response's unit."""
        return self._fitted.fit.sigma

    @property
    def scale(self) -> float:
        """Residual variance."""
        return self.sigma**2

    @property
    def reml(self) -> bool:
        """Whether the fit is by REML."""
        return self._fitted.fit.reml

    @property
    def objective(self) -> float:
        """REML criterion, or deviance (minus twice the log-likelihood), as in lme4."""
        return self._fitted.fit.objective

    @property
    def llf(self) -> float:
        """Log-likelihood, restricted for REML."""
        return self._fitted.log_likelihood()

    @property
    def aic(self) -> float:
        """Akaike's criterion, counting every parameter; on the restricted likelihood for REML, as in lme4."""
        return -2.0 * self.llf + 2.0 * self._fitted.n_parameters

    @property
    def bic(self) -> float:
        """Schwarz's criterion with log(nobs), as in lme4."""
        return float(-2.0 * self.llf + np.log(self.nobs) * self._fitted.n_parameters)

    @property
    def nobs(self) -> int:
        """Number of rows used."""
        return self._fitted.n_obs

    @property
    def n_dropped(self) -> int:
        """Number of rows left out for missing values."""
        return self._fitted.frame.rows.n_dropped

    @property
    def dropped_columns(self) -> list[str]:
        """Redundant fixed-effects columns, which have no coefficient."""
        return self._fitted.dropped

    @property
    def df_resid(self) -> int:
        """Rows less all parameters, as lme4's df.residual."""
        return self.nobs - self._fitted.n_parameters

    @property
    def n_groups(self) -> pd.Series:
        """Number of levels of each grouping factor."""
        return pd.Series({f.grouping.name: f.grouping.n_levels for f in self._fitted.factors})

    @property
    def ddf(self) -> str:
        """How degrees of freedom are found."""
        return self._fitted.ddf

    @property
    def formula(self) -> str:
        """The formula as written."""
        return self._fitted.frame.formula.source

    @property
    def converged(self) -> bool:
        """Whether the minimum is certified."""
        return self.certificate.converged

    @property
    def is_singular(self) -> bool:
        """Whether some random-effects term has a direction without variance."""
        return bool(self.certificate.singular)

    @property
    def certificate(self) -> Certificate:
        """Why the fit may be believed."""
        return self._fitted.fit.certificate

    @property
    def plan(self) -> Plan:
        """How the random effects were eliminated; `plan.describe()` says why."""
        return self._fitted.model.plan

    @property
    def monte_carlo(self) -> MonteCarlo | None:
        """What probes leave uncertain of a fit with the plan "krylov"; None of others, which are exact."""
        return self._fitted.fit.monte_carlo

    @property
    def timings(self) -> dict[str, float]:
        """Seconds spent on the formula and data, the cross-products, and the fit."""
        return dict(self._fitted.timings)

    # Rows

    @property
    def fittedvalues(self) -> pd.Series:
        """X β + Z b + offset on the rows of the fit."""
        index = self._fitted.frame.rows.index
        return pd.Series(report.fitted_values(self._fitted), index=index, name="fittedvalues")

    @property
    def resid(self) -> pd.Series:
        """Response minus fitted values."""
        values = report.response(self._fitted) - report.fitted_values(self._fitted)
        return pd.Series(values, index=self._fitted.frame.rows.index, name="resid")

    # Random effects

    @property
    def varcorr(self) -> pd.DataFrame:
        """Variances and correlations: columns grp, var1, var2, vcov, sdcor, the rows of lme4's as.data.frame."""
        return report.varcorr(self._fitted)

    @double
    def ranef(
        self,
        which: str | list[str] | None = None,
        condvar: bool = False,
        to_arrow: bool = False,
        newdata: Any = None,
        to: str | os.PathLike[str] | None = None,
    ) -> Any:
        """Conditional modes of the random effects.

        Parameters
        ----------
        which : str or list of str, optional
            Grouping factors; all by default.
        condvar : bool
            Give standard errors too, at the estimated coefficients and variances as lme4's condVar, in one long frame.
        to_arrow : bool
            Give pyarrow tables instead of frames.
        newdata : table, optional
            Other rows, with the response: the modes of their levels, new or not, given these rows alone and the fit's theta,
            coefficients and sigma.
        to : path, optional
            A Parquet file to write the long frame to instead, part by part, its levels as text.

        Returns
        -------
        dict of DataFrames level by effect, or one DataFrame group, level, effect, estimate, std_error (and, with the plan
            "krylov", monte_carlo_error: the standard deviation of std_error over other probes); or the number of rows that
            were written

        Raises
        ------
        DataError
            When there is no such factor, or newdata lacks a column.

        Examples
        --------
        >>> import jaxlmm
        >>> sleepstudy = jaxlmm.load_dataset("sleepstudy")
        >>> fit = jaxlmm.lmer("Reaction ~ Days + (Days | Subject)", sleepstudy)
        >>> new = {"Subject": ["new", "new"], "Days": [0, 3], "Reaction": [280.0, 330.0]}
        >>> fit.ranef(newdata=new)["Subject"].loc["new"].round(1).to_dict()
        {'Intercept': 22.1, 'Days': 3.0}
        """
        fitted = self._fitted
        variances = None
        if newdata is not None:
            found = modes_of(fitted.frame, fitted.model, fitted.fit, newdata)
            factors = tuple(replace(f, grouping=own) for f, (own, _, _) in zip(fitted.factors, found, strict=True))
            modes, variances = tuple(b for _, b, _ in found), tuple(v for _, _, v in found)
            frame, fit = replace(fitted.frame, factors=factors), replace(fitted.fit, b=modes)
            fitted = replace(fitted, frame=frame, fit=fit)
        if condvar or to is not None:
            errors = None
            if variances is None:
                variances, errors = measured_variances(fitted.model, fitted.fit)
            answer: Any = report.ranef_long(fitted, which, variances, errors) if to is None else None
        else:
            answer = report.ranef(fitted, which)
        if to is not None:
            return ranef_to(fitted, which, to, variances, errors)
        return report.as_arrow(answer) if to_arrow else answer

    def coef(self, which: str | list[str] | None = None) -> dict[str, pd.DataFrame]:
        """Coefficients of each level: the fixed effects plus the level's random effects, as lme4's coef().

        Parameters
        ----------
        which : str or list of str, optional
            Grouping factors; all by default.

        Returns
        -------
        dict of DataFrames
            By grouping factor, level by coefficient; a coefficient without a random effect is the same in every level.

        Examples
        --------
        >>> import jaxlmm
        >>> fit = jaxlmm.lmer("Reaction ~ Days + (Days | Subject)", jaxlmm.load_dataset("sleepstudy"))
        >>> fit.coef()["Subject"].loc["308"].round(1).to_dict()
        {'Intercept': 253.7, 'Days': 19.7}
        """
        return report.coef(self._fitted, which)

    @property
    def random_effects(self) -> dict[Any, pd.Series]:
        """statsmodels' shape: a Series per level (keys (factor, level) with several grouping factors)."""
        return report.random_effects(self._fitted)

    @property
    def cov_re(self) -> pd.DataFrame:
        """Covariance matrix of the random effects, block diagonal over terms."""
        return report.cov_re(self._fitted)

    @property
    def vcomp(self) -> pd.Series:
        """Variances of the random effects by group and effect."""
        return report.vcomp(self._fitted)

    def rePCA(self) -> dict[str, pd.DataFrame]:
        """Principal components of each factor's random effects: standard deviation and share of variance."""
        return report.principal_components(self._fitted)

    # Tables of the package maketables

    @property
    def endog_names(self) -> str:
        """Name of the response, where statsmodels has it: maketables takes a fit with `params`, `bse`, `pvalues` for its."""
        return self._fitted.frame.response

    @property
    @double
    def __maketables_coef_table__(self) -> pd.DataFrame:
        """Coefficients as maketables.ETable reads them."""
        table = report.tidy(self._fitted, "fixed", self._fitted.method(), 0.95, tuple)
        return coefficient_table(table)

    @property
    def __maketables_depvar__(self) -> str:
        """Name of the response."""
        return self._fitted.frame.response

    @property
    def __maketables_default_stat_keys__(self) -> list[str]:
        """What stands below the coefficients unless asked otherwise."""
        return ["N", "aic", "bic"]

    def __maketables_stat__(self, key: str) -> Any:
        """A number about the whole fit by maketables' name; None for one that it does not have."""
        known = {"N": "nobs", "ll": "log_lik", "aic": "aic", "bic": "bic", "sigma": "sigma", "deviance": "objective"}
        return report.glance(self._fitted)[known[key]].iloc[0].item() if key in known else None
