"""`Bootstrap`: the replicates of a fit, and what they say about it."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd
from scipy.stats import norm

from jaxlmm import report, resample
from jaxlmm.errors import DataError
from jaxlmm.fit import Control, LaneFits
from jaxlmm.precision import double
from jaxlmm.report import Fitted

METHODS = ("percentile", "basic", "normal")


class Bootstrap:
    """Refits of responses drawn from a fit; made by `MixedModelResults.bootstrap`.

    Parameters
    ----------
    fitted : Fitted
        The fit that was drawn from.
    control : Control
        Settings of the refits.
    lanes : LaneFits
        What the replicates estimated.
    seed : int
        Of all replicates.
    kind : str
        How they were drawn.

    Examples
    --------
    >>> import jaxlmm
    >>> fit = jaxlmm.lmer("Yield ~ 1 + (1 | Batch)", jaxlmm.load_dataset("dyestuff"))
    >>> draws = fit.bootstrap(500, seed=1)
    >>> draws.frame.shape
    (500, 10)
    """

    def __init__(self, fitted: Fitted, control: Control, lanes: LaneFits, seed: int, kind: str):
        self._fitted, self._control, self._lanes = fitted, control, lanes
        self.seed, self.kind = seed, kind

    def __len__(self) -> int:
        return int(self._lanes.sigma.size)

    @functools.cached_property
    def frame(self) -> pd.DataFrame:
        """One row per replicate: its number, status, whether it is singular and was retried, iterations, objective, then
        theta, coefficients, standard deviations and correlations, the last two named "sd__(term)|group" and
        "cor__(a).(b)|group"."""
        return report.replicates(self._fitted, self._lanes, np.arange(len(self)))

    @property
    def n_converged(self) -> int:
        """Number of replicates that ended at a certified minimum, rounding error included."""
        return int(np.sum(self._lanes.status <= 1))

    @property
    def n_singular(self) -> int:
        """Number of converged replicates with a direction without variance."""
        return int(np.sum(self._lanes.singular & (self._lanes.status <= 1)))

    @property
    def n_failed(self) -> int:
        """Number of replicates without a certified minimum; they stay in `frame` and are left out of intervals."""
        return len(self) - self.n_converged

    def conf_int(self, method: str = "percentile", level: float = 0.95) -> pd.DataFrame:
        """Confidence intervals of coefficients, standard deviations and correlations.

        Parameters
        ----------
        method : {"percentile", "basic", "normal"}
            Quantiles of the replicates; quantiles reflected at the estimate; the estimate less the bias, plus and minus
            normal quantiles of the replicates' standard deviation (Davison & Hinkley 1997, §5.2).
        level : float
            Confidence level.

        Returns
        -------
        pandas.DataFrame
            Columns lower and upper.

        Raises
        ------
        DataError
            When an argument is not known, or no replicate converged.

        Examples
        --------
        >>> import jaxlmm
        >>> fit = jaxlmm.lmer("Yield ~ 1 + (1 | Batch)", jaxlmm.load_dataset("dyestuff"))
        >>> list(fit.bootstrap(200, seed=1).conf_int().columns)
        ['lower', 'upper']
        """
        if method not in METHODS:
            raise DataError(f"method={method!r} is not known; write " + ", ".join(map(repr, METHODS)))
        if not isinstance(level, int | float | np.number) or not 0.0 < level < 1.0:
            raise DataError(f"level={level!r} is not a confidence level; write a number between 0 and 1, such as 0.95")
        estimate, drawn = self._estimates(), self._drawn()
        tail = 0.5 * (1.0 - float(level))
        if method == "normal":
            center = 2.0 * estimate - drawn.mean()
            half = norm.ppf(1.0 - tail) * drawn.std()
            return pd.DataFrame({"lower": center - half, "upper": center + half})
        quantiles = drawn.quantile([tail, 1.0 - tail])
        low, high = quantiles.iloc[0], quantiles.iloc[1]
        if method == "basic":
            low, high = 2.0 * estimate - high, 2.0 * estimate - low
        return pd.DataFrame({"lower": low, "upper": high})

    def summary(self) -> pd.DataFrame:
        """Estimate, mean of the replicates, bias and standard error of every term.

        Examples
        --------
        >>> import jaxlmm
        >>> fit = jaxlmm.lmer("Yield ~ 1 + (1 | Batch)", jaxlmm.load_dataset("dyestuff"))
        >>> list(fit.bootstrap(100, seed=1).summary().columns)
        ['estimate', 'mean', 'bias', 'std_error']
        """
        estimate, drawn = self._estimates(), self._drawn()
        mean = drawn.mean()
        return pd.DataFrame({"estimate": estimate, "mean": mean, "bias": mean - estimate, "std_error": drawn.std()})

    @double
    def append(self, n: int) -> Bootstrap:
        """The same replicates and n more: those that a longer run would have drawn.

        Raises
        ------
        DataError
            When n is not a number of replicates.
        """
        resample.check_replicates(n, self.seed)
        more = draw(self._fitted, self._control, np.arange(len(self), len(self) + n), self.seed, self.kind)
        return Bootstrap(self._fitted, self._control, resample.joined([self._lanes, more]), self.seed, self.kind)

    def __repr__(self) -> str:
        more = f", {self.n_failed} failed" if self.n_failed else ""
        return (
            f"<Bootstrap: {len(self)} {self.kind} replicates, seed {self.seed}, {self.n_converged} converged, "
            f"{self.n_singular} of them singular{more}>"
        )

    def _estimates(self) -> pd.Series:
        return report.replicate_estimates(self._fitted).drop(self._thetas())

    def _drawn(self) -> pd.DataFrame:
        """Estimates of the replicates that converged."""
        if not self.n_converged:
            raise DataError("no replicate converged; look at frame['status']")
        table = self.frame[self._lanes.status <= 1]
        return table.drop(columns=[*report.NOT_ESTIMATES, *self._thetas()])

    def _thetas(self) -> list[str]:
        return [name for name in self.frame if name.startswith("theta.")]


def draw(fitted: Fitted, control: Control, numbers: np.ndarray, seed: int, kind: str) -> LaneFits:
    """Draw and fit the replicates with these numbers."""
    design = fitted.frame.design
    if kind != "parametric" or fitted.model.plan.kind != "grouped":
        design = fitted.frame.with_rows()
    mean = design.x[:, fitted.model.coordinates.kept] @ fitted.fit.beta
    return resample.bootstrap(
        fitted.model, fitted.fit, design, mean, lambda: fitted.responder, numbers, seed, kind, control
    )
