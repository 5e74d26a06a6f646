"""How well a fit describes its rows, and which rows decide it: the part of `MixedModelResults` that doubts."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pandas as pd

from jaxlmm import report
from jaxlmm.design import open_source
from jaxlmm.design.table import check_aligned
from jaxlmm.errors import DataError
from jaxlmm.fit import Control
from jaxlmm.inference import p_values
from jaxlmm.inference.diagnostics import cooks_distances, leverages, standardized, variance_parts
from jaxlmm.inference.robust import Robust, robust
from jaxlmm.inference.wald import wald_interval
from jaxlmm.precision import double
from jaxlmm.report import Fitted
from jaxlmm.results.estimates import Estimates
from jaxlmm.results.influence import Influence, influence_of
from jaxlmm.results.rows_out import augment_to


class Diagnostics(Estimates):
    """Diagnostics and robust covariances. `MixedModelResults` is the public class."""

    _control: Control
    _data: Any

    @double
    def augment(self, to: str | os.PathLike[str] | None = None, source: Any = None) -> Any:
        """The rows of the fit, with fitted values and residuals beside them.

        Parameters
        ----------
        to : path, optional
            A Parquet file to write instead, part by part: for rows that were read from a source, which are read again. It is
            there once it is whole.
        source : optional
            Where to read rows from, if not where the fit read them: as in `jaxlmm.cross_products`. Its levels must be
            those of the fit.

        Returns
        -------
        pandas.DataFrame, or int
            The columns that the formula names, in the rows that were used and under their labels, and then fitted,
            resid, and fixed (the fitted values without random effects); or the number of rows that were written.

        Raises
        ------
        DataError
            When the data has a column of one of those names, the fit has no rows, or its source can be read only once.

        Examples
        --------
        >>> import jaxlmm
        >>> fit = jaxlmm.lmer("Yield ~ 1 + (1 | Batch)", jaxlmm.load_dataset("dyestuff"))
        >>> fit.augment().head(2).round(1)
            Yield Batch  fitted  resid   fixed
        0  1545.0     A  1509.9   35.1  1527.5
        1  1440.0     A  1509.9  -69.9  1527.5
        """
        if to is None and source is None:
            return report.augment(self._fitted)
        if to is None:
            raise DataError("augment(source=...) writes what it reads; give it a file, too: augment(to='rows.parquet')")
        given = self._data if source is None else source
        if given is None:
            raise DataError(
                "this model was loaded from a file without its data; give them: augment(to=..., source=...)"
            )
        opened = open_source(given)
        if source is None and not opened.replayable:
            raise DataError(
                f"{opened.described} was read when the model was fitted, and can be read only once; give the rows again: "
                "augment(to=..., source=...)"
            )
        return augment_to(self._fitted, to, opened, self._control.chunk_rows)

    def r_squared(self) -> pd.Series:
        """Shares of the variance that the fixed effects explain (marginal), and fixed and random effects (conditional).

        Returns
        -------
        pandas.Series
            marginal, conditional.

        Raises
        ------
        DataError
            When the fit was loaded without its rows.

        Notes
        -----
        Nakagawa & Schielzeth (2013), Methods Ecol. Evol. 4(2); random slopes by Johnson (2014), Methods Ecol. Evol. 5(9).

        Examples
        --------
        >>> import jaxlmm
        >>> fit = jaxlmm.lmer("Reaction ~ Days + (Days | Subject)", jaxlmm.load_dataset("sleepstudy"))
        >>> fit.r_squared().round(3)
        marginal       0.279
        conditional    0.799
        Name: r_squared, dtype: float64
        """
        f = self._fitted
        fixed, random, rest = variance_parts(f.frame.with_rows(), f.model, f.fit)
        total = fixed + sum(random) + rest
        shares = {"marginal": fixed / total, "conditional": (fixed + sum(random)) / total}
        return pd.Series(shares, name="r_squared")

    def icc(self, adjusted: bool = True) -> pd.Series:
        """Intraclass correlations: each grouping factor's share of the variance, and that of all together.

        Parameters
        ----------
        adjusted : bool
            Of the variance that the fixed effects leave; with False, of all variance.

        Returns
        -------
        pandas.Series
            By grouping factor, then "total". With random slopes the variances are means over the rows.

        Raises
        ------
        DataError
            When the fit was loaded without its rows.

        Examples
        --------
        >>> import jaxlmm
        >>> fit = jaxlmm.lmer("Yield ~ 1 + (1 | Batch)", jaxlmm.load_dataset("dyestuff"))
        >>> fit.icc().round(3).to_dict()
        {'Batch': 0.418, 'total': 0.418}
        """
        f = self._fitted
        fixed, random, rest = variance_parts(f.frame.with_rows(), f.model, f.fit)
        total = sum(random) + rest + (0.0 if adjusted else fixed)
        shares = {factor.grouping.name: own / total for factor, own in zip(f.factors, random, strict=True)}
        return pd.Series({**shares, "total": sum(random) / total}, name="icc")

    @double
    def diagnostics(self) -> pd.DataFrame:
        """Leverages, standardized residuals and Cook's distances of the rows, at the estimated variances.

        Returns
        -------
        pandas.DataFrame
            By row of the fit: fitted, resid, hat (the derivative of the fitted value in the response), std_resid (the
            residual over its standard deviation σ√((1 - hat)/weight)), cooks_distance.

        Raises
        ------
        DataError
            When the fit was loaded without its rows.
        DesignError
            When the rows connect too many random effects for dense matrices.

        Notes
        -----
        As lme4's hatvalues, rstandard and cooks.distance.

        Examples
        --------
        >>> import jaxlmm
        >>> fit = jaxlmm.lmer("Reaction ~ Days + (Days | Subject)", jaxlmm.load_dataset("sleepstudy"))
        >>> fit.diagnostics().round(2).head(2)
           fitted  resid   hat  std_resid  cooks_distance
        0  253.66  -4.10  0.23      -0.18            0.00
        1  273.33 -14.63  0.17      -0.63            0.04
        """
        f = self._fitted
        design = f.frame.with_rows()
        value = report.fitted_values(f)
        resid = report.response(f) - value
        hat = leverages(design, f.reference.second)
        standard = standardized(design, f.fit, resid, hat)
        cooks = cooks_distances(standard, hat, f.fit.beta.size)
        columns = {"fitted": value, "resid": resid, "hat": hat, "std_resid": standard, "cooks_distance": cooks}
        return pd.DataFrame(columns, index=f.frame.rows.index)

    @double
    def influence(self, group: str | None = None, approximate: bool = False) -> Influence:
        """The fit without each level of a grouping factor in turn.

        Parameters
        ----------
        group : str, optional
            The grouping factor; the one with the fewest levels by default.
        approximate : bool
            First-order approximations of the refits, by the implicit function theorem from the fit's own Hessian; otherwise
            each is fitted exactly, from the fit's parameters.

        Returns
        -------
        Influence
            `frame`, `cooks_distance`, `dfbetas`.

        Raises
        ------
        DataError
            When there is no such factor, or the fit was loaded without its rows.

        Notes
        -----
        Demidenko & Stukel (2005), Stat. Med. 24(6). The rows of a level are taken out of the cross-products, so that a refit
        does not read the others; with one grouping factor all refits are one batch.

        Examples
        --------
        >>> import jaxlmm
        >>> fit = jaxlmm.lmer("strength ~ 1 + (1 | batch/cask)", jaxlmm.load_dataset("pastes"))
        >>> fit.influence("batch").frame["Intercept"].round(2).head(2)
        batch
        A    59.81
        B    60.14
        Name: Intercept, dtype: float64
        """
        return influence_of(self._fitted, self._control, group, approximate)

    @double
    def robust(self, kind: str = "CR2", cluster: Any = None, level: float = 0.95) -> pd.DataFrame:
        """Tests of the coefficients with a cluster-robust covariance, which is right if the covariance model is not.

        Parameters
        ----------
        kind : {"CR2", "CR1", "CR0"}
            Bias-reduced with the fitted model as working model; the plain sandwich times m/(m - 1) for m clusters; plain.
        cluster : str or (nobs,) array, optional
            A grouping factor, a variable of the formula, or a label for each row of the fit. Every grouping factor must lie
            inside it; by default the coarsest one.
        level : float
            Confidence level.

        Returns
        -------
        pandas.DataFrame
            By coefficient: estimate, std_error, df (Bell & McCaffrey's), statistic, p_value, conf_low, conf_high.

        Raises
        ------
        DesignError
            When a grouping factor crosses the clusters, or there is only one.
        DataError
            When there is no such cluster, or the fit was loaded without its rows.

        Notes
        -----
        Bell & McCaffrey (2002), Survey Methodology 28(2); Pustejovsky & Tipton (2018), J. Bus. Econ. Stat. 36(4); R has them
        in clubSandwich.

        Examples
        --------
        >>> import jaxlmm
        >>> fit = jaxlmm.lmer("Reaction ~ Days + (1 | Subject)", jaxlmm.load_dataset("sleepstudy"))
        >>> fit.robust()[["estimate", "std_error", "df"]].round(3)
                   estimate  std_error    df
        Intercept   251.405      6.825  17.0
        Days         10.467      1.546  17.0
        """
        f = self._fitted
        found = self._robust(kind, cluster)
        errors = np.sqrt(np.diagonal(found.covariance))
        statistic = f.fit.beta / errors
        low, high = wald_interval(f.fit.beta, errors, found.degrees, level)
        columns = {
            "estimate": f.fit.beta,
            "std_error": errors,
            "df": found.degrees,
            "statistic": statistic,
            "p_value": p_values(statistic, found.degrees),
            "conf_low": low,
            "conf_high": high,
        }
        return pd.DataFrame(columns, index=f.coefficients)

    @double
    def cov_robust(self, kind: str = "CR2", cluster: Any = None) -> pd.DataFrame:
        """Cluster-robust covariance matrix of the coefficients; arguments and errors as in `robust`.

        Examples
        --------
        >>> import jaxlmm
        >>> fit = jaxlmm.lmer("Reaction ~ Days + (1 | Subject)", jaxlmm.load_dataset("sleepstudy"))
        >>> fit.cov_robust("CR0").shape
        (2, 2)
        """
        names = self._fitted.coefficients
        return pd.DataFrame(self._robust(kind, cluster).covariance, index=names, columns=names)

    def _robust(self, kind: str, cluster: Any) -> Robust:
        f = self._fitted
        names = [factor.grouping.name for factor in f.factors]
        return robust(f.frame.with_rows(), f.model, f.fit, _clusters(f, cluster), kind, names)


def _clusters(fitted: Fitted, cluster: Any) -> np.ndarray:
    """Numbers of the clusters, one for each row of the fit.

    Raises
    ------
    DataError
        When there is no such cluster, or a row has none.
    """
    design, names = fitted.frame.with_rows(), [factor.grouping.name for factor in fitted.factors]
    if cluster is None:
        return design.random[int(np.argmin([block.n_levels for block in design.random]))].codes
    if isinstance(cluster, str):
        if cluster in names:
            return design.random[names.index(cluster)].codes
        if cluster not in fitted.frame.table:
            raise DataError(
                f"cluster={cluster!r} is neither a grouping factor of this fit ({', '.join(map(repr, names))}) nor a "
                "variable of its formula; give the labels themselves: cluster=data['...']"
            )
        return pd.factorize(fitted.frame.table[cluster])[0]
    check_aligned(cluster, fitted.frame.rows.index, "cluster")
    labels = np.asarray(cluster)
    if labels.shape != (design.n_obs,):
        raise DataError(
            f"cluster has shape {labels.shape}, but the fit has {design.n_obs:,} rows; give a label for each"
        )
    codes = pd.factorize(labels)[0]
    if (codes < 0).any():
        raise DataError("cluster is missing in some rows; give a label for each row of the fit")
    return codes
