"""Numbers of the plots of many fits: bootstrap replicates, and many responses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from jaxlmm.errors import DataError
from jaxlmm.plot.data.asked import expected, one_of, some_of

CURVE = 201
"""Points of a drawn curve."""


ROUNDING = 1e-9
"""Of a value at a bound, relative to the bound or, for zero, to the largest value."""


def bootstrap_density(bootstrap: Any, terms: str | Sequence[str] | None = None) -> pd.DataFrame:
    """Densities of the replicates of each term: term, value, density.

    A Gaussian kernel with Scott's bandwidth. Standard deviations and correlations are reflected at their bounds, so that no
    density is drawn where there is no value. Replicates at a bound, as a standard deviation that is estimated as zero, have
    no density: `bootstrap_bounds` has their share, and the curve encloses the rest of 1. A term of which fewer than two
    different values are off its bounds has no curve.

    Parameters
    ----------
    bootstrap : Bootstrap
        From `fit.bootstrap(...)`.
    terms : str or list of str, optional
        Rows of `bootstrap.conf_int()`; all by default.

    Raises
    ------
    DataError
        When there is no such term, or its replicates are all equal.

    Examples
    --------
    >>> import jaxlmm, numpy as np
    >>> draws = jaxlmm.lmer("Yield ~ 1 + (1 | Batch)", jaxlmm.load_dataset("dyestuff")).bootstrap(200, seed=1)
    >>> curve = jaxlmm.plot.data.bootstrap_density(draws, "sd__Intercept|Batch")
    >>> at_zero = jaxlmm.plot.data.bootstrap_bounds(draws, "sd__Intercept|Batch")["share"].sum()
    >>> bool(curve["value"].min() >= 0), round(float(np.trapezoid(curve["density"], curve["value"]) + at_zero), 2)
    (True, 1.0)
    """
    parts = []
    for name, values in replicates(bootstrap, terms).items():
        parts.append(_density(str(name), values.to_numpy()))
    return pd.concat(parts, ignore_index=True)


def bootstrap_bounds(bootstrap: Any, terms: str | Sequence[str] | None = None) -> pd.DataFrame:
    """Replicates that no density shows: term, bound, share, one row for each bound of a term that some replicates are at.

    A bound that is NaN stands for replicates without a value: the correlation of an effect without variance.

    Parameters
    ----------
    bootstrap : Bootstrap
        From `fit.bootstrap(...)`.
    terms : str or list of str, optional
        Rows of `bootstrap.conf_int()`; all by default.

    Examples
    --------
    >>> import jaxlmm
    >>> fit = jaxlmm.lmer("Yield ~ 1 + (1 | Batch)", jaxlmm.load_dataset("dyestuff2"))
    >>> jaxlmm.plot.data.bootstrap_bounds(fit.bootstrap(300, seed=1)).round(2)
                      term  bound  share
    0  sd__Intercept|Batch    0.0   0.53
    """
    rows = []
    for name, values in replicates(bootstrap, terms).items():
        own = values.to_numpy()
        shares = {bound: float(np.mean(_at(own, bound))) for bound in _limits(str(name))}
        shares |= {np.nan: float(np.mean(np.isnan(own)))}
        rows += [(name, bound, share) for bound, share in shares.items() if share > 0.0]
    return pd.DataFrame(rows, columns=["term", "bound", "share"]).astype({"bound": float, "share": float})


def bootstrap_ridgeline(bootstrap: Any, terms: str | Sequence[str] | None = None) -> pd.DataFrame:
    """The same for replicates less their mean, over their standard deviation, so that all terms have one axis.

    Returns
    -------
    pandas.DataFrame
        term, value, density; a term whose replicates are all equal is left out.

    Examples
    --------
    >>> import jaxlmm
    >>> fit = jaxlmm.lmer("Yield ~ 1 + (1 | Batch)", jaxlmm.load_dataset("dyestuff"))
    >>> jaxlmm.plot.data.bootstrap_ridgeline(fit.bootstrap(200, seed=1))["term"].unique().tolist()
    ['Intercept', 'sd__Intercept|Batch', 'sd__Observation|Residual']
    """
    table = replicates(bootstrap, terms)
    parts = []
    for name, values in table.items():
        spread = values.std()
        if spread > 1e-12 * values.abs().max():
            curve = _density(str(name), values.to_numpy())
            value = (curve["value"] - values.mean()) / spread
            parts.append(curve.assign(value=value, density=curve["density"] * spread))
    if not parts:
        raise DataError(
            "the replicates of each of these terms are all equal, and have no density; name others by terms="
        )
    return pd.concat(parts, ignore_index=True)


def bootstrap_correlation(bootstrap: Any, terms: str | Sequence[str] | None = None) -> pd.DataFrame:
    """Correlation matrix of the replicates of all terms.

    Examples
    --------
    >>> import jaxlmm
    >>> fit = jaxlmm.lmer("Yield ~ 1 + (1 | Batch)", jaxlmm.load_dataset("dyestuff"))
    >>> jaxlmm.plot.data.bootstrap_correlation(fit.bootstrap(200, seed=1)).shape
    (3, 3)
    """
    return replicates(bootstrap, terms).corr()


def replicates(bootstrap: Any, terms: str | Sequence[str] | None = None) -> pd.DataFrame:
    """Converged replicates of some terms, one column each; by default of all that have a value in some replicate."""
    known = expected(bootstrap, "n_singular", "a bootstrap", "fit.bootstrap(1000)").summary().index
    shown = some_of(terms, known, "term of this bootstrap")
    frame = bootstrap.frame
    table = frame.loc[frame["status"] == "converged", shown]
    empty = [name for name in shown if table[name].isna().all()]
    if terms is not None and empty:
        raise DataError(
            f"{empty[0]!r} has no value in any replicate: an effect has no variance in them; leave it out by terms="
        )
    return table.drop(columns=empty)


def volcano(many: Any, term: str) -> pd.DataFrame:
    """Effects and p-values of one term over all responses: response, estimate, p_value, p_adjusted, minus_log10_p.

    Parameters
    ----------
    many : ManyFits
        From `jaxlmm.fit_many`.
    term : str
        A coefficient or a test.

    Raises
    ------
    DataError
        When there is no such term.

    Examples
    --------
    >>> import jaxlmm, pandas as pd
    >>> sleep = jaxlmm.load_dataset("sleepstudy")
    >>> fit = jaxlmm.lmer("Reaction ~ Days + (Days | Subject)", sleep)
    >>> many = jaxlmm.fit_many("~ Days + (Days | Subject)", sleep, pd.DataFrame(fit.simulate(20, seed=1)))
    >>> jaxlmm.plot.data.volcano(many, "Days").shape
    (20, 5)
    """
    frame = expected(many, "variance_fractions", "many responses", "jaxlmm.fit_many(...)").frame
    fixed = frame[frame["effect"] != "ran_pars"]
    one_of(term, dict.fromkeys(fixed["term"]), "term of these fits")
    columns = ["response", "estimate", "p_value", "p_adjusted"]
    table = fixed.loc[fixed["term"] == term, columns].reset_index(drop=True)
    smallest = np.nextafter(0.0, 1.0)
    return table.assign(minus_log10_p=-np.log10(np.maximum(table["p_value"], smallest)))


def variance_fractions(many: Any) -> pd.DataFrame:
    """Share of the variance of each component over all responses: response, component, fraction.

    Parameters
    ----------
    many : ManyFits
        From `jaxlmm.fit_many`.

    Examples
    --------
    >>> import jaxlmm, pandas as pd
    >>> sleep = jaxlmm.load_dataset("sleepstudy")
    >>> fit = jaxlmm.lmer("Reaction ~ Days + (Days | Subject)", sleep)
    >>> many = jaxlmm.fit_many("~ Days + (Days | Subject)", sleep, pd.DataFrame(fit.simulate(20, seed=1)))
    >>> table = jaxlmm.plot.data.variance_fractions(many)
    >>> table.groupby("response")["fraction"].sum().round(6).unique().tolist()
    [1.0]
    """
    wide = expected(many, "variance_fractions", "many responses", "jaxlmm.fit_many(...)").variance_fractions()
    long = wide.rename_axis("response").reset_index().melt("response", var_name="component", value_name="fraction")
    order = wide.median().sort_values(ascending=False).index
    long["component"] = pd.Categorical(long["component"], [c for c in order if c != "Residual"] + ["Residual"])
    return long.sort_values("component", kind="stable", ignore_index=True)


def _limits(name: str) -> tuple[float, float]:
    """Bounds of a term."""
    return (0.0, np.inf) if name.startswith("sd__") else (-1.0, 1.0) if name.startswith("cor__") else (-np.inf, np.inf)


def _at(values: np.ndarray, bound: float) -> np.ndarray:
    """Which values are at a bound, rounding apart; none where there is no bound."""
    if not np.isfinite(bound):
        return np.zeros(len(values), dtype=bool)
    scale = abs(bound) or float(np.nanmax(np.abs(values), initial=0.0))
    return np.abs(values - bound) <= ROUNDING * scale


def _density(name: str, values: np.ndarray) -> pd.DataFrame:
    """A kernel density on a grid, reflected at the bounds of the parameter, of the values that are at neither."""
    values = values[np.isfinite(values)]
    if values.size < 2 or np.ptp(values) == 0.0:
        raise DataError(f"the replicates of {name!r} are all equal, and have no density; leave it out by terms=")
    low, high = _limits(name)
    inside = values[~(_at(values, low) | _at(values, high))]
    if inside.size < 2 or np.ptp(inside) == 0.0:
        return pd.DataFrame({"term": pd.Series([], dtype=object), "value": [], "density": []})
    kernel = stats.gaussian_kde(inside)
    width = 3.0 * float(np.sqrt(kernel.covariance[0, 0]))
    grid = np.linspace(max(inside.min() - width, low), min(inside.max() + width, high), CURVE)
    density = kernel(grid)
    for bound in (low, high):
        if np.isfinite(bound):
            density = density + kernel(2.0 * bound - grid)
    return pd.DataFrame({"term": name, "value": grid, "density": density * inside.size / values.size})
