"""Reference cases and the tables behind them; the README beside this file says where they come from.

Tests write `from tests.reference.loader import cases, data`.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

from jaxlmm.datasets import load_dataset

HERE = Path(__file__).resolve().parent
SHARED = HERE.parents[1].parent / "shared" / "reference"
ABSENT = f"{SHARED} is not there (kb07 and sas are read in place, never copied)"

# Numeric labels that R read as factors; every column that is not numeric is one too.
LABELS = {
    *("Subject", "s", "d", "dept", "studage", "lectage", "Worker", "replicate", "temperature", "Chick"),
    *("Diet", "lea", "school", "schoolid", "childid", "subj", "item", "treatment"),
}


def cases() -> list[dict[str, Any]]:
    """The 35 models of lme4.json, one dict each."""
    return _json(HERE / "lme4.json")


def case(case_id: str) -> dict[str, Any]:
    """The one model of `cases`, `students_cases` or `kb07_cases` with this id."""
    known = {c["id"]: c for c in [*cases(), *students_cases(), *(kb07_cases() or [])]}
    return known[case_id]


def kb07_cases() -> list[dict[str, Any]] | None:
    """The 4 models of kb07.json, read in place; None where the shared folder is absent."""
    path = SHARED / "kb07.json"
    return _json(path) if path.exists() else None


def students_cases() -> list[dict[str, Any]]:
    """The article's formulas fitted on `load_dataset("students")` with lme4."""
    return _json(HERE / "students" / "students_lme4.json")


def stress_cases() -> list[dict[str, Any]]:
    """The designs of the stress set, each with its table under "table" and what lme4 found."""
    found = {answer["name"]: answer for answer in _json(HERE / "stress" / "stress_lme4.json")}
    folder = HERE / "stress" / "data"
    designs = json.loads((folder / "designs.json").read_text())
    return [{**design, **found[design["name"]], "table": pd.read_csv(folder / design["file"])} for design in designs]


def data(name: str) -> pd.DataFrame:
    """The table that R read: factors as str, everything else numeric. A fresh copy at every call.

    "students" is the generator's default table, whose labels are categorical.
    """
    if name == "students":
        return load_dataset("students")
    return _table(_find(name)).copy()


def nist_cases() -> list[dict[str, Any]]:
    """The eleven one-way ANOVA sets: certified values, and what a REML fit must give."""
    return _json(HERE / "nist" / "nist_anova.json")


def nist(set_id: str) -> pd.DataFrame:
    """Columns treatment (str) and y (float, correctly rounded from the file's digits)."""
    return _table(HERE / "nist" / f"{set_id}.csv").copy()


def sas_dir() -> Path | None:
    """The folder of SAS and JMP tables, in place; None where it is absent."""
    path = SHARED / "sas"
    return path if path.is_dir() else None


def _find(name: str) -> Path:
    candidates = [HERE / "data" / f"{name}.csv", HERE / "data" / f"{name}.csv.gz"]
    if name == "kb07":
        candidates.append(SHARED / "data" / "kb07.csv")
    for path in candidates:
        if path.exists():
            return path
    raise FileNotFoundError(ABSENT if name == "kb07" else f"no reference table named {name!r} in {HERE / 'data'}")


@cache
def _table(path: Path) -> pd.DataFrame:
    text = pd.read_csv(path, dtype=str)
    columns = {name: text[name].tolist() for name in text}
    return pd.DataFrame({name: c if name in LABELS else _number(c) for name, c in columns.items()})


def _number(cells: list[str]) -> list:
    """Whole numbers where every cell is one, else the nearest floats (pandas' parser may miss by a bit).

    A column that is neither is text, and stays.
    """
    for kind in (int, float):
        try:
            return [kind(cell) for cell in cells]
        except ValueError:
            continue
    return cells


def _json(path: Path) -> list[dict[str, Any]]:
    return json.loads(path.read_text(encoding="utf-8"))
