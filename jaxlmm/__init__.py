"""jaxlmm: linear mixed-effects models with lme4's formulas, on JAX."""

from typing import NoReturn

from jaxlmm import plot
from jaxlmm.api import (
    MixedLM,
    aggregate,
    anova,
    cross_products,
    fit_many,
    lmer,
    lmer_from,
    load,
    load_cross_products,
    load_dataset,
    mixedlm,
    plan,
    table,
)
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
from jaxlmm.results import Bootstrap, CrossProducts, ManyFits, MixedModelResults
from jaxlmm.results.spellings import not_here

__version__ = "0.1.0"

__all__ = [
    "Bootstrap",
    "Control",
    "ConvergenceError",
    "ConvergenceWarning",
    "CrossProducts",
    "DataError",
    "DesignError",
    "FormulaError",
    "JaxlmmError",
    "ManyFits",
    "MixedLM",
    "MixedModelResults",
    "SavedModelError",
    "aggregate",
    "anova",
    "compile_cache",
    "cross_products",
    "fit_many",
    "lmer",
    "lmer_from",
    "load",
    "load_cross_products",
    "load_dataset",
    "mixedlm",
    "plan",
    "plot",
    "table",
]


def __getattr__(name: str) -> NoReturn:
    raise not_here(name, __name__)
