"""Against which distribution coefficients are judged: degrees of freedom, the covariance that goes with them, and F tests.

Satterthwaite's for several rows at once are those of Fai & Cornelius (1996, J. Stat. Comput. Simul. 54(4)), as in SAS and
lmerTest (Kuznetsova, Brockhoff & Christensen 2017, J. Stat. Softw. 82(13)): the rows are turned so that they are
uncorrelated, each has its own degrees of freedom ν_i, and the F statistic gets those with which its mean agrees.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import stats

from jaxlmm.errors import DesignError
from jaxlmm.fit import (
    INFORMATION,
    LARGEST,
    Adjusted,
    Estimated,
    Fit,
    Model,
    SecondOrder,
    adjust,
    f_test,
    satterthwaite_df,
)
from jaxlmm.pls import largest_component

DDF_METHODS = ("satterthwaite", "kenward-roger", "normal", "residual")

OF_LANES = ("satterthwaite", "normal", "residual")
"""Those of `fit_many`."""

USUAL = {"satterthwaite": "observed", "kenward-roger": "expected"}
"""Which information about the variances lmerTest (as SAS), and pbkrtest, use."""

DEPENDENT = 1e-8
"""Eigenvalue of a hypothesis' covariance, relative to the largest, below which its direction repeats the others."""


@dataclass(frozen=True)
class Method:
    """How degrees of freedom are found.

    Attributes
    ----------
    ddf : str
        One of `DDF_METHODS`.
    information : str
        "observed" or "expected": what the covariance of the variances is made from.
    """

    ddf: str
    information: str

    @classmethod
    def of(cls, ddf: str, information: str | None = None) -> Method:
        """Check the names; without `information`, what is usual for the method.

        Raises
        ------
        DesignError
            When one is not known, or the information has no say.
        """
        check_ddf(ddf)
        if information is None:
            return cls(ddf, USUAL.get(ddf, "observed"))
        if information not in INFORMATION:
            raise DesignError(f"information={information!r} is not known; write 'observed' or 'expected'")
        if ddf not in USUAL:
            raise DesignError(f"information={information!r} has no say where ddf={ddf!r}; leave it out")
        return cls(ddf, information)


class FTest(NamedTuple):
    """A Wald test of several rows at once.

    Attributes
    ----------
    statistic, num_df, den_df, p_value : float
        F and its distribution; an infinite `den_df` is that of χ²/num_df.
    scale : float
        Kenward and Roger's factor of F; one for the other methods.
    """

    statistic: float
    num_df: int
    den_df: float
    p_value: float
    scale: float


def check_ddf(ddf: str, among: tuple[str, ...] = DDF_METHODS) -> str:
    """The method's name, if it is one.

    Raises
    ------
    DesignError
        When it is not known, or not among those that are offered.
    """
    if ddf in among:
        return ddf
    what = "not available here" if ddf in DDF_METHODS else "not known"
    raise DesignError(f"ddf={ddf!r} is {what}; write one of {', '.join(map(repr, among))}")


