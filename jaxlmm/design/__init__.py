"""From a formula and a table to arrays. DataFrames end here."""

from jaxlmm.design.arrays import Design, RandomEffects
from jaxlmm.design.build import FactorTerms, Frame, TermColumns, build
from jaxlmm.design.dictionaries import Combinations, Dictionary
from jaxlmm.design.gathered import Gathered, name_model
from jaxlmm.design.learnt import Arguments, Learnt, check_model
from jaxlmm.design.levels import Grouping
from jaxlmm.design.matrices import model_matrix
from jaxlmm.design.newdata import NewData
from jaxlmm.design.raw import RawColumns
from jaxlmm.design.reduced import Reduction, reductions
from jaxlmm.design.reduced import without as without_effects
from jaxlmm.design.sources import CHUNK_ROWS, Source, check_chunk_rows, is_source, open_source
from jaxlmm.design.stream import Part, RowReader

__all__ = [
    "CHUNK_ROWS",
    "Arguments",
    "Combinations",
    "Design",
    "Dictionary",
    "FactorTerms",
    "Frame",
    "Gathered",
    "Grouping",
    "Learnt",
    "NewData",
    "Part",
    "RandomEffects",
    "RawColumns",
    "Reduction",
    "RowReader",
    "Source",
    "TermColumns",
    "build",
    "check_chunk_rows",
    "check_model",
    "is_source",
    "model_matrix",
    "name_model",
    "open_source",
    "reductions",
    "without_effects",
]
