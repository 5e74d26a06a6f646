"""Conjugate gradients for many right-hand sides at once, with a few directions solved for beforehand. Outside programs."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from jaxlmm.errors import ConvergenceError
from jaxlmm.linalg.sparse import namespace, to_device

TOLERANCE = 1e-10
"""Residual of a solution, relative to its right-hand side, at which it is done."""

MOST = 2_000
"""Products after which conjugate gradients are given up."""


def conjugate_gradients(apply, right: Any, basis: Any | None = None) -> Any:
    """Solve A x = b for columns (N, r) at once, A symmetric and positive definite.

    The space of `basis` (N, m), orthonormal, is solved for first and kept out of every direction afterwards (deflation:
    Saad, Yeung, Erhel & Guyomarc'h 2000, SIAM J. Sci. Comput. 21(5)), so that few small eigenvalues cost nothing.

    Raises
    ------
    ConvergenceError
        When a residual does not fall.
    """
    x, residual = right * 0.0, right
    goal = TOLERANCE**2 * _dots(right, right)
    project = _projector(apply, basis)
    if project is not None:
        # By the recursion of residuals, and again for what rounding leaves: a true residual never gets below that.
        for _ in range(2):
            along = project.along(residual)
            x, residual = x + project.basis @ along, residual - project.image @ along
    direction = residual if project is None else residual - project.conjugate(residual)
    square = _dots(residual, residual)
    for _ in range(MOST):
        if not bool((square > goal).any()):
            return x
        image = apply(direction)
        curvature = _dots(direction, image)
        step = _ratio(square, curvature)
        x, residual = x + step * direction, residual - step * image
        before, square = square, _dots(residual, residual)
        direction = residual + _ratio(square, before) * direction
        if project is not None:
            direction = direction - project.conjugate(residual)
    worst = float((square / goal).max()) ** 0.5 * TOLERANCE
    raise ConvergenceError(
        f"conjugate gradients stalled: after {MOST:,} products a residual is still {worst:.1e} of its right-hand side; the "
        "design is nearly disconnected, or its variances are extreme: try plan='crossed', if that fits, or leave a factor out"
    )


class _Projector(NamedTuple):
    """The space of a basis Q: with H = QᵀAQ, H⁻¹Qᵀb, and the part QH⁻¹(AQ)ᵀr that makes r conjugate to it."""

    basis: Any
    image: Any
    inverse: Any

    def along(self, right: Any) -> Any:
        return self.inverse @ (self.basis.T @ right)

    def conjugate(self, residual: Any) -> Any:
        return self.basis @ (self.inverse @ (self.image.T @ residual))


def _projector(apply, basis) -> _Projector | None:
    if basis is None or not basis.shape[1]:
        return None
    image = apply(basis)
    small = np.asarray(basis.T @ image)
    return _Projector(basis, image, to_device(np.linalg.inv(0.5 * (small + small.T))))


def _dots(a: Any, b: Any) -> Any:
    return namespace(a).einsum("nr,nr->r", a, b)


def _ratio(above: Any, below: Any) -> Any:
    """Zero where the direction is used up."""
    xp = namespace(above)
    return xp.where(below > 0, above / xp.where(below > 0, below, 1.0), 0.0)
