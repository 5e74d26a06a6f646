"""The named face of a fit."""

from jaxlmm.results.bootstrap import Bootstrap
from jaxlmm.results.cross_products import CrossProducts, load_cross_products
from jaxlmm.results.fitting import fit_frame
from jaxlmm.results.loading import load
from jaxlmm.results.many import ManyFits
from jaxlmm.results.many_source import ManySource
from jaxlmm.results.model import MixedModelResults
from jaxlmm.results.variance_judgements import compared

__all__ = [
    "Bootstrap",
    "CrossProducts",
    "ManyFits",
    "ManySource",
    "MixedModelResults",
    "compared",
    "fit_frame",
    "load",
    "load_cross_products",
]
