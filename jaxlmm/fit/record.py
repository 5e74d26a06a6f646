"""What a fit needs and what it gives: arrays without names."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxlmm.pls import Coordinates, Gram, Plan, Response


@dataclass(frozen=True)
class Model:
    """A design reduced to what any number of fits needs; no array has n rows.

    Attributes
    ----------
    gram, response, coordinates
        Cross-products in standard coordinates, and the way back.
    plan : Plan
        How random effects are eliminated.
    reduced : Reduced or KrylovReduced
        What one iteration reads.
    """

    gram: Gram
    response: Response
    coordinates: Coordinates
    plan: Plan
    reduced: Any

    @property
    def n_levels(self) -> list[int]:
        """Number of levels of each grouping factor."""
        return [zz.shape[2] for zz in self.gram.zz]


@dataclass(frozen=True)
class Certificate:
    """Why a fit may be believed, in standardized columns, so that no unit of the user's enters.

    Attributes
    ----------
    status : str
        "converged"; "rounding error" (as far as the digits of the data go); "iteration limit"; "no further decrease".
    iterations : int
        Steps tried.
    gradient : float
        Largest absolute partial derivative of the objective in θ, at the last point that was evaluated: the estimates, but
        for plans with a dense matrix of 256 rows and more, where a last Newton step from there is taken unseen.
    predicted_decrease : float
        By how much one more Newton step would lower the objective from there.
    smallest_curvature : float
        Smallest eigenvalue of the Hessian over the parameters that are not on the boundary: of the exact one for a single
        grouping factor, of the average-information one (which agrees with it up to sampling error) for several.
    singular : tuple of (int, int, int)
        Grouping factor, term of it, and number of directions without variance.
    boundary_slope : float
        Smallest derivative of the objective with respect to adding variance in a singular direction; not
        negative at a minimum. NaN where nothing is singular.
    flat : tuple of (int, int)
        Pairs of grouping factors that divide the rows alike: only the sum of their variances is identified.
    """

    status: str
    iterations: int
    gradient: float
    predicted_decrease: float
    smallest_curvature: float
    singular: tuple[tuple[int, int, int], ...]
    boundary_slope: float
    flat: tuple[tuple[int, int], ...]

    @property
    def converged(self) -> bool:
        """Whether the minimum is certified."""
        return self.status in ("converged", "rounding error")


@dataclass(frozen=True)
class MonteCarlo:
    """What the probes of a `krylov` plan leave uncertain of the criterion and the estimates.

    The conditional variances of `ranef(condvar=True)` have probes of their own, and their error beside them.

    Attributes
    ----------
    objective : float
        Standard deviation of the criterion over other probes.
    theta : (n_theta,) array
        Standard deviation of θ̂, in standard coordinates.
    std_error : (n_theta,) array
        Standard error of θ̂ itself, from the average information.
    bse : (p,) array
        Standard deviation of each coefficient's standard error, relative to it.
    probes, directions : int
        How many probes there are, and how many directions that are not left to them.
    """

    objective: float
    theta: np.ndarray
    std_error: np.ndarray
    bse: np.ndarray
    probes: int
    directions: int

    @property
    def error(self) -> float:
        """Largest standard deviation of an element of θ̂ over other probes, in its standard errors."""
        known = self.std_error > 0
        return float((self.theta[known] / self.std_error[known]).max(initial=0.0))


@dataclass(frozen=True)
class Fit:
    """Estimates of one lane, in the user's units.

    Attributes
    ----------
    theta : (n_theta,) array
        Canonical covariance parameters, by grouping factor and term in the design's order.
    standard_theta : (n_theta,) array
        The same in standard coordinates, where the optimizer works.
    lambdas : tuple of (k, k) arrays
        Relative covariance factors.
    objective : float
        Deviance or REML criterion.
    reml : bool
        Which of the two.
    sigma : float
        Residual standard deviation.
    beta : (p,) array
        Coefficients of the kept columns.
    unscaled_vcov : (p, p) array
        Their covariance is sigma**2 times this.
    standard_vcov : (p, p) array
        Φ, the same of the standard coefficients over their own residual variance: what a combination's variance is made
        from, since the user's matrix has lost the digits of covariates far from zero.
    b : tuple of (levels, k) arrays
        Conditional modes of each grouping factor.
    pwrss : float
        Penalized weighted residual sum of squares.
    certificate : Certificate
        How the optimizer ended.
    monte_carlo : MonteCarlo or None
        Of a `krylov` plan.
    """

    theta: np.ndarray
    standard_theta: np.ndarray
    lambdas: tuple[np.ndarray, ...]
    objective: float
    reml: bool
    sigma: float
    beta: np.ndarray
    unscaled_vcov: np.ndarray
    standard_vcov: np.ndarray
    b: tuple[np.ndarray, ...]
    pwrss: float
    certificate: Certificate
    monte_carlo: MonteCarlo | None = None

    @property
    def objective_error(self) -> float:
        """Standard deviation of the criterion over other probes; zero where it is exact."""
        return 0.0 if self.monte_carlo is None else self.monte_carlo.objective
