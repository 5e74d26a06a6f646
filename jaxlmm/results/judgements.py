"""Tests of a fit's coefficients and variances: the third of `MixedModelResults` that asks whether."""

from __future__ import annotations

from typing import Any

import pandas as pd

from jaxlmm.inference import f_table
from jaxlmm.precision import double
from jaxlmm.results.estimates import Estimates
from jaxlmm.results.spellings import NOT_IN_ANOVA, refuse


class Judgements(Estimates):
    """Tests and intervals beyond Wald's. `MixedModelResults` is the public class."""

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
        term
        Machine  1755.263  877.632       2    46.0  87.798      0.0
        """
        refuse(elsewhere, NOT_IN_ANOVA, "anova()")
        f = self._fitted
        return f_table(f.frame, f.reference, type, f.method(ddf, information))
