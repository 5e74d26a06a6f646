"""From a formula and a table to arrays. DataFrames end here."""

from jaxlmm.design.arrays import Design, RandomEffects
from jaxlmm.design.build import FactorTerms, Frame, TermColumns, build
from jaxlmm.design.levels import Grouping
from jaxlmm.design.matrices import model_matrix
from jaxlmm.design.newdata import NewData
from jaxlmm.design.reduced import Reduction, reductions
from jaxlmm.design.reduced import without as without_effects

__all__ = [
    "Design",
    "FactorTerms",
    "Frame",
    "Grouping",
    "NewData",
    "RandomEffects",
    "Reduction",
    "TermColumns",
    "build",
    "model_matrix",
    "reductions",
    "without_effects",
]
