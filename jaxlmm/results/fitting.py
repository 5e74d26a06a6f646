"""From a named design to a named fit: the walk of DESIGN §2, timed."""

from __future__ import annotations

import time
import warnings
from typing import Any

import numpy as np

from jaxlmm.design import Frame, check_chunk_rows
from jaxlmm.errors import ConvergenceWarning, DataError, DesignError, callers_level
from jaxlmm.fit import Certificate, Control, fit_model, prepare, prepare_sums, with_response
from jaxlmm.pls import CrossProducts
from jaxlmm.report import Fitted


def fit_frame(
    frame: Frame,
    reml: bool,
    control: Control,
    ddf: str,
    design_seconds: float,
    like: Fitted | None = None,
    cross: CrossProducts | None = None,
) -> Fitted:
    """Reduce the design, minimize the criterion, and keep the names beside the numbers.

    The caller holds the double-precision scope. With `like`, a fit that differs in the response only, everything but the
    sums over the response is taken from there; with `cross`, the sums over rows that the design does not have.

    Raises
    ------
    DataError
        When `reml` or `control` is not what its name says.
    DesignError
        When Kenward-Roger's degrees of freedom are asked of a maximum-likelihood fit.

    Warns
    -----
    ConvergenceWarning
        When the minimum is not certified.
    """
    check_settings(frame, reml, control)
    if ddf == "kenward-roger" and not reml:
        raise DesignError("ddf='kenward-roger' is defined for REML; write reml=True, or ddf='satterthwaite'")
    begin = time.perf_counter()
    if cross is not None:
        model = prepare_sums(cross, control.plan)
    elif like is not None:
        model = with_response(like.model, like.shared.responder, frame.design.y)
    else:
        model = prepare(frame.design, control.plan)
    middle = time.perf_counter()
    fit = fit_model(model, reml, control)
    end = time.perf_counter()
    seconds = {"design": design_seconds, "cross_products": middle - begin, "fit": end - middle}
    if not fit.certificate.converged:
        _warn(fit.certificate)
    return Fitted(frame, model, fit, ddf, seconds)


def check_settings(frame: Frame, reml: bool, control: Control) -> None:
    """Refuse settings that are none.

    Raises
    ------
    DataError
        When `reml` or `control` is not what its name says.
    """
    if not isinstance(reml, bool | np.bool_):
        raise DataError(f"reml={reml!r} is neither True (REML) nor False (maximum likelihood)")
    if not isinstance(control, Control):
        raise DataError(f"control is of type {type(control).__name__}; write control=jaxlmm.Control(...)")
    steps = control.max_iterations
    if not isinstance(steps, int | np.integer) or isinstance(steps, bool) or steps < 1:
        raise DataError(f"Control(max_iterations={steps!r}) is no whole number from 1 on")
    check_chunk_rows(control.chunk_rows)
    if not isinstance(control.plan, str):
        raise DataError(f"Control(plan={control.plan!r}) is no text; write 'auto', or a plan's name")
    n_theta = sum(term.structure.n_theta for factor in frame.factors for term in factor.terms)
    if control.start is not None and not _is_start(control.start, n_theta):
        raise DataError(
            f"Control(start=...) must hold one finite number per covariance parameter, {n_theta} in this model"
        )


def _is_start(start: Any, n_theta: int) -> bool:
    try:
        values = np.asarray(start, dtype=float)
    except (TypeError, ValueError):
        return False
    return values.shape == (n_theta,) and bool(np.isfinite(values).all())


def _warn(certificate: Certificate) -> None:
    """Warn at the line that called the package."""
    more = (
        "raise jaxlmm.Control(max_iterations=...)" if certificate.status == "iteration limit" else "simplify the model"
    )
    warnings.warn(
        f"the fit has NOT CONVERGED after {certificate.iterations} iterations ({certificate.status}); do not use its "
        f"numbers, look at its certificate, and {more}",
        ConvergenceWarning,
        stacklevel=callers_level(),
    )
