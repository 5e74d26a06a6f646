"""Tables and texts about a fit."""

from jaxlmm.report.components import (
    as_arrow,
    coef,
    cov_re,
    principal_components,
    random_effects,
    ranef,
    ranef_long,
    ranef_parts,
    terms,
    theta,
    varcorr,
    vcomp,
)
from jaxlmm.report.lane_terms import lane_deviations
from jaxlmm.report.many import adjusted, long_table, variance_fractions
from jaxlmm.report.record import Fitted
from jaxlmm.report.replicates import NOT_ESTIMATES, estimates_as_replicate, replicates
from jaxlmm.report.rows import fitted_values, response
from jaxlmm.report.summary import Summary, summarize
from jaxlmm.report.tidy import augment, coefficients, glance, tidy

__all__ = [
    "NOT_ESTIMATES",
    "Fitted",
    "Summary",
    "adjusted",
    "as_arrow",
    "augment",
    "coef",
    "coefficients",
    "cov_re",
    "estimates_as_replicate",
    "fitted_values",
    "glance",
    "lane_deviations",
    "long_table",
    "principal_components",
    "random_effects",
    "ranef",
    "ranef_long",
    "ranef_parts",
    "replicates",
    "response",
    "summarize",
    "terms",
    "theta",
    "tidy",
    "varcorr",
    "variance_fractions",
    "vcomp",
]
