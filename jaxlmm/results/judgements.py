"""Tests of a fit's coefficients and variances: the third of `MixedModelResults` that asks whether."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from jaxlmm.errors import DataError
from jaxlmm.fit import Control
from jaxlmm.inference import Candidate, RestrictedTest, compare, exact_test, f_table, random_table, variance_covariance
from jaxlmm.inference.wald import check_level, wald_interval
from jaxlmm.precision import double
from jaxlmm.results.bootstrap import bootstrapped
from jaxlmm.results.estimates import Estimates
from jaxlmm.results.profile import Profile, columns_by_theta, names_by_theta, profile_of
from jaxlmm.results.spellings import NOT_IN_ANOVA, NOT_IN_CONF_INT, refuse


class Judgements(Estimates):
    """Tests and intervals beyond Wald's. `MixedModelResults` is the public class."""

    _control: Control

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
        if method == "profile":
            return profile_of(f).conf_int(level)
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
        f = self._fitted
        return f_table(f.frame, f.reference, type, f.method(ddf, information))

    @double
    def ranova(self) -> pd.DataFrame:
        """Likelihood-ratio tests of the random effects, each left out in turn, by the criterion of the fit.

        Returns
        -------
        pandas.DataFrame
            By effect, as lmerTest names them: n_parameters, log_lik, aic, lrt, df, p_value_chisq (lmerTest's: χ² with df
            degrees of freedom, which is conservative, since a variance of zero lies on the boundary of its space), and
            p_value_boundary, from the equal mixture of χ² with df - 1 and df (Stram & Lee 1994, Biometrics 50(4)); NaN where
            several variances are left out at once, as with a factor's random slopes: no mixture is known in general.

        Raises
        ------
        DataError
            When the fit was loaded without its rows.

        See Also
        --------
        exact_rlrt : the exact test of a model's only variance component.

        Examples
        --------
        >>> import jaxlmm
        >>> fit = jaxlmm.lmer("Reaction ~ Days + (Days | Subject)", jaxlmm.load_dataset("sleepstudy"))
        >>> fit.ranova()[["lrt", "df"]].round(2)
                                    lrt   df
        <none>                      NaN  NaN
        Days in (Days | Subject)  42.84  2.0
        """
        return random_table(self._candidate())

    @double
    def exact_rlrt(self, n: int = 10_000, seed: int = 0) -> RestrictedTest:
        """The exact restricted likelihood-ratio test that the model's one variance component is zero.

        Parameters
        ----------
        n : int
            Draws of the null distribution.
        seed : int
            The same seed makes the same draws.

        Returns
        -------
        RestrictedTest
            statistic, p_value, std_error (of the p-value, from the number of draws) and draws.

        Raises
        ------
        DesignError
            When the fit is by maximum likelihood, or has more than one covariance parameter.
        DataError
            When `n` is not a positive whole number.

        Notes
        -----
        Crainiceanu & Ruppert (2004), J. R. Stat. Soc. B 66(1): the finite-sample distribution, from the eigenvalues of the
        random effects' cross-products after the fixed effects. R has it in RLRsim.

        Examples
        --------
        >>> import jaxlmm
        >>> fit = jaxlmm.lmer("Yield ~ 1 + (1 | Batch)", jaxlmm.load_dataset("dyestuff"))
        >>> round(fit.exact_rlrt().statistic, 3)
        6.369
        """
        if not isinstance(n, int | np.integer) or isinstance(n, bool) or n < 1:
            raise DataError(f"n={n!r} is not a number of draws; write a positive whole number")
        return exact_test(self._fitted.model, self._fitted.fit, int(n), seed)

    @double
    def profile(self) -> Profile:
        """Profile likelihood of every parameter: standard deviations, correlations, the residual one, coefficients.

        Returns
        -------
        Profile
            `frame` holds the points, `conf_int(level)` the intervals.

        Raises
        ------
        ConvergenceError
            When the others have no minimum with a parameter held fixed.
        DesignError
            When the rows connect too many random effects for dense matrices.

        Notes
        -----
        Of the maximum-likelihood deviance, also for a fit by REML, as in lme4 (Bates et al. 2015, J. Stat. Softw. 67(1),
        §5.1). All points of all parameters are fitted as one batch.

        Examples
        --------
        >>> import jaxlmm
        >>> fit = jaxlmm.lmer("Yield ~ 1 + (1 | Batch)", jaxlmm.load_dataset("dyestuff"))
        >>> list(fit.profile().frame.columns)
        ['parameter', 'value', 'zeta']
        """
        return profile_of(self._fitted)

    @double
    def cov_varcorr(self, scale: str = "var", information: str = "observed") -> pd.DataFrame:
        """Covariance matrix of the variance components.

        Parameters
        ----------
        scale : {"var", "sd"}
            Of variances and covariances, or of standard deviations and correlations (by the delta method).
        information : {"observed", "expected"}
            What is inverted: minus the exact second derivatives of the log-likelihood (restricted for REML), with the
            coefficients profiled out, or its expectation (Searle, Casella & McCulloch 1992, Variance Components, ch. 6).

        Returns
        -------
        pandas.DataFrame
            Rows and columns are named as in `tidy`, with the group behind: "sd__Days|Subject" or "var__Days|Subject",
            "cov__Intercept.Days|Subject", and "var__Observation|Residual" last. NaN where the fit is singular, for then the
            information is none about variances that are zero.

        Raises
        ------
        DataError, DesignError
            When an argument is not known.

        Examples
        --------
        >>> import jaxlmm
        >>> fit = jaxlmm.lmer("Yield ~ 1 + (1 | Batch)", jaxlmm.load_dataset("dyestuff"))
        >>> fit.cov_varcorr().round(0)
                                   var__Intercept|Batch  var__Observation|Residual
        var__Intercept|Batch                  2052776.0                  -100144.0
        var__Observation|Residual             -100144.0                   500719.0
        """
        return variance_covariance(self._fitted.frame, self._fitted.reference, scale, information)

    def _candidate(self) -> Candidate:
        f = self._fitted
        return Candidate(f.frame, f.model, f.fit, self._control)


def compared(fits: Iterable[Judgements], refit: bool) -> pd.DataFrame:
    """Likelihood-ratio tests of fits."""
    return compare([own._candidate() for own in fits], refit)
