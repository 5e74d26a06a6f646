"""Tests, profiles and standard errors of variances: what `MixedModelResults` says about them."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from jaxlmm.fit import Control
from jaxlmm.inference import Candidate, RestrictedTest, compare, exact_test, random_table, variance_covariance
from jaxlmm.precision import double
from jaxlmm.resample import check_replicates
from jaxlmm.results.estimates import Estimates
from jaxlmm.results.profile import Profile, profile_of


class VarianceJudgements(Estimates):
    """What is asked of variances. `MixedModelResults` is the public class."""

    _control: Control

    @double
    def ranova(self) -> pd.DataFrame:
        """Likelihood-ratio tests of the random effects, each left out in turn, by the criterion of the fit.

        Returns
        -------
        pandas.DataFrame
            By effect, as lmerTest names them: n_parameters, log_lik, aic, lrt, df, p_value_chisq (lmerTest's: χ² with df
            degrees of freedom, which is conservative, since a variance of zero lies on the boundary of its space), and
            p_value_boundary, from the equal mixture of χ² with df - 1 and df (Stram & Lee 1994, Biometrics 50(4)); NaN where
            several variances are left out at once, as with a factor's random slopes: no mixture is known in general. With
            the plan "krylov" also monte_carlo_error: the standard deviation of lrt over other probes.

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
            When `n` is not a positive whole number, or `seed` none of 64 bits.

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
        check_replicates(n, seed)
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
        return profile_of(self._fitted, self._control)

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


def compared(fits: Iterable[VarianceJudgements], refit: bool) -> pd.DataFrame:
    """Likelihood-ratio tests of fits."""
    return compare([own._candidate() for own in fits], refit)
