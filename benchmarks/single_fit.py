"""One fit against its peers: `python benchmarks/single_fit.py [--repeat N]`.

Fits the same models to the same data with jaxlmm, statsmodels (where it can express the model) and lme4 (where Rscript
and lme4 are installed), one after another, checks that the objectives agree, and only then prints ratios. Writes
`benchmarks/single_fit.csv` with the machine it ran on. Data: `tests/reference/data`.

Times are of a warm process: the first jaxlmm fit of a shape compiles, and is reported apart.
"""

from __future__ import annotations

import argparse
import platform
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import jaxlmm  # noqa: E402
from tests.reference.loader import data  # noqa: E402

WORKLOADS = [
    ("sleepstudy", "sleepstudy", "Reaction ~ Days + (Days | Subject)", True, ("Reaction ~ Days", "~Days", "Subject")),
    ("penicillin", "penicillin", "diameter ~ 1 + (1 | plate) + (1 | sample)", True, None),
    ("machines", "machines", "score ~ Machine + (1 | Worker/Machine)", True, None),
    ("chem97 nested", "chem97", "score ~ gcsecnt + gender + (1 | lea/school)", True, None),
    ("InstEval", "insteval", "y ~ service + (1 | s) + (1 | d) + (1 | dept)", False, None),
]
"""Name, data, formula, REML, and statsmodels' formula, re_formula and groups where it has one."""

R_SCRIPT = """
suppressMessages(library(lme4)); args <- commandArgs(TRUE); d <- read.csv(args[1])
for (v in strsplit(args[5], ",")[[1]]) d[[v]] <- factor(d[[v]])
f <- as.formula(args[2]); reml <- args[3] == "TRUE"; n <- as.integer(args[4])
fit <- function() suppressMessages(suppressWarnings(lmer(f, d, REML = reml)))
m <- fit(); t <- replicate(n, system.time(fit())[["elapsed"]])
cat(sprintf("%.9f %.9f", median(t), if (reml) REMLcrit(m) else deviance(m)))
"""


def main() -> None:
    """Run every workload and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=5)
    repeat = parser.parse_args().repeat
    rows = []
    for name, source, formula, reml, other in WORKLOADS:
        table = data(source)
        seconds, objective, first = time_jaxlmm(table, formula, reml, repeat)
        rows.append((name, "jaxlmm", seconds, objective, first))
        rows += [(name, "lme4", *found, None) for found in [time_lme4(table, formula, reml, repeat)] if found]
        if other:
            rows.append((name, "statsmodels", *time_statsmodels(table, other, reml, repeat), None))
    frame = pd.DataFrame(rows, columns=["workload", "package", "seconds", "objective", "first_seconds"])
    own = frame[frame.package == "jaxlmm"].set_index("workload")
    frame["ratio"] = frame.seconds / frame.workload.map(own.seconds)
    frame["above_jaxlmm"] = frame.objective - frame.workload.map(own.objective)
    far = frame[(frame.above_jaxlmm.abs() > 1e-3) & (frame.package != "statsmodels")]
    if len(far):
        raise SystemExit(f"objectives disagree, so no ratio is meant:\n{far}")
    frame["machine"] = f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}"
    frame.to_csv(ROOT / "benchmarks" / "single_fit.csv", index=False)
    print(frame.drop(columns="machine").to_string(index=False, float_format="%.5g"))


def time_jaxlmm(table, formula, reml, repeat):
    """Median seconds of a warm fit, objective, and seconds of the first."""
    begin = time.perf_counter()
    fit = jaxlmm.lmer(formula, table, reml=reml)
    first, times = time.perf_counter() - begin, []
    for _ in range(repeat):
        begin = time.perf_counter()
        jaxlmm.lmer(formula, table, reml=reml)
        times.append(time.perf_counter() - begin)
    return sorted(times)[len(times) // 2], fit.objective, first


def time_lme4(table, formula, reml, repeat):
    """Median seconds and objective of lme4, or None where it is not installed."""
    if shutil.which("Rscript") is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        path, script = Path(folder) / "d.csv", Path(folder) / "f.R"
        table.to_csv(path, index=False)
        script.write_text(R_SCRIPT)
        factors = ",".join(c for c in table if not pd.api.types.is_numeric_dtype(table[c]))
        words = ["Rscript", str(script), str(path), formula, str(reml).upper(), str(repeat), factors]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"lme4 did not run: {done.stderr.strip()[:200]}", file=sys.stderr)
        return None
    seconds, objective = map(float, done.stdout.split())
    return seconds, objective


def time_statsmodels(table, other, reml, repeat):
    """Median seconds and minus twice the log-likelihood of statsmodels."""
    import statsmodels.formula.api as smf

    formula, effects, groups = other
    times = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(repeat):
            begin = time.perf_counter()
            fit = smf.mixedlm(formula, table, groups=table[groups], re_formula=effects).fit(reml=reml)
            times.append(time.perf_counter() - begin)
    return sorted(times)[len(times) // 2], -2.0 * fit.llf


if __name__ == "__main__":
    main()
