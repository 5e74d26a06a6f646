"""The frozen list of workloads: each has a name, a formula that every package reads, a criterion, and its data."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.reference.loader import ABSENT, data, kb07_cases  # noqa: E402

KB07_MAIN = "y ~ S * P * C + (1 + S + P + C | subj) + (1 + S + P + C | item)"
KB07_MAX = "y ~ S * P * C + (1 + S * P * C | subj) + (1 + S * P * C | item)"


@dataclass(frozen=True)
class Workload:
    """One model to fit.

    Attributes
    ----------
    formula : str
        In lme4's language.
    reml : bool
        REML or maximum likelihood.
    table : callable
        Makes the data.
    repeat : int
        Warm repetitions of which the median is taken.
    peers : tuple of str
        Packages that are tried.
    """

    formula: str
    reml: bool
    table: Callable[[], pd.DataFrame]
    repeat: int = 5
    peers: tuple[str, ...] = ("lme4", "statsmodels", "glmm", "lme-python", "mixedlm", "gpboost")


def kb07_twin() -> pd.DataFrame:
    """56 subjects by 32 items, three crossed factors coded ±1, 1,790 of 1,792 cells, correlated slopes by both."""
    rng = np.random.default_rng(2007)
    subj, item = np.divmod(np.arange(56 * 32), 32)
    s, p, c = ((((item + shift * subj) // 2**k) % 2) * 2.0 - 1.0 for k, shift in enumerate((1, 3, 5)))
    columns = np.column_stack([np.ones(subj.size), s, p, c, s * p, s * c, p * c, s * p * c])
    beta = np.array([2180.0, -67.0, -333.0, 78.0, 22.0, -18.0, 5.0, -2.0])
    by_subject = rng.normal(size=(56, 8)) * [300, 50, 60, 40, 20, 20, 20, 20] @ (np.eye(8) + 0.1)
    by_item = rng.normal(size=(32, 8)) * [360, 30, 250, 40, 20, 20, 20, 20] @ (np.eye(8) - 0.1)
    y = np.sum(columns * (beta + by_subject[subj] + by_item[item]), axis=1) + 670 * rng.normal(size=subj.size)
    table = pd.DataFrame({"y": y, "S": s, "P": p, "C": c, "subj": _names("s", subj), "item": _names("i", item)})
    return table.drop(index=[17, 1203]).reset_index(drop=True)


def kb07() -> pd.DataFrame:
    """kb07 itself, read in place where it is there."""
    if kb07_cases() is None:
        raise FileNotFoundError(ABSENT)
    return data("kb07").rename(columns={"RTtrunc": "y"})


def longitudinal(subjects: int, visits: int, continuous: bool) -> pd.DataFrame:
    """Random intercepts and slopes over time, continuous or by integer visit."""
    rng = np.random.default_rng(7)
    g = np.repeat(np.arange(subjects), visits)
    time = rng.uniform(0, visits, g.size) if continuous else np.tile(np.arange(visits, dtype=float), subjects)
    b = rng.normal(size=(subjects, 2)) * [1.0, 0.2]
    y = 1.0 + 0.3 * time + b[g, 0] + b[g, 1] * time + rng.normal(size=g.size)
    return pd.DataFrame({"y": y, "time": time, "g": g})


def three_levels(schools: int, classes: int, students: int, rows: int) -> pd.DataFrame:
    """Students in classes in schools, labels that are unique; `rows` per student."""
    rng = np.random.default_rng(11)
    student = np.repeat(np.arange(schools * classes * students), rows)
    group = student // students
    school = group // classes
    x = rng.normal(size=student.size)
    y = x + rng.normal(size=schools)[school] + 0.7 * rng.normal(size=schools * classes)[group]
    y += 0.5 * rng.normal(size=schools * classes * students)[student] + rng.normal(size=student.size)
    return pd.DataFrame({"y": y, "x": x, "school": school, "group": group, "student": student})


def _names(letter: str, codes: np.ndarray) -> list[str]:
    return [f"{letter}{code:02d}" for code in codes]


BIG = ("lme4",)
SLOPE = "y ~ time + (time | g)"

WORKLOADS = {
    "sleepstudy": Workload("Reaction ~ Days + (Days | Subject)", True, lambda: data("sleepstudy"), repeat=50),
    "chem97": Workload("score ~ gcsecnt + gender + (1 | lea/school)", True, lambda: data("chem97"), repeat=9),
    "egsingle": Workload("math ~ year + (year | childid) + (1 | schoolid)", True, lambda: data("egsingle"), repeat=9),
    "InstEval": Workload("y ~ service + (1 | s) + (1 | d) + (1 | dept)", False, lambda: data("insteval"), repeat=5),
    "kb07 twin, main": Workload(KB07_MAIN, False, kb07_twin),
    "kb07 twin, maximal": Workload(KB07_MAX, False, kb07_twin, repeat=3, peers=("glmm", "mixedlm")),
    "kb07, main": Workload(KB07_MAIN, False, kb07, peers=("lme4", "glmm", "mixedlm")),
    "kb07, maximal": Workload(KB07_MAX, False, kb07, repeat=3, peers=()),
    "1e5 subjects, continuous": Workload(SLOPE, True, lambda: longitudinal(10**5, 10, True), 3, BIG),
    "1e5 subjects, visits": Workload(SLOPE, True, lambda: longitudinal(10**5, 10, False), 3, BIG),
    "1e6 innermost groups": Workload(
        "y ~ x + (1 | school) + (1 | group) + (1 | student)", True, lambda: three_levels(1000, 10, 100, 3), 1, ()
    ),
    "1e7 rows, 1e6 groups": Workload(SLOPE, True, lambda: longitudinal(10**6, 10, True), 1, ()),
}
