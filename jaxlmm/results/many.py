"""`ManyFits`: the fits of many responses to one formula, made by `jaxlmm.fit_many`."""

from __future__ import annotations

import functools
from collections.abc import Hashable
from typing import Any

import numpy as np
import pandas as pd

from jaxlmm import report
from jaxlmm.errors import DataError
from jaxlmm.fit import LaneFits
from jaxlmm.inference import OF_LANES, check_ddf
from jaxlmm.inference.moderation import effect_variance, log_odds, moderated_variances, variance_prior
from jaxlmm.inference.wald import check_level, p_values
from jaxlmm.precision import double
from jaxlmm.results.many_source import ManySource
from jaxlmm.results.model import MixedModelResults
from jaxlmm.results.spellings import not_here

SORTS = ("p_value", "B", "estimate", "none")


class ManyFits:
    """Fits of many responses to one formula; made by `jaxlmm.fit_many`, not by hand.

    Parameters
    ----------
    source : ManySource
        The design, the responses, and how they were fitted.
    names : pandas.Index
        Responses.
    fits : LaneFits
        What was estimated.

    Examples
    --------
    >>> import jaxlmm
    >>> sleepstudy = jaxlmm.load_dataset("sleepstudy")
    >>> responses = {"ms": sleepstudy["Reaction"], "speed": 1000 / sleepstudy["Reaction"]}
    >>> many = jaxlmm.fit_many("~ Days + (Days | Subject)", sleepstudy, responses)
    >>> many.frame[["response", "term", "estimate", "df"]].round(3)
      response       term  estimate    df
    0       ms  Intercept   251.405  17.0
    1       ms       Days    10.467  17.0
    2    speed  Intercept     3.966  17.0
    3    speed       Days    -0.111  17.0
    """

    def __init__(self, source: ManySource, names: pd.Index, fits: LaneFits):
        self._source, self._fits = source, fits
        self.names = names

    def __len__(self) -> int:
        return len(self.names)

    def __getattr__(self, name: str) -> Any:
        raise not_here(name, type(self).__name__)

    # Tables

    @functools.cached_property
    def frame(self) -> pd.DataFrame:
        """One row per response and term: response, then tidy's columns (effect is "fixed" for coefficients, "test" for the
        linear combinations of `tests`), then p_adjusted, adjusted by Benjamini and Hochberg over the responses of a term.

        A coefficient that the rows of a response cannot estimate is NaN. A response without a certified minimum keeps its
        estimates and standard errors, and has no p-value.
        """
        return self.table()

    def table(self, ddf: str | None = None, level: float = 0.95) -> pd.DataFrame:
        """`frame` with other degrees of freedom or another confidence level.

        Parameters
        ----------
        ddf : {"satterthwaite", "residual", "normal"}, optional
            Instead of the fit's; Satterthwaite's are there only if the fits were made with them.
        level : float
            Of the intervals conf_low to conf_high.
        """
        s = self._source
        df = self._df(check_ddf(ddf or s.ddf, OF_LANES))
        return report.long_table(
            self.names, s.terms, len(s.tests), self._combined(), self._fits, df, check_level(level)
        )

    @property
    def params(self) -> pd.DataFrame:
        """Coefficients, responses by terms."""
        return pd.DataFrame(self._fits.beta.copy(), index=self.names, columns=list(self._source.frame.fixed.names))

    @property
    def status(self) -> pd.Series:
        """How each response ended: "converged" and "rounding error" are minima; "iteration limit" and "no further decrease"
        are not; "exact fit" (the model reproduces the response, a constant one for instance) and "not identified" (too few
        rows left for its coefficients or variances) cannot be fitted."""
        return pd.Series(self._fits.status_names, index=self.names, name="status")

    @property
    def sigma(self) -> pd.Series:
        """Residual standard deviations."""
        return pd.Series(self._fits.sigma.copy(), index=self.names, name="sigma")

    @property
    def objective(self) -> pd.Series:
        """REML criteria, or deviances."""
        return pd.Series(self._fits.objective.copy(), index=self.names, name="objective")

    @property
    def is_singular(self) -> pd.Series:
        """Whether some direction of the random effects has no variance."""
        return pd.Series(self._fits.singular.copy(), index=self.names, name="is_singular")

    @property
    def varcorr(self) -> pd.DataFrame:
        """Standard deviations and correlations of the random effects, responses by parameters named "sd__(term)|group" and
        "cor__(a).(b)|group"; the residual standard deviation last."""
        return pd.DataFrame(report.lane_deviations(self._source.frame, self._fits), index=self.names)

    def variance_fractions(self) -> pd.DataFrame:
        """Shares of the variance of each response: fixed terms, random terms, residual; each row adds up to one.

        The fixed effects have the variance of Xβ̂ over the rows, divided between their terms in proportion to the variances
        of the terms' own parts; a random term has the mean of z'Σz over the rows; the residual is that of a row of weight
        one (Hoffman & Schadt 2016, BMC Bioinformatics 17).

        Returns
        -------
        pandas.DataFrame
            Responses by terms; NaN where a response was not fitted.

        Examples
        --------
        >>> import jaxlmm
        >>> pastes = jaxlmm.load_dataset("pastes")
        >>> many = jaxlmm.fit_many("~ 1 + (1 | batch/cask)", pastes, {"strength": pastes["strength"]}, ddf="residual")
        >>> many.variance_fractions().round(2)
                  cask:batch  batch  Residual
        strength        0.78   0.15      0.06
        """
        return report.variance_fractions(self._source.frame, self._fits).set_axis(self.names)

    @double
    def top_table(
        self,
        term: str | None = None,
        number: int | None = 10,
        moderate: bool = True,
        sort_by: str = "p_value",
    ) -> pd.DataFrame:
        """The responses with the strongest evidence about one term, in limma's columns.

        Parameters
        ----------
        term : str, optional
            A coefficient, or the name of a test; by default the last term of the frame.
        number : int or None
            How many responses; None: all.
        moderate : bool
            Shrink the residual variances towards a common distribution (empirical Bayes; Smyth 2004, Stat. Appl. Genet. Mol.
            Biol. 3(1)): t statistics with the shrunken variance, and the degrees of freedom of the prior added to those of
            the response's. The prior is estimated from σ̂² on n - p degrees of freedom, as if rows were independent.
        sort_by : {"p_value", "B", "estimate", "none"}
            By p-value, log-odds, or size of the estimate, strongest first; or in the order of the responses.

        Returns
        -------
        pandas.DataFrame
            Index response; columns logFC (the estimate), AveExpr (mean of the response), t, P.Value, adj.P.Val (Benjamini &
            Hochberg over all responses), and with `moderate` B, the log-odds that the effect is not zero.

        Raises
        ------
        DataError
            When an argument is not known, or there are too few responses to estimate a prior from.

        Examples
        --------
        >>> import jaxlmm, numpy as np
        >>> sleepstudy = jaxlmm.load_dataset("sleepstudy")
        >>> noise = np.random.default_rng(0).normal(size=(180, 3))
        >>> responses = {f"r{i}": sleepstudy["Reaction"] + 50 * noise[:, i] for i in range(3)}
        >>> many = jaxlmm.fit_many("~ Days + (1 | Subject)", sleepstudy, responses)
        >>> many.top_table("Days", number=2).columns.tolist()
        ['logFC', 'AveExpr', 't', 'P.Value', 'adj.P.Val', 'B']
        """
        s, fits = self._source, self._fits
        term = s.terms[-1] if term is None else term
        if term not in s.terms:
            raise DataError(f"term={term!r} is neither a coefficient nor a test; those are: {', '.join(s.terms)}")
        if sort_by not in SORTS or (sort_by == "B" and not moderate):
            raise DataError(f"sort_by={sort_by!r} is not known; write " + ", ".join(map(repr, SORTS)))
        if number is not None and (not isinstance(number, int | np.integer) or isinstance(number, bool) or number < 1):
            raise DataError(f"number={number!r} is not a number of responses; write 1 or more, or None for all")
        j = s.terms.index(term)
        usable = fits.certified & (fits.sigma > 0)
        estimate = np.where(usable, self._combined()[:, j], np.nan)
        variance, df = np.where(usable, fits.sigma**2, np.nan), self._df(s.ddf)[:, j]
        with np.errstate(invalid="ignore", divide="ignore"):
            unscaled = fits.std_error[:, j] / fits.sigma
            if moderate:
                residual = self._residual_df()
                prior = variance_prior(variance, residual)
                # No more than all responses have together.
                df = np.minimum(df + prior.df, np.maximum(residual.sum(), df))
                variance = moderated_variances(variance, residual, prior)
            t = estimate / (unscaled * np.sqrt(variance))
        p = p_values(t, df)
        columns = {
            "logFC": self._combined()[:, j],
            "AveExpr": s.means,
            "t": t,
            "P.Value": p,
            "adj.P.Val": report.adjusted(p[:, None])[:, 0],
        }
        if moderate:
            columns["B"] = log_odds(t, unscaled, df, effect_variance(t, unscaled, df, prior), prior)
        table = pd.DataFrame(columns, index=self.names.rename("response"))
        return _sorted(table, sort_by).head(len(table) if number is None else number)

    # Rows

    @property
    def fittedvalues(self) -> LazyRows:
        """X β̂ + Z b̂ + offset, computed for the responses that are asked for: `many.fittedvalues["APOE"]`."""
        return LazyRows(self, residuals=False)

    @property
    def resid(self) -> LazyRows:
        """Responses minus fitted values, computed for those that are asked for; NaN where a response is missing."""
        return LazyRows(self, residuals=True)

    @double
    def fit(self, name: Hashable) -> MixedModelResults:
        """The fit of one response as ordinary results, fitted again by itself on the rows that it has.

        Where it misses rows, `scale(x)` and other functions of a whole column are computed from those it has.

        Raises
        ------
        DataError
            When there is no such response, or responses came from an iterator and are gone.

        Examples
        --------
        >>> import jaxlmm
        >>> pastes = jaxlmm.load_dataset("pastes")
        >>> many = jaxlmm.fit_many("~ 1 + (1 | batch/cask)", pastes, {"strength": pastes["strength"]}, ddf="residual")
        >>> many.fit("strength").formula
        'strength ~ 1 + (1 | batch/cask)'
        """
        return self._source.fit_one(self._position(name), name)

    # Counts

    @property
    def n_converged(self) -> int:
        """Number of responses with a certified minimum."""
        return self._fits.n_certified

    @property
    def n_singular(self) -> int:
        """Number of those with a direction without variance."""
        return self._fits.n_singular

    @property
    def n_failed(self) -> int:
        """Number of responses without a certified minimum; `status` says why."""
        return len(self) - self.n_converged

    def __repr__(self) -> str:
        more = f", {self.n_failed} FAILED" if self.n_failed else ""
        return (
            f"<ManyFits: {self._source.formula.strip()!r}, {len(self)} responses, {self._source.n_obs} rows, "
            f"{self.n_converged} converged, {self.n_singular} of them singular{more}>"
        )

    # Inside

    def _position(self, name: Hashable) -> int:
        try:
            found = self.names.get_loc(name)
        except (KeyError, TypeError, pd.errors.InvalidIndexError):
            found = None
        if not isinstance(found, int | np.integer):
            raise DataError(f"there is no response {name!r}; the first are: {self.names[:8].tolist()}")
        return int(found)

    def _combined(self) -> np.ndarray:
        """Estimates (R, m) of coefficients and tests; a redundant coefficient counts as absent."""
        found = np.where(np.isnan(self._fits.beta), 0.0, self._fits.beta) @ self._source.settings.combinations.T
        return np.where(np.isnan(self._fits.std_error), np.nan, found)

    def _residual_df(self) -> np.ndarray:
        """n - p (R,) of each response, with the rows and coefficients that it has."""
        return self._source.n_rows - np.isfinite(self._fits.beta).sum(axis=1)

    def _df(self, ddf: str) -> np.ndarray:
        """Degrees of freedom (R, m)."""
        shape = self._fits.std_error.shape
        if ddf == "satterthwaite":
            if not self._source.settings.satterthwaite:
                raise DataError(
                    "the fits were made without Satterthwaite's degrees of freedom; write ddf='satterthwaite'"
                )
            return self._fits.df
        if ddf == "residual":
            return np.broadcast_to(self._residual_df()[:, None].astype(float), shape)
        return np.full(shape, np.inf)


