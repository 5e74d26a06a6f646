"""A round of a `krylov` plan: what log|S| is estimated with while θ moves near the place where it was made.

The scaling P, the dominant directions and the probes stay the same within it, so that the criterion is one smooth function.
Called by `krylov_criterion` and `fit`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxlmm.pls import krylov, krylov_logdet
from jaxlmm.pls.bucket import bucket
from jaxlmm.pls.krylov import Base, KrylovGram, KrylovLayout, System
from jaxlmm.pls.plan import Plan
from jaxlmm.pls.protocol import Reduced
from jaxlmm.pls.standard import Coordinates, Gram, Response

Eliminate = Callable[..., Any]
"""`krylov.base`, compiled: (plan, layout, chain, zz, lambdas, inverses) -> Base, or its derivatives."""


class Programs(NamedTuple):
    """The compiled parts.

    Attributes
    ----------
    base : callable
        `krylov.base`.
    slopes : callable
        Derivatives of log|Ψ_CC| + tr(P⁻¹S) in every Λ.
    diagonal : callable
        Derivatives of tr(P⁻¹S) in P⁻¹: the diagonal blocks of S.
    """

    base: Eliminate
    slopes: Eliminate
    diagonal: Eliminate


@dataclass(frozen=True)
class Round:
    """What log|S| is estimated with.

    Attributes
    ----------
    roots : list of (L, k, k) arrays
        R with P⁻¹ = RᵀR.
    basis : (N, m) array
        Dominant directions of A.
    probes : (N, c) array
        Signs, the part in the basis taken out.
    seen : dict
        The last evaluations, by θ and criterion: a fit asks for that of its minimum several times.
    """

    roots: list[np.ndarray]
    basis: np.ndarray
    probes: np.ndarray
    seen: dict[tuple[bytes, float], Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def logdet(self) -> float:
        """log|P|."""
        k = [np.arange(root.shape[1]) for root in self.roots]
        return -2.0 * float(sum(np.log(root[:, own, own]).sum() for root, own in zip(self.roots, k, strict=True)))

    def inverses(self) -> list[np.ndarray]:
        """P⁻¹, padded like the tail's entries."""
        answer = []
        for root in self.roots:
            inverse = root.swapaxes(1, 2) @ root
            answer.append(np.pad(inverse, [(0, bucket(len(inverse)) - len(inverse)), (0, 0), (0, 0)]))
        return answer


class KrylovReduced(NamedTuple):
    """What iterations of this plan read: arrays, matrices to multiply with, and a round.

    Attributes
    ----------
    layout, gram, response, n_obs, n_fixed, sum_log_weights
        As in `Reduced`.
    programs : Programs
        The compiled parts.
    round : Round or None
        What log|S| is estimated with; none before the first.
    """

    layout: KrylovLayout
    gram: KrylovGram
    response: Any
    n_obs: Any
    n_fixed: Any
    sum_log_weights: Any
    programs: Programs
    round: Any = None

    def sizes(self) -> Reduced:
        """The numbers that the criterion is assembled with."""
        return Reduced(None, None, None, self.n_obs, self.n_fixed, self.sum_log_weights)


def new_round(plan: Plan, reduced: KrylovReduced, factors, wanted: int, probes: int) -> Round:
    """A round at some Λ (in the design's order)."""
    blocks = reduced.programs.diagonal(
        plan,
        reduced.layout.chain,
        reduced.gram.chain,
        reduced.gram.padded,
        tuple(map(jnp.asarray, factors)),
        _nothing(plan, reduced),
    )
    roots = []
    for own, zz in zip(blocks, reduced.gram.zz[plan.n_chain :], strict=True):
        block = np.asarray(own)[: zz.shape[0]]
        lower = np.linalg.cholesky(0.5 * (block + block.swapaxes(1, 2)))
        roots.append(np.linalg.solve(lower, np.broadcast_to(np.eye(lower.shape[1]), lower.shape)))
    found = Round(roots, np.zeros((sum(r.shape[0] * r.shape[1] for r in roots), 0)), np.zeros((0, 0)))
    system = system_of(plan, reduced, factors, found)
    size = found.basis.shape[0]
    basis = krylov_logdet.dominant(system.scaled, size, wanted)
    return Round(roots, basis, projected(basis, krylov_logdet.signs(size, range(probes))))


def reduce(plan: Plan, gram: Gram, response: Response, coordinates: Coordinates, programs: Programs) -> KrylovReduced:
    """Arrange cross-products as iterations of this plan read them."""
    compressed, layout = krylov.compress(plan, gram)
    return KrylovReduced(
        layout,
        compressed,
        krylov.compress_response(plan, layout, gram, response),
        np.float64(coordinates.n_obs),
        np.float64(coordinates.n_fixed),
        np.float64(coordinates.sum_log_weights),
        programs,
    )


def spread(plan: Plan, reduced: KrylovReduced, factors) -> float:
    """Mean eigenvalue of A at Λ of each factor: how far it is from where the round was made."""
    assert reduced.round is not None
    found = reduced.programs.base(*arguments_of(plan, reduced, factors, reduced.round))
    return float(found.trace) / reduced.round.basis.shape[0]


def projected(basis: np.ndarray, probes: np.ndarray) -> np.ndarray:
    """Probes less their part in the basis."""
    return probes - basis @ (basis.T @ probes)


def system_of(plan: Plan, reduced: KrylovReduced, factors, found: Round, base: Base | None = None) -> System:
    """S at some Λ."""
    if base is None:
        base = reduced.programs.base(*arguments_of(plan, reduced, factors, found))
    return System.of(plan, reduced.gram, reduced.layout, factors, base, found.roots)


def in_design(plan: Plan, ordered: list[Any]) -> list[Any]:
    """From the order of elimination to the design's."""
    return [ordered[plan.order.index(t)] for t in range(len(plan.order))]


def arguments_of(plan: Plan, reduced: KrylovReduced, factors, found: Round):
    given = tuple(jnp.asarray(lam) for lam in factors)
    return plan, reduced.layout.chain, reduced.gram.chain, reduced.gram.padded, given, tuple(found.inverses())


def _nothing(plan: Plan, reduced: KrylovReduced) -> tuple[np.ndarray, ...]:
    return tuple(np.zeros((bucket(own.shape[0]), *own.shape[1:])) for own in reduced.gram.zz[plan.n_chain :])
