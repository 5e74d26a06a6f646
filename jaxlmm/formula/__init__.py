"""Formulas: from the user's string to a `MixedFormula` whose parts formulaic can evaluate."""

from jaxlmm.formula.mixed import (
    MixedFormula,
    RandomEffectsTerm,
    parse_effects,
    parse_formula,
    variables_of,
    write_effects,
)
from jaxlmm.formula.transforms import TRANSFORMS
from jaxlmm.formula.update import update_formula

__all__ = [
    "TRANSFORMS",
    "MixedFormula",
    "RandomEffectsTerm",
    "parse_effects",
    "parse_formula",
    "update_formula",
    "variables_of",
    "write_effects",
]
