"""`Bootstrap`: the replicates of a fit, and what they say about it."""

from __future__ import annotations

import functools
import importlib.util
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from jaxlmm import report
from jaxlmm.design.table import as_floats
from jaxlmm.errors import DataError
from jaxlmm.fit import Control, LaneFits, joined
from jaxlmm.inference.intervals import METHODS, interval
from jaxlmm.inference.wald import check_level
from jaxlmm.precision import double
from jaxlmm.report import Fitted
from jaxlmm.resample import Checkpoint, Resampler, Round, check_replicates, digest_of, run

Statistic = Callable[[pd.DataFrame], Any]


class Bootstrap:
    """Refits of responses drawn from a fit; made by `MixedModelResults.bootstrap`.

    Parameters
    ----------
    fitted : Fitted
        The fit that was drawn from.
    resampler : Resampler
        What draws and fits replicates.
    lanes : LaneFits
        What the replicates estimated.
    statistic : callable or None
        The user's own statistics of them.

    Examples
    --------
    >>> import jaxlmm
    >>> fit = jaxlmm.lmer("Yield ~ 1 + (1 | Batch)", jaxlmm.load_dataset("dyestuff"))
    >>> draws = fit.bootstrap(500, seed=1)
    >>> draws.frame.shape
    (500, 10)
    """

    def __init__(self, fitted: Fitted, resampler: Resampler, lanes: LaneFits, statistic: Statistic | None = None):
        self._fitted, self._resampler, self._lanes, self._statistic = fitted, resampler, lanes, statistic

    def __len__(self) -> int:
        return int(self._lanes.sigma.size)

    @property
    def seed(self) -> int:
        """Of all replicates."""
        return self._resampler.seed

    @property
    def kind(self) -> str:
        """How replicates were drawn."""
        return self._resampler.kind

    @functools.cached_property
    def frame(self) -> pd.DataFrame:
        """One row per replicate: its number, status, whether it is singular and was retried, iterations, objective, then
        theta, coefficients, standard deviations and correlations, the last two named "sd__(term)|group" and
        "cor__(a).(b)|group"; and then the user's statistics."""
        table = report.replicates(self._fitted, self._lanes, np.arange(len(self)))
        return self._with_statistic(table)

    @property
    def n_converged(self) -> int:
        """Number of replicates that ended at a certified minimum, rounding error included."""
        return self._lanes.n_certified

    @property
    def n_singular(self) -> int:
        """Number of converged replicates with a direction without variance."""
        return self._lanes.n_singular

    @property
    def n_failed(self) -> int:
        """Number of replicates without a certified minimum; they stay in `frame` and are left out of intervals."""
        return len(self) - self.n_converged

    @double
    def conf_int(self, method: str = "percentile", level: float = 0.95) -> pd.DataFrame:
        """Confidence intervals of coefficients, standard deviations and correlations.

        Parameters
        ----------
        method : {"percentile", "basic", "normal", "bca"}
            Quantiles of the replicates; quantiles reflected at the estimate; the estimate less the bias, plus and minus
            normal quantiles of the replicates' standard deviation (Davison & Hinkley 1997, §5.2); bias-corrected and
            accelerated quantiles, the acceleration from the exact fits without each group in turn (Efron & Tibshirani 1993,
            §14.3), for one grouping factor or nested ones.
        level : float
            Confidence level.

        Returns
        -------
        pandas.DataFrame
            Columns lower and upper.

        Raises
        ------
        DataError, DesignError
            When an argument is not known, no replicate converged, or "bca" is asked of crossed groups or of a fit that was
            loaded without its rows.

        Examples
        --------
        >>> import jaxlmm
        >>> fit = jaxlmm.lmer("Yield ~ 1 + (1 | Batch)", jaxlmm.load_dataset("dyestuff"))
        >>> list(fit.bootstrap(200, seed=1).conf_int().columns)
        ['lower', 'upper']
        """
        if method not in METHODS:
            raise DataError(f"method={method!r} is not known; write " + ", ".join(map(repr, METHODS)))
        level = check_level(level)
        drawn = self._drawn()
        if len(drawn) < 2:
            raise DataError(
                f"an interval needs replicates, and this bootstrap has {len(drawn)}; draw more: append(1000)"
            )
        left_out = self._left_out[drawn.columns].to_numpy() if method == "bca" else None
        low, high = interval(method, drawn.to_numpy(), self._estimates().to_numpy(), level, left_out)
        return pd.DataFrame({"lower": low, "upper": high}, index=drawn.columns)

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
    def append(self, n: int, progress: bool = False) -> Bootstrap:
        """The same replicates and n more: those that a longer run would have drawn.

        Raises
        ------
        DataError
            When n is not a number of replicates.
        """
        check_replicates(n, self.seed)
        more = drawn(self._resampler, len(self), len(self) + n, progress, None)
        return Bootstrap(self._fitted, self._resampler, joined([self._lanes, more]), self._statistic)

    def to_xarray(self) -> Any:
        """`frame` as an xarray.Dataset along the dimension replicate; for ArviZ and the like.

        Raises
        ------
        DataError
            When xarray is not installed.
        """
        if importlib.util.find_spec("xarray") is None:
            raise DataError("to_xarray() needs xarray; install it with pip install 'jaxlmm[xarray]'")
        attributes = {"seed": self.seed, "kind": self.kind, "formula": self._fitted.frame.formula.source}
        return self.frame.set_index("replicate").to_xarray().assign_attrs(attributes)

    def __repr__(self) -> str:
        more = f", {self.n_failed} failed" if self.n_failed else ""
        return (
            f"<Bootstrap: {len(self)} {self.kind} replicates, seed {self.seed}, {self.n_converged} converged, "
            f"{self.n_singular} of them singular{more}>"
        )

    @functools.cached_property
    def _left_out(self) -> pd.DataFrame:
        """Estimates of the fits without each group."""
        self._fitted.frame.with_rows()  # raises where they were not saved
        found = self._resampler.jackknife()
        if not found.certified.all():
            raise DataError(
                f"method='bca' needs the fit without each group, and {int((~found.certified).sum())} of "
                f"{found.sigma.size} such fits have no certified minimum; write method='percentile'"
            )
        table = report.replicates(self._fitted, found, np.arange(found.sigma.size))
        return self._with_statistic(table)

    def _with_statistic(self, table: pd.DataFrame) -> pd.DataFrame:
        """A table of replicates with the user's statistics beside them."""
        if self._statistic is None:
            return table
        return pd.concat([table, _own(_asked(self._statistic, table), table)], axis=1)

    def _estimates(self) -> pd.Series:
        table = report.estimates_as_replicate(self._fitted)
        return self._with_statistic(table).iloc[0][self._drawn().columns].astype(float)

    def _drawn(self) -> pd.DataFrame:
        """Estimates of the replicates that converged."""
        if not self.n_converged:
            raise DataError("no replicate converged; look at frame['status']")
        table = self.frame[self._lanes.certified]
        thetas = [name for name in table if str(name).startswith("theta.")]
        return table.drop(columns=[*report.NOT_ESTIMATES, *thetas])


