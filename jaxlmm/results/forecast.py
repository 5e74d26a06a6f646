"""What a fit will read, hold and take, from a sample of its rows: `Forecast`."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import brentq

from jaxlmm.design import Learnt, RowReader, Source, check_model, name_model
from jaxlmm.errors import DataError
from jaxlmm.pls import CrossProducts, Growing, choose, costs, recast, standardize

SAMPLE = 200_000
"""Rows that are looked at."""

BASE = 400_000_000
"""Bytes of Python, JAX and pyarrow before anything is read, and of one chunk of a few columns."""

PER_LEVEL, PER_PAIR = 11.0, 12.0
"""Numbers that a fit holds for each number of the sums by level, and of the pairs, at its peak (see benchmarks/scale.csv)."""


@dataclass(frozen=True)
class Forecast:
    """What `jaxlmm.plan` found.

    Attributes
    ----------
    formula : str
        The model.
    rows : int or None
        Number of rows; None where the source does not tell without being read.
    sampled : int
        Rows that were looked at.
    levels : dict of str to int
        Predicted number of levels of each grouping factor.
    pairs : dict of (str, str) to int
        Predicted number of pairs of levels that occur together.
    n_fixed : int
        Fixed-effects columns.
    plan : str
        How the random effects of the sample are eliminated.
    bytes : int
        Predicted peak memory of reading and fitting.
    seconds : float or None
        Predicted time of reading and summing, from the speed of the sample; None where the number of rows is not known.
    """

    formula: str
    rows: int | None
    sampled: int
    levels: dict[str, int]
    pairs: dict[tuple[str, str], int] = field(repr=False)
    n_fixed: int = 0
    plan: str = ""
    bytes: int = 0
    seconds: float | None = None

    def __str__(self) -> str:
        known = "unknown before they are read" if self.rows is None else f"{self.rows:,}"
        lines = [
            f"Formula:         {self.formula.strip()}",
            f"Rows:            {known} ({self.sampled:,} looked at)",
            f"Levels:          {', '.join(f'{name} about {count:,}' for name, count in self.levels.items())}",
        ]
        if self.pairs:
            pairs = ", ".join(f"{s} and {t} about {count:,}" for (s, t), count in self.pairs.items())
            lines.append(f"Distinct pairs:  {pairs}")
        lines += [
            f"Fixed effects:   {self.n_fixed} columns",
            f"Plan of sample:  {self.plan}",
            f"Peak memory:     about {self.bytes / 1e9:.1f} GB",
        ]
        if self.seconds is not None:
            lines.append(f"Reading:         about {self.seconds:,.1f} s; the fit comes on top")
        return "\n".join(lines)

    __repr__ = __str__


def forecast(learnt: Learnt, source: Source, chunk_rows: int) -> Forecast:
    """Look at the first rows of a source, and say what the rest will take.

    Raises
    ------
    FormulaError, DataError, DesignError
        When the rows that were looked at cannot be used.
    """
    check_model(learnt)
    reader, growing = RowReader(learnt), Growing(len(learnt.groups))
    states = reader.states()
    tables = []
    seen = 0
    begin = time.perf_counter()
    for table in source.tables(learnt.columns, min(chunk_rows, SAMPLE)):
        tables.append(table)
        seen += len(table)
        if seen >= SAMPLE:
            break
    if states:
        for table in tables:
            reader.add_to(states, table)
        for state in states:
            learnt.states |= state.states()
    for table in tables:
        part = reader.read(table)
        if part is not None:
            growing.add(part)
    if learnt.n_used == 0:
        raise DataError(f"{source.described} has no complete row among the first {seen:,}")
    sums = growing.sums()
    seconds = time.perf_counter() - begin
    # Whether there are rows enough is a question about all of them.
    named = name_model(learnt, sums.n_obs if seen < SAMPLE else max(source.n_rows or 2**62, sums.n_obs))
    terms = [block.terms for block in named.frame.design.random]
    cross = recast(sums, named.fixed, named.random, named.factors, named.levels, terms)
    gram, _, coordinates = standardize(cross)
    plan = choose(gram, coordinates.terms)
    names = [factor.grouping.name for factor in named.frame.factors]
    share = 1.0 if source.n_rows is None else max(source.n_rows / max(seen, 1), 1.0)
    levels = {name: grown(f.n_levels, seen, share) for name, f in zip(names, cross.factors, strict=True)}
    pairs = {(names[s], names[t]): grown(pair.first.size, seen, share) for (s, t), pair in sorted(cross.pairs.items())}
    # Where the sample is all there is, its plan is that of the fit.
    known = plan.kind == "krylov" if share <= 1.0 else None
    held, krylov = _bytes(cross, levels, pairs, names, plan.order[plan.n_chain :], known)
    return Forecast(
        learnt.formula.source,
        source.n_rows,
        seen,
        levels,
        pairs,
        len(named.frame.fixed.names),
        f"{plan.describe()}; of all rows krylov" if krylov and plan.kind != "krylov" else plan.describe(),
        held,
        None if source.n_rows is None else seconds * share,
    )


def grown(distinct: int, seen: int, share: float) -> int:
    """Distinct values among `share` times as many rows, if all values are equally frequent (Good & Toulmin 1956)."""
    if share <= 1.0 or distinct <= 1:
        return distinct
    if distinct >= 0.98 * seen:
        return round(distinct * share)

    def excess(log_total: float) -> float:
        total = np.exp(log_total)
        return float(total * -np.expm1(-seen / total) - distinct)

    low, high = np.log(distinct), np.log(1e4 * seen)
    if excess(low) >= 0:  # every level was seen so often that no further one is left, to the last bit
        return distinct
    if excess(high) < 0:
        return round(distinct * share)
    total = np.exp(brentq(excess, low, high))
    return round(total * -np.expm1(-seen * share / total))


def _bytes(
    cross: CrossProducts,
    levels: dict[str, int],
    pairs: dict[tuple[str, str], int],
    names: list[str],
    tail: tuple[int, ...],
    known: bool | None,
) -> tuple[int, bool]:
    """Peak memory: numbers by level and by pair, and the dense matrix or what stands for it; and whether it is that, which is
    chosen by cost unless it is known."""
    numbers, entries, effects = 0.0, 0.0, 0.0
    for name, factor in zip(names, cross.factors, strict=True):
        k, m = factor.zf.shape[:2]
        numbers += PER_LEVEL * levels[name] * (k * m + k * k)
        effects += levels[name] * k
    for (s, t), count in pairs.items():
        size = cross.factors[names.index(s)].zz.shape[0] * cross.factors[names.index(t)].zz.shape[0]
        numbers += PER_PAIR * count * size
        entries += count * size
    dense = sum(levels[names[t]] * cross.factors[t].zz.shape[0] for t in tail)
    exact, iterative = costs.dense_of(dense), costs.iterative_of(entries, effects)
    krylov = bool(tail) and costs.better(exact, iterative) if known is None else known
    return round(BASE + 8.0 * numbers + (iterative if krylov else exact).bytes), krylov
