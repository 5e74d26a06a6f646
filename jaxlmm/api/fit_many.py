"""`fit_many`: one formula, many responses."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from jaxlmm.design import Frame, build
from jaxlmm.errors import ConvergenceWarning, DataError, JaxlmmError, callers_level, located
from jaxlmm.fit import Control, Settings, Shared
from jaxlmm.formula import parse_formula
from jaxlmm.inference import OF_LANES, check_ddf, combinations
from jaxlmm.precision import double
from jaxlmm.resample import Checkpoint, digest_of
from jaxlmm.results import ManyFits, ManySource
from jaxlmm.results.fitting import check_settings
from jaxlmm.results.spellings import NOT_IN_FIT_MANY, refuse


@double
def fit_many(
    formula: str,
    data: Any,
    responses: Any,
    weights: Any = None,
    tests: Mapping[str, Any] | None = None,
    ddf: str = "satterthwaite",
    reml: bool = True,
    offset: Any = None,
    contrasts: Mapping[str, Any] | None = None,
    na_action: str = "drop",
    control: Control | None = None,
    progress: bool = False,
    checkpoint: str | os.PathLike[str] | None = None,
    trusted: bool = False,
    **elsewhere: Any,
) -> ManyFits:
    """Fit one linear mixed model to many responses: genes, voxels, electrodes, items.

    Parameters
    ----------
    formula : str
        lme4's language without a response: "~ disease + age + (1 | donor)".
    data : pandas, polars or pyarrow table, or dict of columns
        One row per observation.
    responses : table, dict of columns, (n, R) array or memory map, or iterator of such chunks of columns
        One column per response, the rows of `data` in the same order; a pandas table must have the index of pandas `data`.
        Missing values are left out, response by response.
    weights : like `responses`, or str or (n,) array, optional
        Precision weights, Var = sigma**2 / weight: of the same shape and columns as the responses, so that each has its own
        (voom's weights, as in dream); or one column for all.
    tests : mapping, optional
        Linear combinations of coefficients to test besides the coefficients: {"late-early": "disease[T.late] -
        disease[T.early]"}, or an array with a number for each coefficient.
    ddf : {"satterthwaite", "residual", "normal"}
        Degrees of freedom of the t statistics: Satterthwaite's (from the exact Hessian and exact derivatives at each
        response's minimum), n - p, or infinite.
    reml : bool
        REML (the default), or maximum likelihood.
    offset, contrasts, na_action, control, trusted
        As in `jaxlmm.lmer`; `na_action` is about the columns of `data`.
    progress : bool
        Show a bar (tqdm): responses done, per second, and failures.
    checkpoint : path, optional
        A folder that finished rounds are written to; the same call resumes from it after it was killed.
    **elsewhere
        Refused, each with what to write instead.

    Returns
    -------
    ManyFits
        `frame` has a row for each response and term. Interrupted by Ctrl-C, it holds what was finished, with a warning.

    Raises
    ------
    FormulaError, DataError, DesignError
        When the formula, the data or the responses cannot be used; the message says what was found, where, and what to write.

    Warns
    -----
    ConvergenceWarning
        When responses have no certified minimum; `status` says which and why.

    Notes
    -----
    The columns of the formula are made once, from all rows of `data`: a response that misses values does not change what
    `scale(x)` or a spline means. An error in a later chunk of an iterator ends the call; with `checkpoint` what was fitted
    before is not lost.

    With one grouping factor and up to six covariance parameters, responses are lanes of one batched trust-region Newton
    method. Other designs reduce each response in turn and fit it alone; with weights by response, or values missing in
    different rows, they are reduced again for each. Degrees of freedom: Kuznetsova, Brockhoff & Christensen (2017), J. Stat.
    Softw. 82(13). Mass-univariate mixed models of expression data: Hoffman & Roussos (2021), Bioinformatics 37(2).

    Examples
    --------
    >>> import jaxlmm
    >>> sleepstudy = jaxlmm.load_dataset("sleepstudy")
    >>> responses = {"ms": sleepstudy["Reaction"], "speed": 1000 / sleepstudy["Reaction"]}
    >>> many = jaxlmm.fit_many("~ Days + (Days | Subject)", sleepstudy, responses, tests={"week": "7 * Days"})
    >>> many.frame[["response", "term", "estimate", "std_error", "p_value"]].round(3)
      response       term  estimate  std_error  p_value
    0       ms  Intercept   251.405      6.825      0.0
    1       ms       Days    10.467      1.546      0.0
    2       ms       week    73.271     10.821      0.0
    3    speed  Intercept     3.966      0.109      0.0
    4    speed       Days    -0.111      0.016      0.0
    5    speed       week    -0.777      0.109      0.0
    """
    refuse(elsewhere, NOT_IN_FIT_MANY, "fit_many()")
    if isinstance(data, str) and not isinstance(formula, str):
        raise DataError(
            "the arguments stand the wrong way round: the formula comes first, fit_many(formula, data, responses)"
        )
    check_ddf(ddf, OF_LANES)
    shared_weights = None if weights is None or not _for_all(weights) else weights
    parsed = parse_formula(formula, trusted=trusted, one_sided=True)
    try:
        frame = build(
            parsed,
            data,
            weights=shared_weights,
            offset=offset,
            contrasts=contrasts,
            na_action=na_action,
            responses_elsewhere=True,
        )
    except JaxlmmError as problem:
        raise located(problem, formula) from None
    control = control or Control()
    check_settings(frame, reml, control)
    if control.start is not None:
        raise DataError(
            "Control(start=...) is for one fit; responses start each at an estimate of their own: leave it out"
        )
    tests = tests or {}
    matrix = np.vstack([np.eye(frame.design.n_fixed), combinations(tests, frame.fixed.names)])
    for name in tests:
        if name in frame.fixed.names:
            raise DataError(f"tests has an entry {name!r}, which is the name of a coefficient; call it otherwise")
    settings = Settings(bool(reml), control, matrix, ddf == "satterthwaite")
    shared = Shared.of(frame.design, control.plan)
    source = ManySource(formula, frame, shared, settings, list(tests), ddf)
    labels = data.index if isinstance(data, pd.DataFrame) else None
    kept = None if checkpoint is None else Checkpoint(checkpoint, _about(formula, frame, settings))
    own_weights = None if shared_weights is not None else weights
    names, fits = source.fit_all(responses, own_weights, labels, progress, kept)
    many = ManyFits(source, names, fits)
    if many.n_failed:
        counts = many.status[~fits.certified].value_counts()
        reasons = ", ".join(f"{count} {reason!r}" for reason, count in counts.items())
        warnings.warn(
            f"{many.n_failed} of {len(many)} responses have no certified minimum ({reasons}); look at .status",
            ConvergenceWarning,
            stacklevel=callers_level(),
        )
    return many


def _for_all(weights: Any) -> bool:
    """Whether weights are a column's name, or one column of values."""
    if isinstance(weights, str | pd.Series):
        return True
    if isinstance(weights, Mapping | Iterator | list | tuple | pd.DataFrame):
        return isinstance(weights, list | tuple) and all(np.isscalar(value) for value in weights)
    shape = getattr(weights, "shape", None)
    return shape is not None and len(shape) == 1


def _about(formula: str, frame: Frame, settings: Settings) -> dict[str, Any]:
    """What makes a run this run."""
    design = frame.design
    return {
        "what": "jaxlmm.fit_many",
        "format": 1,
        "formula": formula,
        "data": digest_of([design.x, *(part for block in design.random for part in (block.codes, block.z))]),
        "weights": None if design.weights is None else digest_of([design.weights]),
        "offset": None if frame.offset is None else digest_of([frame.offset]),
        "tests": digest_of([settings.combinations]),
        "reml": settings.reml,
        "satterthwaite": settings.satterthwaite,
        "plan": settings.control.plan,
        "max_iterations": settings.control.max_iterations,
    }
