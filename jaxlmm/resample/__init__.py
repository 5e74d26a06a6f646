"""New responses from a fitted model."""

from jaxlmm.resample.simulate import simulate

__all__ = ["simulate"]
