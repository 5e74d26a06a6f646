"""Linear algebra that is safe to batch on a CPU: small blocks, one large matrix, symmetric eigenproblems."""

from jaxlmm.linalg.blocks import inverse_factor, logdet, matmul, mirror, transpose
from jaxlmm.linalg.eigen import eigh
from jaxlmm.linalg.spd import SpdFactor, spd_factor, spd_logdet, spd_solve

__all__ = [
    "SpdFactor",
    "eigh",
    "inverse_factor",
    "logdet",
    "matmul",
    "mirror",
    "spd_factor",
    "spd_logdet",
    "spd_solve",
    "transpose",
]
