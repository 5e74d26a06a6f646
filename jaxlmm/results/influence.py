"""`Influence`: what a fit is without each level of a grouping factor."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.linalg import solve_triangular

from jaxlmm.errors import DataError
from jaxlmm.fit import Control, LeftOut, Rows, left_out
from jaxlmm.report import Fitted
from jaxlmm.resample import Resampler


class Influence:
    """Fits without each level of a grouping factor; made by `MixedModelResults.influence`.

    Parameters
    ----------
    fitted : Fitted
        The fit to all rows.
    group : str
        The grouping factor.
    found : LeftOut
        What was estimated without each level.

    Examples
    --------
    >>> import jaxlmm
    >>> fit = jaxlmm.lmer("Reaction ~ Days + (Days | Subject)", jaxlmm.load_dataset("sleepstudy"))
    >>> influence = fit.influence()
    >>> influence.cooks_distance.sort_values(ascending=False).head(2).round(3)
    Subject
    309    0.149
    335    0.129
    Name: cooks_distance, dtype: float64
    """

    def __init__(self, fitted: Fitted, group: str, found: LeftOut):
        self._fitted, self.group, self._found = fitted, group, found

    @property
    def frame(self) -> pd.DataFrame:
        """One row per level that was left out: status, objective, coefficients, covariance parameters theta and sigma.

        A coefficient that the remaining rows do not determine makes its row NaN, with the status "not identified".
        """
        found = self._found
        theta = [f"theta{i + 1}" for i in range(found.theta.shape[1])]
        table = pd.DataFrame({"status": found.status, "objective": found.objective}, index=self._index)
        beta = pd.DataFrame(found.beta, index=self._index, columns=self._fitted.coefficients)
        parameters = pd.DataFrame(found.theta, index=self._index, columns=theta).assign(sigma=found.sigma)
        return pd.concat([table, beta, parameters], axis=1)

    @property
    def dfbetas(self) -> pd.DataFrame:
        """Coefficients of the fit less those without a level, in standard errors of the fit without it (Belsley, Kuh &
        Welsch 1980, §2.1)."""
        change = (self._fitted.fit.beta - self._found.beta) / self._found.std_error
        return pd.DataFrame(change, index=self._index, columns=self._fitted.coefficients)

    @property
    def cooks_distance(self) -> pd.Series:
        """Squared change of all coefficients at once, in the metric of their covariance, over their number (NaN for none)."""
        if not len(self._fitted.coefficients):
            return pd.Series(np.nan, index=self._index, name="cooks_distance")
        change = self._found.beta - self._fitted.fit.beta
        coordinates, fit = self._fitted.model.coordinates, self._fitted.fit
        standard = solve_triangular(coordinates.transform, change.T)
        along = coordinates.weight_scale / fit.sigma**2 * np.linalg.solve(fit.standard_vcov, standard)
        distance = np.sum(standard * along, axis=0) / change.shape[1]
        return pd.Series(distance, index=self._index, name="cooks_distance")

    def __repr__(self) -> str:
        lost = int(np.sum(self._found.status == "not identified"))
        more = f", {lost} not identified" if lost else ""
        return f"<Influence: {len(self._index)} levels of {self.group!r} left out in turn{more}>"

    @property
    def _index(self) -> pd.Index:
        factor = next(f for f in self._fitted.factors if f.grouping.name == self.group)
        return pd.Index(factor.grouping.levels, name=self.group)


def influence_of(fitted: Fitted, control: Control, group: str | None, approximate: bool) -> Influence:
    """Fits without each level of a grouping factor, of the coarsest by default.

    Raises
    ------
    DataError
        When there is no such factor, or the fit was loaded without its rows.
    """
    names = [factor.grouping.name for factor in fitted.factors]
    if group is None:
        group = names[int(np.argmin([factor.grouping.n_levels for factor in fitted.factors]))]
    if group not in names:
        raise DataError(f"{group!r} is not a grouping factor of this fit; those are: {', '.join(map(repr, names))}")
    design, factor = fitted.frame.with_rows(), names.index(group)
    if approximate:
        hessian = fitted.reference.hessian()
        rows = Rows.of(design, fitted.model, factor)
        return Influence(fitted, group, left_out(fitted.model, rows, fitted.fit, control, hessian))
    if len(names) == 1:
        lanes = Resampler(fitted.shared, fitted.fit, 0, "parametric", control).jackknife()
        status = lanes.status_names.astype(object)
        found = LeftOut(lanes.theta, lanes.beta, lanes.std_error, lanes.sigma, lanes.objective, status)
        return Influence(fitted, group, found)
    return Influence(fitted, group, left_out(fitted.model, Rows.of(design, fitted.model, factor), fitted.fit, control))
