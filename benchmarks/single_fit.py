"""One fit against its peers: `python benchmarks/single_fit.py [--only NAME] [--limit SECONDS]`.

Runs the workloads of `workloads.py` with jaxlmm and every peer that is installed, one after another and each in a
process of its own, on an otherwise idle machine; checks that the objectives agree before a ratio is printed; writes
`single_fit.csv` and the table `single_fit.md` beside this file.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd
from workloads import WORKLOADS

HERE = Path(__file__).resolve().parent

FRESH = """
import sys, time
begin = time.perf_counter()
import jaxlmm
if len(sys.argv) > 1: jaxlmm.compile_cache(sys.argv[1])
fit = jaxlmm.lmer("Reaction ~ Days + (Days | Subject)", jaxlmm.load_dataset("sleepstudy"))
text = str(fit.summary())
print(time.perf_counter() - begin, fit.objective)
"""


def main() -> None:
    """Run everything and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--only", action="append", help="a workload whose rows are made anew; may be given several times"
    )
    parser.add_argument("--limit", type=float, default=300.0, help="seconds after which a peer is stopped")
    options = parser.parse_args()
    rows = []
    for name, workload in WORKLOADS.items():
        if options.only and name not in options.only:
            continue
        for package in ("jaxlmm", *workload.peers):
            found = run(package, name, 3600.0 if package == "jaxlmm" else options.limit)
            print(name, package, found, flush=True)
            rows.append({"workload": name, "package": package} | found)
    if not options.only:
        rows += fresh()
    frame = pd.DataFrame(rows)
    own = frame[frame.package == "jaxlmm"].set_index("workload")
    frame["above_jaxlmm"] = frame.objective - frame.workload.map(own.objective)
    agree = frame.above_jaxlmm.abs() < 1e-3 + 1e-6 * frame.objective.abs()
    frame["ratio"] = (frame.seconds / frame.workload.map(own.seconds)).where(agree)
    frame["machine"] = (
        f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"
    )
    if options.only and (HERE / "single_fit.csv").exists():
        frame = replaced(pd.read_csv(HERE / "single_fit.csv"), frame)
    frame.to_csv(HERE / "single_fit.csv", index=False)
    (HERE / "single_fit.md").write_text(markdown(frame))
    print(markdown(frame))


def replaced(old: pd.DataFrame, new: pd.DataFrame) -> pd.DataFrame:
    """The table with the rows of some workloads, all their packages together, from another run."""
    parts = [(new if name in set(new.workload) else old).query("workload == @name") for name in old.workload.unique()]
    return pd.concat([*parts, new[~new.workload.isin(old.workload)]], ignore_index=True)


def run(package: str, name: str, limit: float) -> dict:
    """What `one.py` printed, or why there is nothing."""
    words = [sys.executable, str(HERE / "one.py"), package, name]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=limit, check=False, cwd=HERE)
    except subprocess.TimeoutExpired:
        return {"note": f"stopped after {limit:.0f} s"}
    if done.returncode:
        return {"note": (done.stderr.strip().splitlines() or ["failed"])[-1][:160]}
    return json.loads(done.stdout.strip().splitlines()[-1]) or {"note": "cannot express the model"}


def fresh() -> list[dict]:
    """A process from import to printed summary: nothing cached, and with the compile cache warm."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-c", FRESH, folder], check=True, capture_output=True, cwd=HERE.parent)
        for label, words in (("cold", []), ("warm cache", [folder])):
            times = [
                subprocess.run(
                    [sys.executable, "-c", FRESH, *words], check=True, capture_output=True, text=True, cwd=HERE.parent
                ).stdout.split()
                for _ in range(3)
            ]
            seconds = sorted(float(t) for t, _ in times)[1]
            rows.append(
                {
                    "workload": f"fresh process, {label}",
                    "package": "jaxlmm",
                    "seconds": seconds,
                    "objective": float(times[0][1]),
                }
            )
    return rows


def markdown(frame: pd.DataFrame) -> str:
    """The table as Markdown: seconds, ratio to jaxlmm, and how far the objective is above jaxlmm's."""
    lines = [
        "| workload | package | seconds | ratio | first fit, s | objective above jaxlmm's | |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in frame.to_dict("records"):
        cells = [
            row["workload"],
            row["package"],
            _number(row.get("seconds"), "{:.4g}"),
            _number(row.get("ratio"), "{:.2g}"),
            _number(row.get("first"), "{:.3g}"),
            _number(row.get("above_jaxlmm"), "{:.1e}") if row["package"] != "jaxlmm" else "",
            row["note"] if isinstance(row.get("note"), str) else "",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + f"\n\n{frame.machine.iloc[0]}\n"


def _number(value, form: str) -> str:
    return "" if value is None or pd.isna(value) else form.format(value)


if __name__ == "__main__":
    main()
