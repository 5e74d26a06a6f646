"""What a `krylov` fit says about its own uncertainty: degrees of freedom, variances of variances, of modes, of predictions.

Forms of single vectors are exact, one solution each. What needs a form for every level is exact in the dominant directions
and, unless the tail is small, estimated from probes for the rest (Bekas, Kokiopoulou & Saad 2007, Appl. Numer. Math. 57): as
many as bring the error below `RELATIVE`, or `MOST`; how far it came is told. Information about the variances is the average
information of the last step (Gilmour, Thompson & Cullis 1995). The caller holds the double-precision scope. Called by
`uncertainty`, `krylov_lanes` and `inference`.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from jaxlmm import pls
from jaxlmm.covariance import positions, square_derivatives
from jaxlmm.fit import krylov
from jaxlmm.fit.record import Fit, Model
from jaxlmm.linalg import conjugate_gradients
from jaxlmm.pls import krylov_criterion as criterion
from jaxlmm.pls.krylov_round import in_design, projected

RELATIVE = 0.01
"""Root mean square error of the conditional variances of a factor's levels, relative to them, at which probes suffice."""

BLOCK, MOST = 16, 256
"""Probes that are solved for together, and in all."""

WHOLE = 2048, 5e8
"""Unit vectors that are solved for in place of probes, at most, and their number times that of the entries of the pairs."""

WIDE = 2**24
"""Numbers in the right-hand sides that are solved for at once."""


