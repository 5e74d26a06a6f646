"""What a report is made from: the named side, the arrays of a fit, and the settings that the user chose."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import pandas as pd

from jaxlmm.design import FactorTerms, Frame
from jaxlmm.fit import Fit, Model, Shared
from jaxlmm.inference import Method, Reference


@dataclass(frozen=True)
class Fitted:
    """A fit together with the names of everything in it. Called `fitted` wherever it is passed.

    Attributes
    ----------
    frame : Frame
        Names, rows and columns.
    model : Model
        Cross-products and plan.
    fit : Fit
        Estimates.
    ddf : str
        How degrees of freedom are found unless a method is told otherwise.
    timings : dict of str to float
        Seconds of each step.
    """

    frame: Frame
    model: Model
    fit: Fit
    ddf: str
    timings: dict[str, float]

    @functools.cached_property
    def shared(self) -> Shared:
        """Design and model, for other responses over the same rows."""
        return Shared(self.frame.design, self.model)

    @functools.cached_property
    def reference(self) -> Reference:
        """What the coefficients are judged against."""
        return Reference(self.model, self.fit)

    def method(self, ddf: str | None = None, information: str | None = None) -> Method:
        """How degrees of freedom are found: the fit's own method, unless told otherwise."""
        return Method.of(ddf or self.ddf, information)

    @property
    def coefficients(self) -> pd.Index:
        """Names of the estimated coefficients."""
        return pd.Index([self.frame.fixed.names[j] for j in self.model.coordinates.kept])

    @property
    def dropped(self) -> list[str]:
        """Names of redundant fixed-effects columns, which have no coefficient."""
        return [self.frame.fixed.names[j] for j in self.model.coordinates.dropped]

    @property
    def n_obs(self) -> int:
        """Number of rows used."""
        return self.model.coordinates.n_obs

    @property
    def factors(self) -> tuple[FactorTerms, ...]:
        """Grouping factors, as the design has them."""
        return self.frame.factors

    @property
    def n_parameters(self) -> int:
        """Coefficients, covariance parameters and the residual variance."""
        return self.fit.beta.size + self.fit.theta.size + 1

    def vcov(self, method: Method) -> pd.DataFrame:
        """Covariance matrix of the coefficients."""
        names = self.coefficients
        return pd.DataFrame(self.reference.covariance(method), index=names, columns=names)

    def log_likelihood(self) -> float:
        """Log-likelihood, restricted for REML."""
        return -0.5 * self.fit.objective
