"""The named face of a fit."""

from jaxlmm.results.fitting import fit_frame
from jaxlmm.results.model import MixedModelResults, load

__all__ = ["MixedModelResults", "fit_frame", "load"]
