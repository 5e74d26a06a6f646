"""`jaxlmm.anova`: fits against each other."""

from __future__ import annotations

from typing import Any

import pandas as pd

from jaxlmm.errors import DataError
from jaxlmm.precision import double
from jaxlmm.results import MixedModelResults, compared
from jaxlmm.results.spellings import NOT_IN_COMPARE, refuse


@double
def anova(*fits: MixedModelResults, refit: bool = True, **elsewhere: Any) -> pd.DataFrame:
    """Likelihood-ratio tests of nested fits, each against the next smaller one.

    Parameters
    ----------
    *fits : MixedModelResults
        Two or more fits of the same rows, in any order. For the F tests of one fit's terms write fit.anova().
    refit : bool
        Fit REML fits again by maximum likelihood, as lme4 does. With False the criteria are compared as they are: REML ones
        only where the fixed effects are the same.
    **elsewhere
        Refused, each with what to write instead: test and others of R.

    Returns
    -------
    pandas.DataFrame
        By model, the smallest first: n_parameters, aic, bic, log_lik, deviance, chisq, df, p_value, as lme4 gives them.
        Where a variance is tested the p-value is conservative; `fit.ranova()` has the one that knows the boundary. With the
        plan "krylov" also monte_carlo_error: the standard deviation of chisq over other probes (at most: fits that differ in
        their fixed effects only share what their probes do).

    Raises
    ------
    DesignError
        When the fits are not nested, or not of the same rows and response, or their criteria cannot be compared.
    DataError
        When an argument is not a fit, or there are fewer than two.

    Examples
    --------
    >>> import jaxlmm
    >>> sleepstudy = jaxlmm.load_dataset("sleepstudy")
    >>> small = jaxlmm.lmer("Reaction ~ Days + (1 | Subject)", sleepstudy)
    >>> large = jaxlmm.lmer("Reaction ~ Days + (Days | Subject)", sleepstudy)
    >>> jaxlmm.anova(small, large)[["n_parameters", "deviance", "chisq", "df"]].round(2)
                                        n_parameters  deviance  chisq   df
    Reaction ~ Days + (1 | Subject)                4   1794.08    NaN  NaN
    Reaction ~ Days + (Days | Subject)             6   1751.94  42.14  2.0
    """
    refuse(elsewhere, NOT_IN_COMPARE, "anova()")
    for own in fits:
        if not isinstance(own, MixedModelResults):
            raise DataError(f"anova() compares fits made by jaxlmm.lmer; one argument is of type {type(own).__name__}")
    if len(fits) < 2:
        raise DataError("anova() compares two fits or more; for the F tests of one fit's terms write fit.anova()")
    return compared(fits, refit)
