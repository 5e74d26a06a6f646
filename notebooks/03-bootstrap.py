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
# # Parametric bootstrap at scale
#
# Draw new responses from the fitted model, fit each of them, look at the estimates: nothing assumed but the model. The replicates are
# lanes of one program: 0.19 s for ten thousand of this model where lme4's `bootMer` takes 83 s (`benchmarks/bootstrap.csv`, scaled up from
# 500).
#
# This page was run on two CPU cores. The program is written for GPUs, too, and was not run on one yet. Every replicate has a random key of
# its own, so that the draws do not depend on the number of cores or devices.

# %%
import time

import jax

import jaxlmm

jax.devices()

# %%
sleepstudy = jaxlmm.load_dataset("sleepstudy")
fit = jaxlmm.lmer("Reaction ~ Days + (Days | Subject)", sleepstudy)

# %% [markdown]
# ## Ten thousand replicates

# %% nbmake={"mock": {"REPLICATES": 500}}
REPLICATES = 10_000

# %%
begin = time.perf_counter()
draws = fit.bootstrap(REPLICATES, seed=1)
print(f"{time.perf_counter() - begin:.1f} s, compilation included")
draws

# %%
begin = time.perf_counter()
fit.bootstrap(REPLICATES, seed=2)
print(f"{time.perf_counter() - begin:.1f} s, compiled")

# %% [markdown]
# Every replicate is a row: its status, objective and all estimates. Nothing is hidden: replicates that failed to converge
# would be counted above and stay in the table as such.

# %%
draws.frame.head(3).round(2)

# %%
draws.summary().round(3)

# %% [markdown]
# ## Intervals

# %%
draws.conf_int().round(2)

# %% [markdown]
# `level=` sets another coverage. The density of each parameter, with its interval and the estimate that the replicates
# were drawn from:

# %%
jaxlmm.plot.bootstrap_density(draws);

# %% [markdown]
# 166 fits are singular: in all but one of them the correlation is exactly 1, in one it is −1. They are part of the answer. A smooth density
# cannot show so many replicates at one point; `draws.n_singular` counts them. Centred and scaled, all parameters beside each other:

# %%
jaxlmm.plot.bootstrap_ridgeline(draws);

# %%
jaxlmm.plot.bootstrap_correlation(draws);

# %% [markdown]
# ## Any statistic
#
# `statistic=` is a function of the table of estimates. The share of the drivers who get faster, if slopes are normal:

# %%
from scipy import stats


def share_faster(estimates):
    return {"share": stats.norm.cdf(0, estimates["Days"], estimates["sd__Days|Subject"])}


fit.bootstrap(REPLICATES, seed=1, statistic=share_faster).conf_int().loc[["share"]].round(3)

# %% [markdown]
# ## Whole subjects instead of the model
#
# `kind="cases"` draws whole drivers with replacement, and so does not believe the normal distributions. BCa intervals
# correct for bias and skewness.

# %%
cases = fit.bootstrap(REPLICATES, seed=1, kind="cases")
cases.conf_int("bca").round(2)

# %% [markdown]
# ## A long run that may be killed
#
# With a folder for checkpoints, a run that is stopped goes on where it was, with the same numbers; `append` adds
# replicates to a finished one.

# %%
import tempfile

with tempfile.TemporaryDirectory() as folder:
    first = fit.bootstrap(REPLICATES // 2, seed=1, checkpoint=folder)
    again = fit.bootstrap(REPLICATES // 2, seed=1, checkpoint=folder)  # read, not computed
first.frame.equals(again.frame), len(first.append(100).frame)
