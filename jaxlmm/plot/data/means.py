"""Numbers of the plot of estimated marginal means."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from jaxlmm.errors import DataError
from jaxlmm.inference.marginal import scale_of
from jaxlmm.plot.data.asked import a_fit, columns_of_response, expected


def emmeans(means: Any) -> pd.DataFrame:
    """Marginal means with a label for each: label, by (empty where there is none), estimate, conf_low, conf_high.

    Parameters
    ----------
    means : EMMeans
        From `fit.emmeans(...)` or `fit.emtrends(...)`.

    Examples
    --------
    >>> import jaxlmm
    >>> fit = jaxlmm.lmer("score ~ Machine + (1 | Worker)", jaxlmm.load_dataset("machines"))
    >>> jaxlmm.plot.data.emmeans(fit.emmeans("Machine")).round(1)
      label by  estimate  conf_low  conf_high
    0     A         52.4      46.9       57.8
    1     B         60.3      54.8       65.8
    2     C         66.3      60.8       71.8
    """
    frame, specs, by = expected(means, "pairs", "marginal means", "fit.emmeans('factor')").frame, means.specs, means.by
    return pd.DataFrame(
        {
            "label": _joined(frame, specs),
            "by": _joined(frame, by),
            "estimate": frame[means.name],
            "conf_low": frame["conf_low"],
            "conf_high": frame["conf_high"],
        }
    )


def emmeans_rows(means: Any, fit: Any) -> pd.DataFrame:
    """Observed responses of the fit's rows, on the scale of the means and with the labels of `emmeans`: label, by, observed.

    Parameters
    ----------
    means : EMMeans
        Of factors of the model, not of numbers given by at=. Means with `type="response"` have rows that are transformed back
        as they are.
    fit : MixedModelResults
        The fit that they are of; its rows are needed.

    Raises
    ------
    DataError
        When the means are slopes, or of another fit, or one of their variables is no column of the fit's data.

    Examples
    --------
    >>> import jaxlmm
    >>> fit = jaxlmm.lmer("score ~ Machine + (1 | Worker)", jaxlmm.load_dataset("machines"))
    >>> jaxlmm.plot.data.emmeans_rows(fit.emmeans("Machine"), fit).head(2)
      label by  observed
    0     A         52.0
    1     A         52.8
    """
    back = scale_of_rows(means, fit)[1]
    table = fit.augment()
    for name in (*means.specs, *means.by):
        if name not in table:
            raise DataError(f"{name!r} is no column of the rows of this fit; leave fit= out to draw the means alone")
    return pd.DataFrame(
        {
            "label": _joined(table, means.specs),
            "by": _joined(table, means.by),
            "observed": back(table.iloc[:, 0].to_numpy(dtype=float)),
        }
    )


def scale_of_rows(means: Any, fit: Any) -> tuple[str, Any]:
    """What the means are means of, and the function that takes the model's response there.

    Raises
    ------
    DataError
        When rows have no place beside these means.
    """
    expected(means, "pairs", "marginal means", "fit.emmeans('factor')")
    if means.name not in ("emmean", "response"):
        raise DataError(
            f"these are slopes ({means.name}), and rows are responses, which have no place on their axis; leave fit= out, or "
            "draw the rows along the variable: plot.trajectories(fit)"
        )
    response, own, theirs = a_fit(fit)._fitted.frame.response, fit._fitted.fit, means._functions.reference.fit
    if not (
        own.beta.shape == theirs.beta.shape and np.array_equal(own.beta, theirs.beta) and own.sigma == theirs.sigma
    ):
        raise DataError(
            "these means are of another fit than fit=, whose rows say nothing about them; write "
            "plot.emmeans(fit.emmeans(...), fit) with one fit"
        )
    if means.name == "emmean":
        return response, lambda values: values
    scale, names = scale_of(response), columns_of_response(fit)
    if scale is None:
        raise DataError(
            f"means are on the scale of the response, and {response!r} has no known way back; leave fit= out"
        )
    return names[-1], scale.back


def _joined(frame: pd.DataFrame, names: Sequence[str]) -> pd.Series:
    """One text per row: the levels of some variables."""
    if not len(names):
        return pd.Series("", index=frame.index)
    texts = [frame[name].map(lambda v: f"{v:g}" if isinstance(v, float) else str(v)) for name in names]
    joined = texts[0].astype(object)
    for text in texts[1:]:
        joined = joined + ", " + text.astype(object)
    return joined
