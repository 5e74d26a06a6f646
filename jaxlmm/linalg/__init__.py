"""Linear algebra that is safe to batch on a CPU: small blocks, and one large matrix."""

from jaxlmm.linalg.blocks import inverse_factor, logdet, matmul, mirror, transpose
from jaxlmm.linalg.gradients import conjugate_gradients
from jaxlmm.linalg.on_host import SINGULAR_PIVOT, back_substitute, lower_blocks
from jaxlmm.linalg.sparse import SparseBlocks, namespace, to_device
from jaxlmm.linalg.spd import SpdFactor, spd_factor, spd_logdet, spd_solve

__all__ = [
    "SINGULAR_PIVOT",
    "SparseBlocks",
    "SpdFactor",
    "back_substitute",
    "conjugate_gradients",
    "inverse_factor",
    "logdet",
    "lower_blocks",
    "matmul",
    "mirror",
    "namespace",
    "spd_factor",
    "spd_logdet",
    "spd_solve",
    "to_device",
    "transpose",
]
