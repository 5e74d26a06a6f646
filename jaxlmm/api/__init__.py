"""The front door."""

from jaxlmm.api.aggregate import aggregate
from jaxlmm.api.anova import anova
from jaxlmm.api.cross_products import cross_products, lmer_from
from jaxlmm.api.fit_many import fit_many
from jaxlmm.api.lmer import lmer
from jaxlmm.api.mixedlm import MixedLM, mixedlm
from jaxlmm.api.plan import plan
from jaxlmm.api.table import table
from jaxlmm.datasets import load_dataset
from jaxlmm.results import load, load_cross_products

__all__ = [
    "MixedLM",
    "aggregate",
    "anova",
    "cross_products",
    "fit_many",
    "lmer",
    "lmer_from",
    "load",
    "load_cross_products",
    "load_dataset",
    "mixedlm",
    "plan",
    "table",
]
