"""`mixedlm`: statsmodels' call, with lme4's formulas allowed in it.

The model is built and checked when it is made, and fitted by `fit`, as in statsmodels. What the arguments mean
together is written as one formula (`api.statsmodels_formula`); from there on a model is a model.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import narwhals as nw
import numpy as np

from jaxlmm.api.grouping_args import column_of_groups
from jaxlmm.api.statsmodels_formula import one_formula
from jaxlmm.design import Frame, build
from jaxlmm.design.table import open_table, read_columns
from jaxlmm.errors import DataError, FormulaError, JaxlmmError, located
from jaxlmm.fit import Control
from jaxlmm.formula import parse_formula
from jaxlmm.inference import check_ddf
from jaxlmm.precision import double
from jaxlmm.results import MixedModelResults
from jaxlmm.results.fitting import fit_frame
from jaxlmm.results.spellings import refuse

MISSING = {"drop": "drop", "raise": "raise", "none": "raise"}
"""statsmodels' `missing` as our `na_action`."""

NOT_HERE = {
    "subset": "pass the rows themselves: data[subset]",
    "use_sqrt": "leave it out: the covariance parameters are always factors, and the answer does not depend on it",
    "use_sparse": "leave it out: the solver plan takes the sparsity of the design into account by itself",
    "eval_env": "leave it out: a formula sees the columns of the data and nothing else",
    "exog_re": "write the random effects in re_formula",
    "exog_vc": "write the variance components in vc_formula",
    "reml": "write mixedlm(...).fit(reml=False)",
    "method": "write mixedlm(...).fit(reml=False) for maximum likelihood; the optimizer has no alternative",
    "family": "generalized models are not available; leave it out to fit a linear mixed model",
    "control": "write mixedlm(...).fit(control=...)",
    "random": "write the random effects in re_formula, or into the formula: y ~ x + (x | g)",
}
"""Arguments of statsmodels' mixedlm and lme4's lmer that have no place here, and what to do instead."""

NOT_IN_FIT = {
    "method": "the optimizer is a trust-region Newton method with exact derivatives, and needs no alternative",
    "maxiter": "write control=jaxlmm.Control(max_iterations=...)",
    "start_params": "the start is computed from the data, and the certified minimum does not depend on it",
    "fe_pen": "penalized fits are not available",
    "cov_pen": "penalized fits are not available",
    "free": "write a covariance structure into the formula, such as zerocorr(x | g)",
    "full_output": "the result's certificate says how the fit ended",
    "niter_sa": "there is no steepest ascent before the fit",
    "do_cg": "the fit is always run",
    "disp": "the fit prints nothing",
    "reml": "write reml=False for maximum likelihood, reml=True for REML",
}
"""Arguments of statsmodels' fit that have no place here, and why."""


@dataclass(frozen=True, repr=False, eq=False)
class MixedLM:
    """A linear mixed model, built and checked, not yet fitted.

    Made by `jaxlmm.mixedlm`; not meant to be constructed by hand.

    Attributes
    ----------
    frame : Frame
        Design and names.
    data : table
        The user's data, with a column more where `groups` was given as values.
    ddf : str
        How degrees of freedom are found.
    seconds : float
        Time spent on building.

    Examples
    --------
    >>> import jaxlmm
    >>> sleepstudy = jaxlmm.load_dataset("sleepstudy")
    >>> model = jaxlmm.mixedlm("Reaction ~ Days", sleepstudy, groups="Subject", re_formula="~Days")
    >>> model
    <MixedLM: 'Reaction ~ Days + (Days | Subject)', 180 rows>
    >>> model.fit(reml=False).params.round(3).to_dict()
    {'Intercept': 251.405, 'Days': 10.467}
    """

    frame: Frame
    data: Any
    ddf: str
    seconds: float

    @classmethod
    def from_formula(cls, formula: str, data: Any, **arguments: Any) -> MixedLM:
        """Make a model; the same as `jaxlmm.mixedlm`."""
        return mixedlm(formula, data, **arguments)

    @property
    def formula(self) -> str:
        """What all arguments say together, as one formula with bars."""
        return self.frame.formula.source

    @property
    def nobs(self) -> int:
        """Number of rows used."""
        return len(self.frame.rows.index)

    @property
    def endog_names(self) -> str:
        """The response."""
        return self.frame.response

    @property
    def exog_names(self) -> list[str]:
        """Columns of the fixed effects."""
        return list(self.frame.fixed.names)

    @double
    def fit(self, reml: bool = True, control: Control | None = None, **statsmodels_arguments: Any) -> MixedModelResults:
        """Fit the model.

        Parameters
        ----------
        reml : bool
            REML (the default), or maximum likelihood.
        control : Control, optional
            Plan and iteration limit.
        **statsmodels_arguments
            Refused, each with the reason: statsmodels' optimizer settings have no meaning here.

        Returns
        -------
        MixedModelResults

        Raises
        ------
        DataError
            When `reml` is not True or False, or an argument is not known here.
        """
        refuse(statsmodels_arguments, NOT_IN_FIT, "fit()")
        if not isinstance(reml, bool | np.bool_):
            raise DataError(f"reml={reml!r} is neither True (REML) nor False (maximum likelihood)")
        control = control or Control()
        fitted = fit_frame(self.frame, bool(reml), control, self.ddf, self.seconds)
        return MixedModelResults(fitted, control, self.data)

    def __repr__(self) -> str:
        return f"<MixedLM: {self.formula.strip()!r}, {self.nobs} rows>"