class LazyRows:
    """Rows by responses, computed for the columns that are asked for.

    Examples
    --------
    >>> import jaxlmm
    >>> pastes = jaxlmm.load_dataset("pastes")
    >>> many = jaxlmm.fit_many("~ 1 + (1 | cask)", pastes, {"strength": pastes["strength"]})
    >>> many.resid["strength"].std().round(2)
    np.float64(3.24)
    """

    def __init__(self, many: ManyFits, residuals: bool):
        self._many, self._residuals = many, residuals

    @property
    def columns(self) -> pd.Index:
        """Responses."""
        return self._many.names

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and responses."""
        return self._many._source.n_obs, len(self._many)

    @double
    def __getitem__(self, names: Any) -> pd.Series | pd.DataFrame:
        """One response as a Series, a list of them as a DataFrame."""
        several = isinstance(names, list | pd.Index | np.ndarray)
        wanted = list(names) if several else [names]
        positions = np.array([self._many._position(name) for name in wanted], dtype=int)
        source, fits = self._many._source, self._many._fits.take(positions)
        values = source.rows(positions, fits, self._residuals)
        table = pd.DataFrame(values, index=source.frame.rows.index, columns=pd.Index(wanted))
        return table if several else table.iloc[:, 0]

    def to_frame(self) -> pd.DataFrame:
        """All responses; as large as they are."""
        table = self[self.columns]
        assert isinstance(table, pd.DataFrame)
        return table

    def __repr__(self) -> str:
        what = "resid" if self._residuals else "fittedvalues"
        return f"<{what} of {self.shape[0]} rows x {self.shape[1]} responses, on demand: [name], [[names]], to_frame()>"


def _sorted(table: pd.DataFrame, sort_by: str) -> pd.DataFrame:
    """Strongest first; ties and NaN stay in the order of the responses."""
    if sort_by == "none":
        return table
    key = {"p_value": table["P.Value"], "B": -table.get("B", table["t"]), "estimate": -table["logFC"].abs()}[sort_by]
    return table.iloc[np.argsort(key.to_numpy(), kind="stable")]
