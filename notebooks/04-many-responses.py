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
# # Twenty thousand responses
#
# Genes, voxels, items: one design, many responses, a mixed model for each. `fit_many` sums the rows once and fits all
# responses together.
#
# The data are simulated, so that the truth is known: 24 donors, half of them ill, four samples each before and after
# treatment; one response in twenty reacts to the treatment.

# %%
import time

import numpy as np
import pandas as pd

import jaxlmm

# %% nbmake={"mock": {"RESPONSES": 300}}
RESPONSES = 20_000

# %%
rng = np.random.default_rng(0)
donor = np.repeat(np.arange(24), 8)
samples = pd.DataFrame(
    {
        "donor": pd.Categorical([f"D{i:02d}" for i in donor]),
        "ill": np.where(donor % 2 == 0, "yes", "no"),
        "treated": np.tile([0, 0, 0, 0, 1, 1, 1, 1], 24),
    }
)
reacts = rng.random(RESPONSES) < 0.05
effect = np.where(reacts, rng.normal(0, 1, RESPONSES), 0.0)
noise = np.sqrt(0.3 / rng.chisquare(6, RESPONSES) * 6)
between = rng.normal(0, 0.7, (24, RESPONSES))
values = 8 + between[donor] + samples[["treated"]].to_numpy() * effect + rng.normal(0, noise, (len(donor), RESPONSES))
responses = pd.DataFrame(values, columns=[f"gene{i:05d}" for i in range(RESPONSES)])
responses.iloc[:3, :4].round(2)

# %% [markdown]
# A formula without left-hand side; the responses are the columns of a table, an array, a memory map or chunks from an
# iterator.

# %%
begin = time.perf_counter()
many = jaxlmm.fit_many("~ treated * ill + (1 | donor)", samples, responses)
print(f"{time.perf_counter() - begin:.1f} s, compilation included")
many

# %%
many.frame.head(4).round(3)

# %% [markdown]
# ## What reacts
#
# A combination of coefficients is a named test. `top_table` has limma's columns: variances moderated by empirical Bayes
# (Smyth 2004), as variancePartition's `dream` does.

# %%
many = jaxlmm.fit_many(
    "~ treated * ill + (1 | donor)", samples, responses, tests={"treatment": "treated + 0.5 * treated:ill[T.yes]"}
)
many.top_table("treatment", number=5).round(3)

# %%
jaxlmm.plot.volcano(many, "treatment");

# %% [markdown]
# The plot calls by the t test of each response alone (`p_adjusted` of `frame`). `top_table` moderates the variances first, and so may call a
# few more or fewer.
#
# Since the truth is known: how many of those that `top_table` calls at 5 % false discovery rate are false, and how many were found?

# %%
top = many.top_table("treatment", number=RESPONSES)
called = top.index[top["adj.P.Val"] < 0.05]
truth = pd.Series(reacts, responses.columns)
pd.Series(
    {
        "react": int(reacts.sum()),
        "called": len(called),
        "false among the called": round(1 - truth[called].mean(), 3),
        "found among those that react": round(truth[called].sum() / reacts.sum(), 3),
    }
)

# %% [markdown]
# ## Where the variance is

# %%
jaxlmm.plot.variance_fractions(many);

# %% [markdown]
# ## One response as an ordinary fit

# %%
one = many.fit(top.index[0])
one.summary()

# %% [markdown]
# ## Weights, missing values, long runs
#
# `weights=` takes a table of the responses' shape (voom's precision weights), missing values are left out response by
# response, `checkpoint="folder"` makes a run that is killed go on where it was, and `progress=True` shows a bar.

# %%
gaps = responses.iloc[:, :200].mask(rng.random((len(samples), 200)) < 0.02)
jaxlmm.fit_many("~ treated + (1 | donor)", samples, gaps).frame.head(2).round(3)
