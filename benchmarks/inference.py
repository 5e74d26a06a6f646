"""Degrees of freedom, profiles, influence beside lmerTest, pbkrtest, lme4: `python benchmarks/inference.py`, machine idle.

Seconds of one question about a model that is fitted already, of jaxlmm after a first call that is not counted (`first`),
and the largest difference of the answers. Writes `inference.csv` and `inference.md`.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from tables import HERE, machine
from workloads import data

import jaxlmm

R_HEAD = """
suppressMessages({library(lmerTest); library(pbkrtest)}); args <- commandArgs(TRUE); d <- read.csv(args[1])
for (v in strsplit(args[3], ",")[[1]]) d[[v]] <- factor(d[[v]])
m <- suppressMessages(suppressWarnings(lme4::lmer(as.formula(args[2]), d, REML = TRUE)))
tick <- function(e) { t <- system.time(v <- suppressMessages(suppressWarnings(eval.parent(substitute(e)))))[["elapsed"]]
  cat(t, "\\n"); cat(format(v, digits = 12), "\\n") }
"""


class Question(NamedTuple):
    """One row of the table.

    Attributes
    ----------
    name, formula : str
        What is asked, and of which model.
    table : callable
        Its data.
    factors : str
        Columns that R makes factors.
    ours : callable
        Answers (numbers) of a fit.
    peer, r : str
        The package that answers too, and R code whose value are the same numbers; empty where none does in bearable time.
    fits : dict
        Further arguments of lmer.
    """

    name: str
    formula: str
    table: Callable[[], pd.DataFrame]
    factors: str
    ours: Callable[[Any], np.ndarray]
    peer: str
    r: str
    fits: dict


def crossed() -> pd.DataFrame:
    """2,000 rows: 100 subjects by 20 items, a condition within both."""
    rng = np.random.default_rng(11)
    table = pd.DataFrame({"s": np.repeat(np.arange(100), 20), "i": np.tile(np.arange(20), 100)})
    table["x"] = (table.s + table.i) % 2 - 0.5
    slope, intercept, item = rng.normal(size=100), 2.0 * rng.normal(size=100), rng.normal(size=20)
    noise = 2.0 * rng.normal(size=2000)
    table["y"] = 5.0 + (1.0 + slope[table.s]) * table.x + intercept[table.s] + item[table.i] + noise
    return table.astype({"s": str, "i": str})


def bundled(name: str) -> Callable[[], pd.DataFrame]:
    """A data set that comes with the package."""
    return lambda: jaxlmm.load_dataset(name)


def egsingle() -> pd.DataFrame:
    """Children in schools."""
    return data("egsingle").astype({"schoolid": str, "childid": str})


SATTERTHWAITE = "{f <- lmerTest::as_lmerModLmerTest(m); coef(summary(f))[, 'df']}"
KENWARD = "{f <- lmerTest::as_lmerModLmerTest(m); coef(summary(f, ddf = 'Kenward-Roger'))[, 'df']}"
PROFILE = "as.vector(confint(profile(m)))"
INFLUENCE = "as.vector(sapply(unique(d$schoolid), function(g) lme4::fixef(update(m, data = d[d$schoolid != g, ]))))"

SLEEP = "Reaction ~ Days + (Days | Subject)"
SCHOOLS = "math ~ year + (1 | schoolid/childid)"


def df(method: str) -> Callable[[Any], np.ndarray]:
    """Degrees of freedom of the coefficients."""
    return lambda fit: fit.tidy(ddf=method)["df"].to_numpy()


def left_out(group: str) -> Callable[[Any], np.ndarray]:
    """Coefficients without each level."""
    return lambda fit: fit.influence(group).frame[list(fit.params.index)].to_numpy(float).ravel()


QUESTIONS = (
    Question(
        "Satterthwaite, sleepstudy",
        SLEEP,
        bundled("sleepstudy"),
        "Subject",
        df("satterthwaite"),
        "lmerTest",
        SATTERTHWAITE,
        {},
    ),
    Question(
        "Satterthwaite, InstEval",
        "y ~ service + (1 | s) + (1 | d) + (1 | dept)",
        lambda: data("insteval"),
        "s,d,dept,service",
        df("satterthwaite"),
        "lmerTest",
        SATTERTHWAITE,
        {},
    ),
    Question(
        "Kenward-Roger, InstEval",
        "y ~ service + (1 | s) + (1 | d) + (1 | dept)",
        lambda: data("insteval"),
        "s,d,dept,service",
        df("kenward-roger"),
        "",
        "",
        {},
    ),
    Question(
        "Kenward-Roger, cake",
        "angle ~ recipe * temperature + (1 | recipe:replicate)",
        lambda: jaxlmm.load_dataset("cake").astype({"temperature": str, "replicate": str}),
        "temperature,replicate,recipe",
        df("kenward-roger"),
        "pbkrtest",
        KENWARD,
        {},
    ),
    Question(
        "Kenward-Roger, crossed, 2,000 rows",
        "y ~ x + (x | s) + (1 | i)",
        crossed,
        "s,i",
        df("kenward-roger"),
        "pbkrtest",
        KENWARD,
        {},
    ),
    Question(
        "profile intervals, sleepstudy",
        SLEEP,
        bundled("sleepstudy"),
        "Subject",
        lambda fit: fit.conf_int("profile").to_numpy().T.ravel(),
        "lme4",
        PROFILE,
        {},
    ),
    Question(
        "profile intervals, penicillin",
        "diameter ~ 1 + (1 | plate) + (1 | sample)",
        bundled("penicillin"),
        "plate,sample",
        lambda fit: fit.conf_int("profile").to_numpy().T.ravel(),
        "lme4",
        PROFILE,
        {},
    ),
    Question(
        "without each of 60 schools, egsingle",
        SCHOOLS,
        egsingle,
        "schoolid,childid",
        left_out("schoolid"),
        "lme4",
        INFLUENCE,
        {},
    ),
    Question(
        "without each of 1,721 children, egsingle",
        SCHOOLS,
        egsingle,
        "schoolid,childid",
        left_out("childid:schoolid"),
        "",
        "",
        {},
    ),
)


def our_seconds(question: Question) -> tuple[dict, np.ndarray]:
    """Seconds of the answer, of the first one too, and the answer."""
    fit = jaxlmm.lmer(question.formula, question.table(), **question.fits)
    begin = time.perf_counter()
    question.ours(fit)
    first, times = time.perf_counter() - begin, []
    while len(times) < 5 and sum(times) < 20.0:
        fresh = fit.refit(fit.fittedvalues + fit.resid)  # nothing that the first answer left behind
        begin = time.perf_counter()
        answer = question.ours(fresh)
        times.append(time.perf_counter() - begin)
    return {"seconds": min(times), "first": first}, np.asarray(answer, dtype=float)


def their_seconds(question: Question, limit: float) -> tuple[dict, np.ndarray]:
    """The same in R."""
    with tempfile.TemporaryDirectory() as folder:
        path, script = Path(folder) / "d.csv", Path(folder) / "q.R"
        question.table().to_csv(path, index=False)
        script.write_text(f"{R_HEAD}\ntick({question.r})\n")
        call = ["Rscript", str(script), str(path), question.formula, question.factors]
        try:
            text = subprocess.run(call, capture_output=True, text=True, check=True, timeout=limit).stdout
        except subprocess.TimeoutExpired:
            return {"seconds": np.nan, "note": f"stopped after {limit:.0f} s"}, np.empty(0)
    seconds, answer = text.strip().split("\n")[0], " ".join(text.strip().split("\n")[1:])
    return {"seconds": float(seconds)}, np.array(answer.split(), dtype=float)


def main() -> None:
    """Ask everything and print the table."""
    limit = float(sys.argv[1]) if len(sys.argv) > 1 else 900.0
    rows = []
    for question in QUESTIONS:
        own, answer = our_seconds(question)
        rows.append({"question": question.name, "package": "jaxlmm", **own})
        if question.r:
            theirs, other = their_seconds(question, limit)
            row = {"question": question.name, "package": question.peer, **theirs}
            if other.size:
                row["ratio"] = theirs["seconds"] / own["seconds"]
                known = np.isfinite(other) & np.isfinite(answer)
                row["furthest"] = float(np.max(np.abs(answer - other)[known] / np.abs(other)[known]))
            rows.append(row)
        print(rows[-2:], flush=True)
    frame = pd.DataFrame(rows).assign(machine=machine())
    frame.to_csv(HERE / "inference.csv", index=False)
    lines = [
        "| question | package | seconds | first call | jaxlmm is faster by | largest relative difference |",
        "|---|" * 1,
    ]
    lines[1] = "|---|---|---|---|---|---|"
    for row in frame.to_dict("records"):
        shown = [
            ("" if pd.isna(row[name]) else f"{row[name]:{form}}") for name, form in (("first", ".3g"), ("ratio", ".0f"))
        ]
        far = "" if pd.isna(row["furthest"]) else f"{row['furthest']:.1g}"
        seconds = row.get("note") if pd.isna(row["seconds"]) else f"{row['seconds']:.3g}"
        faster = f"{shown[1]} ×" if shown[1] else ""
        lines.append(f"| {row['question']} | {row['package']} | {seconds} | {shown[0]} | {faster} | {far} |")
    table = "\n".join(lines)
    (HERE / "inference.md").write_text(f"{table}\n\n{machine()}\n")
    print(table)


if __name__ == "__main__":
    main()
