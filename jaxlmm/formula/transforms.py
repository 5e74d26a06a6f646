"""The functions that a formula may call: their names, how many arguments they take, and what they compute.

`TRANSFORMS` is the evaluation context that `jaxlmm.design` passes to formulaic; formulaic's own transforms
(`bs`, `poly`, `C`, ...) stand behind it, and ours win where both have a name: formulaic's `exp10(x)` is
x**10, and its `log(x, 2)` would take 2 for an output array. `jaxlmm.formula.safety` reads the tables of
names.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from formulaic.transforms.poly import poly as formulaic_poly
from formulaic.utils.stateful_transforms import stateful_transform

# fmt: off
_ONE_ARGUMENT = (
    "abs", "absolute", "fabs", "sign", "sqrt", "cbrt", "square", "reciprocal", "exp", "exp2", "expm1",
    "log", "log2", "log10", "log1p", "sin", "cos", "tan", "arcsin", "arccos", "arctan", "sinh", "cosh",
    "tanh", "arcsinh", "arccosh", "arctanh", "deg2rad", "rad2deg", "degrees", "radians", "floor", "ceil",
    "trunc", "rint", "isnan", "isfinite", "isinf", "logical_not", "negative", "positive",
)
_TWO_ARGUMENTS = (
    "add", "subtract", "multiply", "divide", "true_divide", "floor_divide", "mod", "remainder", "fmod",
    "power", "float_power", "hypot", "arctan2", "maximum", "minimum", "fmax", "fmin", "logaddexp",
    "logical_and", "logical_or", "logical_xor", "greater", "less", "greater_equal", "less_equal", "equal",
    "not_equal", "round", "around",
)
_ALSO_WITHOUT_NP = (
    "abs", "sign", "sqrt", "exp", "exp2", "expm1", "log2", "log10", "log1p", "sin", "cos", "tan", "sinh",
    "cosh", "tanh", "floor", "ceil", "trunc", "maximum", "minimum",
)
# fmt: on

# Elementwise NumPy functions that read their arguments and nothing else, with the number of positional
# arguments allowed: one more would be `out`, and would write into the user's data.
NUMPY_FUNCTIONS: dict[str, int] = {
    **dict.fromkeys(_ONE_ARGUMENT, 1),
    **dict.fromkeys(_TWO_ARGUMENTS, 2),
    "where": 3,
    "clip": 3,
}
NUMPY_CONSTANTS = frozenset({"pi", "e"})

CODINGS = {
    "contr.treatment": "contr.treatment",
    "contr.sum": "contr.sum",
    "contr.sdif": "contr.diff",
    "contr.helmert": "contr.helmert",
    "contr.poly": "contr.poly",
}
"""R's name of each coding that a formula and `contrasts=` understand alike, and formulaic's."""

# Codings, as `contr.sum`; formulaic calls MASS's contr.sdif `contr.diff`.
CONTRASTS = frozenset({"treatment", "sum", "helmert", "poly", "SAS", "diff", "custom"})
# The same in patsy's spelling; names only where a coding is expected, for a column may be called Treatment.
PATSY_CONTRASTS = frozenset({"Treatment", "Sum", "Helmert", "Poly", "Diff"})

# formulaic's transforms that keep a state or encode a factor. `hashed` and `lag` are left out on purpose:
# the one loses the levels' names, the other depends on the order of the rows.
FORMULAIC_FUNCTIONS = frozenset({"bs", "cr", "cs", "cc", "poly", "scale", "center", "standardize", "C", "I", "Q"})


def log(x: Any, base: float | None = None) -> Any:
    """Natural logarithm, or to `base` as in R's `log(x, 2)`."""
    return np.log(x) if base is None else np.log(x) / np.log(base)


def exp10(x: Any) -> Any:
    """Ten to the power of x."""
    return np.power(10.0, x)


def logit(p: Any) -> Any:
    """log(p / (1 - p))."""
    return np.log(p) - np.log1p(-p)


def expit(x: Any) -> Any:
    """Inverse of `logit`."""
    return 1.0 / (1.0 + np.exp(-x))


@stateful_transform
def poly(x: Any, degree: int = 1, raw: bool = False, _state: Any = None) -> Any:
    """formulaic's `poly`, with R's two refusals: no degree below 1, and none that the values of x cannot carry."""
    if not (isinstance(degree, int) and degree >= 1):
        raise ValueError(f"the degree of a polynomial is a whole number, 1 or more, not {repr(degree).splitlines()[0]}")
    different = np.unique(np.asarray(x, dtype=float)).size
    if not (raw or _state or different > degree):
        raise ValueError(f"degree {degree} needs at least {degree + 1} different values, but there are {different}")
    return formulaic_poly(x, degree, raw, _state=_state)


TRANSFORMS: dict[str, Callable[..., Any]] = {
    **{name: getattr(np, name) for name in _ALSO_WITHOUT_NP},
    "log": log,
    "exp10": exp10,
    "logit": logit,
    "expit": expit,
    "round": np.round,
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "ifelse": np.where,
    "where": np.where,
    "poly": poly,
}

# Positional arguments of the functions above; formulaic's own take keywords and check themselves.
ARGUMENTS: dict[str, int] = {
    **dict.fromkeys(TRANSFORMS.keys() - FORMULAIC_FUNCTIONS, 1),
    "log": 2,
    "round": 2,
    "maximum": 2,
    "minimum": 2,
    "ifelse": 3,
    "where": 3,
}

FUNCTIONS = frozenset(TRANSFORMS) | FORMULAIC_FUNCTIONS | PATSY_CONTRASTS
"""Every bare name that a formula may call."""

ADVICE: dict[str, str] = {
    "cbind": "One response per model: fit each one by itself. Binomial models, cbind(yes, no), are not available.",
    "hashed": "Name the factor itself, or C(x).",
    "lag": "Make the lagged column in the data, within each group, where the order of the rows is known.",
    "ns": "A natural cubic spline is written cr(x, df=4).",
    "s": "Smooth terms are not available; a spline basis is: bs(x, df=5) or cr(x, df=5).",
    "te": "Smooth terms are not available; a spline basis is: bs(x, df=5) or cr(x, df=5).",
    "interaction": "Write a:b instead of interaction(a, b).",
    "cut": "Make the binned column in the data first, with pandas.cut.",
    "mean": "Write center(x) for x - mean(x), or compute the column in the data first.",
    "sd": "Write scale(x) for (x - mean(x)) / sd(x), or compute the column in the data first.",
    "paste": "Write a:b for the combinations of a and b.",
    "as.numeric": 'Convert the column first: data["x"] = data["x"].astype(float).',
    "as.integer": 'Convert the column first: data["x"] = data["x"].astype(int).',
    "as.character": "Write C(x) for a factor, or convert the column in the data first.",
    "is.na": "Write np.isnan(x).",
}
"""What to write instead of a function that is not in the table."""
