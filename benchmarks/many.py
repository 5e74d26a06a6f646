"""Many responses against loops of lme4 and lmerTest: `python benchmarks/many.py` on an idle machine.

`jaxlmm.fit_many` for all responses, `frame` included, after compilation and from the first call; lme4 and lmerTest fit some
of the same responses one after another, which is what dream does in each of its processes, and their time is scaled up, since
it is linear. Where both run, estimates are compared. Writes `many.csv` and `many.md`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from tables import write_rates

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

N, GROUPS, COVARIATES = 1000, 100, 8

R_SCRIPT = """
suppressMessages({library(lme4); library(lmerTest)}); args <- commandArgs(TRUE)
d <- read.csv(file.path(args[1], "d.csv")); y <- read.csv(file.path(args[1], "y.csv")); d$g <- factor(d$g)
w <- if (args[4] == "weights") read.csv(file.path(args[1], "w.csv")) else NULL
formula <- as.formula(paste("y", args[2])); control <- lmerControl(calc.derivs = FALSE)
one <- function(j) {
  d$y <- y[[j]]; d$w <- if (is.null(w)) rep(1, nrow(d)) else w[[j]]
  if (args[3] == "lmerTest") coef(summary(lmerTest::lmer(formula, d, weights = w, control = control)))[, 1:3]
  else { m <- lme4::lmer(formula, d, weights = w, control = control); cbind(fixef(m), sqrt(diag(as.matrix(vcov(m)))), NA) }
}
t <- system.time(found <- suppressMessages(suppressWarnings(lapply(seq_along(y), one))))
write.csv(do.call(rbind, found), file.path(args[1], "found.csv")); cat(t[["elapsed"]])
"""


@dataclass(frozen=True)
class Many:
    """A workload.

    Attributes
    ----------
    responses : int
        How many.
    slopes : bool
        Random intercept and slope, or an intercept alone.
    weights : bool
        Whether each response has its own.
    ddf : str
        Degrees of freedom.
    peer : str
        lme4, or lmerTest for Satterthwaite's.
    n_peer : int
        Responses that the peer fits.
    """

    responses: int
    slopes: bool
    weights: bool
    ddf: str
    peer: str
    n_peer: int

    @property
    def formula(self) -> str:
        """One-sided."""
        fixed = " + ".join([f"x{i}" for i in range(COVARIATES)] + ["time"])
        return f"~ {fixed} + ({'1 + time' if self.slopes else '1'} | g)"

    def data(self) -> tuple[pd.DataFrame, np.ndarray, np.ndarray | None]:
        """Design, responses and weights."""
        rng = np.random.default_rng(17)
        g = np.concatenate([np.arange(GROUPS), rng.integers(0, GROUPS, N - GROUPS)])
        time_ = rng.normal(size=N)
        table = pd.DataFrame(rng.normal(size=(N, COVARIATES)), columns=[f"x{i}" for i in range(COVARIATES)])
        y = rng.normal(size=(N, self.responses))
        y += (0.7 * rng.normal(size=(GROUPS, self.responses)))[g]
        if self.slopes:
            y += (0.4 * rng.normal(size=(GROUPS, self.responses)))[g] * time_[:, None]
        weights = rng.uniform(0.5, 2.0, size=y.shape) if self.weights else None
        return table.assign(time=time_, g=[f"g{i}" for i in g]), y, weights


WORKLOADS = {
    "20,000 responses, random intercept and slope": Many(20_000, True, False, "residual", "lme4", 50),
    "the same, Satterthwaite": Many(20_000, True, False, "satterthwaite", "lmerTest", 30),
    "20,000 responses, weights matrix, Satterthwaite": Many(20_000, True, True, "satterthwaite", "lmerTest", 30),
    "100,000 responses, random intercept": Many(100_000, False, False, "residual", "lme4", 100),
    "the same, weights matrix, Satterthwaite": Many(20_000, False, True, "satterthwaite", "lmerTest", 50),
}


def jaxlmm_row(name: str) -> dict:
    """Seconds of the first call, on a few responses, and of all responses after it; estimates of those that the peer fits."""
    import jaxlmm

    own = WORKLOADS[name]
    table, y, weights = own.data()
    some = slice(0, min(own.responses, 4096))
    begin = time.perf_counter()
    _ = jaxlmm.fit_many(
        own.formula, table, y[:, some], None if weights is None else weights[:, some], ddf=own.ddf
    ).frame
    first = time.perf_counter() - begin
    seconds = []
    for _ in range(3):
        begin = time.perf_counter()
        many = jaxlmm.fit_many(own.formula, table, y, weights, ddf=own.ddf)
        frame = many.frame
        seconds.append(time.perf_counter() - begin)
    rows = frame.iloc[: own.n_peer * (COVARIATES + 2)]
    return {
        "responses": own.responses,
        "seconds": float(np.median(seconds)),
        "first": first,
        "converged": many.n_converged,
        "estimates": rows[["estimate", "std_error", "df"]].to_numpy().tolist(),
    }


def peer_row(name: str) -> tuple[float, np.ndarray]:
    """Seconds for the peer's responses, and its estimates."""
    own = WORKLOADS[name]
    table, y, weights = own.data()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        names = [f"r{j}" for j in range(own.n_peer)]
        table.to_csv(path / "d.csv", index=False)
        pd.DataFrame(y[:, : own.n_peer], columns=names).to_csv(path / "y.csv", index=False)
        if weights is not None:
            pd.DataFrame(weights[:, : own.n_peer], columns=names).to_csv(path / "w.csv", index=False)
        (path / "loop.R").write_text(R_SCRIPT)
        kind = "weights" if own.weights else "none"
        call = ["Rscript", str(path / "loop.R"), folder, own.formula, own.peer, kind]
        seconds = float(subprocess.run(call, capture_output=True, text=True, check=True).stdout)
        return seconds, pd.read_csv(path / "found.csv").iloc[:, 1:].to_numpy(float)


def main() -> None:
    """Run everything and print the table."""
    rows = []
    for name, own in WORKLOADS.items():
        call = [sys.executable, __file__, name]
        text = (
            subprocess.run(call, capture_output=True, text=True, check=True, cwd=HERE).stdout.strip().splitlines()[-1]
        )
        ours = json.loads(text)
        mine = np.array(ours.pop("estimates"))
        seconds, theirs = peer_row(name)
        whole = seconds * own.responses / own.n_peer
        distance = float(np.abs((mine[:, 0] - theirs[:, 0]) / theirs[:, 1]).max())
        df = float(np.nanmax(np.abs(mine[:, 2] / theirs[:, 2] - 1.0))) if own.peer == "lmerTest" else np.nan
        rows.append(
            {
                "workload": name,
                "package": "jaxlmm",
                **ours,
                "ratio": whole / ours["seconds"],
                "furthest_estimate_in_se": distance,
                "furthest_df": df,
            }
        )
        rows.append({"workload": name, "package": f"{own.peer} loop", "responses": own.n_peer, "seconds": seconds})
        print(rows[-2:], flush=True)
    write_rates("many", rows, "responses", head=f"n = {N}, {GROUPS} groups, {COVARIATES + 2} coefficients.\n\n")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(jaxlmm_row(sys.argv[1])))
    else:
        main()
