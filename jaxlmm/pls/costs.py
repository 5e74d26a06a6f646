"""What a plan for crossed factors will hold and take, before anything of it is allocated. Called by `plan`.

Rates are those of two cores of 2020's (benchmarks/crossed.md holds what fits took there); they decide only where plans differ
by much.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import jax
import numpy as np

from jaxlmm.errors import DesignError
from jaxlmm.pls.bucket import bucket
from jaxlmm.pls.nested import pair_of
from jaxlmm.pls.standard import Gram

MATRICES = 8
"""Dense matrices of the tail that a step holds (of its padded size): XLA says 7.3 for temporaries, and one is read."""

FLOPS = 1.2e11
"""Multiplications and additions a second, of dense matrices."""

PAIR_BYTES = 100
"""Bytes for each entry of the chain's border, in all its copies."""

PRODUCTS, VECTORS, PER_NUMBER = 40, 30, 8e-10
"""Of a `krylov` step: products with the border each way, vectors in each, seconds for each entry and vector."""

SHARE = 0.7
"""Part of the memory that a plan may take."""

CONTAINERS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
"""Where Linux says how much a container may use, in its two versions."""

PATIENCE, ADVANTAGE = 1.0, 3.0
"""Seconds a step of the exact plan may take before the other is considered, and by how much it must be faster."""


@dataclass(frozen=True)
class Cost:
    """A prediction.

    Attributes
    ----------
    bytes : float
        Peak memory of a fit.
    seconds : float
        Time of one step.
    """

    bytes: float
    seconds: float

    def __str__(self) -> str:
        return f"about {self.bytes / 2**30:.2g} GiB and {self.seconds:.2g} s a step"


def memory() -> float:
    """Bytes of the device that fits run on, or of the container."""
    device = jax.devices()[0]
    if device.platform != "cpu":
        limit = (device.memory_stats() or {}).get("bytes_limit")
        if limit:
            return float(limit)
    there = float(os.sysconf("SC_PAGE_SIZE")) * float(os.sysconf("SC_PHYS_PAGES"))
    return min([there, *filter(None, map(_limit_in, CONTAINERS))])


def _limit_in(path: str) -> float | None:
    """The number in a file; None where there is none."""
    try:
        with open(path) as file:
            return float(file.read())
    except (OSError, ValueError):  # not Linux, no container, or "max"
        return None


def exact(gram: Gram, order, tails, columns, ways) -> Cost:
    """Of the plan `crossed`."""
    q = float(sum(columns[t] * bucket(gram.zz[t].shape[2]) for t in tails))
    tail = dense_of(q)
    bytes_, flops = tail.bytes, tail.seconds * FLOPS
    for s, way in zip(order, ways, strict=True):
        n_levels = gram.zz[s].shape[2]
        touched = sum(np.bincount(pair_of(gram, s, t)[0], minlength=n_levels).astype(float) * columns[t] for t in tails)
        pairs = 0.5 * columns[s] * float(np.sum(touched**2))
        if way != "tiles":
            bytes_ += 3.0 * 8.0 * n_levels * q * columns[s] if way == "product" else 60.0 * pairs
        flops += 4.0 * n_levels * q * q * columns[s] if way == "product" else 40.0 * pairs
    return Cost(bytes_ + PAIR_BYTES * _entries(gram, order, tails, columns), flops / FLOPS)


def iterative(gram: Gram, order, tails, columns) -> Cost:
    """Of the plan `krylov`."""
    entries = _entries(gram, (*order, *tails), tails, columns)
    return iterative_of(entries, float(sum(k * zz.shape[2] for k, zz in zip(columns, gram.zz, strict=True))))


def iterative_of(entries: float, effects: float) -> Cost:
    """The same of so many numbers in blocks of pairs, and random effects."""
    held = 8.0 * effects * (PRODUCTS // 2 + 12) * VECTORS
    return Cost(PAIR_BYTES * entries + held, PRODUCTS * VECTORS * PER_NUMBER * (entries + 4.0 * effects))


def dense_of(q: float) -> Cost:
    """Of one dense matrix of q rows, alone."""
    return Cost(8.0 * MATRICES * q**2, 4.0 * q**3 / FLOPS)


def check(name: str, cost: Cost, instead: str) -> None:
    """Refuse a plan that does not fit.

    Raises
    ------
    DesignError
        Saying what it takes, what there is, and what to write instead.
    """
    there = memory()
    if cost.bytes > there:
        raise DesignError(
            f"plan {name!r} takes {cost} for this design, and the memory here is {there / 2**30:.3g} GiB; {instead}"
        )


def better(dense: Cost, sparse: Cost) -> bool:
    """Whether the iterative plan is to be taken."""
    if dense.bytes > SHARE * memory():
        return True
    return dense.seconds > PATIENCE and dense.seconds > ADVANTAGE * sparse.seconds


def _entries(gram: Gram, order, tails, columns) -> float:
    """Numbers in the blocks of pairs of each of some factors with the tail's."""
    return float(
        sum(
            gram.pairs[min(s, t), max(s, t)].first.size * columns[s] * columns[t]
            for i, s in enumerate(order)
            for t in tails
            if s != t and t not in order[:i]
        )
    )