@dataclass(frozen=True)
class Estimated:
    """A fit with a round at its estimates.

    Attributes
    ----------
    model, fit : Model, Fit
        What was fitted.
    """

    model: Model
    fit: Fit

    @functools.cached_property
    def here(self) -> Model:
        """The model, with as many probes as the fit had."""
        return krylov.shared_round(self.model, self.fit)

    @functools.cached_property
    def seen(self) -> tuple[np.ndarray, criterion.Look]:
        """Average-information Hessian, and the evaluation that it comes from."""
        return criterion.evaluated(self.here.plan, self.here.reduced, self.fit.standard_theta, float(self.fit.reml))[2:]

    @property
    def _degrees(self) -> float:
        coordinates = self.model.coordinates
        return float(coordinates.n_obs - (coordinates.n_fixed if self.fit.reml else 0))

    @functools.cached_property
    def _inverse(self) -> np.ndarray:
        """H⁻¹ (n_theta, n_theta), zero for parameters on the boundary."""
        return krylov.inverse(self.seen[0], krylov.off_boundary(self.model.plan, self.fit.standard_theta))

    def satterthwaite(self, standard: np.ndarray) -> np.ndarray:
        """Degrees of freedom (r,) of combinations (r, p) of the standard coefficients."""
        seen = self.seen[1]
        plan = self.model.plan
        change = criterion.of_pwrss(plan, seen)[:, None] + criterion.of_variances(plan, seen, standard.T)
        return 1.0 / (np.einsum("ir,ij,jr->r", change, self._inverse, change) + 1.0 / self._degrees)

    def variances(self) -> np.ndarray:
        """Covariance (m + 1, m + 1) of τ and of the elements of the covariance matrices, as `SecondOrder.information` has
        them."""
        jacobian = np.zeros((self.model.plan.n_theta,) * 2)
        lambdas = in_design(self.model.plan, [np.asarray(lam) for lam in self.seen[1].moments.system.lambdas])
        begin = 0
        for terms, lam in zip(self.model.plan.terms, lambdas, strict=True):
            end = begin + positions(terms)[0].size
            jacobian[begin:end, begin:end] = square_derivatives(terms, lam[None])[0][0]
            begin = end
        own, slope = 2.0 * self._inverse, criterion.of_pwrss(self.model.plan, self.seen[1])
        to = np.vstack([slope, jacobian])
        answer = to @ own @ to.T
        answer[0, 0] += 2.0 / self._degrees
        return answer

    def forms(self, x: np.ndarray, z: list[np.ndarray | None], codes: list[np.ndarray | None]) -> np.ndarray:
        """Quadratic forms (r,) in the inverse of Henderson's matrix, as `row_forms`, in standard coordinates."""
        system = self.seen[1].moments.system
        answer = np.empty(len(x))
        step = max(1, WIDE // sum(own.shape[0] * own.shape[1] for own in system.gram.zz))
        for begin in range(0, len(x), step):
            part = slice(begin, min(begin + step, len(x)))
            answer[part] = self._forms(x[part], z, codes, part)
        return answer

    def _forms(self, x, z, codes, part) -> np.ndarray:
        system, basis = self.seen[1].moments.system, self.here.reduced.round.basis
        plan, count = self.model.plan, len(x)
        vectors = [np.zeros((*own.shape[:2], count)) for own in system.gram.zz]
        for vector, t in zip(vectors, plan.order, strict=True):
            if z[t] is not None and codes[t] is not None:
                level = codes[t][part]
                known = np.flatnonzero(level >= 0)
                vector[level[known], :, known] = z[t][part][known]
        right = [lam.T @ own for lam, own in zip(system.lambdas, vectors, strict=True)]
        modes = [lam @ own for lam, own in zip(system.lambdas, system.solve(right, basis), strict=True)]
        square = sum(np.einsum("lkr,lkr->r", a, np.asarray(b)) for a, b in zip(vectors, modes, strict=True))
        left = x - sum(
            np.einsum("lkp,lkr->rp", np.asarray(a), np.asarray(b)) for a, b in zip(system.gram.zx, modes, strict=True)
        )
        return square + np.einsum("rp,pq,rq->r", left, self.fit.standard_vcov, left)

    def conditional_variances(self) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Var(b | y)/σ² (k, k, levels) of each factor at known β, in standard coordinates, in the design's order.

        With A⁻¹ = I + M, what M does in the dominant directions Q is exact; for the rest, products of (HMz̄) and Hz have the
        expectation HM(I - QQᵀ)Hᵀ, H a level's rows of the extension of the scaled tail to all effects. Unit vectors in place
        of probes, where they are few, make it exact. For a chain of more than one factor M is A⁻¹ itself, because HHᵀ would
        take the fill of H.

        Returns
        -------
        variances, errors : lists of (k, k, levels) arrays
            The second are standard deviations over other probes; zero where nothing is left to them.
        """
        system, basis = self.seen[1].moments.system, self.here.reduced.round.basis
        blocks = _known_blocks(system, basis)
        if basis.shape[1] == basis.shape[0]:
            found, spread = blocks, [np.zeros_like(block) for block in blocks]
        elif self._few(basis.shape[0]):
            found, spread = _by_unit_vectors(system, basis, blocks)
        else:
            found, spread = _by_probes(system, basis, blocks)
        answer, errors = [], []
        for factor, block, part in zip(system.lambdas, found, spread, strict=True):
            lam = np.asarray(factor)
            answer.append(np.einsum("ia,lab,jb->ijl", lam, block, lam))
            errors.append(np.sqrt(np.einsum("ia,lab,jb->ijl", lam**2, part, lam**2)))
        return in_design(self.model.plan, answer), in_design(self.model.plan, errors)

    def _few(self, size: int) -> bool:
        """Whether a solution for every unit vector is affordable."""
        entries = sum(pair.block.size for pair in self.model.gram.pairs.values())
        return size <= WHOLE[0] and size * entries <= WHOLE[1]


Blocks = list[np.ndarray]
"""(levels, k, k) of each factor in the order of elimination."""


def _by_unit_vectors(system: pls.krylov.System, basis: np.ndarray, blocks: Blocks) -> tuple[Blocks, Blocks]:
    """The blocks with what M does outside the basis, exactly, and zeros."""
    size, total = len(basis), blocks
    for begin in range(0, size, BLOCK):
        units = np.zeros((size, min(BLOCK, size - begin)))
        units[np.arange(begin, begin + units.shape[1]), np.arange(units.shape[1])] = 1.0
        total = [own + each.sum(axis=1) for own, each in zip(total, _outside(system, basis, units), strict=True)]
    return total, [np.zeros_like(block) for block in blocks]


def _by_probes(system: pls.krylov.System, basis: np.ndarray, blocks: Blocks) -> tuple[Blocks, Blocks]:
    """The same from probes, as many as bring the relative error below `RELATIVE`, and its variance over other probes."""
    total, squares = ([np.zeros_like(block) for block in blocks] for _ in range(2))
    for count in range(BLOCK, MOST + 1, BLOCK):
        probes = pls.krylov_logdet.signs(len(basis), range(count - BLOCK, count), seed=1)
        for t, each in enumerate(_outside(system, basis, probes)):
            total[t] += each.sum(axis=1)
            squares[t] += (each**2).sum(axis=1)
        found = [block + own / count for block, own in zip(blocks, total, strict=True)]
        pairs = zip(total, squares, strict=True)
        spread = [np.maximum(part / count - (own / count) ** 2, 0.0) / count for own, part in pairs]
        if max(map(_relative, found, spread)) < RELATIVE:
            break
    return found, spread


def _outside(system: pls.krylov.System, basis: np.ndarray, vectors: np.ndarray) -> Blocks:
    """HM(I - QQᵀ)v vᵀHᵀ of each level and vector v (N, r), made symmetric: (levels, r, k, k) of each factor."""
    rest = projected(basis, vectors)
    moved = conjugate_gradients(system.scaled, rest, basis) - rest
    products = [np.einsum("lar,lbr->lrab", a, b) for a, b in _reached(system, moved, rest, vectors)]
    return [0.5 * (each + each.swapaxes(2, 3)) for each in products]


def _relative(found: np.ndarray, spread: np.ndarray) -> float:
    """Root mean square error of the diagonals, relative to these."""
    k = np.arange(found.shape[1])
    return float(np.sqrt(np.mean(spread[:, k, k] / found[:, k, k] ** 2)))


def _reached(system: pls.krylov.System, moved: np.ndarray, own: np.ndarray, other: np.ndarray):
    """HMv and Hv' of each factor, for Mv = A⁻¹v - v, v and v' (N, r)."""
    left, right = (_extension(system, flat) for flat in (moved, other))
    if system.n_chain > 1:
        left = [
            a + b if t < system.n_chain else a
            for t, (a, b) in enumerate(zip(left, _extension(system, own), strict=True))
        ]
    return zip(left, right, strict=True)


def _extension(system: pls.krylov.System, flat: np.ndarray) -> list[np.ndarray]:
    """H times vectors (N, r) of the scaled tail."""
    return [np.asarray(part) for part in system.extended(system.split(system.unwhitened(flat)))[0]]


def _known_blocks(system: pls.krylov.System, basis: np.ndarray) -> list[np.ndarray]:
    """Blocks (levels, k, k) of [Ψ⁻¹]_gg but for what M does outside the basis."""
    blocks = system.diagonal_of_inverse()
    if basis.shape[1]:
        moved = conjugate_gradients(system.scaled, basis, basis) - basis
        for t, (a, b) in enumerate(_reached(system, moved, basis, basis)):
            each = np.einsum("lar,lbr->lab", a, b)
            blocks[t] = blocks[t] + 0.5 * (each + each.swapaxes(1, 2))
    return blocks
