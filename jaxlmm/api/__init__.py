"""The front door."""

from jaxlmm.api.anova import anova
from jaxlmm.api.fit_many import fit_many
from jaxlmm.api.lmer import lmer
from jaxlmm.api.mixedlm import MixedLM, mixedlm
from jaxlmm.datasets import load_dataset
from jaxlmm.results import load

__all__ = ["MixedLM", "anova", "fit_many", "lmer", "load", "load_dataset", "mixedlm"]
