"""Coverage of intervals over simulated data sets: `python benchmarks/coverage.py` (about ten minutes).

Data sets are drawn from the fit of sleepstudy, `Reaction ~ Days + (Days | Subject)`; each is fitted and bootstrapped
(parametric, 999 replicates), and its 95 % intervals are asked whether they hold the parameters that the data were drawn with.
Writes `coverage.csv`: for each interval and parameter the share of data sets whose interval holds it, and the standard error
of that share.
"""

from __future__ import annotations

import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from tables import machine

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import jaxlmm  # noqa: E402

DATA_SETS, REPLICATES = 2000, 999
METHODS = ("percentile", "basic", "normal", "bca")


def main(data_sets: int = DATA_SETS) -> None:
    """Simulate, fit, bootstrap and count."""
    sleepstudy = jaxlmm.load_dataset("sleepstudy")
    formula = "Days + (Days | Subject)"
    truth = jaxlmm.lmer(f"Reaction ~ {formula}", sleepstudy)
    draws = truth.bootstrap(2, seed=0)
    parameters = draws.summary()["estimate"]
    y = truth.simulate(data_sets, seed=2026)
    inside: dict[str, list[pd.Series]] = {method: [] for method in METHODS}
    begin = time.perf_counter()
    warnings.simplefilter("ignore", jaxlmm.ConvergenceWarning)
    for i in range(data_sets):
        found = truth.refit(y[:, i]).bootstrap(REPLICATES, seed=i)
        for method in METHODS:
            limits = found.conf_int(method)
            held = (limits["lower"] <= parameters) & (parameters <= limits["upper"])
            inside[method].append(held.where(limits.notna().all(axis=1)))
    rows = []
    for method, held in inside.items():
        table = pd.DataFrame(held)
        for name in table:
            known = table[name].dropna().astype(float)
            rows.append((f"bootstrap, {method}", name, known.size, known.mean()))
    for ddf in ("satterthwaite", "residual", "normal"):
        many = jaxlmm.fit_many(f"~ {formula}", sleepstudy, y).table(ddf=ddf)
        for name, own in many.groupby("term", observed=True):
            held = (own["conf_low"] <= parameters[name]) & (parameters[name] <= own["conf_high"])
            rows.append((f"Wald, {ddf}", name, held.size, held.mean()))
    table = pd.DataFrame(rows, columns=["interval", "parameter", "data_sets", "coverage"])
    table["std_error"] = np.sqrt(table["coverage"] * (1.0 - table["coverage"]) / table["data_sets"])
    table.assign(machine=machine()).to_csv(HERE / "coverage.csv", index=False)
    print(table.pivot(index="parameter", columns="interval", values="coverage").round(3).to_string())
    print(f"{time.perf_counter() - begin:.0f} s")


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
