"""From cross-products to a certified minimum: one lane."""

from jaxlmm.fit.compiling import compile_cache
from jaxlmm.fit.record import Certificate, Fit, Model
from jaxlmm.fit.single import Control, evaluate, fit_model, prepare, with_response
from jaxlmm.fit.uncertainty import conditional_variances, prediction_variances

__all__ = [
    "Certificate",
    "Control",
    "Fit",
    "Model",
    "compile_cache",
    "conditional_variances",
    "evaluate",
    "fit_model",
    "prediction_variances",
    "prepare",
    "with_response",
]
