"""Formulas: from the user's string to a `MixedFormula` whose parts formulaic can evaluate."""

from jaxlmm.formula.mixed import (
    MixedFormula,
    RandomEffectsTerm,
    functions_of,
    parse_effects,
    parse_formula,
    variables_of,
    write_effects,
)
from jaxlmm.formula.transforms import CODINGS, TRANSFORMS
from jaxlmm.formula.update import update_formula
from jaxlmm.formula.where import quote

__all__ = [
    "CODINGS",
    "TRANSFORMS",
    "MixedFormula",
    "RandomEffectsTerm",
    "functions_of",
    "parse_effects",
    "parse_formula",
    "quote",
    "update_formula",
    "variables_of",
    "write_effects",
]
