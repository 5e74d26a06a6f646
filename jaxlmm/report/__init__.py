"""Tables and texts about a fit."""

from jaxlmm.report.components import (
    as_arrow,
    coef,
    cov_re,
    principal_components,
    random_effects,
    ranef,
    ranef_long,
    terms,
    theta,
    varcorr,
    vcomp,
)
from jaxlmm.report.record import Fitted
from jaxlmm.report.replicates import NOT_ESTIMATES, replicates
from jaxlmm.report.replicates import estimates as replicate_estimates
from jaxlmm.report.rows import fitted_values, response
from jaxlmm.report.summary import Summary, summarize
from jaxlmm.report.tidy import augment, coefficients, glance, tidy

__all__ = [
    "NOT_ESTIMATES",
    "Fitted",
    "Summary",
    "as_arrow",
    "augment",
    "coef",
    "coefficients",
    "cov_re",
    "fitted_values",
    "glance",
    "principal_components",
    "random_effects",
    "ranef",
    "ranef_long",
    "replicate_estimates",
    "replicates",
    "response",
    "summarize",
    "terms",
    "theta",
    "tidy",
    "varcorr",
    "vcomp",
]
