"""Intervals of predictions hold new responses as often as they say: by simulation from a known model.

The uncertainty of the variances is not part of the intervals, which costs about one in a hundred with 30 groups; 400 data
sets with 60 new rows each leave a standard error near 0.003, for rows of one data set are not independent.
"""

import numpy as np
import pandas as pd
import pytest

import jaxlmm

GROUPS, ROWS, SETS = 30, 8, 400


def test_old_new_and_partly_new_levels() -> None:
    rng = np.random.default_rng(20)
    table = pd.DataFrame({"g": np.repeat(np.arange(GROUPS), ROWS), "h": np.tile(np.arange(ROWS), GROUPS)})
    table["x"] = rng.normal(size=len(table))
    new = pd.DataFrame({"g": np.arange(60) % (2 * GROUPS), "h": np.arange(60) % ROWS, "x": rng.normal(size=60)})
    old = table.astype({"g": str, "h": str}).assign(y=rng.normal(size=len(table)))
    fit = jaxlmm.lmer("y ~ x + (1 | g) + (1 | h)", old)
    asked, inside = new.astype({"g": str, "h": str}), []
    for _ in range(SETS):
        g, h = 1.5 * rng.normal(size=2 * GROUPS), 0.8 * rng.normal(size=ROWS)
        y, y_new = (2.0 + 0.5 * d.x + g[d.g] + h[d.h] + rng.normal(size=len(d)) for d in (table, new))
        limits = fit.refit(y.to_numpy()).predict(asked, allow_new_levels=True, interval="prediction")
        inside.append((limits["lower"] <= y_new) & (y_new <= limits["upper"]))
    known = (new.g < GROUPS).to_numpy()
    held = np.array(inside)
    assert held[:, known].mean() == pytest.approx(0.95, abs=0.012), "levels of the fit"
    assert held[:, ~known].mean() == pytest.approx(0.95, abs=0.02), "a new level of one factor, an old one of the other"
