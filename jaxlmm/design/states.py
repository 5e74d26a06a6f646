"""Transforms that must see all rows before they can be used on any: what they need is summed in a first pass.

Means and standard deviations are merged by Chan, Golub & LeVeque (1983); orthogonal polynomials come from the triangular
factor of 1, t, t², ..., whose columns are the monic polynomials' coefficients (Gautschi 2004, Orthogonal Polynomials, §2.1);
splines with given knots need the ends only. Quantiles would need the sorted column: such a spline is refused with what to
write instead. Called by `stream`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from formulaic.formula import SimpleFormula
from formulaic.model_spec import ModelSpec
from formulaic.parser.types import Factor, Term

from jaxlmm.design.expressions import Call, outermost_call
from jaxlmm.errors import FormulaError
from jaxlmm.formula import TRANSFORMS, functions_of, variables_of

SCALINGS, SPLINES = frozenset({"scale", "center", "standardize"}), frozenset({"bs", "cr", "cs", "cc"})
STATEFUL = SCALINGS | SPLINES | {"poly"}

States = dict[str, dict[str, Any]]
"""formulaic's `transform_state`."""


def stateful_factors(factors: Iterable[Factor]) -> dict[str, Factor]:
    """The factors that must see all rows first, by their expressions."""
    found = {factor.expr: factor for factor in factors}
    return {text: factor for text, factor in found.items() if functions_of(factor) & STATEFUL and not _raw(text)}


def _raw(expression: str) -> bool:
    """Whether a polynomial is one of plain powers."""
    call = outermost_call(expression)
    return call is not None and call.function == "poly" and ("raw" in call.keywords or call.n_arguments > 2)


class State:
    """What one factor needs to know of all rows, as it is summed.

    Parameters
    ----------
    factor : Factor
        Of the formula.

    Raises
    ------
    FormulaError
        When it needs what cannot be summed; the message says what to write.
    """

    def __init__(self, factor: Factor):
        self.factor = factor
        call = outermost_call(factor.expr)
        if call is None or call.function not in STATEFUL or call.argument is None:
            raise self._error("stands inside another expression; make the inner part a column of the data first")
        if call.function in SPLINES and "knots" not in call.keywords:
            lower = f"{call.function}({call.argument}, knots=[...])"
            raise self._error(f"places its knots at quantiles, which need all rows at once; give them: {lower}")
        if call.function in SPLINES and (call.column is None or "constraints" in call.keywords):
            raise self._error(
                "needs all rows at once; make the spline's argument a column of the data, without constraints"
            )
        self.call: Call = call
        self._count, self._mean, self._square = 0, 0.0, 0.0
        self._low, self._high = np.inf, -np.inf
        self._origin, self._unit = 0.0, 1.0
        self._triangle = np.zeros((0, 0))

    @property
    def argument(self) -> SimpleFormula:
        """What is summed, as a formula of one factor."""
        method = "lookup" if self.call.column is not None else "python"
        return SimpleFormula([Term([Factor(str(self.call.argument), eval_method=method)])])

    def add(self, values: np.ndarray) -> None:
        """Some rows (n,) of the argument."""
        if not values.size:
            return
        count = self._count + values.size
        mean, square = float(values.mean()), float(np.sum((values - values.mean()) ** 2))
        step = mean - self._mean
        self._square += square + step**2 * self._count * values.size / count
        self._mean += step * values.size / count
        self._low, self._high = min(self._low, float(values.min())), max(self._high, float(values.max()))
        if self.call.function == "poly":
            self._add_powers(values)
        self._count = count

    def states(self) -> States:
        """formulaic's state of the factor.

        Raises
        ------
        FormulaError
            When the rows do not allow it: a column that does not vary, or too few different values.
        """
        if not self._high > self._low:
            raise self._error("is asked of a column that does not vary; leave it out")
        column = str(self.call.column) if self.call.column is not None else None
        spread = np.linspace(self._low, self._high, 64)
        if column is None:
            # Any numbers do: what depends on them is replaced.
            names = variables_of([Term([self.factor])])
            table = pd.DataFrame({name: np.linspace(1.0, 2.0, 64) for name in names})
        else:
            table = pd.DataFrame({column: spread})
        spec = ModelSpec(formula=SimpleFormula([Term([self.factor])]), output="numpy", materializer="pandas")
        found = spec.get_model_matrix(table, context=dict(TRANSFORMS)).model_spec.transform_state
        states = {key: dict(state) for key, state in found.items()}
        (state,) = states.values()
        if self.call.function in SCALINGS:
            if state.get("center") is not None:
                state["center"] = self._mean
            if state.get("scale") is not None:
                about = self._square if state.get("center") is not None else self._square + self._count * self._mean**2
                state["scale"] = float(np.sqrt(about / (self._count - state["ddof"])))
        elif self.call.function == "poly":
            state |= self._recurrence()
        return states

    def _add_powers(self, values: np.ndarray) -> None:
        if self._triangle.size == 0:
            self._origin, self._unit = float(values.mean()), float(values.std()) or 1.0
            degree = self._degree()
            self._triangle = np.zeros((0, degree + 1))
        powers = np.vander((values - self._origin) / self._unit, self._triangle.shape[1], increasing=True)
        self._triangle = np.asarray(np.linalg.qr(np.vstack([self._triangle, powers]), mode="r"))

    def _degree(self) -> int:
        given = self.call.keywords.get("degree")
        if given is None and self.call.n_arguments > 1:
            given = ast.parse(self.factor.expr.replace("`", "_"), mode="eval").body.args[1]
        degree = 1 if given is None else ast.literal_eval(given)
        if not (isinstance(degree, int) and degree >= 1):
            raise self._error("needs a whole number as its degree, 1 or more")
        return degree

    def _recurrence(self) -> dict[str, dict[int, float]]:
        """α and squared norms of the monic orthogonal polynomials in the user's unit."""
        r, size = self._triangle, self._triangle.shape[1]
        pivots = np.abs(np.diagonal(r)) if r.shape[0] == size else np.zeros(1)
        if not pivots.min() > 1e-7 * np.linalg.norm(r, axis=0).max():
            raise self._error(f"needs at least {size} different values")
        monic = np.linalg.solve(r, np.diag(np.diagonal(r)))
        below = np.append(0.0, np.diagonal(monic, offset=1))
        alpha = {k: float(self._origin + self._unit * (below[k] - below[k + 1])) for k in range(size - 1)}
        return {"alpha": alpha, "norms2": {k: float(pivots[k] ** 2 * self._unit ** (2 * k)) for k in range(size)}}

    def _error(self, why: str) -> FormulaError:
        return FormulaError(f"`{self.factor.expr}` {why}", culprit=self.factor.expr)
