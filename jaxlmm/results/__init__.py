"""The named face of a fit."""

from jaxlmm.results.fitting import fit_frame
from jaxlmm.results.loading import load
from jaxlmm.results.model import MixedModelResults

__all__ = ["MixedModelResults", "fit_frame", "load"]
