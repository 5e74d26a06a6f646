"""Linear algebra that is safe to batch on a CPU: small blocks, and one large matrix."""

from jaxlmm.linalg.blocks import inverse_factor, logdet, matmul, mirror, transpose
from jaxlmm.linalg.on_host import SINGULAR_PIVOT, back_substitute, lower_blocks
from jaxlmm.linalg.spd import SpdFactor, spd_factor, spd_logdet, spd_solve
from jaxlmm.linalg.sparse import SparseBlocks, on_accelerator

__all__ = [
    "SINGULAR_PIVOT",
    "SparseBlocks",
    "SpdFactor",
    "back_substitute",
    "inverse_factor",
    "logdet",
    "lower_blocks",
    "matmul",
    "mirror",
    "on_accelerator",
    "spd_factor",
    "spd_logdet",
    "spd_solve",
    "transpose",
]
