"""Reference distributions of t statistics: which degrees of freedom, by name."""

from __future__ import annotations

import numpy as np

from jaxlmm.errors import DesignError
from jaxlmm.fit import Fit, Model, satterthwaite_df

DDF_METHODS = ("satterthwaite", "normal", "residual")

PLANNED = ("kenward-roger",)


def check_ddf(ddf: str) -> str:
    """The method's name, if it is one.

    Raises
    ------
    DesignError
        When it is unknown or not available yet.
    """
    if ddf in DDF_METHODS:
        return ddf
    names = ", ".join(map(repr, DDF_METHODS))
    if ddf in PLANNED:
        raise DesignError(f"ddf={ddf!r} is not available yet; write one of {names}")
    raise DesignError(f"ddf={ddf!r} is not known; write one of {names}")


def degrees_of_freedom(ddf: str, model: Model, fit: Fit) -> np.ndarray:
    """Degrees of freedom (p,) of each coefficient: infinity for the normal distribution, n - p for the residual.

    The caller holds the double-precision scope.
    """
    p = fit.beta.size
    if check_ddf(ddf) == "satterthwaite":
        return satterthwaite_df(model, fit, np.eye(p))
    return np.full(p, np.inf if ddf == "normal" else float(model.coordinates.n_obs - p))
