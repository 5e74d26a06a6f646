"""Reference distributions of t statistics: which degrees of freedom, by name."""

from __future__ import annotations

import numpy as np

from jaxlmm.errors import DesignError

DDF_METHODS = ("normal", "residual")
"""Available now. Satterthwaite and Kenward-Roger come with the small-sample inference of a later version."""

PLANNED = ("satterthwaite", "kenward-roger")


def check_ddf(ddf: str) -> str:
    """The method's name, if it is one.

    Raises
    ------
    DesignError
        When it is unknown or not available yet.
    """
    if ddf in DDF_METHODS:
        return ddf
    if ddf in PLANNED:
        raise DesignError(f"ddf={ddf!r} is not available yet; write ddf='normal' (the default) or ddf='residual'")
    raise DesignError(f"ddf={ddf!r} is not known; write one of {', '.join(map(repr, DDF_METHODS))}")


def check_lane_ddf(ddf: str) -> str:
    """The method's name for many fits at once, which have Satterthwaite's degrees of freedom, too.

    Raises
    ------
    DesignError
        When it is unknown or not available.
    """
    if ddf in ("satterthwaite", *DDF_METHODS):
        return ddf
    raise DesignError(f"ddf={ddf!r} is not known; write one of 'satterthwaite', {', '.join(map(repr, DDF_METHODS))}")


def degrees_of_freedom(ddf: str, n_obs: int, p: int) -> np.ndarray:
    """Degrees of freedom (p,) of each coefficient: infinity for the normal distribution, n - p for the residual."""
    return np.full(p, np.inf if check_ddf(ddf) == "normal" else float(n_obs - p))
