"""jaxlmm: linear mixed-effects models with lme4's formulas, on JAX."""

from typing import NoReturn

from jaxlmm.api import MixedLM, anova, fit_many, lmer, load, load_dataset, mixedlm
from jaxlmm.errors import (
    ConvergenceError,
    ConvergenceWarning,
    DataError,
    DesignError,
    FormulaError,
    JaxlmmError,
    SavedModelError,
)
from jaxlmm.fit import Control, compile_cache
from jaxlmm.results import Bootstrap, ManyFits, MixedModelResults
from jaxlmm.results.spellings import not_here

__version__ = "0.1.0"

__all__ = [
    "Bootstrap",
    "Control",
    "ConvergenceError",
    "ConvergenceWarning",
    "DataError",
    "DesignError",
    "FormulaError",
    "JaxlmmError",
    "ManyFits",
    "MixedLM",
    "MixedModelResults",
    "SavedModelError",
    "anova",
    "compile_cache",
    "fit_many",
    "lmer",
    "load",
    "load_dataset",
    "mixedlm",
]


def __getattr__(name: str) -> NoReturn:
    raise not_here(name, __name__)
