"""Rows in Parquet, read and fitted: `python benchmarks/scale.py` on an idle machine with 4 GB of free disk.

Makes a folder of seeded Parquet files (y, two covariates, groups of 100 rows in random order), 1e6, 1e7 and 1e8 rows, and
fits `y ~ x + z + (x | g)` from it, end to end, in a process of its own and in two. Beside it, on the same files and in
processes of their own: DuckDB's and polars' GROUP BY of the moments by group that such a model is made of (which is no
fit, but what reading and summing must cost), and jaxlmm on the table in memory where that fits. Peak memory is that of the
process, imports included. Writes `scale.csv` and `scale.md`.
"""

from __future__ import annotations

import json
import os
import resource
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from tables import machine

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

MODEL, PER_GROUP, FILES = "y ~ x + z + (x | g)", 100, 10
MOMENTS = [("x", "x"), ("x", "z"), ("x", "y"), ("z", "z"), ("z", "y"), ("y", "y")]


def write_rows(folder: Path, n: int) -> None:
    """Rows of a known model in files of equal length."""
    rng = np.random.default_rng(20261123)
    groups = n // PER_GROUP
    effects = rng.normal(size=(groups, 2)) * [0.8, 0.3]
    for number in range(FILES):
        writer = None
        for begin in range(0, n // FILES, 500_000):
            rows = min(500_000, n // FILES - begin)
            g, x, z = rng.integers(0, groups, rows), rng.normal(size=rows), rng.normal(size=rows) + 2.0
            y = 1.0 + 0.5 * x - 0.2 * z + effects[g, 0] + effects[g, 1] * x + rng.normal(size=rows)
            table = pa.table({"y": y, "x": x, "z": z, "g": g.astype(np.int32)})
            writer = writer or pq.ParquetWriter(folder / f"{number}.parquet", table.schema)
            writer.write_table(table)
        if writer is not None:
            writer.close()


def memory(folder: str) -> dict:
    """The fit of the whole table in memory."""
    import jaxlmm

    begin = time.perf_counter()
    fit = jaxlmm.lmer(MODEL, pd.read_parquet(folder))
    return {"seconds": time.perf_counter() - begin, "objective": fit.objective}


def stream(folder: str) -> dict:
    """The fit from files."""
    import jaxlmm

    begin = time.perf_counter()
    fit = jaxlmm.lmer(MODEL, folder)
    seconds = time.perf_counter() - begin
    return {
        "seconds": seconds,
        "objective": fit.objective,
        "fit": sum(fit.timings[name] for name in ("cross_products", "fit")),
    }


def process(folder: str, rank: str, size: str, coordinator: str) -> dict:
    """One of several processes, each with its own files."""
    import jax

    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(coordinator, int(size), int(rank))
    import pyarrow.dataset

    import jaxlmm

    begin = time.perf_counter()
    own = sorted(Path(folder).iterdir())[int(rank) :: int(size)]
    sums = jaxlmm.cross_products(MODEL, pyarrow.dataset.dataset(own)).over_processes()
    fit = jaxlmm.lmer_from(sums)
    return {"seconds": time.perf_counter() - begin, "objective": fit.objective}


def duckdb(folder: str) -> dict:
    """DuckDB's sums by group."""
    import duckdb as engine

    begin = time.perf_counter()
    sums = ", ".join(f"sum({a})" for a in "xzy") + ", " + ", ".join(f"sum({a} * {b})" for a, b in MOMENTS)
    engine.sql(f"SELECT g, count(*), {sums} FROM '{folder}/*.parquet' GROUP BY g").fetchnumpy()
    return {"seconds": time.perf_counter() - begin}


def polars(folder: str) -> dict:
    """Those of polars."""
    import polars as pl

    begin = time.perf_counter()
    sums = [
        pl.len(),
        *(pl.col(a).sum() for a in "xzy"),
        *((pl.col(a) * pl.col(b)).sum().alias(a + b) for a, b in MOMENTS),
    ]
    pl.scan_parquet(f"{folder}/*.parquet").group_by("g").agg(sums).collect(engine="streaming")
    return {"seconds": time.perf_counter() - begin}


WAYS = {"jaxlmm, stream": stream, "jaxlmm, in memory": memory, "DuckDB GROUP BY": duckdb, "polars GROUP BY": polars}


def in_processes(calls: list[list[str]]) -> list[dict]:
    """Answers of this file's functions in processes of their own."""
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(HERE.parent)}
    running = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", __file__, *call], stdout=subprocess.PIPE, text=True, env=environment
        )
        for call in calls
    ]
    return [json.loads(own.communicate()[0].strip().split("\n")[-1]) for own in running]


def measured(folder: str, n: int) -> list[dict]:
    """All ways of one size."""
    rows = []
    for name, way in WAYS.items():
        if way is memory and n > 10_000_000:
            rows.append({"rows": n, "way": name, "note": "not tried: the table alone takes 2.8 GB"})
            continue
        rows.append({"rows": n, "way": name, **in_processes([[way.__name__, folder]])[0]})
        print(rows[-1], flush=True)
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    both = in_processes([["process", folder, str(rank), "2", address] for rank in range(2)])
    longest = max(both, key=lambda own: own["seconds"])
    peak = sum(own["peak_gb"] for own in both)
    rows.append({"rows": n, "way": "jaxlmm, 2 processes", **longest, "peak_gb": peak})
    print(rows[-1], flush=True)
    duck = next(row["seconds"] for row in rows if row["way"].startswith("DuckDB"))
    for row in rows:
        row["rows_per_second"] = n / row["seconds"] if "seconds" in row else np.nan
        row["times_duckdb"] = row["seconds"] / duck if "seconds" in row else np.nan
    return rows


def main() -> None:
    """Measure every size and print the table."""
    rows = []
    for n in (1_000_000, 10_000_000, 100_000_000):
        with tempfile.TemporaryDirectory() as folder:
            write_rows(Path(folder), n)
            rows += measured(folder, n)
    frame = pd.DataFrame(rows).assign(machine=machine())
    frame.to_csv(HERE / "scale.csv", index=False)
    lines = [
        "| rows | | seconds | of these the fit | rows/s | × DuckDB's GROUP BY | peak GB |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in frame.to_dict("records"):
        if pd.isna(row["seconds"]):
            lines.append(f"| {row['rows']:.0e} | {row['way']} | {row['note']} | | | | |")
            continue
        fit = "" if pd.isna(row["fit"]) else f"{row['fit']:.1f}"
        lines.append(
            f"| {row['rows']:.0e} | {row['way']} | {row['seconds']:.1f} | {fit} | {row['rows_per_second']:,.0f} | "
            f"{row['times_duckdb']:.1f} | {row['peak_gb']:.2f} |"
        )
    table = "\n".join(lines)
    (HERE / "scale.md").write_text(f"{table}\n\n{machine()}\n")
    print(table)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        answer = {**WAYS, "process": process}
        named = {function.__name__: function for function in answer.values()}
        found = named[sys.argv[1]](*sys.argv[2:])
        found["peak_gb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
        print(json.dumps(found))
    else:
        main()
