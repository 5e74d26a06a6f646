"""Linear functions of coefficients with names: marginal means, their contrasts, joint tests. Called by `results`."""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit

from jaxlmm.errors import DataError
from jaxlmm.inference.estimable import Combinations
from jaxlmm.inference.multiplicity import adjusted, check_adjustment, half_widths
from jaxlmm.inference.reference import FTest, Method, Reference

POLYNOMIALS = ("linear", "quadratic", "cubic", "quartic", "degree 5", "degree 6")


@dataclass(frozen=True)
class Scale:
    """How the response was transformed, and the way back.

    Attributes
    ----------
    name : str
        "log", "log2", "log10", "log1p", "sqrt" or "logit".
    back, slope : callable
        The inverse and its derivative.
    ratios : bool
        Whether differences are logarithms of ratios.
    """

    name: str
    back: Callable[[np.ndarray], np.ndarray]
    slope: Callable[[np.ndarray], np.ndarray]
    ratios: bool


SCALES = {
    "log": Scale("log", np.exp, np.exp, True),
    "log2": Scale("log2", np.exp2, lambda v: np.exp2(v) * np.log(2.0), True),
    "log10": Scale("log10", lambda v: 10.0**v, lambda v: 10.0**v * np.log(10.0), True),
    "log1p": Scale("log1p", np.expm1, np.exp, False),
    "sqrt": Scale("sqrt", np.square, lambda v: 2.0 * v, False),
    "logit": Scale("logit", expit, lambda v: expit(v) * (1.0 - expit(v)), False),
}


def scale_of(response: str) -> Scale | None:
    """The transformation that a response is written with, if it is a known one of a + b times a column."""
    try:
        call = ast.parse(re.sub(r"`[^`]*`", "quoted", response.strip()), mode="eval").body
    except SyntaxError:
        return None
    if not isinstance(call, ast.Call) or call.keywords or len(call.args) != 1:
        return None
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    inside = _affine(call.args[0])
    if name not in SCALES or inside is None or inside[1] == 0:
        return None
    scale, (shift, unit) = SCALES[name], inside
    return replace(
        scale,
        back=lambda v: (scale.back(v) - shift) / unit,
        slope=lambda v: scale.slope(v) / unit,
        ratios=scale.ratios and shift == 0,
    )


ARITHMETIC = (ast.BinOp, ast.UnaryOp, ast.Constant, ast.Name, ast.operator, ast.unaryop, ast.expr_context)


def _affine(inside: ast.expr) -> tuple[float, float] | None:
    """a and b, if an expression is a + b times one column."""
    nodes = list(ast.walk(inside))
    names = {node.id for node in nodes if isinstance(node, ast.Name)}
    if len(names) != 1 or not all(isinstance(node, ARITHMETIC) for node in nodes):
        return None
    code = compile(ast.Expression(inside), "response", "eval")
    try:
        zero, one, three = (float(eval(code, {"__builtins__": {}}, dict.fromkeys(names, v))) for v in (0.0, 1.0, 3.0))
    except (ArithmeticError, TypeError, ValueError):
        return None
    return (zero, one - zero) if np.isclose(three - zero, 3.0 * (one - zero), rtol=1e-12, atol=0.0) else None


