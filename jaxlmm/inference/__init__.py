"""From a fit to statements about it."""

from jaxlmm.inference.anova import f_table
from jaxlmm.inference.combinations import combinations
from jaxlmm.inference.likelihood_ratio import Candidate, compare, random_table
from jaxlmm.inference.new_modes import modes_of
from jaxlmm.inference.predict import predict
from jaxlmm.inference.profile import Profiler, limits, profiled
from jaxlmm.inference.profile_curves import Curve, as_frame
from jaxlmm.inference.reference import DDF_METHODS, OF_LANES, FTest, Method, Reference, check_ddf
from jaxlmm.inference.rlrt import RestrictedTest, exact_test
from jaxlmm.inference.variance_errors import standard_errors, variance_covariance
from jaxlmm.inference.wald import p_values, wald_interval

__all__ = [
    "DDF_METHODS",
    "OF_LANES",
    "Candidate",
    "Curve",
    "FTest",
    "Method",
    "Profiler",
    "Reference",
    "RestrictedTest",
    "as_frame",
    "check_ddf",
    "combinations",
    "compare",
    "exact_test",
    "f_table",
    "limits",
    "modes_of",
    "p_values",
    "predict",
    "profiled",
    "random_table",
    "standard_errors",
    "variance_covariance",
    "wald_interval",
]
