"""Linear algebra that is safe to batch on a CPU: small blocks, and one large matrix."""

from jaxlmm.linalg.blocks import inverse_factor, logdet, matmul, mirror, transpose
from jaxlmm.linalg.spd import SpdFactor, spd_factor, spd_logdet, spd_solve

__all__ = [
    "SpdFactor",
    "inverse_factor",
    "logdet",
    "matmul",
    "mirror",
    "spd_factor",
    "spd_logdet",
    "spd_solve",
    "transpose",
]
