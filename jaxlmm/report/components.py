"""Random-effects tables: variances and correlations, conditional modes, coefficients per level.

Term order, names and rows are lme4's: `varcorr` has the rows of as.data.frame(VarCorr(m)), `theta` the order of
getME(m, "theta"), `ranef` one frame per grouping factor.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from jaxlmm.covariance import Structure, correlated_pairs
from jaxlmm.errors import DataError
from jaxlmm.report.record import Fitted


class TermEstimate(NamedTuple):
    """One random-effects term, in lme4's order.

    Attributes
    ----------
    group : str
        Label of the grouping factor, made unique as lme4 does: "Subject", "Subject.1".
    factor : str
        Name of the grouping factor.
    names : tuple of str
        Columns.
    structure : Structure
        Covariance structure.
    lambda_ : (k, k) array
        Relative covariance factor of the term; (R, k, k) of lanes.
    """

    group: str
    factor: str
    names: tuple[str, ...]
    structure: Structure
    lambda_: np.ndarray


def terms(fitted: Fitted) -> Iterator[TermEstimate]:
    """Every random-effects term in lme4's order."""
    for label, f, t, block in fitted.frame.labelled_terms():
        factor = fitted.factors[f]
        term = factor.terms[t]
        lam = fitted.fit.lambdas[f][block, block]
        yield TermEstimate(label, factor.grouping.name, term.matrix.names, term.structure, lam)


def theta(fitted: Fitted) -> pd.Series:
    """Covariance parameters in lme4's order, named group.effect or group.effect.effect."""
    values, names = [], []
    for term in terms(fitted):
        for row, column in zip(*term.structure.positions(), strict=True):
            values.append(term.lambda_[row, column])
            own = term.names[row]
            names.append(f"{term.group}.{own}" if row == column else f"{term.group}.{own}.{term.names[column]}")
    return pd.Series(values, index=names, name="theta", dtype=float)


def varcorr(fitted: Fitted) -> pd.DataFrame:
    """Variances, covariances, standard deviations and correlations, the residual last; NaN where a row has no effect."""
    sigma = fitted.fit.sigma
    rows: list[tuple[str, str | None, str | None, float, float]] = []
    for term in terms(fitted):
        covariance = sigma**2 * term.lambda_ @ term.lambda_.T
        sd = np.sqrt(np.diagonal(covariance))
        rows += [(term.group, name, None, covariance[i, i], sd[i]) for i, name in enumerate(term.names)]
        for i, j in correlated_pairs(term.structure):
            scale = sd[i] * sd[j]
            correlation = covariance[j, i] / scale if scale > 0 else np.nan
            rows.append((term.group, term.names[i], term.names[j], covariance[j, i], correlation))
    rows.append(("Residual", None, None, sigma**2, sigma))
    table = pd.DataFrame(rows, columns=["grp", "var1", "var2", "vcov", "sdcor"])
    # One marker of what is missing, whatever pandas makes of a column of None and of one of None and text.
    names = {name: table[name].astype(object).where(table[name].notna(), np.nan) for name in ("var1", "var2")}
    return table.assign(**names)


def chosen(fitted: Fitted, which: str | list[str] | None) -> list[int]:
    """Numbers of the grouping factors asked for.

    Raises
    ------
    DataError
        When a name is none of them.
    """
    names = [factor.grouping.name for factor in fitted.factors]
    wanted = names if which is None else list(which) if isinstance(which, list | tuple) else [which]
    for name in wanted:
        if name not in names:
            raise DataError(f"{name!r} is not a grouping factor of this fit; those are: {', '.join(map(repr, names))}")
    return [names.index(name) for name in wanted]


def ranef(fitted: Fitted, which: str | list[str] | None) -> dict[str, pd.DataFrame]:
    """Conditional modes, level by effect, of each grouping factor."""
    return {
        fitted.factors[t].grouping.name: pd.DataFrame(
            fitted.fit.b[t].copy(), index=fitted.factors[t].grouping.levels, columns=_unique(fitted.factors[t].columns)
        )
        for t in chosen(fitted, which)
    }