@dataclass(frozen=True)
class Reference:
    """What the coefficients of one fit are judged against. The caller holds the double-precision scope.

    Attributes
    ----------
    model, fit : Model, Fit
        What was fitted.
    """

    model: Model
    fit: Fit

    @functools.cached_property
    def second(self) -> SecondOrder:
        """The fit's derivatives in its variance parameters."""
        return SecondOrder(self.model, self.fit)

    def covariance(self, method: Method) -> np.ndarray:
        """Covariance (p, p) of the coefficients: Kenward-Roger's is adjusted for the uncertainty of the variances."""
        return self.fit.sigma**2 * self.model.coordinates.unscaled(self._standard(method))

    def covariance_of(self, method: Method, rows: np.ndarray) -> np.ndarray:
        """Covariance (r, r) of combinations (r, p), without the user's matrix, which a far origin of a covariate spoils."""
        standard = rows @ self.model.coordinates.transform
        return self.fit.sigma**2 / self.model.coordinates.weight_scale * standard @ self._standard(method) @ standard.T

    def errors_of(self, method: Method, rows: np.ndarray) -> np.ndarray:
        """Standard errors (r,) of combinations (r, p)."""
        standard = rows @ self.model.coordinates.transform
        spread = np.einsum("rp,pq,rq->r", standard, self._standard(method), standard)
        return self.fit.sigma * np.sqrt(spread / self.model.coordinates.weight_scale)

    def _standard(self, method: Method) -> np.ndarray:
        """Covariance (p, p) of the standard coefficients over their residual variance."""
        return self._adjusted(method.information).adjusted if method.ddf == "kenward-roger" else self.fit.standard_vcov

    def standard_errors(self, method: Method) -> np.ndarray:
        """Standard errors (p,) of the coefficients."""
        return np.sqrt(np.diagonal(self.covariance(method)))

    def degrees(self, method: Method, rows: np.ndarray | None = None) -> np.ndarray:
        """Degrees of freedom (r,) of each combination (r, p) by itself; of each coefficient by default."""
        rows = np.eye(self.fit.beta.size) if rows is None else rows
        if method.ddf == "normal":
            return np.full(len(rows), np.inf)
        if method.ddf == "residual":
            return np.full(len(rows), float(self.model.coordinates.n_obs - self.fit.beta.size))
        standard = rows @ self.model.coordinates.transform
        if self._estimates(method.information) and method.ddf == "satterthwaite":
            return self._estimated.satterthwaite(standard)
        if method.ddf == "kenward-roger":
            adjusted = self._adjusted(method.information)
            return np.array([f_test(adjusted, row[None])[1] for row in standard])
        if method.information == "observed" and self._too_large:
            return satterthwaite_df(self.model, self.fit, rows)
        return self.second.satterthwaite(standard, method.information)

    def test(self, method: Method, rows: np.ndarray) -> FTest:
        """That combinations (r, p) of the coefficients are all zero; rows that repeat others do not count.

        Raises
        ------
        DesignError
            When nothing is left of the rows.
        """
        turned = _uncorrelated(rows, self.covariance_of(Method("normal", "observed"), rows))
        if not len(turned):
            raise DesignError("the combination is zero for every coefficient, so there is nothing to test")
        rank, along = len(turned), turned @ self.fit.beta
        scale = 1.0
        statistic = float(along @ np.linalg.solve(self.covariance_of(method, turned), along)) / rank
        if method.ddf == "kenward-roger":
            scale, den_df = f_test(self._adjusted(method.information), turned @ self.model.coordinates.transform)
            statistic *= scale
        elif method.ddf == "satterthwaite":
            den_df = _joint(self.degrees(method, turned))
        else:
            den_df = float(self.degrees(method, turned)[0])
        p_value = stats.f.sf(statistic, rank, den_df) if np.isfinite(den_df) else stats.chi2.sf(rank * statistic, rank)
        return FTest(statistic, rank, den_df, float(p_value), scale)

    def _estimates(self, information: str) -> bool:
        """Whether that information is a `krylov` fit's own, the average one; any other takes dense matrices."""
        return self.model.plan.kind == "krylov" and information == "observed"

    @functools.cached_property
    def _estimated(self) -> Estimated:
        return Estimated(self.model, self.fit)

    def hessian(self) -> np.ndarray:
        """Of the criterion in the standard parameters: the observed one, or a `krylov` fit's average information."""
        return self._estimated.seen[0] if self._estimates("observed") else self.second.hessian()

    def variances(self, information: str) -> np.ndarray | None:
        """Covariance (m + 1, m + 1) of τ and the elements of the covariance matrices, as `second` has them; None where the
        information is not positive definite."""
        if self._estimates(information):
            return self._estimated.variances()
        found = self.second.information(information)
        values = np.linalg.eigvalsh(found)
        return None if values[0] <= 1e-12 * values[-1] else np.linalg.inv(found)

    @functools.cached_property
    def _too_large(self) -> bool:
        """Whether dense matrices of the largest component are not made."""
        return largest_component(self.model.gram) > LARGEST

    @functools.cached_property
    def _by_information(self) -> dict[str, Adjusted]:
        return {}

    def _adjusted(self, information: str) -> Adjusted:
        known = self._by_information
        if information not in known:
            known[information] = adjust(self.second, information)
        return known[information]


def _uncorrelated(rows: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Combinations of rows that are uncorrelated, as many as are independent.

    They are the eigenvectors of the covariance in the rows' own units, on which Satterthwaite's degrees of freedom depend;
    which rows repeat others is seen in units of their standard errors.
    """
    error = np.sqrt(np.diagonal(covariance))
    some = error > 0
    rows, error, covariance = rows[some], error[some], covariance[np.ix_(some, some)]
    if not len(rows):
        return rows
    values, vectors = np.linalg.eigh(covariance / np.outer(error, error))
    independent = values > DEPENDENT * values[-1]
    own, turned = np.linalg.eigh(covariance)
    if np.count_nonzero(own > DEPENDENT * own[-1]) == np.count_nonzero(independent):
        return turned[:, own > DEPENDENT * own[-1]].T @ rows
    return vectors[:, independent].T @ (rows / error[:, None])


def _joint(degrees: np.ndarray) -> float:
    """Denominator degrees of freedom of uncorrelated rows with their own."""
    rank = degrees.size
    if rank == 1 or np.ptp(degrees) < 1e-8 * degrees[0]:
        return float(degrees.mean())
    if np.any(degrees <= 2.0):
        return 2.0
    mean = float(np.sum(degrees / (degrees - 2.0)))
    return 2.0 * mean / (mean - rank)
