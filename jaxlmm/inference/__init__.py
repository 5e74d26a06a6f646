"""From a fit to statements about it."""

from jaxlmm.inference.anova import f_table
from jaxlmm.inference.combinations import combinations
from jaxlmm.inference.predict import predict
from jaxlmm.inference.reference import DDF_METHODS, OF_LANES, FTest, Method, Reference, check_ddf
from jaxlmm.inference.wald import p_values, wald_interval

__all__ = [
    "DDF_METHODS",
    "OF_LANES",
    "FTest",
    "Method",
    "Reference",
    "check_ddf",
    "combinations",
    "f_table",
    "p_values",
    "predict",
    "wald_interval",
]