def ranef_parts(
    fitted: Fitted,
    which: str | list[str] | None,
    variances: tuple[np.ndarray, ...],
    errors: tuple[np.ndarray, ...] | None = None,
    levels: int | None = None,
) -> Iterator[pd.DataFrame]:
    """Conditional modes with standard errors, one row per group, level and effect, so many levels at a time; `errors` are
    what probes leave uncertain of the variances."""
    for t in chosen(fitted, which):
        factor = fitted.factors[t]
        for k, effect in enumerate(_unique(factor.columns)):
            n_levels = factor.grouping.n_levels
            for begin in range(0, n_levels, levels or n_levels):
                part = slice(begin, begin + (levels or n_levels))
                size = np.sqrt(np.maximum(variances[t][part, k, k], 0.0))
                frame = {
                    "group": factor.grouping.name,
                    "level": factor.grouping.levels[part],
                    "effect": effect,
                    "estimate": fitted.fit.b[t][part, k],
                    "std_error": size,
                }
                if errors is not None:
                    frame["monte_carlo_error"] = errors[t][part, k, k] / np.where(size > 0, 2.0 * size, 1.0)
                yield pd.DataFrame(frame)


def ranef_long(
    fitted: Fitted,
    which: str | list[str] | None,
    variances: tuple[np.ndarray, ...],
    errors: tuple[np.ndarray, ...] | None = None,
) -> pd.DataFrame:
    """All of them in one table."""
    return pd.concat(ranef_parts(fitted, which, variances, errors), ignore_index=True)


def coef(fitted: Fitted, which: str | list[str] | None) -> dict[str, pd.DataFrame]:
    """Fixed plus random effects per level."""
    fixed = pd.Series(fitted.fit.beta, index=fitted.coefficients)
    answer = {}
    for name, frame in ranef(fitted, which).items():
        table = pd.DataFrame(
            np.tile(fixed.to_numpy(), (len(frame), 1)), index=frame.index, columns=fixed.index, dtype=float
        )
        for effect in frame:
            table[effect] = table[effect] + frame[effect] if effect in table else frame[effect]
        answer[name] = table
    return answer


def random_effects(fitted: Fitted) -> dict[Any, pd.Series]:
    """statsmodels' shape: one Series per level; keys are levels, or (factor, level) with several factors."""
    frames = ranef(fitted, None)
    if len(frames) == 1:
        (frame,) = frames.values()
        return dict(frame.iterrows())
    return {(name, level): row for name, frame in frames.items() for level, row in frame.iterrows()}


def cov_re(fitted: Fitted) -> pd.DataFrame:
    """Covariance matrix of the random effects, block diagonal over terms; statsmodels' shape for one factor."""
    several = len(fitted.factors) > 1
    blocks = list(terms(fitted))
    names = [f"{term.factor} {name}" if several else name for term in blocks for name in term.names]
    matrix, begin = np.zeros((len(names), len(names))), 0
    for term in blocks:
        end = begin + len(term.names)
        matrix[begin:end, begin:end] = fitted.fit.sigma**2 * term.lambda_ @ term.lambda_.T
        begin = end
    return pd.DataFrame(matrix, index=names, columns=names)


def vcomp(fitted: Fitted) -> pd.Series:
    """Variances of the random effects, by group and effect."""
    covariance = cov_re(fitted)
    names = [f"{term.group} {name}" for term in terms(fitted) for name in term.names]
    return pd.Series(np.diagonal(covariance.to_numpy()), index=names, name="variance")


def principal_components(fitted: Fitted) -> dict[str, pd.DataFrame]:
    """Principal components of the relative covariance of each factor's effects (lme4's rePCA).

    Columns: sd (standard deviation relative to sigma), proportion (of variance), cumulative.
    """
    answer = {}
    for factor, lam in zip(fitted.factors, fitted.fit.lambdas, strict=True):
        sd = np.linalg.svd(lam, compute_uv=False)
        total = float((sd**2).sum())
        share = sd**2 / total if total > 0 else np.full(sd.size, np.nan)
        index = pd.RangeIndex(1, sd.size + 1, name="component")
        answer[factor.grouping.name] = pd.DataFrame(
            {"sd": sd, "proportion": share, "cumulative": np.cumsum(share)}, index=index
        )
    return answer


def as_arrow(tables: Any) -> Any:
    """Frames as pyarrow tables, the index as a column; a dict is converted entry by entry."""
    if isinstance(tables, dict):
        return {name: as_arrow(table.reset_index()) for name, table in tables.items()}
    try:
        import pyarrow
    except ImportError:
        raise DataError("to_arrow=True needs pyarrow; install it with pip install 'jaxlmm[arrow]'") from None
    return pyarrow.Table.from_pandas(tables, preserve_index=False)


def _unique(names: tuple[str, ...]) -> list[str]:
    """Column names made unique, for two terms with the same effect on one factor."""
    seen: dict[str, int] = {}
    answer = []
    for name in names:
        count = seen.get(name, 0)
        seen[name] = count + 1
        answer.append(f"{name}.{count}" if count else name)
    return answer
