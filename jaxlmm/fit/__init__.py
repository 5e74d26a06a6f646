"""From cross-products to a certified minimum: one lane."""

from jaxlmm.fit.boundary import lifted, numpy_lambdas
from jaxlmm.fit.compiling import compile_cache
from jaxlmm.fit.lanes import STATUSES, Batch, LaneFits, batch_of, chunks, fit_lanes
from jaxlmm.fit.record import Certificate, Fit, Model
from jaxlmm.fit.single import Control, evaluate, fit_model, prepare, with_response
from jaxlmm.fit.uncertainty import conditional_variances, prediction_variances

__all__ = [
    "STATUSES",
    "Batch",
    "Certificate",
    "Control",
    "Fit",
    "LaneFits",
    "Model",
    "batch_of",
    "chunks",
    "compile_cache",
    "conditional_variances",
    "evaluate",
    "fit_lanes",
    "fit_model",
    "lifted",
    "numpy_lambdas",
    "prediction_variances",
    "prepare",
    "with_response",
]