@dataclass(frozen=True)
class Functions:
    """Linear functions of the coefficients of one fit, one per row.

    Attributes
    ----------
    reference : Reference
        What they are judged against.
    method : Method
        How.
    labels : pandas.DataFrame
        What each row is.
    functions : Combinations
        The functions, r of them.
    constant : (r,) array
        Added to each (an offset).
    """

    reference: Reference
    method: Method
    labels: pd.DataFrame
    functions: Combinations
    constant: np.ndarray

    def estimates(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Estimate, standard error and degrees of freedom (r,) of each; NaN of one that the data do not determine."""
        known = self.functions.estimable
        answer = np.full((3, known.size), np.nan)
        rows = self.functions.rows[known]
        if len(rows):
            answer[0, known] = rows @ self.reference.fit.beta + self.constant[known]
            answer[1, known] = self.reference.errors_of(self.method, rows)
            answer[2, known] = self._degrees(rows)
        return answer[0], answer[1], answer[2]

    def _degrees(self, rows: np.ndarray) -> np.ndarray:
        """A function that is zero for every coefficient has none."""
        some = np.abs(rows).max(axis=1) > 0
        answer = np.full(len(rows), np.nan)
        if some.any():
            answer[some] = self.reference.degrees(self.method, rows[some])
        return answer

    def means(self, name: str, level: float, scale: Scale | None) -> pd.DataFrame:
        """Estimates with limits, of each row by itself."""
        estimate, error, df = self.estimates()
        half = half_widths(df, level, "none", None) * error
        parts = _on_scale(estimate, error, estimate - half, estimate + half, scale)
        columns = dict(
            zip((name, "std_error", "df", "conf_low", "conf_high"), (*parts[:2], df, *parts[2:]), strict=True)
        )
        return self.labels.assign(**columns)

    def tests(self, level: float, adjust: str, means: int | None, by: list[str], scale: Scale | None) -> pd.DataFrame:
        """Estimates, tests and limits; `adjust` works within each combination of `by`."""
        check_adjustment(adjust, means)
        estimate, error, df = self.estimates()
        # Slopes that are one and the same differ by nothing, for certain: there is nothing to test.
        statistic = np.where(error > 0, estimate / np.where(error > 0, error, 1.0), np.nan)
        p, half = np.empty_like(df), np.empty_like(df)
        for own in _groups(self.labels, by):
            p[own] = adjusted(statistic[own], df[own], adjust, means)
            half[own] = half_widths(df[own], level, adjust, means) * error[own]
        parts = _on_scale(estimate, error, estimate - half, estimate + half, scale)
        names = ("estimate", "std_error", "df", "statistic", "p_value", "conf_low", "conf_high")
        columns = dict(zip(names, (*parts[:2], df, statistic, p, *parts[2:]), strict=True))
        return self.labels.assign(**columns)

    def combined(self, weights: np.ndarray, labels: pd.DataFrame) -> Functions:
        """Linear combinations (c, r) of the functions."""
        found = self.functions.combined(weights)
        return Functions(self.reference, self.method, labels, found, weights @ self.constant)

    def joint(self, weights: np.ndarray) -> FTest | None:
        """That combinations (c, r) are zero, or as many of them as the data determine; None where all are zero anyhow."""
        combined = self.functions.combined(weights)
        if not combined.rows.any():
            return None
        rows = combined.determined()
        return self.reference.test(self.method, rows) if rows.any() else FTest(np.nan, 0, np.nan, np.nan, 1.0)


def pair_weights(labels: list[str], ratios: bool) -> tuple[np.ndarray, list[str]]:
    """All differences of two, the earlier one first."""
    pairs = list(itertools.combinations(range(len(labels)), 2))
    weights = np.zeros((len(pairs), len(labels)))
    for row, (i, j) in enumerate(pairs):
        weights[row, [i, j]] = 1.0, -1.0
    between = " / " if ratios else " - "
    return weights, [f"{labels[i]}{between}{labels[j]}" for i, j in pairs]


def contrast_weights(method: Any, labels: list[str], values: list[Any], ratios: bool) -> tuple[np.ndarray, list[str]]:
    """Weights (c, m) of named contrasts of m means: "sum", "poly", "trt.vs.ctrl", "pairwise", "consec", a dict or a matrix.

    Raises
    ------
    DataError
        When the method is not known, or weights have the wrong shape.
    """
    m, between = len(labels), " / " if ratios else " - "
    if isinstance(method, str):
        if method in ("sum", "eff"):
            return np.eye(m) - 1.0 / m, [f"{label} effect" for label in labels]
        if method == "pairwise":
            return pair_weights(labels, ratios)
        if method == "trt.vs.ctrl":
            return np.eye(m)[1:] - np.eye(m)[0], [f"{label}{between}{labels[0]}" for label in labels[1:]]
        if method == "consec":
            names = [f"{b}{between}{a}" for a, b in itertools.pairwise(labels)]
            return np.eye(m)[1:] - np.eye(m)[:-1], names
        if method == "poly":
            return _polynomials(m)
        raise DataError(
            f"method={method!r} is not known; write 'sum', 'poly', 'trt.vs.ctrl', 'consec', 'pairwise', a dict of weights "
            "by name, or a matrix"
        )
    titles = [str(name) for name in method] if isinstance(method, Mapping) else None
    given = list(method.values()) if isinstance(method, Mapping) else method
    ask = f"give {m} numbers for each contrast, one for each of the means {', '.join(labels[:12])}"
    try:
        weights = np.atleast_2d(np.asarray(given, dtype=float))
    except (TypeError, ValueError):
        raise DataError(f"method={method!r:.80} is no table of numbers; {ask}") from None
    if weights.ndim != 2 or weights.shape[1] != m:
        raise DataError(f"the contrasts have {weights.shape[-1]} weights each; {ask}")
    if not np.isfinite(weights).all():
        raise DataError(f"the contrasts hold a weight that is not finite; {ask}")
    return weights, titles or [f"contrast {i + 1}" for i in range(len(weights))]


def _polynomials(m: int) -> tuple[np.ndarray, list[str]]:
    """Orthogonal polynomials of equally spaced levels, in the smallest whole numbers."""
    count = min(m - 1, len(POLYNOMIALS))
    basis = np.linalg.qr(np.vander(np.arange(m) - 0.5 * (m - 1), count + 1, increasing=True))[0][:, 1:].T
    weights = []
    for column in basis:
        row = column * np.sign(column[-1])
        smallest = np.abs(row[np.abs(row) > 1e-9]).min()
        scaled = [row / smallest * k for k in range(1, 200)]
        whole = next((s for s in scaled if np.abs(s - np.round(s)).max() < 1e-6), row)
        weights.append(np.round(whole) if whole is not row else row)
    return np.array(weights), list(POLYNOMIALS[:count])


def _groups(labels: pd.DataFrame, by: list[str]):
    """Positions of the rows of each combination of `by`."""
    if not by:
        yield np.arange(len(labels))
        return
    yield from labels.groupby(by, observed=False, sort=False).indices.values()


def _on_scale(estimate, error, low, high, scale: Scale | None):
    """Estimate, standard error (by the delta method) and limits on the scale of the response."""
    if scale is None:
        return estimate, error, low, high
    return scale.back(estimate), np.abs(scale.slope(estimate)) * error, scale.back(low), scale.back(high)
