"""From cross-products to a certified minimum: one lane."""

from jaxlmm.fit.record import Certificate, Fit, Model
from jaxlmm.fit.single import Control, conditional_variances, evaluate, fit_model, prepare

__all__ = [
    "Certificate",
    "Control",
    "Fit",
    "Model",
    "conditional_variances",
    "evaluate",
    "fit_model",
    "prepare",
]
