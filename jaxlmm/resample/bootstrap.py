"""Refits of responses that are drawn from a fit: the bootstrap, as lanes.

For one grouping factor a parametric replicate is drawn as sufficient statistics (`sufficient`); for other designs, and for
the residual bootstrap, responses are drawn and reduced (`simulate`, `pls.responses`). Every lane starts at the fit's own θ.
Called by `results`; the caller holds the double-precision scope.
"""

from collections.abc import Callable

import jax
import numpy as np

from jaxlmm.design import Design
from jaxlmm.errors import DataError
from jaxlmm.fit import Batch, Control, Fit, LaneFits, Model, batch_of, chunks, fit_lanes, lifted
from jaxlmm.fit.lanes import NARROW
from jaxlmm.pls import Responder, class_sums
from jaxlmm.resample import sufficient
from jaxlmm.resample.simulate import draw_residuals, draw_responses

KINDS = ("parametric", "residual")

DRAWN_TOGETHER = 4096
"""Replicates that one program draws."""

ROUND_NUMBERS = 2**25
"""So many replicates are drawn and fitted before the next that they hold no more numbers than this."""


def bootstrap(
    model: Model,
    fit: Fit,
    design: Design,
    mean: np.ndarray,
    responder: Callable[[], Responder],
    replicates: np.ndarray,
    seed: int,
    kind: str,
    control: Control,
) -> LaneFits:
    """Draw the replicates with these numbers and fit them.

    Parameters
    ----------
    mean : (n,) array
        X β̂, without the offset.
    responder : callable
        Gives the fit's `Responder`; asked only where responses are drawn.

    Raises
    ------
    DataError
        When the kind is not known.
    """
    if kind not in KINDS:
        raise DataError(f"kind={kind!r} is not known; write " + " or ".join(map(repr, KINDS)))
    if kind == "parametric" and model.plan.kind == "grouped":
        own = sufficient.sampler(model, fit)
        numbers = sum(np.size(leaf) for leaf in jax.tree.leaves(model.reduced.response))

        def draw(part: np.ndarray) -> Batch:
            wide = min(DRAWN_TOGETHER, max(NARROW, 2 ** int(np.log2(ROUND_NUMBERS / numbers))))
            pieces = [sufficient.draw(model, fit, own, seed, piece) for piece in chunks(part, wide)]
            return jax.tree.map(lambda *leaves: np.concatenate(leaves, axis=-1)[..., : part.size], *pieces)
    else:
        reduce, sums, numbers = responder(), class_sums(model.plan, model.gram), design.n_obs
        drawn = draw_responses if kind == "parametric" else draw_residuals

        def draw(part: np.ndarray) -> Batch:
            return batch_of(model, sums, reduce.reduce(drawn(design, fit, mean, part, seed)))

    size, start = max(ROUND_NUMBERS // numbers, 1), lifted(model.plan, fit.standard_theta)
    parts = [
        fit_lanes(model, draw(replicates[begin : begin + size]), fit.reml, start, control)
        for begin in range(0, replicates.size, size)
    ]
    return joined(parts)


def joined(parts: list[LaneFits]) -> LaneFits:
    """Lanes one after another."""
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)