def _asked(statistic: Statistic, table: pd.DataFrame) -> Any:
    """What the user's function gives for a table of replicates.

    Raises
    ------
    DataError
        When it fails, saying what it is given.
    """
    given = table.drop(columns=report.NOT_ESTIMATES)
    try:
        return statistic(given)
    except Exception as problem:  # whatever a function of the user's raises
        raise DataError(
            f"statistic failed ({type(problem).__name__}: {problem}); it is given a table, not a fit: a row for each "
            f"replicate, and the columns {', '.join(map(repr, given))}"
        ) from problem


def _own(found: Any, table: pd.DataFrame) -> pd.DataFrame:
    """What the user's function gave, as columns beside a table of replicates.

    Raises
    ------
    DataError
        When it is not one number per replicate, in their order, under names of its own.
    """
    if isinstance(found, pd.Series):
        found = found.to_frame("statistic" if found.name is None or found.name in table else found.name)
    columns = dict(found) if isinstance(found, Mapping | pd.DataFrame) else {"statistic": found}
    numbers = {}
    for name, values in columns.items():
        if name in table or str(name).startswith("theta."):
            raise DataError(f"statistic gave a column {name!r}, which the replicates have already; call it otherwise")
        if isinstance(values, pd.Series) and not values.index.equals(table.index):
            raise DataError(
                f"statistic gave {name!r} with other row labels than its table has; keep the rows in their order"
            )
        array = as_floats(values, f"what statistic gave as {name!r}")
        if array.shape != (len(table),):
            raise DataError(
                f"statistic gave shape {array.shape} for {len(table)} replicates; it must give one number for each row"
            )
        numbers[name] = array
    return pd.DataFrame(numbers, index=table.index)


def bootstrapped(
    fitted: Fitted,
    control: Control,
    n: int,
    seed: int,
    kind: str,
    statistic: Statistic | None,
    progress: bool,
    checkpoint: str | os.PathLike[str] | None,
) -> Bootstrap:
    """Draw n replicates of a fit and fit them; the arguments are those of `MixedModelResults.bootstrap`."""
    check_replicates(n, seed)
    if statistic is not None and not callable(statistic):
        raise DataError(f"statistic is of type {type(statistic).__name__}; write a function of a table of replicates")
    if statistic is not None:
        mine = report.estimates_as_replicate(fitted)
        _own(_asked(statistic, mine), mine)  # a function that fails does so before anything is drawn
    resampler = Resampler(fitted.shared, fitted.fit, seed, kind, replace(control, start=None))
    if kind != "parametric" or fitted.model.plan.kind != "grouped":
        fitted.frame.with_rows()  # raises where they were not saved
    lanes = drawn(resampler, 0, n, progress, checkpoint, fitted.frame.formula.source)
    return Bootstrap(fitted, resampler, lanes, statistic)


def drawn(
    resampler: Resampler,
    begin: int,
    end: int,
    progress: bool,
    checkpoint: str | os.PathLike[str] | None,
    formula: str = "",
) -> LaneFits:
    """Draw and fit the replicates begin to end - 1, in rounds that begin at multiples of their size."""
    size = resampler.round_size
    kept = None if checkpoint is None else Checkpoint(checkpoint, _about(resampler, formula))

    def rounds() -> Iterator[Round]:
        first = begin
        while first < end:
            last = min((first // size + 1) * size, end)
            numbers = np.arange(first, last)
            yield Round(first, last, functools.partial(resampler.replicates, numbers))
            first = last

    return joined(run(rounds(), end - begin, "replicates", progress, kept))


def _about(resampler: Resampler, formula: str) -> dict[str, Any]:
    """What makes a run this run; how many replicates it has is no part of it."""
    fit, model = resampler.fit, resampler.shared.model
    arrays = [
        *model.gram.zz,
        *model.gram.zx,
        *model.response.zy,
        fit.theta,
        fit.beta,
        np.array([fit.sigma, fit.objective]),
    ]
    return {
        "what": "jaxlmm bootstrap",
        "format": 1,
        "formula": formula,
        "fit": digest_of(arrays),
        "reml": bool(fit.reml),
        "seed": int(resampler.seed),
        "plan": model.plan.kind,
        "kind": resampler.kind,
        "max_iterations": resampler.control.max_iterations,
    }
