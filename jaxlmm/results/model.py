"""`MixedModelResults`: thin methods that hand the fit to the floors below and put names on what comes back."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pandas as pd

from jaxlmm import report, resample
from jaxlmm.errors import DataError
from jaxlmm.fit import Certificate, Control, conditional_variances
from jaxlmm.inference import check_ddf, degrees_of_freedom, p_values, predict, wald_interval
from jaxlmm.pls import Plan
from jaxlmm.precision import double
from jaxlmm.report import Fitted, Summary
from jaxlmm.results import saving
from jaxlmm.results.again import refitted, updated


class MixedModelResults:
    """A fitted linear mixed model.

    Made by `jaxlmm.lmer`, `jaxlmm.mixedlm` and `jaxlmm.load`; not meant to be constructed by hand. Nothing in it
    changes after the fit.

    Parameters
    ----------
    fitted : Fitted
        The fit and its names.
    control : Control
        Settings, kept for `refit` and `update`.
    data : table, optional
        The user's data, kept by reference for `update`.

    Examples
    --------
    >>> import jaxlmm
    >>> fit = jaxlmm.lmer("Reaction ~ Days + (Days | Subject)", jaxlmm.load_dataset("sleepstudy"))
    >>> fit.params.round(3)
    Intercept    251.405
    Days          10.467
    dtype: float64
    """

    def __init__(self, fitted: Fitted, control: Control, data: Any = None):
        self._fitted = fitted
        self._control = control
        self._data = data

    # Fixed effects

    @property
    def params(self) -> pd.Series:
        """Fixed-effects coefficients by name."""
        return pd.Series(self._fitted.fit.beta.copy(), index=self._fitted.coefficients)

    fe_params = params

    @property
    def bse(self) -> pd.Series:
        """Standard errors of the coefficients."""
        return pd.Series(self._fitted.standard_errors(), index=self._fitted.coefficients)

    bse_fe = bse

    @property
    def tvalues(self) -> pd.Series:
        """Coefficients over their standard errors."""
        return self.params / self.bse

    @property
    def pvalues(self) -> pd.Series:
        """Two-sided p-values of the coefficients, by the fit's `ddf`."""
        df = degrees_of_freedom(self.ddf, self.nobs, len(self.params))
        return pd.Series(p_values(self.tvalues.to_numpy(), df), index=self._fitted.coefficients)

    def conf_int(self, method: str = "wald", level: float = 0.95, ddf: str | None = None) -> pd.DataFrame:
        """Confidence intervals of the coefficients.

        Parameters
        ----------
        method : {"wald"}
            Profile and bootstrap intervals come in a later version.
        level : float
            Confidence level.
        ddf : str, optional
            Reference distribution instead of the fit's.

        Returns
        -------
        pandas.DataFrame
            Columns lower and upper.
        """
        if method != "wald":
            raise DataError(f"method={method!r} is not available; write method='wald'")
        df = degrees_of_freedom(ddf or self.ddf, self.nobs, len(self.params))
        low, high = wald_interval(self.params.to_numpy(), self.bse.to_numpy(), df, level)
        return pd.DataFrame({"lower": low, "upper": high}, index=self._fitted.coefficients)

    def cov_params(self) -> pd.DataFrame:
        """Covariance matrix of the coefficients."""
        return self._fitted.vcov()

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
        return -2.0 * self.llf + np.log(self.nobs) * self._fitted.n_parameters

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
    def timings(self) -> dict[str, float]:
        """Seconds spent on the formula and data, the cross-products, and the fit."""
        return dict(self._fitted.timings)

    # Random effects

    @property
    def varcorr(self) -> pd.DataFrame:
        """Variances and correlations: columns grp, var1, var2, vcov, sdcor, the rows of lme4's as.data.frame."""
        return report.varcorr(self._fitted)

    @double
    def ranef(self, which: str | list[str] | None = None, condvar: bool = False, to_arrow: bool = False) -> Any:
        """Conditional modes of the random effects.

        Parameters
        ----------
        which : str or list of str, optional
            Grouping factors; all by default.
        condvar : bool
            Give standard errors too (conditional on the estimated parameters), in one long frame.
        to_arrow : bool
            Give pyarrow tables instead of frames.

        Returns
        -------
        dict of DataFrames level by effect, or one DataFrame group, level, effect, estimate, std_error
        """
        if condvar:
            variances = conditional_variances(self._fitted.model, self._fitted.fit)
            answer: Any = report.ranef_long(self._fitted, which, variances)
        else:
            answer = report.ranef(self._fitted, which)
        return report.as_arrow(answer) if to_arrow else answer

    def coef(self, which: str | list[str] | None = None) -> dict[str, pd.DataFrame]:
        """Coefficients per level: fixed plus random effects."""
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

    @double
    def predict(
        self,
        newdata: Any = None,
        random: bool | list[str] = True,
        allow_new_levels: bool = False,
        interval: str | None = None,
        level: float = 0.95,
    ) -> pd.Series | pd.DataFrame:
        """Predict the response.

        Parameters
        ----------
        newdata : table, optional
            New rows; the fit's own by default.
        random : bool or list of str
            Which grouping factors' random effects to include.
        allow_new_levels : bool
            Predict levels that the fit has not seen with random effects of zero, instead of an error.
        interval : {None, "confidence", "prediction"}
            For the mean given the included random effects, or for a new response.
        level : float
            Confidence level.

        Returns
        -------
        Series, or DataFrame prediction, lower, upper
        """
        f = self._fitted
        return predict(f.frame, f.model, f.fit, newdata, random, allow_new_levels, interval, level)

    @double
    def simulate(self, n: int = 1, seed: int = 0) -> np.ndarray:
        """Draw n responses (nobs, n) from the fitted model, with new random effects; replicate i depends on (seed, i)."""
        mean = report.fitted_values(self._fitted, random=False)
        return resample.simulate(self._fitted.frame.design, self._fitted.fit, mean, n, seed)

    # Reports

    def summary(self, ddf: str | None = None) -> Summary:
        """Summary as text, and as HTML in a notebook."""
        return report.summarize(self._fitted, check_ddf(ddf or self.ddf))

    @double
    def tidy(self, effects: str = "fixed", ddf: str | None = None, level: float = 0.95) -> pd.DataFrame:
        """One row per term, with broom.mixed's columns; effects: "fixed", "ran_pars", "ran_vals" or "all"."""
        f = self._fitted
        return report.tidy(f, effects, ddf or self.ddf, level, lambda: conditional_variances(f.model, f.fit))

    def glance(self) -> pd.DataFrame:
        """One row about the whole model."""
        return report.glance(self._fitted)

    def augment(self) -> pd.DataFrame:
        """The model's columns with fitted, resid and fixed (the part without random effects) beside them."""
        return report.augment(self._fitted)

    def __repr__(self) -> str:
        return f"<MixedModelResults: {self.formula.strip()!r}, {self.nobs} rows>"

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()

    # Again

    @double
    def refit(self, y: Any) -> MixedModelResults:
        """The same model with another response (nobs,), on the rows of the fit."""
        return MixedModelResults(refitted(self._fitted, self._control, y), self._control, self._data)

    @double
    def update(self, formula: str, **changes: Any) -> MixedModelResults:
        """Fit again with a changed formula: R's `. ~ . - x`; reml, ddf, na_action and contrasts may change too."""
        if self._data is None:
            raise DataError("this model was loaded from a file without its data, so it cannot be fitted again")
        fitted = updated(self._fitted, self._control, self._data, formula, changes)
        return MixedModelResults(fitted, self._control, self._data)

    def save(self, path: str | os.PathLike[str], rows: bool = False) -> None:
        """Write the fit to one file, which `jaxlmm.load` reads: npz with JSON inside, no pickle.

        Parameters
        ----------
        path : path
            File to write.
        rows : bool
            Keep the design's rows, so that fitted values and residuals survive.
        """
        saving.save(self._fitted, self._control, path, rows)


def load(path: str | os.PathLike[str], trusted: bool = False) -> MixedModelResults:
    """Read a fit that `MixedModelResults.save` wrote.

    Parameters
    ----------
    path : path
        File to read.
    trusted : bool
        Whether a formula that was fitted with `trusted=True` may be evaluated again. Such a file can run any code.

    Returns
    -------
    MixedModelResults
        Without the rows of the data unless they were saved: everything but fitted values, residuals, `simulate`,
        `augment`, `refit` and `update` works.

    Raises
    ------
    SavedModelError
        When the file is absent, damaged, or not a model that this version can read.

    Examples
    --------
    >>> import jaxlmm, tempfile, os
    >>> fit = jaxlmm.lmer("Yield ~ 1 + (1 | Batch)", jaxlmm.load_dataset("dyestuff"))
    >>> path = os.path.join(tempfile.mkdtemp(), "dyestuff.npz")
    >>> fit.save(path)
    >>> jaxlmm.load(path).params.round(1)
    Intercept    1527.5
    dtype: float64
    """
    return MixedModelResults(*saving.read(path, trusted))
