"""One package on one workload, in a process of its own: `python one.py PACKAGE WORKLOAD` prints one JSON object."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from workloads import WORKLOADS, Workload

R_SCRIPT = """
suppressMessages(library(lme4)); args <- commandArgs(TRUE); d <- read.csv(args[1])
for (v in strsplit(args[5], ",")[[1]]) d[[v]] <- factor(d[[v]])
f <- as.formula(args[2]); reml <- args[3] == "TRUE"; n <- as.integer(args[4])
fit <- function() suppressMessages(suppressWarnings(lmer(f, d, REML = reml, control = lmerControl(calc.derivs = FALSE))))
first <- system.time(m <- fit())[["elapsed"]]
t <- if (n > 1 && first < 5) replicate(n, system.time(fit())[["elapsed"]]) else first
cat(sprintf("%.9f %.9f %.9f", median(t), first, if (reml) REMLcrit(m) else deviance(m)))
"""


def run_jaxlmm(workload: Workload, table: pd.DataFrame):
    """Seconds per warm fit, of the first (it compiles), objective; and of a refit, iterations, memory."""
    import jaxlmm

    before = _memory("VmRSS:")
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins here
    answer = timed(lambda: jaxlmm.lmer(workload.formula, table, reml=workload.reml), workload.repeat)
    fit = answer.pop("fit")
    y = table[workload.formula.split("~")[0].strip()].to_numpy(float)
    refit = timed(lambda: fit.refit(y), workload.repeat) if len(table) < 10**5 else {}
    columns = fit._fitted.frame.design.x.shape[1] + 1 + sum(b.z.shape[1] + 0.5 for b in fit._fitted.frame.design.random)
    return answer | {
        "objective": fit.objective,
        "refit": refit.get("seconds"),
        "iterations": fit.certificate.iterations,
        "status": fit.certificate.status,
        "plan": fit.plan.describe(),
        "timings": {name: round(value, 4) for name, value in fit.timings.items()},
        "peak_mib": _memory("VmHWM:") - before,
        "columns_mib": 8 * columns * len(table) / 2**20,
    }


def run_statsmodels(workload: Workload, table: pd.DataFrame):
    """One grouping factor only."""
    import re

    import statsmodels.formula.api as smf

    bars = re.findall(r"\((.*?)\|\s*(\w+)\)", workload.formula)
    if len(bars) != 1 or "/" in workload.formula:
        return None
    fixed = workload.formula[: workload.formula.index("+ (")].strip()
    effects, group = "~" + bars[0][0].strip(), bars[0][1]
    answer = timed(
        lambda: smf.mixedlm(fixed, table, groups=table[group], re_formula=effects).fit(reml=workload.reml),
        workload.repeat,
    )
    return answer | {"objective": -2.0 * answer.pop("fit").llf}


def run_glmm(workload: Workload, table: pd.DataFrame):
    """glmm's `fit`, without Satterthwaite's degrees of freedom."""
    import glmm

    answer = timed(lambda: glmm.fit(table, workload.formula, satterthwaite=False, reml=workload.reml), workload.repeat)
    return answer | {"objective": -2.0 * answer.pop("fit").loglik}


def run_mixedlm(workload: Workload, table: pd.DataFrame):
    """mixedlm's `lmer`."""
    import mixedlm

    answer = timed(lambda: mixedlm.lmer(workload.formula, table, REML=workload.reml), workload.repeat)
    fit = answer.pop("fit")
    return answer | {"objective": mixedlm.REMLcrit(fit) if workload.reml else -2.0 * float(fit.logLik().value)}


def run_lme_python(workload: Workload, table: pd.DataFrame):
    """lme-python's `lmer`, which takes polars."""
    import lme_python
    import polars

    frame = polars.DataFrame({name: table[name].to_list() for name in table})
    answer = timed(lambda: lme_python.lmer(workload.formula, frame, workload.reml), workload.repeat)
    return answer | {"objective": -2.0 * answer.pop("fit").log_likelihood}


def run_gpboost(workload: Workload, table: pd.DataFrame):
    """gpboost has no formulas: random intercepts and maximum likelihood only."""
    import re

    import gpboost

    bars = re.findall(r"\((.*?)\|\s*([\w/]+)\)", workload.formula)
    if workload.reml or any(effects.strip() != "1" or "/" in group for effects, group in bars):
        return None
    response, right = (part.strip() for part in workload.formula.split("~"))
    columns = [name.strip() for name in right.split("+") if name.strip() in table]
    groups = table[[group for _, group in bars]].to_numpy()
    x = np.column_stack([np.ones(len(table)), table[columns].to_numpy(float)])
    y = table[response].to_numpy(float)

    def fit():
        model = gpboost.GPModel(group_data=groups, likelihood="gaussian")
        model.fit(y=y, X=x)
        return model

    answer = timed(fit, 1)
    return answer | {"objective": 2.0 * answer.pop("fit").get_current_neg_log_likelihood()}


def run_lme4(workload: Workload, table: pd.DataFrame):
    """lme4 with its defaults, less the derivatives that only its warnings want."""
    with tempfile.TemporaryDirectory() as folder:
        path, script = Path(folder) / "d.csv", Path(folder) / "f.R"
        table.to_csv(path, index=False)
        script.write_text(R_SCRIPT)
        groups = {
            word
            for part in workload.formula.split("|")[1:]
            for word in part.replace("/", " ").replace(")", " ").split()
        }
        factors = ",".join(name for name in table if name in groups)
        words = [
            "Rscript",
            str(script),
            str(path),
            workload.formula,
            str(workload.reml).upper(),
            str(workload.repeat),
            factors,
        ]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
    seconds, first, objective = map(float, done.stdout.split())
    return {"seconds": seconds, "first": first, "objective": objective}


RUNS: dict[str, Callable] = {
    "jaxlmm": run_jaxlmm,
    "lme4": run_lme4,
    "statsmodels": run_statsmodels,
    "glmm": run_glmm,
    "lme-python": run_lme_python,
    "mixedlm": run_mixedlm,
    "gpboost": run_gpboost,
}


SLOW = 5.0
"""Seconds of the first fit from which one more is enough."""


def timed(fit: Callable, repeat: int) -> dict:
    """The first call apart, then the median of `repeat` warm ones."""
    begin = time.perf_counter()
    result = fit()
    first, times = time.perf_counter() - begin, []
    for _ in range(repeat):
        result = None  # so that two results are never in memory together
        begin = time.perf_counter()
        result = fit()
        times.append(time.perf_counter() - begin)
        if first > SLOW:
            break
    return {"seconds": float(np.median(times)), "first": first, "fit": result}


def _memory(what: str) -> float:
    """MiB of this process in memory now (VmRSS:), or at most so far (VmHWM:)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(what)) / 1024


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    package, name = sys.argv[1:]
    print(json.dumps(RUNS[package](WORKLOADS[name], WORKLOADS[name].table())))
