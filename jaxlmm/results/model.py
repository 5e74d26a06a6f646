"""`MixedModelResults`: thin methods that hand the fit to the floors below and put names on what comes back."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from jaxlmm import plot, report, resample
from jaxlmm.errors import DataError
from jaxlmm.fit import Control, conditional_variances
from jaxlmm.inference import predict
from jaxlmm.precision import double
from jaxlmm.report import Fitted, Summary
from jaxlmm.results import saving
from jaxlmm.results.again import refitted, updated
from jaxlmm.results.bootstrap import Bootstrap, bootstrapped
from jaxlmm.results.diagnostics import Diagnostics
from jaxlmm.results.judgements import Judgements
from jaxlmm.results.spellings import NOT_IN_BOOTSTRAP, NOT_IN_PREDICT, NOT_IN_REFIT, NOT_IN_SIMULATE, refuse


class MixedModelResults(Judgements, Diagnostics):
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
        Judgements.__init__(self, fitted)
        self._control = control
        self._data = data

    # Rows

    @double
    def predict(
        self,
        newdata: Any = None,
        random: bool | list[str] = True,
        allow_new_levels: bool = False,
        interval: str | None = None,
        level: float = 0.95,
        **elsewhere: Any,
    ) -> pd.Series | pd.DataFrame:
        """Predict the response.

        Parameters
        ----------
        newdata : table, optional
            New rows; the fit's own by default. The columns of the effects that enter must be there, not the response.
        random : bool or list of str
            Which grouping factors' random effects to include: all (True, lme4's re.form=NULL), none (False,
            re.form=NA), or those named.
        allow_new_levels : bool
            Predict levels that the fit has not seen with random effects of zero, instead of an error. Their intervals
            are wider by the variance of the random effects, for the effect of a new level is not known.
        interval : {None, "confidence", "prediction"}
            For the mean given the included random effects, or for a new response. With `random=False`, "confidence"
            is about the fixed effects alone, while "prediction" includes the variance of the random effects: it is
            for a row of a level drawn anew.
        level : float
            Confidence level.
        **elsewhere
            Refused, each with what to write instead: re_form, se_fit, alpha and others of lme4 and statsmodels.

        Returns
        -------
        Series, or DataFrame prediction, lower, upper

        Raises
        ------
        DataError
            When newdata lacks a column or has a level that the fit has not seen, or an argument is not known.

        Examples
        --------
        >>> import jaxlmm
        >>> fit = jaxlmm.lmer("Reaction ~ Days + (Days | Subject)", jaxlmm.load_dataset("sleepstudy"))
        >>> new = {"Days": [0, 9], "Subject": ["308", "308"]}
        >>> fit.predict(new).round(1).tolist()
        [253.7, 430.7]
        >>> fit.predict({"Days": [0, 9]}, random=False, interval="confidence").round(1)
           prediction  lower  upper
        0       251.4  238.0  264.8
        1       345.6  316.9  374.3
        """
        refuse(elsewhere, NOT_IN_PREDICT, "predict()")
        f = self._fitted
        return predict(f.frame, f.model, f.fit, newdata, random, allow_new_levels, interval, level)

    @double
    def simulate(self, n: int = 1, seed: int = 0, **elsewhere: Any) -> np.ndarray:
        """Draw responses on the rows of the fit from the fitted model, with new random effects in every replicate.

        Parameters
        ----------
        n : int
            Number of replicates.
        seed : int
            The same seed draws the same responses; replicate i depends on (seed, i) and not on n.
        **elsewhere
            Refused, each with what to write instead: nsim, re_form, use_u and others of lme4.

        Returns
        -------
        (nobs, n) array
            One replicate per column; any of them may go to `refit`.

        Raises
        ------
        DataError
            When an argument is not known.

        Examples
        --------
        >>> import jaxlmm
        >>> fit = jaxlmm.lmer("Yield ~ 1 + (1 | Batch)", jaxlmm.load_dataset("dyestuff"))
        >>> drawn = fit.simulate(3, seed=1)
        >>> drawn.shape
        (30, 3)
        >>> fit.refit(drawn[:, 0]).nobs
        30
        """
        refuse(elsewhere, NOT_IN_SIMULATE, "simulate()")
        mean = report.fitted_values(self._fitted, random=False)
        return resample.simulate(self._fitted.frame.design, self._fitted.fit, mean, n, seed)

    @double
    def bootstrap(
        self,
        n: int = 1000,
        seed: int = 0,
        kind: str = "parametric",
        statistic: Callable[[pd.DataFrame], Any] | None = None,
        progress: bool = False,
        checkpoint: str | os.PathLike[str] | None = None,
        **elsewhere: Any,
    ) -> Bootstrap:
        """Fit the model again to responses drawn from it.

        Parameters
        ----------
        n : int
            Number of replicates.
        seed : int
            The same seed draws the same replicates; replicate i depends on (seed, i) and not on n.
        kind : {"parametric", "residual", "cases"}
            New normal random effects and errors; or the conditional modes and residuals resampled, after both are given the
            variances of the fit (Carpenter, Goldstein & Rasbash 2003, Appl. Stat. 52(4)); or whole groups resampled with all
            their rows, of the grouping factor or the top one of nested factors (van der Leeden, Meijer & Busing 2008).
        statistic : callable, optional
            Further statistics of all replicates at once: a function of a table with a row per replicate and the columns of
            `frame` that are estimates, which gives a Series, an array, or a dict or table of several. It is called with the
            fit's own estimates, too, as a table of one row: each row must be answered by itself.
        progress : bool
            Show a bar (tqdm): replicates done, per second, and failures.
        checkpoint : path, optional
            A folder that finished rounds are written to; the same call resumes from it after it was killed, with the same
            replicates as one that was not.
        **elsewhere
            Refused, each with what to write instead: nsim, FUN, type, use_u and others of lme4's bootMer.

        Returns
        -------
        Bootstrap
            Interrupted by Ctrl-C, it holds the rounds that were finished, with a warning.

        Raises
        ------
        DataError
            When an argument is not known, rows are needed and were not saved, or cases are asked of crossed groups.

        Examples
        --------
        >>> import jaxlmm
        >>> fit = jaxlmm.lmer("Reaction ~ Days + (Days | Subject)", jaxlmm.load_dataset("sleepstudy"))
        >>> fit.bootstrap(1000, seed=1).conf_int().loc["Days"].round(0)
        lower     7.0
        upper    13.0
        Name: Days, dtype: float64
        >>> def ratio(estimates):
        ...     return {"ratio": estimates["sd__Days|Subject"] / estimates["Days"]}
        >>> fit.bootstrap(1000, seed=1, statistic=ratio).conf_int().loc["ratio"].round(1)
        lower    0.3
        upper    0.9
        Name: ratio, dtype: float64
        """
        refuse(elsewhere, NOT_IN_BOOTSTRAP, "bootstrap()")
        return bootstrapped(self._fitted, self._control, n, seed, kind, statistic, progress, checkpoint)

    # Reports

    def plot(self, ax: Any = None) -> Any:
        """Four panels: residuals against fitted values, their normal quantiles, and both for the random effects.

        `jaxlmm.plot` has each of them, and more: caterpillar, shrinkage, trajectories, profiles, replicates, ...

        Parameters
        ----------
        ax : sequence of four Axes, optional
            Where to draw; a new figure by default.

        Returns
        -------
        (2, 2) array of Axes

        Raises
        ------
        DataError
            When the rows of the fit were not saved, or matplotlib is not installed.

        Examples
        --------
        >>> import jaxlmm
        >>> fit = jaxlmm.lmer("Yield ~ 1 + (1 | Batch)", jaxlmm.load_dataset("dyestuff"))
        >>> [ax.get_title() for ax in fit.plot()[0]]
        ['residuals', 'residual quantiles']
        """
        return plot.overview(self, ax)

    @double
    def summary(self, ddf: str | None = None, information: str | None = None) -> Summary:
        """Summary as text, and as HTML in a notebook; `ddf` and `information` as in `jaxlmm.lmer`."""
        return report.summarize(self._fitted, self._fitted.method(ddf, information))

    @double
    def tidy(
        self, effects: str = "fixed", ddf: str | None = None, level: float = 0.95, information: str | None = None
    ) -> pd.DataFrame:
        """One row per term, with broom.mixed's columns.

        Parameters
        ----------
        effects : {"fixed", "ran_pars", "ran_vals", "all"}
            Coefficients; standard deviations sd__(effect) and correlations cor__(effect).(effect) of the random
            effects, with standard errors from the exact second derivatives of the log-likelihood (NaN for a singular
            fit); conditional modes, one row per level; or all three below each other.
        ddf : str, optional
            Reference distribution of the coefficients instead of the fit's.
        level : float
            Confidence level.
        information : {"observed", "expected"}, optional
            About the variances, as in `jaxlmm.lmer`.

        Returns
        -------
        pandas.DataFrame
            Columns effect, group, term, estimate, std_error, statistic, df, p_value, conf_low, conf_high; NaN where a
            row has no such number. Conditional modes have a column level, and no statistic.

        Examples
        --------
        >>> import jaxlmm
        >>> fit = jaxlmm.lmer("Yield ~ 1 + (1 | Batch)", jaxlmm.load_dataset("dyestuff"))
        >>> fit.tidy("ran_pars")[["group", "term", "estimate"]].round(2)
              group             term  estimate
        0     Batch    sd__Intercept     42.00
        1  Residual  sd__Observation     49.51
        """
        f = self._fitted
        method = f.method(ddf, information)
        return report.tidy(f, effects, method, level, lambda: conditional_variances(f.model, f.fit))

    def glance(self) -> pd.DataFrame:
        """One row about the whole model; stack those of several fits with `pandas.concat` to compare them.

        Returns
        -------
        pandas.DataFrame
            Columns nobs, n_parameters (coefficients, covariance parameters and the residual variance), sigma, log_lik,
            aic, bic, objective, df_residual, reml, converged and is_singular.

        Examples
        --------
        >>> import jaxlmm
        >>> fit = jaxlmm.lmer("Yield ~ 1 + (1 | Batch)", jaxlmm.load_dataset("dyestuff"), reml=False)
        >>> fit.glance()[["n_parameters", "aic", "converged", "is_singular"]].round(2)
           n_parameters     aic  converged  is_singular
        0             3  333.33       True        False
        """
        return report.glance(self._fitted)

    def __repr__(self) -> str:
        state = (", singular" if self.is_singular else "") + ("" if self.converged else ", NOT CONVERGED")
        return f"<MixedModelResults: {self.formula.strip()!r}, {self.nobs} rows{state}>"

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()

    # Again

    @double
    def refit(self, y: Any = None, **elsewhere: Any) -> MixedModelResults:
        """Fit the same model to another response, on the rows of the fit.

        Parameters
        ----------
        y : (nobs,) array or Series
            One finite number per row that the fit used, on the scale of the formula's left side: for a formula
            "log(y) ~ ..." these are logarithms. A Series must have the index of those rows.
        **elsewhere
            Refused, each with what to write instead: newresp and others of lme4.

        Returns
        -------
        MixedModelResults

        Raises
        ------
        DataError
            When `y` is not one finite number per row.

        Examples
        --------
        >>> import jaxlmm
        >>> fit = jaxlmm.lmer("Yield ~ 1 + (1 | Batch)", jaxlmm.load_dataset("dyestuff"))
        >>> again = fit.refit(2.0 * (fit.fittedvalues + fit.resid))
        >>> round(again.sigma / fit.sigma, 6)
        2.0
        """
        refuse(elsewhere, NOT_IN_REFIT, "refit()")
        if y is None:
            raise DataError("refit() needs a response: refit(y), with one number per row of the fit")
        return MixedModelResults(refitted(self._fitted, self._control, y), self._control, self._data)

    @double
    def update(self, formula: str = ". ~ .", data: Any = None, **changes: Any) -> MixedModelResults:
        """Fit again with a changed formula, on other data, or with other settings.

        Parameters
        ----------
        formula : str
            R's update: in ". ~ . - x + (1 | g)" a dot stands for what was on that side. By default nothing changes.
        data : table, optional
            Other data; by default the data of the first fit, which is kept by reference.
        **changes
            reml, weights, offset, contrasts, na_action and ddf, as in `jaxlmm.lmer`; what is not named stays.

        Returns
        -------
        MixedModelResults

        Raises
        ------
        FormulaError, DataError, DesignError
            When the update cannot be read, or the new model cannot be fitted.

        Examples
        --------
        >>> import jaxlmm
        >>> fit = jaxlmm.lmer("Reaction ~ Days + (Days | Subject)", jaxlmm.load_dataset("sleepstudy"))
        >>> fit.update(". ~ . - (Days | Subject) + (1 | Subject)", reml=False).formula
        'Reaction ~ Days + (1 | Subject)'
        """
        other = data is not None
        data = data if other else self._data
        if data is None:
            raise DataError(
                "this model was loaded from a file without its data, so it cannot be fitted again; give them: "
                "update(data=...)"
            )
        fitted = updated(self._fitted, self._control, data, formula, changes, other)
        return MixedModelResults(fitted, self._control, data)

    def save(self, path: str | os.PathLike[str], rows: bool = False) -> None:
        """Write the fit to one file, which `jaxlmm.load` reads: npz with JSON inside, no pickle.

        Parameters
        ----------
        path : path
            File to write.
        rows : bool
            Keep the rows of the design and its columns, so that everything but update() without data= goes on working.
            Without them residuals, fitted values, augment, simulate, refit, anova, ranova, emmeans, diagnostics, influence,
            robust, r_squared, icc and plots of rows are lost. The file holds sums over each level's rows either way.
        """
        saving.save(self._fitted, self._control, path, rows)
