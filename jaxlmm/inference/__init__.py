"""From a fit to statements about it."""

from jaxlmm.inference.combinations import combinations
from jaxlmm.inference.predict import predict
from jaxlmm.inference.reference import DDF_METHODS, check_ddf, degrees_of_freedom
from jaxlmm.inference.wald import p_values, wald_interval

__all__ = [
    "DDF_METHODS",
    "check_ddf",
    "combinations",
    "degrees_of_freedom",
    "p_values",
    "predict",
    "wald_interval",
]
