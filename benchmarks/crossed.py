"""Crossed designs of any size: `python benchmarks/crossed.py` on an idle machine with 16 GB free (about half an hour).

Balanced designs (Kündig & Sigrist 2025, arXiv 2505.09552, §5): two factors with m levels in all, n = 10 m rows, five
covariates, all variances 0.25; jaxlmm with `plan="auto"`, and GPBoost's iterative methods beside it, each in a process of its
own on the same numbers. The first fit compiles; the second of the same table, or the median of more where they are short, is
what a session sees. Two errors are told: that of the estimates, which is the sample's and much the same for both, and, where
the exact plan fits, how far they are from the exact maximum of the likelihood, which is the method's. InstEval by conjugate
gradients beside the exact plan. And rows with the margins of MovieLens 32M (32 million ratings, 200,948 users, 84,432 items)
of known parameters. Writes `crossed.csv` and `crossed.md`. `--only "balanced 1000" insteval` runs those rows and leaves the
others as they are.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tables import machine

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

SIZES = (1_000, 10_000, 100_000, 1_000_000)
TRUTH, COVARIATES = 0.25, 5
TIMEOUT = 900
REPEATS = {1_000: 15, 10_000: 5}
"""Fits that are timed after the first, where one is not enough to tell."""
EXACT = (1_000, 10_000)
"""Sizes at which the exact maximum is computed as well."""
USERS, ITEMS, RATINGS, THETA, SIGMA = 200_948, 84_432, 32_000_000, (0.50, 0.57), 0.845


def balanced(m: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Response, covariates and two factors; each level has 20 rows."""
    rng, n, levels = np.random.default_rng(m), 10 * m, m // 2
    g, h = (rng.permutation(np.repeat(np.arange(levels, dtype=np.int32), 20)) for _ in range(2))
    x = rng.normal(size=(n, COVARIATES))
    root = np.sqrt(TRUTH)
    y = x.sum(axis=1) + rng.normal(0, root, levels)[g] + rng.normal(0, root, levels)[h] + rng.normal(0, root, n)
    return y, x, g, h


def errors(variances: np.ndarray, beta: np.ndarray) -> dict:
    """Distance of the estimates from the truth; and the variances, residual last."""
    return {
        "variances": json.dumps(variances.tolist()),
        "error_variances": float(np.abs(variances - TRUTH).mean()),
        "error_coefficients": float(np.sqrt(np.mean((beta - 1.0) ** 2))),
    }


def as_table(m: int) -> tuple[str, pd.DataFrame]:
    """The formula, and the rows as a data frame."""
    y, x, g, h = balanced(m)
    names = [f"x{i}" for i in range(COVARIATES)]
    return f"y ~ {' + '.join(names)} + (1 | g) + (1 | h)", pd.DataFrame(x, columns=names).assign(y=y, g=g, h=h)


def timed(fit: Callable[[], Any], m: int) -> tuple[Any, dict]:
    """What a function answers, its first time, and the median of the times after it: of more where they are short."""
    times = []
    for _ in range(REPEATS.get(m, 1) + 1):
        begin = time.perf_counter()
        found = fit()
        times.append(time.perf_counter() - begin)
    return found, {"first": times[0], "seconds": float(np.median(times[1:])), "timed": len(times) - 1}


def once(fit: Callable[[], Any]) -> tuple[Any, dict]:
    """The same of one run, where nothing is compiled and another would take minutes."""
    begin = time.perf_counter()
    found = fit()
    seconds = time.perf_counter() - begin
    return found, {"first": seconds, "seconds": seconds, "timed": 1}


def run_jaxlmm(m: int) -> dict:
    """Formula, data frame and fit."""
    import jaxlmm

    formula, table = as_table(m)
    fit, times = timed(lambda: jaxlmm.lmer(formula, table, reml=False, ddf="normal"), m)
    found = fit.varcorr["vcov"].to_numpy()
    steps = fit.certificate.iterations + 1
    error = fit.monte_carlo.error if fit.monte_carlo else 0.0
    more = {"plan": fit.plan.kind, "steps": steps, "objective": fit.objective, "monte_carlo": error}
    return times | errors(found, fit.params.to_numpy()[1:]) | more


