"""New responses from a fitted model, and their refits."""

from jaxlmm.resample.bootstrap import bootstrap, joined
from jaxlmm.resample.simulate import check_replicates, simulate

__all__ = ["bootstrap", "check_replicates", "joined", "simulate"]
