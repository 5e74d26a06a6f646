"""jaxlmm: linear mixed-effects models with lme4's formulas, on JAX."""

from jaxlmm.api import MixedLM, lmer, load, load_dataset, mixedlm
from jaxlmm.errors import (
    ConvergenceError,
    DataError,
    DesignError,
    FormulaError,
    JaxlmmError,
    SavedModelError,
)
from jaxlmm.fit import Control, compile_cache
from jaxlmm.results import MixedModelResults

__all__ = [
    "Control",
    "ConvergenceError",
    "DataError",
    "DesignError",
    "FormulaError",
    "JaxlmmError",
    "MixedLM",
    "MixedModelResults",
    "SavedModelError",
    "compile_cache",
    "lmer",
    "load",
    "load_dataset",
    "mixedlm",
]
