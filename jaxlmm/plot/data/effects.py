"""Numbers of the plots of random effects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from jaxlmm.inference.wald import check_level
from jaxlmm.plot.data.asked import a_fit, group_of, some_of
from jaxlmm.precision import double
from jaxlmm.report.within import within


def caterpillar(
    fit: Any, group: str | None = None, effects: str | Sequence[str] | None = None, level: float = 0.95
) -> pd.DataFrame:
    """Conditional modes with intervals: group, level, effect, estimate, std_error, lower, upper, position.

    Parameters
    ----------
    fit : MixedModelResults
        The fit.
    group : str, optional
        Grouping factor; the one with the most levels by default.
    effects : str or list of str, optional
        Effects; all by default.
    level : float
        Of the intervals: normal, from the conditional variances at the estimates of the covariance parameters.

    Returns
    -------
    pandas.DataFrame
        One row per level and effect; `position` is 0, 1, ... by size of the first effect asked for.

    Raises
    ------
    DataError
        When there is no such group or effect.

    Examples
    --------
    >>> import jaxlmm
    >>> fit = jaxlmm.lmer("Yield ~ 1 + (1 | Batch)", jaxlmm.load_dataset("dyestuff"))
    >>> jaxlmm.plot.data.caterpillar(fit)[["level", "estimate", "lower", "upper", "position"]].round(1).head(2)
      level  estimate  lower  upper  position
    0     A     -17.6  -56.0   20.8         2
    1     B       0.4  -38.0   38.8         3
    """
    group = group_of(a_fit(fit), group)
    table = fit.ranef([group], condvar=True)
    names = some_of(effects, dict.fromkeys(table["effect"]), f"effect of {group!r}")
    half = stats.norm.ppf(0.5 + 0.5 * check_level(level)) * table["std_error"]
    table = table.assign(lower=table["estimate"] - half, upper=table["estimate"] + half)
    first = table[table["effect"] == names[0]].set_index("level")["estimate"]
    position = first.rank(method="first").astype(int) - 1
    table["position"] = table["level"].map(position).astype(int)
    return pd.concat([table[table["effect"] == name] for name in names], ignore_index=True)


def ranef_qq(
    fit: Any, group: str | None = None, effects: str | Sequence[str] | None = None, level: float = 0.95
) -> pd.DataFrame:
    """The columns of `caterpillar`, and `theoretical`: the normal quantile of each level's rank within its effect.

    Parameters, errors: as of `caterpillar`.

    Examples
    --------
    >>> import jaxlmm
    >>> fit = jaxlmm.lmer("Yield ~ 1 + (1 | Batch)", jaxlmm.load_dataset("dyestuff"))
    >>> jaxlmm.plot.data.ranef_qq(fit)[["level", "theoretical", "estimate"]].round(2).head(2)
      level  theoretical  estimate
    0     A        -0.21    -17.61
    1     B         0.21      0.39
    """
    table = caterpillar(fit, group, effects, level)
    rank = table.groupby("effect", sort=False)["estimate"].rank(method="first")
    count = table.groupby("effect", sort=False)["estimate"].transform("size")
    return table.assign(theoretical=stats.norm.ppf((rank - 0.5) / count))


@double
def shrinkage(fit: Any, group: str | None = None) -> pd.DataFrame:
    """Coefficients of each level from its own rows alone, and from the mixed model.

    Within-group estimates are least squares on a level's own rows with everything else as the model has it; the mixed
    model's are those of `fit.coef()`, drawn towards the mean of all the more, the less a level's rows say.

    Parameters
    ----------
    fit : MixedModelResults
        The fit; its rows are needed.
    group : str, optional
        Grouping factor; the one with the most levels by default.

    Returns
    -------
    pandas.DataFrame
        One row per level and effect: level, effect, within (NaN where its rows do not determine it), mixed, population (the
        fixed effect, 0 where there is none), rows.

    Raises
    ------
    DataError
        When there is no such group, or the rows were not saved.

    Examples
    --------
    >>> import jaxlmm
    >>> fit = jaxlmm.lmer("Reaction ~ Days + (Days | Subject)", jaxlmm.load_dataset("sleepstudy"))
    >>> jaxlmm.plot.data.shrinkage(fit).round(1).head(2)
      level     effect  within  mixed  population  rows
    0   308  Intercept   244.2  253.7       251.4    10
    1   309  Intercept   205.1  211.0       251.4    10
    """
    group = group_of(a_fit(fit), group)
    fitted = fit._fitted
    modes, alone = fit.ranef(group)[group], within(fitted, group)
    position = [factor.grouping.name for factor in fitted.factors].index(group)
    rows = np.bincount(fitted.frame.design.random[position].codes, minlength=len(modes))
    parts = []
    for effect in modes:
        fixed = float(fit.params.get(effect, 0.0))
        parts.append(
            pd.DataFrame(
                {
                    "level": modes.index,
                    "effect": effect,
                    "within": alone[effect].to_numpy() + fixed,
                    "mixed": modes[effect].to_numpy() + fixed,
                    "population": fixed,
                    "rows": rows,
                }
            )
        )
    return pd.concat(parts, ignore_index=True)
