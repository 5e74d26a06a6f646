"""New responses from a fitted model, and their refits."""

from jaxlmm.resample.bootstrap import Resampler
from jaxlmm.resample.checkpoint import Checkpoint, digest_of
from jaxlmm.resample.rounds import Round, progress_bar, run
from jaxlmm.resample.simulate import check_replicates, simulate

__all__ = ["Checkpoint", "Resampler", "Round", "check_replicates", "digest_of", "progress_bar", "run", "simulate"]
