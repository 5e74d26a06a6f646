"""`EMMeans`: estimated marginal means or trends, and what is asked of them."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from jaxlmm.errors import DataError
from jaxlmm.inference import Method
from jaxlmm.inference.grid import WEIGHTS, frequencies, reference_grid, slopes
from jaxlmm.inference.marginal import Functions, Scale, contrast_weights, scale_of
from jaxlmm.inference.wald import check_level
from jaxlmm.precision import double
from jaxlmm.report import Fitted

TYPES = ("link", "response")

USUAL_ADJUSTMENT = {"pairwise": "tukey", "poly": "none"}
"""Of named contrasts; Holm's for the others, and none for weights of the user's."""


class EMMeans:
    """Estimated marginal means, or trends; made by `MixedModelResults.emmeans` and `emtrends`.

    Parameters
    ----------
    functions : Functions
        One linear function of the coefficients per mean.
    specs, by : list of str
        Variables that tell the means apart: those that are compared, and those within whose levels they are.
    level : float
        Confidence level.
    scale : Scale or None
        Where the answers are given on the scale of the untransformed response.
    name : str
        Column of the estimates.

    Examples
    --------
    >>> import jaxlmm
    >>> fit = jaxlmm.lmer("score ~ Machine + (1 | Worker)", jaxlmm.load_dataset("machines"))
    >>> fit.emmeans("Machine")
      Machine     emmean  std_error        df   conf_low  conf_high
    0       A  52.355556   2.229312  5.833186  46.862586  57.848525
    1       B  60.322222   2.229312  5.833186  54.829253  65.815191
    2       C  66.272222   2.229312  5.833186  60.779253  71.765191
    """

    def __init__(
        self, functions: Functions, specs: list[str], by: list[str], level: float, scale: Scale | None, name: str
    ):
        self._functions, self._specs, self._by = functions, specs, by
        self._level, self._scale, self._name = level, scale, name

    @property
    def specs(self) -> list[str]:
        """Variables whose levels are compared."""
        return list(self._specs)

    @property
    def by(self) -> list[str]:
        """Variables within whose levels they are."""
        return list(self._by)

    @property
    def name(self) -> str:
        """Column of the estimates in `frame`."""
        return self.frame.columns[len(self._specs) + len(self._by)]

    @functools.cached_property
    @double
    def frame(self) -> pd.DataFrame:
        """One row per mean: its levels, the estimate (emmean; response with type="response"; variable.trend), std_error, df,
        conf_low, conf_high. NaN where the data do not determine the mean."""
        return self._functions.means(self._name, self._level, self._scale)

    @double
    def pairs(self, adjust: str = "tukey", simple: str | list[str] | None = None) -> pd.DataFrame:
        """All differences of two means, within each combination of `by`.

        Parameters
        ----------
        adjust : {"tukey", "holm", "bonferroni", "sidak", "fdr", "none"}
            Adjustment of p-values and limits within each family of comparisons (limits of "fdr" are not adjusted, those of
            "holm" are Bonferroni's).
        simple : str or list of str, optional
            Compare the levels of these only, within each combination of all others.

        Returns
        -------
        pandas.DataFrame
            Columns of `by`, contrast, estimate (a ratio with type="response" of a logarithm), std_error, df, statistic,
            p_value, conf_low, conf_high.

        Raises
        ------
        DataError
            When an argument is not known.

        Examples
        --------
        >>> import jaxlmm
        >>> fit = jaxlmm.lmer("score ~ Machine + (1 | Worker)", jaxlmm.load_dataset("machines"))
        >>> fit.emmeans("Machine").pairs()[["contrast", "estimate", "df", "p_value"]].round(4)
          contrast  estimate    df  p_value
        0    A - B   -7.9667  46.0      0.0
        1    A - C  -13.9167  46.0      0.0
        2    B - C   -5.9500  46.0      0.0
        """
        return self.contrast("pairwise", adjust, simple)

    @double
    def contrast(self, method: Any = "sum", adjust: str | None = None, simple: Any = None) -> pd.DataFrame:
        """Contrasts of the means, within each combination of `by`.

        Parameters
        ----------
        method : {"sum", "poly", "trt.vs.ctrl", "consec", "pairwise"}, dict or matrix
            Each mean against the mean of all; orthogonal polynomials of equally spaced levels; each against the first; each
            against the one before; or weights, a number for each mean, by name or as rows.
        adjust : str, optional
            As in `pairs`; by default Tukey's for pairs, Holm's for other named contrasts, none for polynomials and weights.
        simple : str or list of str, optional
            As in `pairs`.

        Returns
        -------
        pandas.DataFrame
            As from `pairs`.

        Raises
        ------
        DataError
            When an argument is not known.

        Examples
        --------
        >>> import jaxlmm
        >>> fit = jaxlmm.lmer("score ~ Machine + (1 | Worker)", jaxlmm.load_dataset("machines"))
        >>> fit.emmeans("Machine").contrast({"new - old": [-1, 0.5, 0.5]})[["contrast", "estimate"]].round(2)
            contrast  estimate
        0  new - old     10.94
        """
        specs, by = self._roles(simple)
        ratios = self._scale is not None and self._scale.ratios
        weights, labels = [], []
        means = None
        for own in self._families(by):
            names = self._names(own, specs)
            values = self._functions.labels[specs[0]].iloc[own].tolist()
            rows, titles = contrast_weights(method, names, values, ratios)
            means = len(own)
            full = np.zeros((len(rows), len(self._functions.labels)))
            full[:, own] = rows
            weights.append(full)
            head = self._functions.labels[by].iloc[[own[0]] * len(rows)].reset_index(drop=True)
            labels.append(head.assign(contrast=titles))
        if adjust is None:
            adjust = USUAL_ADJUSTMENT.get(method, "holm") if isinstance(method, str) else "none"
        found = self._functions.combined(np.vstack(weights), pd.concat(labels, ignore_index=True))
        pairwise = means if isinstance(method, str) and method == "pairwise" else None
        balanced = np.allclose(np.vstack(weights).sum(axis=1), 0.0)
        # A difference of logarithms is that of a ratio; other scales have no such differences, and keep their own.
        scale = self._scale if ratios and balanced else None
        return found.tests(self._level, adjust, pairwise, by, scale)

    @double
    def joint_tests(self) -> pd.DataFrame:
        """F tests of main effects and interactions of the variables that tell the means apart, within each `by`.

        Where cells are empty, of as many comparisons as the data determine (num_df says how many). An interaction that the
        model has not is not there.

        Returns
        -------
        pandas.DataFrame
            Columns of `by`, term, num_df, den_df, F, p_value.

        Examples
        --------
        >>> import jaxlmm
        >>> fit = jaxlmm.lmer("score ~ Machine + (1 | Worker)", jaxlmm.load_dataset("machines"))
        >>> fit.emmeans("Machine").joint_tests().round(2)
              term  num_df  den_df     F  p_value
        0  Machine       2    46.0  87.8      0.0
        """
        f, rows = self._functions, []
        heads = []
        for own in self._families(self._by):
            table = f.labels.iloc[own]
            levels = [table[name].drop_duplicates().tolist() for name in self._specs]
            for size in range(1, len(self._specs) + 1):
                for chosen in itertools.combinations(range(len(self._specs)), size):
                    parts = [_differences(len(v)) if i in chosen else _average(len(v)) for i, v in enumerate(levels)]
                    weights = np.zeros((np.prod([len(part) for part in parts]), len(f.labels)))
                    weights[:, own] = functools.reduce(np.kron, parts)
                    found = f.joint(weights)
                    # What the model has no coefficients for, as an interaction of additive factors, is not tested.
                    if found is not None:
                        term = ":".join(self._specs[i] for i in chosen)
                        rows.append((term, found.num_df, found.den_df, found.statistic, found.p_value))
                        heads.append(table[self._by].iloc[0])
        tests = pd.DataFrame(rows, columns=["term", "num_df", "den_df", "F", "p_value"])
        head = pd.DataFrame(heads, columns=self._by).reset_index(drop=True)
        return pd.concat([head, tests], axis=1) if self._by else tests

    def __repr__(self) -> str:
        return repr(self.frame)

    def _repr_html_(self) -> str:
        return self.frame._repr_html_()

    def _roles(self, simple: str | list[str] | None) -> tuple[list[str], list[str]]:
        """What is compared, and within what."""
        if simple is None:
            return self._specs, self._by
        wanted = _listed(simple, "simple")
        every = [*self._specs, *self._by]
        if not wanted:
            raise DataError(f"simple names no variable; the means are told apart by {', '.join(map(repr, every))}")
        for name in wanted:
            if name not in every:
                raise DataError(f"simple names {name!r}, but the means are told apart by {', '.join(map(repr, every))}")
        return wanted, [name for name in every if name not in wanted]

    def _families(self, by: list[str]):
        """Positions of the means of each combination of `by`."""
        if not by:
            return [np.arange(len(self._functions.labels))]
        return list(self._functions.labels.groupby(by, observed=False, sort=False).indices.values())

    def _names(self, own: np.ndarray, specs: list[str]) -> list[str]:
        """What each mean is called within its family."""
        table = self._functions.labels[specs].iloc[own]
        return [" ".join(_shown(value) for value in row) for row in table.itertuples(index=False)]


def marginal_means(
    fitted: Fitted,
    method: Method,
    specs: str | list[str],
    by: str | list[str] | None,
    at: Mapping[str, Any] | None,
    type: str,
    weights: str,
    level: float,
    variable: str | None = None,
) -> EMMeans:
    """Average the reference grid over everything but `specs` and `by`; with `variable`, its slopes.

    Raises
    ------
    DataError
        When an argument is not known, or the response has no known transformation to go back from.
    """
    if type not in TYPES:
        raise DataError(f"type={type!r} is not known; write 'link' or 'response'")
    if weights not in WEIGHTS:
        raise DataError(f"weights={weights!r} is not known; write 'equal' or 'proportional'")
    specs, by = _listed(specs, "specs"), _listed(by, "by")
    if variable is not None and variable in (*specs, *by):
        raise DataError(f"var={variable!r} is also one of the variables that tell trends apart; name it once")
    if set(specs) & set(by) or not specs:
        raise DataError(f"specs={specs!r} and by={by!r}: name at least one variable in specs, and none in both")
    frame, kept = fitted.frame, fitted.model.coordinates.kept
    grid = reference_grid(frame, kept, at, [*specs, *by])
    means = grid.means if variable is None else slopes(frame, grid, kept, variable)
    others = [name for name in grid.factors if name not in (*specs, *by)]
    share = frequencies(frame, grid, others) if weights == "proportional" else np.ones(len(grid.table))
    # Sorted as the grid is: the last of specs and by varies fastest.
    order = [*by, *specs]
    labels = grid.table[order].drop_duplicates().sort_values(order, key=lambda c: pd.factorize(c)[0], kind="stable")
    key = grid.table[order].apply(tuple, axis=1)
    average = np.array([np.where(key == tuple(label), share, 0.0) for label in labels.itertuples(index=False)])
    total = average.sum(axis=1, keepdims=True)
    average = np.divide(average, total, out=np.zeros_like(average), where=total > 0)
    scale = None
    if type == "response" and variable is None:
        scale = scale_of(frame.response)
        if scale is None:
            raise DataError(
                f"type='response': {frame.response!r} is no known transformation (log, log2, log10, log1p, sqrt, logit) of "
                "a column or of a + b times one; leave type out"
            )
    constant = np.full(len(grid.table), grid.offset if variable is None else 0.0)
    whole = Functions(fitted.reference, method, grid.table, means, constant)
    functions = whole.combined(average, labels[[*specs, *by]].reset_index(drop=True))
    name = f"{variable}.trend" if variable is not None else "emmean" if scale is None else "response"
    return EMMeans(functions, specs, by, check_level(level), scale, name)


def _listed(names: Any, what: str) -> list[str]:
    """Names given as one, as a list, or as R's "a * b", "a:b"."""
    if names is None:
        return []
    if isinstance(names, str) and "|" in names:
        raise DataError(f"{what}={names!r}: write what stands right of the bar as by=...")
    if isinstance(names, str):
        names = [name.strip() for name in names.replace("*", ":").split(":")]
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise DataError(f"{what}={names!r} is not known; write the name of a variable or a list of names")
    return list(dict.fromkeys(names))


def _differences(m: int) -> np.ndarray:
    return np.eye(m)[1:] - np.eye(m)[:-1]


def _average(m: int) -> np.ndarray:
    return np.full((1, m), 1.0 / m)


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
