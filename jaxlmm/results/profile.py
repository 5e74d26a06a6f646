"""`Profile`: the profile likelihood of every parameter of a fit."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from jaxlmm.design.table import as_floats
from jaxlmm.errors import DataError
from jaxlmm.fit import Control, fit_model
from jaxlmm.inference import Curve, Profiler, as_frame, limits, profiled, standard_errors, variance_covariance
from jaxlmm.inference.reference import Reference
from jaxlmm.inference.wald import check_level
from jaxlmm.precision import double
from jaxlmm.report import Fitted


class Profile:
    """Profiles of the maximum-likelihood deviance; made by `MixedModelResults.profile`.

    Parameters
    ----------
    fitted : Fitted
        The fit.
    profiler : Profiler
        What fits with a parameter held fixed.
    curves : list of Curve
        The profiles.

    Examples
    --------
    >>> import jaxlmm
    >>> fit = jaxlmm.lmer("Yield ~ 1 + (1 | Batch)", jaxlmm.load_dataset("dyestuff"))
    >>> fit.profile().conf_int().round(1)
                lower   upper
    .sig01       12.2    84.1
    .sigma       38.2    67.7
    Intercept  1486.5  1568.5
    """

    def __init__(self, fitted: Fitted, profiler: Profiler, curves: list[Curve]):
        self._fitted, self._profiler, self._curves = fitted, profiler, curves

    @functools.cached_property
    def frame(self) -> pd.DataFrame:
        """One row per point: parameter, value, zeta (the signed square root of what the deviance is above its minimum)."""
        return as_frame(self._curves)

    @double
    def zeta(self, parameter: str, values: Any) -> pd.Series:
        """ζ at values of a parameter, all others at their best.

        Parameters
        ----------
        parameter : str
            A name in `frame`.
        values : array
            Where; a standard deviation is not negative, and a correlation between -1 and 1.

        Returns
        -------
        pandas.Series
            On the values.

        Raises
        ------
        DataError
            When there is no such parameter, or a value is outside its bounds.
        ConvergenceError
            When the others have no minimum there.

        Examples
        --------
        >>> import jaxlmm
        >>> fit = jaxlmm.lmer("Yield ~ 1 + (1 | Batch)", jaxlmm.load_dataset("dyestuff"))
        >>> fit.profile().zeta(".sig01", [0, 60]).round(2).to_dict()
        {0.0: -2.32, 60.0: 1.19}
        """
        known = {curve.name: curve for curve in self._curves}
        if not isinstance(parameter, str) or parameter not in known:
            raise DataError(f"{parameter!r} is no parameter of this profile; those are: {', '.join(map(repr, known))}")
        curve, asked = known[parameter], np.atleast_1d(as_floats(values, "values"))
        low, high = curve.bounds
        if not ((asked >= low) & (asked <= high)).all():
            raise DataError(f"values of {parameter!r} lie between {low:g} and {high:g}; one of those given does not")
        (found,) = self._profiler.extend([(curve, np.unique(asked))])
        places = np.abs(asked[:, None] - found.values).argmin(axis=1)
        return pd.Series(found.zeta[places], index=asked, name="zeta")

    @double
    def conf_int(self, level: float = 0.95) -> pd.DataFrame:
        """Profile intervals: where ζ is the normal quantile, found to 1e-7 in ζ.

        A standard deviation whose deviance at zero is not high enough has the limit 0, a correlation then -1 or 1.

        Parameters
        ----------
        level : float
            Confidence level.

        Returns
        -------
        pandas.DataFrame
            Columns lower and upper; rows in lme4's order.

        Examples
        --------
        >>> import jaxlmm
        >>> fit = jaxlmm.lmer("Yield ~ 1 + (1 | Batch)", jaxlmm.load_dataset("dyestuff"))
        >>> fit.profile().conf_int(0.5).loc[".sigma"].round(1).tolist()
        [45.1, 54.8]
        """
        low, high = limits(self._profiler, self._curves, check_level(level))
        return pd.DataFrame({"lower": low, "upper": high}, index=[curve.name for curve in self._curves])

    def __repr__(self) -> str:
        return f"<Profile: {len(self._curves)} parameters, {len(self.frame)} points>"


def profile_of(fitted: Fitted, control: Control) -> Profile:
    """Profiles of a fit; a REML fit is fitted again by maximum likelihood, as `control` says."""
    fit = fitted.fit if not fitted.fit.reml else fit_model(fitted.model, False, replace(control, start=None))
    reference = Reference(fitted.model, fit)
    errors = variance_covariance(fitted.frame, reference, "sd", "observed")
    own = standard_errors(errors).reindex(columns_by_theta(fitted))
    spread = dict(zip(names_by_theta(fitted), own, strict=True))
    spread |= dict(zip(fitted.coefficients, fit.sigma * fit.unscaled_vcov.diagonal() ** 0.5, strict=True))
    profiler = Profiler(reference)
    return Profile(fitted, profiler, profiled(fitted.frame, profiler, spread))


def names_by_theta(fitted: Fitted) -> list[str]:
    """lme4's names of the covariance parameters, .sigma last."""
    return [*(f".sig{number + 1:02d}" for number in range(fitted.fit.theta.size)), ".sigma"]


def columns_by_theta(fitted: Fitted) -> list[str]:
    """The same parameters as a bootstrap and `variance_covariance` name them: "sd__Days|Subject"."""
    answer = []
    for label, f, t, _ in fitted.frame.labelled_terms():
        term = fitted.factors[f].terms[t]
        names = term.matrix.names
        for row, column in zip(*term.structure.positions(), strict=True):
            kind = f"sd__{names[row]}" if row == column else f"cor__{names[column]}.{names[row]}"
            answer.append(f"{kind}|{label}")
    return [*answer, "sd__Observation|Residual"]
