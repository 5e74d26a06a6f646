"""Parametric bootstrap against lme4's bootMer: `python benchmarks/bootstrap.py` on an idle machine.

Replicates per second after compilation, of the same fitted model; lme4 runs fewer of them, since its time is linear. Writes
`bootstrap.csv` and `bootstrap.md`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tables import write_rates
from workloads import WORKLOADS

HERE = Path(__file__).resolve().parent

R_SCRIPT = """
suppressMessages(library(lme4)); args <- commandArgs(TRUE); d <- read.csv(args[1])
for (v in strsplit(args[5], ",")[[1]]) d[[v]] <- factor(d[[v]])
quick <- lmerControl(calc.derivs = FALSE)
m <- suppressMessages(suppressWarnings(lmer(as.formula(args[2]), d, REML = args[3] == "TRUE", control = quick)))
t <- system.time(suppressMessages(suppressWarnings(bootMer(m, fixef, nsim = as.integer(args[4]), seed = 1))))
cat(t[["elapsed"]])
"""

RUNS = {"sleepstudy": (10_000, 500), "chem97": (200, 20), "kb07 twin, main": (1000, 5), "InstEval": (100, 0)}
"""Replicates of jaxlmm and of lme4 for each workload; 0: not tried."""


def jaxlmm_seconds(name: str, n: int) -> dict:
    """Seconds of n replicates after compilation, and of the first call."""
    import jaxlmm

    workload = WORKLOADS[name]
    fit = jaxlmm.lmer(workload.formula, workload.table(), reml=workload.reml)
    begin = time.perf_counter()
    fit.bootstrap(n if n >= 4096 else 4, seed=0)
    first = time.perf_counter() - begin
    begin = time.perf_counter()
    draws = fit.bootstrap(n, seed=1)
    seconds = time.perf_counter() - begin
    return {
        "replicates": n,
        "seconds": seconds,
        "per_second": n / seconds,
        "first": first,
        "converged": draws.n_converged,
        "singular": draws.n_singular,
        "retried": int(draws.frame["retried"].sum()),
    }


def lme4_seconds(name: str, n: int) -> dict:
    """The same by bootMer."""
    workload = WORKLOADS[name]
    table = workload.table()
    words = workload.formula.replace("(", " ").replace(")", " ").replace("/", " ").split("|")[1:]
    groups = {word for part in words for word in part.split()}
    with tempfile.TemporaryDirectory() as folder:
        path, script = Path(folder) / "d.csv", Path(folder) / "b.R"
        table.to_csv(path, index=False)
        script.write_text(R_SCRIPT)
        factors = ",".join(column for column in table if column in groups)
        call = ["Rscript", str(script), str(path), workload.formula, str(workload.reml).upper(), str(n), factors]
        seconds = float(subprocess.run(call, capture_output=True, text=True, check=True).stdout)
    return {"replicates": n, "seconds": seconds, "per_second": n / seconds}


def main() -> None:
    """Run everything and print the table."""
    rows = []
    for name, (ours, theirs) in RUNS.items():
        call = [sys.executable, __file__, name, str(ours)]
        text = (
            subprocess.run(call, capture_output=True, text=True, check=True, cwd=HERE).stdout.strip().splitlines()[-1]
        )
        own = {"workload": name, "package": "jaxlmm"} | json.loads(text)
        rows.append(own)
        if theirs:
            found = lme4_seconds(name, theirs)
            rows.append(
                {"workload": name, "package": "lme4", **found, "ratio": own["per_second"] / found["per_second"]}
            )
        print(rows[-2:], flush=True)
    write_rates("bootstrap", rows, "replicates")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(jaxlmm_seconds(sys.argv[1], int(sys.argv[2]))))
    else:
        main()
