"""From a formula and a table to arrays. DataFrames end here."""

from jaxlmm.design.arrays import Design, RandomEffects

__all__ = ["Design", "RandomEffects"]
