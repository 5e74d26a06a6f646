"""The front door."""

from jaxlmm.api.lmer import lmer
from jaxlmm.api.mixedlm import MixedLM, mixedlm
from jaxlmm.datasets import load_dataset
from jaxlmm.results import load

__all__ = ["MixedLM", "lmer", "load", "load_dataset", "mixedlm"]
