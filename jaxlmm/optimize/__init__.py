"""Minimizing a smooth function of a few dozen parameters, one lane or many."""

from jaxlmm.optimize.eigen import JACOBI, eigh
from jaxlmm.optimize.trust import (
    CONVERGED,
    FLAT,
    RUNNING,
    STALLED,
    STATUS_NAMES,
    TOLERANCE,
    Evaluation,
    Proposal,
    State,
    accept,
    initial,
    is_last,
    propose,
    settle,
    symmetric_rank_one,
)

__all__ = [
    "CONVERGED",
    "FLAT",
    "JACOBI",
    "RUNNING",
    "STALLED",
    "STATUS_NAMES",
    "TOLERANCE",
    "Evaluation",
    "Proposal",
    "State",
    "accept",
    "eigh",
    "initial",
    "is_last",
    "propose",
    "settle",
    "symmetric_rank_one",
]
