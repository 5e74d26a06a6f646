# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Data larger than memory
#
# A mixed model needs sums over rows, not rows. `lmer` reads Parquet files, DuckDB relations, pyarrow readers or any
# iterator of tables once, chunk by chunk; memory is that of the groups, not of the rows.

# %%
import tempfile
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd

import jaxlmm

# %% nbmake={"mock": {"ROWS": 200000}}
ROWS = 2_000_000

# %% [markdown]
# ## A folder of Parquet files
#
# Delivery times by driver: ten files, written one after the other.

# %%
work = Path(tempfile.mkdtemp())
folder = work / "deliveries"
folder.mkdir()
rng = np.random.default_rng(0)
base, slope = rng.normal(30, 4, 5000), rng.normal(1.5, 0.3, 5000)
for part in range(10):
    driver = rng.integers(0, 5000, ROWS // 10)
    km = rng.gamma(2.0, 3.0, ROWS // 10).round(1)
    rain = rng.random(ROWS // 10) < 0.3
    minutes = base[driver] + slope[driver] * km + 3 * rain + rng.normal(0, 5, ROWS // 10)
    rows = pd.DataFrame({"minutes": minutes.round(2), "km": km, "rain": np.where(rain, "yes", "no"), "driver": driver})
    rows.to_parquet(folder / f"{part}.parquet")
f"{sum(f.stat().st_size for f in folder.glob('*.parquet')) / 1e6:.0f} MB of Parquet"

# %% [markdown]
# What would the fit take? `plan` reads the files' metadata and a sample.

# %%
model = "minutes ~ km + rain + (km | driver)"
jaxlmm.plan(model, folder)

# %%
fit = jaxlmm.lmer(model, folder)
fit.summary()

# %% [markdown]
# Fitted values and residuals go to a file, as the rows are read once more:

# %%
fit.augment(to=work / "fitted.parquet")
duckdb.sql(f"SELECT avg(abs(resid)) AS mean_abs_resid, count(*) AS n FROM '{work}/fitted.parquet'").df()

# %% [markdown]
# ## A DuckDB query
#
# A relation goes straight in. Filters and joins stay in the database:

# %%
wet = duckdb.sql(f"SELECT * FROM '{folder}/*.parquet' WHERE rain = 'yes' AND km < 20")
jaxlmm.lmer("minutes ~ km + (km | driver)", wet).tidy().round(3)

# %% [markdown]
# ## Let the database make the cells
#
# Where covariates take few values, rows that share them all can be averaged first: the fit is that of the raw rows. It has no rows of its
# own afterwards, so that residuals, tests of terms, `emmeans` and `simulate` are refused.

# %%
cells = duckdb.sql(f"""
    SELECT rain, driver, avg(minutes) AS minutes, count(*) AS n_rows, var_pop(minutes) * count(*) AS within_ss
    FROM '{folder}/*.parquet' GROUP BY ALL
""")
from_cells = jaxlmm.lmer("minutes ~ rain + (1 | driver)", cells, counts="n_rows", within_ss="within_ss")
from_rows = jaxlmm.lmer("minutes ~ rain + (1 | driver)", folder)
pd.DataFrame({"cells": [*from_cells.params, from_cells.sigma, from_cells.nobs], "rows": [*from_rows.params, from_rows.sigma, from_rows.nobs]},
             [*from_rows.params.index, "sigma", "n"]).round(6)

# %% [markdown]
# ## Sums that travel instead of rows
#
# `cross_products` keeps the sums only. They can be saved, sent, added and subtracted: a fit over several hospitals whose
# rows may not leave, or a window that moves over time.

# %%
parts = [jaxlmm.cross_products(model, folder / f"{i}.parquet") for i in range(10)]
pooled = jaxlmm.lmer_from(sum(parts[1:], parts[0]))
pd.DataFrame({"pooled": pooled.params, "all rows": fit.params})

# %%
without_the_first = sum(parts[1:], parts[0]) - parts[0]
jaxlmm.lmer_from(without_the_first).params.round(3)

# %% [markdown]
# Summaries, intervals, predictions and `update` work on such a fit as ever. What needs the rows (`anova` by term, `emmeans`,
# `diagnostics`, `influence`, `robust`, `simulate`) says so.