def run_exact(m: int) -> dict:
    """The exact maximum, and the standard errors of the variances there."""
    import jaxlmm

    formula, table = as_table(m)
    control = jaxlmm.Control(plan="crossed")
    begin = time.perf_counter()
    fit = jaxlmm.lmer(formula, table, reml=False, ddf="normal", control=control)
    seconds = time.perf_counter() - begin
    found, error = fit.varcorr["vcov"].to_numpy(), np.sqrt(np.diagonal(fit.cov_varcorr()))
    more = {"plan": "crossed", "objective": fit.objective, "std_errors": json.dumps(error.tolist())}
    return {"first": seconds, "seconds": seconds} | errors(found, fit.params.to_numpy()[1:]) | more


def run_gpboost(m: int) -> dict:
    """GPBoost's conjugate gradients with its own choice of preconditioner."""
    import gpboost

    y, x, g, h = balanced(m)
    groups, design = np.column_stack([g, h]), np.column_stack([np.ones(len(y)), x])

    def fitted() -> Any:
        model = gpboost.GPModel(group_data=groups, likelihood="gaussian", matrix_inversion_method="iterative")
        return model.fit(y=y, X=design)

    model, times = timed(fitted, m) if m in REPEATS else once(fitted)
    residual, *groups_of = np.asarray(model.get_cov_pars()).ravel()[:3]
    found = np.array([*groups_of, residual])
    beta = np.asarray(model.get_coef()).ravel()[1 : 1 + COVARIATES]
    objective = 2.0 * model.get_current_neg_log_likelihood()
    return times | {"objective": objective} | errors(found, beta)


def run_insteval(plan: str) -> dict:
    """The same fit, exactly or by conjugate gradients."""
    import jaxlmm
    from tests.reference.loader import data

    table, times = data("insteval"), []
    for _ in range(2):
        begin = time.perf_counter()
        formula, control = "y ~ 1 + (1 | s) + (1 | d) + (1 | dept)", jaxlmm.Control(plan=plan)
        fit = jaxlmm.lmer(formula, table, ddf="normal", control=control)
        times.append(time.perf_counter() - begin)
    error = fit.monte_carlo.error if fit.monte_carlo else 0.0
    return {"first": times[0], "seconds": times[1], "objective": fit.objective, "monte_carlo": error, "plan": plan}


def margins(rng: np.random.Generator, weights: np.ndarray, total: int) -> np.ndarray:
    """Counts in these proportions that add up, none of them zero."""
    counts = np.maximum(np.round(weights * total / weights.sum()), 1).astype(np.int64)
    while counts.sum() != total:
        short = total - counts.sum()
        np.add.at(counts, rng.integers(0, counts.size, abs(short)), np.sign(short))
        counts = np.maximum(counts, 1)
    return counts


def run_movielens(_: str) -> dict:
    """Rows with MovieLens' margins, joined at random."""
    import jaxlmm

    rng = np.random.default_rng(32)
    drawn = rng.lognormal(2.21, 2.21, 4 * ITEMS)
    drawn = drawn[(drawn >= 1) & (drawn <= 102_929)][:ITEMS]
    users = margins(rng, 19 + rng.lognormal(3.875, 1.589, USERS), RATINGS)
    items = margins(rng, drawn, RATINGS)
    g, h = (np.repeat(np.arange(d.size, dtype=np.int32), d) for d in (users, items))
    rng.shuffle(h)
    first, second = (rng.normal(0, t * SIGMA, d.size) for t, d in zip(THETA, (users, items), strict=True))
    table = pd.DataFrame({"y": 3.5 + first[g] + second[h] + rng.normal(0, SIGMA, RATINGS), "u": g, "i": h})
    del g, h
    begin = time.perf_counter()
    fit = jaxlmm.lmer("y ~ 1 + (1 | u) + (1 | i)", table, ddf="normal")
    seconds = time.perf_counter() - begin
    # In standard errors: those of θ̂ from the fit, that of σ̂ from the residual degrees of freedom.
    theta = (fit.theta.to_numpy() - THETA) / fit.monte_carlo.std_error
    sigma = (fit.sigma / SIGMA - 1.0) * np.sqrt(2.0 * RATINGS)
    off = [*np.round(theta, 2).tolist(), round(float(sigma), 2)]
    more = {"plan": fit.plan.kind, "monte_carlo": fit.monte_carlo.error, "off_in_standard_errors": str(off)}
    return {"first": seconds, "seconds": fit.timings["fit"], "objective": fit.objective} | more


