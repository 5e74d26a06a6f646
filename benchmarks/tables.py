"""What the benchmarks' tables share: the machine that they ran on, and a CSV with a Markdown table beside it."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import pandas as pd

HERE = Path(__file__).resolve().parent


def machine() -> str:
    """Where a benchmark runs."""
    return f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"


def write_rates(name: str, rows: list[dict], count: str, head: str = "") -> None:
    """Write and print `name`.csv and `name`.md: seconds, rates and ratios of how many (`count`) replicates or responses."""
    frame = pd.DataFrame(rows).assign(machine=machine())
    frame.to_csv(HERE / f"{name}.csv", index=False)
    lines = [
        f"| workload | package | {count} | seconds | per second | jaxlmm is faster by |",
        "|---|---|---|---|---|---|",
    ]
    for row in frame.to_dict("records"):
        faster = "" if pd.isna(row["ratio"]) else f"{row['ratio']:.0f} ×"
        lines.append(
            f"| {row['workload']} | {row['package']} | {row[count]:.0f} | {row['seconds']:.3g} "
            f"| {row[count] / row['seconds']:.3g} | {faster} |"
        )
    table = "\n".join(lines)
    (HERE / f"{name}.md").write_text(f"{head}{table}\n\n{machine()}\n")
    print(table)
