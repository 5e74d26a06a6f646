"""Intervals, tests and marginal means: what `MixedModelResults` says about coefficients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from jaxlmm.errors import DataError
from jaxlmm.inference import f_table
from jaxlmm.inference.combinations import combination_rows
from jaxlmm.inference.estimable import Combinations
from jaxlmm.inference.marginal import Functions
from jaxlmm.inference.wald import check_level, wald_interval
from jaxlmm.precision import double
from jaxlmm.results.bootstrap import bootstrapped
from jaxlmm.results.emmeans import EMMeans, marginal_means
from jaxlmm.results.marginaleffects import as_marginaleffects
from jaxlmm.results.profile import columns_by_theta, names_by_theta, profile_of
from jaxlmm.results.spellings import NOT_IN_ANOVA, NOT_IN_CONF_INT, NOT_IN_CONTRAST, NOT_IN_EMMEANS, refuse
from jaxlmm.results.variance_judgements import VarianceJudgements


class Judgements(VarianceJudgements):
    """Tests and intervals beyond Wald's. `MixedModelResults` is the public class."""

    @double
    def conf_int(
        self,
        method: str = "wald",
        level: float = 0.95,
        ddf: str | None = None,
        information: str | None = None,
        n: int = 1000,
        seed: int = 0,
        **elsewhere: Any,
    ) -> pd.DataFrame:
        """Confidence intervals.

        Parameters
        ----------
        method : {"wald", "profile", "boot"}
            Estimates and their standard errors, of the coefficients; profile likelihood (`profile`), or percentiles of a
            parametric bootstrap (`bootstrap`, which has other kinds), of covariance parameters and coefficients.
        level : float
            Confidence level.
        ddf : str, optional
            Reference distribution of Wald intervals instead of the fit's.
        information : {"observed", "expected"}, optional
            About the variances, as in `jaxlmm.lmer`.
        n, seed : int
            Bootstrap replicates, and where they start.
        **elsewhere
            Refused, each with what to write instead: alpha and parm of statsmodels and R.

        Returns
        -------
        pandas.DataFrame
            Columns lower and upper. By profile and bootstrap rows are lme4's: standard deviations and correlations of the
            random effects, .sig01 and on, in the order of theta, then .sigma and the coefficients.

        Raises
        ------
        DataError, DesignError
            When an argument is not known.
        ConvergenceError
            When a profile finds no minimum.

        Examples
        --------
        >>> import jaxlmm
        >>> fit = jaxlmm.lmer("Yield ~ 1 + (1 | Batch)", jaxlmm.load_dataset("dyestuff"))
        >>> fit.conf_int(level=0.9).round(1)
                    lower   upper
        Intercept  1488.4  1566.6
        >>> fit.conf_int("profile").round(1)
                    lower   upper
        .sig01       12.2    84.1
        .sigma       38.2    67.7
        Intercept  1486.5  1568.5
        """
        refuse(elsewhere, NOT_IN_CONF_INT, "conf_int()")
        if isinstance(method, int | float | np.number):
            raise DataError(f"method={method!r} is a number; for a confidence level write conf_int(level={method!r})")
        if method not in ("wald", "profile", "boot"):
            raise DataError(f"method={method!r} is not known; write 'wald', 'profile' or 'boot'")
        f, level = self._fitted, check_level(level)
        if method != "wald" and (ddf is not None or information is not None):
            raise DataError(f"ddf and information are about Wald intervals and have no say where method={method!r}")
        if method == "profile":
            return profile_of(f, self._control).conf_int(level)
        if method == "boot":
            drawn = bootstrapped(f, self._control, n, seed, "parametric", None, False, None).conf_int(level=level)
            return drawn.loc[[*columns_by_theta(f), *f.coefficients]].set_axis([*names_by_theta(f), *f.coefficients])
        chosen = f.method(ddf, information)
        errors, df = f.reference.standard_errors(chosen), f.reference.degrees(chosen)
        low, high = wald_interval(f.fit.beta, errors, df, level)
        return pd.DataFrame({"lower": low, "upper": high}, index=f.coefficients)

    @double
    def anova(
        self, type: int = 3, ddf: str | None = None, information: str | None = None, **elsewhere: Any
    ) -> pd.DataFrame:
        """F tests of the terms of the fixed effects.

        Parameters
        ----------
        type : {3, 2, 1}
            Each term after all others, with factors coded to sum to zero whatever the fit's coding (III); after those that do
            not contain it (II); after those before it (I). They are SAS's and lmerTest's.
        ddf : str, optional
            Denominator degrees of freedom instead of the fit's.
        information : {"observed", "expected"}, optional
            About the variances, as in `jaxlmm.lmer`.
        **elsewhere
            Refused, each with what to write instead: test and others of R. To compare fits, write jaxlmm.anova(m1, m2).

        Returns
        -------
        pandas.DataFrame
            By term: sum_sq, mean_sq, num_df, den_df, F, p_value, in the order of the model's columns. F is a ratio of mean
            squares, the residual variance below.

        Raises
        ------
        DesignError
            When an argument is not known, or a type III hypothesis is not estimable because cells are empty.
        DataError
            When the fit was loaded without its rows.

        Notes
        -----
        Kuznetsova, Brockhoff & Christensen (2017), J. Stat. Softw. 82(13); Kenward & Roger (1997), Biometrics 53(3).

        Examples
        --------
        >>> import jaxlmm
        >>> fit = jaxlmm.lmer("score ~ Machine + (1 | Worker)", jaxlmm.load_dataset("machines"))
        >>> fit.anova().round(3)
                   sum_sq  mean_sq  num_df  den_df       F  p_value
        Machine  1755.263  877.632       2    46.0  87.798      0.0
        """
        refuse(elsewhere, NOT_IN_ANOVA, "anova()")
        if isinstance(type, Judgements):
            raise DataError("anova() of a fit tests its own terms; to compare fits write jaxlmm.anova(m1, m2)")
        f = self._fitted
        return f_table(f.frame, f.reference, type, f.method(ddf, information))

    @double
    def contrast(
        self,
        tests: Any,
        joint: bool = False,
        ddf: str | None = None,
        information: str | None = None,
        level: float = 0.95,
        **elsewhere: Any,
    ) -> pd.DataFrame:
        """Tests of linear combinations of the coefficients.

        Parameters
        ----------
        tests : str, dict or matrix
            Combinations by names of coefficients, "a - b" or {"late-early": "d[T.late] - d[T.early]"}, or weights: a number
            for each coefficient, one row or several.
        joint : bool
            Test that all of them are zero at once, by one F test.
        ddf : str, optional
            Degrees of freedom instead of the fit's.
        information : {"observed", "expected"}, optional
            About the variances, as in `jaxlmm.lmer`.
        level : float
            Confidence level.
        **elsewhere
            Refused, each with what to write instead.

        Returns
        -------
        pandas.DataFrame
            By name: estimate, std_error, df, statistic, p_value, conf_low, conf_high; with `joint` one row num_df, den_df, F,
            p_value. p-values are not adjusted for their number.

        Raises
        ------
        DataError
            When a combination names no coefficient, or weights have the wrong shape.

        Examples
        --------
        >>> import jaxlmm
        >>> fit = jaxlmm.lmer("score ~ Machine + (1 | Worker)", jaxlmm.load_dataset("machines"))
        >>> fit.contrast({"C - B": "Machine[T.C] - Machine[T.B]"})[["estimate", "std_error", "df"]].round(3)
               estimate  std_error    df
        C - B      5.95      1.054  46.0
        """
        refuse(elsewhere, NOT_IN_CONTRAST, "contrast()")
        f = self._fitted
        rows, names = combination_rows(tests, f.coefficients)
        method = f.method(ddf, information)
        if joint:
            found = f.reference.test(method, rows)
            table = {"num_df": found.num_df, "den_df": found.den_df, "F": found.statistic, "p_value": found.p_value}
            return pd.DataFrame(table, index=["joint"])
        functions = Functions(
            f.reference, method, pd.DataFrame(index=names), Combinations.of(rows), np.zeros(len(rows))
        )
        return functions.tests(check_level(level), "none", None, [], None)

    @double
    def emmeans(
        self,
        specs: str | list[str],
        by: str | list[str] | None = None,
        at: Mapping[str, Any] | None = None,
        type: str = "link",
        weights: str = "equal",
        ddf: str | None = None,
        information: str | None = None,
        level: float = 0.95,
        **elsewhere: Any,
    ) -> EMMeans:
        """Estimated marginal means: predictions on a grid of all levels, averaged over the other factors.

        Parameters
        ----------
        specs, by : str or list of str
            Variables whose combinations have a mean each; comparisons are made within each combination of `by`.
        at : dict, optional
            Values of variables, in the units of the data: by default all levels of a factor, and the mean of a covariate (or
            both its values, where the data have two).
        type : {"link", "response"}
            On the scale of the model's response, or back from log, log2, log10, log1p, sqrt or logit of it.
        weights : {"equal", "proportional"}
            How the other factors' levels are weighted: alike, or by their frequencies in the data.
        ddf : str, optional
            Degrees of freedom instead of the fit's; there is no limit of rows beyond which they are left out.
        information : {"observed", "expected"}, optional
            About the variances, as in `jaxlmm.lmer`.
        level : float
            Confidence level.
        **elsewhere
            Refused, each with what to write instead: cov_reduce, mode and others of R's emmeans.

        Returns
        -------
        EMMeans
            `frame`; `pairs()`, `contrast()` and `joint_tests()` of them.

        Raises
        ------
        DataError
            When a variable is none of the fixed effects, or the fit was loaded without its rows.

        Notes
        -----
        Searle, Speed & Milliken (1980), The American Statistician 34(4); conventions are those of R's emmeans (Lenth).

        Examples
        --------
        >>> import jaxlmm
        >>> fit = jaxlmm.lmer("score ~ Machine + (1 | Worker)", jaxlmm.load_dataset("machines"))
        >>> fit.emmeans("Machine").frame[["Machine", "emmean"]].round(2)
          Machine  emmean
        0       A   52.36
        1       B   60.32
        2       C   66.27
        """
        refuse(elsewhere, NOT_IN_EMMEANS, "emmeans()")
        f = self._fitted
        return marginal_means(f, f.method(ddf, information), specs, by, at, type, weights, level)

    @double
    def to_marginaleffects(self) -> Any:
        """The fixed effects as a model for the package marginaleffects (0.6 or later, with polars below 2).

        Returns
        -------
        marginaleffects.classes.ModelAbstract
            For marginaleffects.predictions, comparisons, slopes and hypotheses: population means, with the covariance of the
            coefficients that goes with the fit's `ddf` and the normal distribution.

        Raises
        ------
        DataError
            When the package is not installed, or the fit was loaded without its rows.

        Examples
        --------
        >>> import jaxlmm
        >>> fit = jaxlmm.lmer("score ~ Machine + (1 | Worker)", jaxlmm.load_dataset("machines"))
        >>> model = fit.to_marginaleffects()  # doctest: +SKIP
        >>> marginaleffects.avg_predictions(model, by="Machine")  # doctest: +SKIP
        """
        return as_marginaleffects(self._fitted)

    @double
    def emtrends(
        self,
        specs: str | list[str],
        var: str,
        by: str | list[str] | None = None,
        at: Mapping[str, Any] | None = None,
        weights: str = "equal",
        ddf: str | None = None,
        information: str | None = None,
        level: float = 0.95,
        **elsewhere: Any,
    ) -> EMMeans:
        """Slopes of a covariate, averaged as `emmeans` averages predictions.

        Parameters
        ----------
        specs, by, at, weights, ddf, information, level
            As in `emmeans`.
        var : str
            A numeric variable of the fixed effects. Where the model is not linear in it, the slope at its mean or at `at`.
        **elsewhere
            Refused, each with what to write instead.

        Returns
        -------
        EMMeans
            Its frame's column of estimates is called var.trend.

        Raises
        ------
        DataError
            When a variable is none of the fixed effects, or `var` is a factor.

        Examples
        --------
        >>> import jaxlmm
        >>> oats = jaxlmm.load_dataset("oats")
        >>> fit = jaxlmm.lmer("yield ~ nitro * Variety + (1 | Block/Variety)", oats)
        >>> fit.emtrends("Variety", "nitro").frame[["Variety", "nitro.trend"]].round(1)
               Variety  nitro.trend
        0  Golden Rain         75.3
        1   Marvellous         64.6
        2      Victory         81.1
        """
        refuse(elsewhere, NOT_IN_EMMEANS, "emtrends()")
        f = self._fitted
        return marginal_means(f, f.method(ddf, information), specs, by, at, "link", weights, level, var)
