"""Numbers of the plots of what is said about a fit: coefficients, profiles, influence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats
from scipy.interpolate import PchipInterpolator

from jaxlmm.errors import DataError
from jaxlmm.plot.data.asked import a_number, expected, some_of

CURVE = 201
"""Points of a drawn curve."""

LEAST = 5e-3
"""Share of a distribution at a bound that is worth saying."""

LIMITS = ["conf_low", "conf_high"]


def coefficients(
    *fits: Any, terms: str | Sequence[str] | None = None, intercept: bool = False, level: float = 0.95, **named: Any
) -> pd.DataFrame:
    """Coefficients of several fits with Wald intervals by each fit's own degrees of freedom.

    Parameters
    ----------
    *fits : MixedModelResults
        Fits, called "model 1", "model 2", ...
    terms : str or list of str, optional
        Coefficients; all by default, in order of appearance.
    intercept : bool
        Whether to include the intercept when `terms` does not say.
    level : float
        Confidence level.
    **named : MixedModelResults
        Fits with names of their own.

    Returns
    -------
    pandas.DataFrame
        model, term, estimate, std_error, df, conf_low, conf_high.

    Raises
    ------
    DataError
        When there is no fit or no coefficient, two fits have one name, or a term is in none of them.

    Examples
    --------
    >>> import jaxlmm
    >>> sleep = jaxlmm.load_dataset("sleepstudy")
    >>> fit = jaxlmm.lmer("Reaction ~ Days + (Days | Subject)", sleep)
    >>> simpler = jaxlmm.lmer("Reaction ~ Days + (1 | Subject)", sleep)
    >>> table = jaxlmm.plot.data.coefficients(slopes=fit, intercepts=simpler)
    >>> table[["model", "term", "conf_low", "conf_high"]].round(1)
            model  term  conf_low  conf_high
    0      slopes  Days       7.2       13.7
    1  intercepts  Days       8.9       12.1
    """
    unnamed = {f"model {i + 1}": fit for i, fit in enumerate(fits)}
    for name in named:
        if name in unnamed:
            raise DataError(f"{name!r} is the name of a fit given without one; call the other one otherwise")
    models = unnamed | named
    if not models:
        raise DataError("no fit was given; write coefficients(fit) or coefficients(first=fit1, second=fit2)")
    parts = []
    for name, fit in models.items():
        expected(fit, "ranef", "fits", "coefficients(fit1, fit2) or names: (a=fit1, b=fit2)")
        parts.append(fit.tidy(level=level).assign(model=name))
    table = pd.concat(parts, ignore_index=True)
    known = list(dict.fromkeys(table["term"]))
    if not known:
        raise DataError("there are no fixed effects to draw; plot.caterpillar(fit) draws random effects")
    shown = some_of(terms, known, "coefficient of these fits")
    if terms is None and not intercept and len(known) > 1:
        shown = [term for term in shown if term != "Intercept"]
    columns = ["model", "term", "estimate", "std_error", "df", *LIMITS]
    return pd.concat([table.loc[table["term"] == term, columns] for term in shown], ignore_index=True)


def profile_zeta(profile: Any, parameters: str | Sequence[str] | None = None) -> pd.DataFrame:
    """The profile's points: parameter, value, zeta; straight lines where a parameter is as in a linear model.

    Parameters
    ----------
    profile : Profile
        From `fit.profile()`.
    parameters : str or list of str, optional
        All by default.

    Examples
    --------
    >>> import jaxlmm
    >>> fit = jaxlmm.lmer("Yield ~ 1 + (1 | Batch)", jaxlmm.load_dataset("dyestuff"))
    >>> jaxlmm.plot.data.profile_zeta(fit.profile())["parameter"].unique().tolist()
    ['.sig01', '.sigma', 'Intercept']
    """
    frame = expected(profile, "zeta", "a profile", "fit.profile()").frame
    shown = some_of(parameters, dict.fromkeys(frame["parameter"]), "parameter of this profile")
    return pd.concat([frame[frame["parameter"] == name] for name in shown], ignore_index=True)


def profile_density(profile: Any, parameters: str | Sequence[str] | None = None) -> pd.DataFrame:
    """Density φ(ζ) dζ/dψ that the profile implies for each parameter ψ: parameter, value, density.

    Between the profile's points ζ is a monotone cubic (Fritsch & Carlson 1980, SIAM J. Numer. Anal. 17). At a bound, say a
    standard deviation of zero, the curve ends, and what it lacks of 1 is mass at the bound (Bates 2010, lme4, §1.5).

    Parameters
    ----------
    profile : Profile
        From `fit.profile()`.
    parameters : str or list of str, optional
        All by default.

    Examples
    --------
    >>> import jaxlmm, numpy as np
    >>> fit = jaxlmm.lmer("Yield ~ 1 + (1 | Batch)", jaxlmm.load_dataset("dyestuff"))
    >>> curve = jaxlmm.plot.data.profile_density(fit.profile(), ".sigma")
    >>> round(float(np.trapezoid(curve["density"], curve["value"])), 3)
    1.0
    """
    parts = []
    for name, points in profile_zeta(profile, parameters).groupby("parameter", sort=False):
        ordered = points.drop_duplicates("value").sort_values("value")
        zeta = PchipInterpolator(ordered["value"], ordered["zeta"])
        value = np.linspace(ordered["value"].iloc[0], ordered["value"].iloc[-1], CURVE)
        density = stats.norm.pdf(zeta(value)) * zeta(value, 1)
        parts.append(pd.DataFrame({"parameter": name, "value": value, "density": density}))
    return pd.concat(parts, ignore_index=True)


def profile_bounds(profile: Any, parameters: str | Sequence[str] | None = None) -> pd.DataFrame:
    """What `profile_density` cannot show: parameter, bound, share, one row for each bound with mass.

    The curve ends at a bound, say a standard deviation of zero, with ζ₀ there, and the share Φ(ζ₀) is what it lacks of 1 (for
    an upper bound Φ(-ζ₀)).

    Parameters
    ----------
    profile : Profile
        From `fit.profile()`.
    parameters : str or list of str, optional
        All by default.

    Examples
    --------
    >>> import jaxlmm
    >>> fit = jaxlmm.lmer("Yield ~ 1 + (1 | Batch)", jaxlmm.load_dataset("dyestuff"))
    >>> jaxlmm.plot.data.profile_bounds(fit.profile()).round(3)
      parameter  bound  share
    0    .sig01    0.0   0.01
    """
    rows = []
    for name, points in profile_zeta(profile, parameters).groupby("parameter", sort=False):
        ordered = points.sort_values("value")
        for end, sign in ((ordered.iloc[0], 1.0), (ordered.iloc[-1], -1.0)):
            share = float(stats.norm.cdf(sign * end["zeta"]))
            # Where there is no bound, profiles are followed until next to nothing is left.
            if str(name).startswith(".sig") and end["value"] in (-1.0, 0.0, 1.0) and share >= LEAST:
                rows.append((name, end["value"], share))
    return pd.DataFrame(rows, columns=["parameter", "bound", "share"]).astype({"bound": float, "share": float})


def influence(influence: Any, number: int = 20) -> pd.DataFrame:
    """Cook's distance and the largest absolute DFBETAS of the most influential levels: level, cooks_distance, dfbetas, term.

    Parameters
    ----------
    influence : Influence
        From `fit.influence()`.
    number : int
        How many levels, the most influential first.

    Raises
    ------
    DataError
        When there is no coefficient that a level could move, or no such number.

    Examples
    --------
    >>> import jaxlmm
    >>> fit = jaxlmm.lmer("Reaction ~ Days + (Days | Subject)", jaxlmm.load_dataset("sleepstudy"))
    >>> jaxlmm.plot.data.influence(fit.influence(), 2).round(2)
      level  cooks_distance  dfbetas       term
    0   309            0.15    -0.41  Intercept
    1   335            0.13    -0.56       Days
    """
    cook = expected(influence, "cooks_distance", "an influence analysis", "fit.influence()").cooks_distance
    a_number(number, "number", 1)
    if not influence.dfbetas.shape[1]:
        raise DataError(
            "the model has no fixed effects, so no level can move one; plot.caterpillar(fit) draws random effects"
        )
    if not cook.notna().any():
        raise DataError(
            "no refit without a level determines all coefficients, so there is no Cook's distance; look at influence.frame"
        )
    worst = cook.dropna().sort_values(ascending=False, kind="stable").head(number)
    change = influence.dfbetas.loc[worst.index]
    largest = np.abs(change.to_numpy()).argmax(axis=1)
    return pd.DataFrame(
        {
            "level": worst.index,
            "cooks_distance": worst.to_numpy(),
            "dfbetas": change.to_numpy()[np.arange(len(change)), largest],
            "term": change.columns[largest],
        }
    )
