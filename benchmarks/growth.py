"""Time per iteration against n, levels, k and p: `python benchmarks/growth.py` on an idle machine.

One iteration is one evaluation of value, gradient and Hessian, the step included, of a warm compiled program: it begins at
the cross-products, so that it must not depend on the number of rows. Writes `growth.csv`, `growth.md` and `growth.png`.
"""

from __future__ import annotations

import os
import platform
import sys
import time
from pathlib import Path

import jax
import matplotlib
import numpy as np
import pandas as pd

matplotlib.use("Agg")
from matplotlib import pyplot as plt

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from jaxlmm import optimize, pls  # noqa: E402
from jaxlmm.covariance import Unstructured  # noqa: E402
from jaxlmm.design import Design, RandomEffects  # noqa: E402
from jaxlmm.fit import prepare, programs  # noqa: E402

BASE = {"n": 10**5, "levels": 10**3, "k": 2, "p": 4}
GRID = {
    "n": [10**4, 10**5, 10**6, 4 * 10**6],
    "levels": [100, 10**3, 10**4, 10**5],
    "k": [1, 2, 4, 8],
    "p": [2, 4, 16, 64],
}
LABELS = {"n": "rows n", "levels": "levels", "k": "random-effects columns k", "p": "fixed-effects columns p"}
PLANS = ("grouped", "nested", "crossed")
LARGEST_CROSSED = 10**4
"""Levels beyond which the crossed design is left out: its second factor has a tenth as many, and is dense."""


def design(plan: str, n: int, levels: int, k: int, p: int) -> Design:
    """Continuous covariates; the second factor has a tenth of the levels, above the first or across it."""
    rng = np.random.default_rng(3)
    x = np.column_stack([np.ones(n), rng.normal(size=(n, max(p, k) - 1))])
    codes = np.arange(n) % levels
    own = (Unstructured(k),)
    random = [RandomEffects(codes, x[:, :k].copy(), levels, own)]
    few = max(levels // 10, 2)
    if plan == "nested":
        random.append(RandomEffects(codes % few, x[:, :1].copy(), few, (Unstructured(1),)))
    if plan == "crossed":
        random.append(RandomEffects(rng.permutation(np.arange(n) % few), x[:, :1].copy(), few, (Unstructured(1),)))
    y = x[:, :p].sum(axis=1) + rng.normal(size=n)
    y += np.sum(x[:, :k] * rng.normal(size=(levels, k))[codes], axis=1)
    return Design(x[:, :p], y, None, tuple(random))


def seconds(plan: str, **sizes: int) -> float:
    """Median seconds of one iteration."""
    with jax.enable_x64(True):
        model = prepare(design(plan, **sizes))
        theta = pls.starting_theta(model.gram, model.response, model.plan.terms)

        def once() -> None:
            jax.block_until_ready(programs.minimize(model.plan, model.reduced, optimize.initial(theta), 1.0, 0))

        once()
        times = []
        for _ in range(9):
            begin = time.perf_counter()
            once()
            times.append(time.perf_counter() - begin)
    return float(np.median(times))


def main() -> None:
    """Measure, print the table and draw the picture."""
    rows = []
    for plan in PLANS:
        for what, values in GRID.items():
            for value in values:
                sizes = {**BASE, what: value}
                if plan == "crossed" and sizes["levels"] > LARGEST_CROSSED:
                    continue
                rows.append({"plan": plan, "against": what, **sizes, "ms": 1e3 * seconds(plan, **sizes)})
                print(rows[-1], flush=True)
    frame = pd.DataFrame(rows)
    where = f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}"
    machine = f"{where}, jax {jax.__version__} on {jax.devices()[0]}"
    frame.assign(machine=machine).to_csv(HERE / "growth.csv", index=False)
    lines = ["| against | plan | " + " | ".join(["smallest", "", "", "largest"]) + " |", "|---|---|---|---|---|---|"]
    for (what, plan), part in frame.groupby(["against", "plan"], sort=False):
        shown = [f"{value:.0e}" if value >= 10**4 else f"{value}" for value in part[what]]
        cells = [f"{value}: {ms:.2g} ms" for value, ms in zip(shown, part.ms, strict=True)]
        lines.append(f"| {what} | {plan} | " + " | ".join(cells + [""] * (4 - len(cells))) + " |")
    base = ", ".join(f"{name} = {value:,}" for name, value in BASE.items())
    text = "\n".join(lines) + f"\n\nMilliseconds of one iteration; where not varied, {base}. {machine}\n"
    (HERE / "growth.md").write_text(text)
    print(text)
    figure, axes = plt.subplots(1, len(GRID), figsize=(13, 3.4), sharey=True, layout="constrained")
    for axis, what in zip(axes, GRID, strict=True):
        for plan, style in zip(PLANS, ("o-", "s--", "^:"), strict=True):
            part = frame[(frame.plan == plan) & (frame.against == what)]
            axis.loglog(part[what], part.ms, style, label=plan)
        axis.set_xlabel(LABELS[what])
        axis.set_xticks(GRID[what], [f"{value:,}" if value < 10**4 else f"{value:.0e}" for value in GRID[what]])
        axis.minorticks_off()
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("one iteration, ms")
    axes[0].legend(title="plan")
    figure.savefig(HERE / "growth.png", dpi=110)


if __name__ == "__main__":
    main()