@double
def mixedlm(
    formula: str,
    data: Any,
    groups: Any = None,
    re_formula: str | Mapping[str, str] | None = None,
    vc_formula: Mapping[str, str] | None = None,
    *,
    weights: Any = None,
    offset: Any = None,
    contrasts: Mapping[str, Any] | None = None,
    ddf: str = "normal",
    na_action: str | None = None,
    missing: str | None = None,
    trusted: bool = False,
    **statsmodels_arguments: Any,
) -> MixedLM:
    """Build a linear mixed model by statsmodels' arguments, lme4's formula, or both.

    Parameters
    ----------
    formula : str
        "y ~ x", or with random effects in lme4's language: "y ~ x + (x | g) + (1 | h)".
    data : pandas, polars or pyarrow table, or dict of columns
        One row per observation.
    groups : str, Series or array, optional
        A grouping factor: a column's name, or one value per row. It gets a random intercept, or the effects of
        `re_formula`, besides the bars of the formula. A Series that equals the column of its name is that column; other
        values become a column under the Series' name, or "groups".
    re_formula : str or dict, optional
        A string "~x" sets the random effects of `groups`, as in statsmodels, with all correlations. A dict
        {"school": "~1", "room": "~x"} sets those of each grouping factor; where the formula has a bar on that
        factor both must say the same.
    vc_formula : dict, optional
        An entry {"school": "diag"} or {"school": "unstructured"} sets the covariance structure of a factor's random
        effects, without correlations or with all of them (the default). An entry whose value is a formula,
        {"room": "0 + C(room)"}, is statsmodels' variance component: independent effects of one common variance, one
        per level of room within each of `groups`. As in statsmodels, `groups` then brings no random intercept
        unless `re_formula` asks for it.
    weights, offset, contrasts, trusted
        As in `jaxlmm.lmer`.
    ddf : {"normal", "satterthwaite", "kenward-roger", "residual"}
        Reference distribution of the coefficients' statistics; normal, as in statsmodels.
    na_action : {"drop", "raise"}, optional
        Leave rows with missing values out, counted in the result (the default), or refuse them.
    missing : {"drop", "raise", "none"}, optional
        statsmodels' spelling of `na_action`; "none" leaves missing values where they are, so they are refused.
    **statsmodels_arguments
        Refused, each with what to write instead: subset, use_sqrt, use_sparse, eval_env, exog_re, exog_vc.

    Returns
    -------
    MixedLM
        Call its `fit`. Its `formula` says in one formula what all arguments say together.

    Raises
    ------
    FormulaError, DataError, DesignError
        When the model cannot be built, or two arguments contradict each other; the message names both.

    Notes
    -----
    The arguments are those of statsmodels' MixedLM.from_formula (Seabold & Perktold 2010), and on models that it can
    fit the two agree, log-likelihoods included. Standard errors are lme4's, the inverse of the fixed effects' own
    information; statsmodels inverts the joint information of fixed effects and covariances, whose cross terms vanish
    on balanced data and change the standard errors by some tenths of a per mille otherwise.

    Examples
    --------
    >>> import jaxlmm
    >>> pastes = jaxlmm.load_dataset("pastes")
    >>> components = {"cask": "0 + C(cask)"}
    >>> model = jaxlmm.mixedlm("strength ~ 1", pastes, groups="batch", re_formula="1", vc_formula=components)
    >>> model.formula
    'strength ~ 1 + (1 | batch) + (1 | batch:cask)'
    >>> model.fit().vcomp.round(2).to_dict()
    {'batch:cask Intercept': 8.43, 'batch Intercept': 1.66}
    """
    begin = time.perf_counter()
    refuse(statsmodels_arguments, NOT_HERE, "mixedlm()")
    check_ddf(ddf)
    na_action = _na_action(na_action, missing)
    if not (re_formula is None or isinstance(re_formula, str | Mapping)):
        raise FormulaError(
            f"re_formula is of type {type(re_formula).__name__}; it is a string such as '~age', or a dict such as "
            "{'school': '~age'}."
        )
    parsed = parse_formula(formula, trusted=trusted)
    group = None
    if groups is not None:
        data, group = column_of_groups(data, groups)
    columns = [str(column) for column in open_table(data).columns]
    whole = one_formula(
        parsed,
        columns=columns,
        is_factor=lambda name: _is_factor(data, name),
        group=group,
        re_formula=re_formula,
        vc_formula=vc_formula,
    )
    try:
        frame = build(whole, data, weights=weights, offset=offset, contrasts=contrasts, na_action=na_action)
    except JaxlmmError as problem:
        raise located(problem, whole.source) from None
    return MixedLM(frame, data, ddf, time.perf_counter() - begin)


def _is_factor(data: Any, name: str) -> bool:
    """Whether a column stands for levels: strings, categories, and, as in statsmodels, booleans."""
    if open_table(data)[name].dtype == nw.Boolean:
        return True
    return str(read_columns(data, [name])[name].dtype) == "category"


def _na_action(na_action: str | None, missing: str | None) -> str:
    if missing is None:
        return na_action or "drop"
    if missing not in MISSING:
        raise DataError(f"missing={missing!r} is not known; write na_action='drop' or na_action='raise'")
    if na_action not in (None, MISSING[missing]):
        raise DataError(f"missing={missing!r} and na_action={na_action!r} contradict each other; write na_action alone")
    return MISSING[missing]