JOBS = [
    *(
        (f"balanced {m}", package, str(m))
        for m in SIZES
        for package in ("jaxlmm", "gpboost", "exact")
        if package != "exact" or m in EXACT
    ),
    ("insteval", "insteval", "crossed"),
    ("insteval", "insteval", "krylov"),
    ("movielens margins", "movielens", ""),
]


def child(job: str, argument: str) -> dict:
    """What one process measures."""
    balanced_jobs = {"jaxlmm": run_jaxlmm, "gpboost": run_gpboost, "exact": run_exact}
    if job in balanced_jobs:
        found = balanced_jobs[job](int(argument))
    else:
        found = {"insteval": run_insteval, "movielens": run_movielens}[job](argument)
    return found | {"peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20}


def measured(name: str, job: str, argument: str) -> dict:
    """A job in a process of its own; a failure is a row, too."""
    command = [sys.executable, __file__, "--job", job, "--argument", argument]
    package = {"gpboost": "gpboost", "exact": "exact maximum"}.get(job, "jaxlmm")
    label = {"workload": name, "package": package}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    except subprocess.TimeoutExpired:
        return label | {"note": f"more than {TIMEOUT} s"}
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        return label | {"note": (done.stderr.strip().splitlines() or ["no answer"])[-1][:120]}
    return label | json.loads(lines[-1])


def off_exact(rows: list[dict]) -> list[float]:
    """Largest distance of the variances from the exact maximum's, in its standard errors; NaN where that is not known."""
    known = {row["workload"]: row for row in rows if isinstance(row.get("std_errors"), str)}
    answer = []
    for row in rows:
        there = known.get(row["workload"])
        if there is None or not isinstance(row.get("variances"), str):
            answer.append(np.nan)
            continue
        away = np.array(json.loads(row["variances"])) - np.array(json.loads(there["variances"]))
        answer.append(float(np.max(np.abs(away) / np.array(json.loads(there["std_errors"])))))
    return answer


def write(rows: list[dict]) -> None:
    """The CSV, and a table of ratios."""
    frame = pd.DataFrame(rows).assign(off_exact=off_exact(rows), machine=machine())
    frame.to_csv(HERE / "crossed.csv", index=False)
    head = (
        "| workload | package | plan | first fit, s | second fit, s | of GPBoost's time | error of variances "
        "| off the exact maximum, SE | Monte Carlo error, SE | peak GiB |"
    )
    lines = [head, "|" + "---|" * 10]
    for row in frame.to_dict("records"):
        beside = frame[(frame["workload"] == row["workload"]) & (frame["package"] == "gpboost")]
        ratio = ""
        if row["package"] == "jaxlmm" and len(beside) and pd.notna(beside["seconds"].iloc[0]):
            ratio = f"1/{beside['seconds'].iloc[0] / row['seconds']:.3g}"

        def shown(name: str, row: dict = row, digits: str = ".3g") -> str:
            value = row.get(name)
            return "" if value is None or pd.isna(value) else value if isinstance(value, str) else f"{value:{digits}}"

        cells = [
            row["workload"],
            row["package"],
            shown("plan"),
            shown("first"),
            shown("seconds") or shown("note"),
            ratio,
        ]
        lines.append(
            "| " + " | ".join([*cells, *map(shown, ("error_variances", "off_exact", "monte_carlo", "peak_gib"))]) + " |"
        )
    text = "\n".join(lines)
    notes = (
        "\n\nSecond fit: of MovieLens' margins the fit itself, without design and sums, which the first column has. "
        "Estimates less truth there, in standard errors (θ of users, of items, σ): "
        f"{frame.get('off_in_standard_errors', pd.Series(dtype=str)).dropna().to_list()}"
    )
    (HERE / "crossed.md").write_text(f"{text}{notes}\n\n{machine()}\n")
    print(text)


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--job")
    parser.add_argument("--argument", default="")
    asked = parser.parse_args()
    if asked.job:
        print(json.dumps(child(asked.job, asked.argument)))
        return
    path = HERE / "crossed.csv"
    known = pd.read_csv(path).to_dict("records") if path.exists() and asked.only else []
    rows = [row for row in known if row["workload"] not in asked.only]
    for name, job, argument in JOBS:
        if not asked.only or name in asked.only:
            rows.append(measured(name, job, argument))
            print(rows[-1], flush=True)
    names = [name for name, _, _ in JOBS]
    write(sorted(rows, key=lambda row: names.index(row["workload"])))


if __name__ == "__main__":
    main()
