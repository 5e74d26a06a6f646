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
# # A crossed design: who gets good marks?
#
# 73,421 marks that 2,972 students gave to the lectures of 1,128 lecturers in 14 departments of ETH Zurich (`InstEval` of
# R's lme4). Students and lecturers are crossed: no order of elimination makes their matrix block-diagonal.

# %%
import numpy as np
import pandas as pd

import jaxlmm

# %% nbmake={"mock": {"ROWS": 6000}}
ROWS = 73_421  # all

# %%
marks = jaxlmm.load_dataset("insteval").head(ROWS)
marks.head(3)

# %% [markdown]
# ## Before fitting
#
# `jaxlmm.plan` reads what it needs to and says how the fit will be done, and what it will take.

# %%
model = "y ~ service + (1 | s) + (1 | d) + (1 | dept)"
jaxlmm.plan(model, marks)

# %%
fit = jaxlmm.lmer(model, marks)
fit.summary()

# %% [markdown]
# `service` says that a lecture is held for another department's students; they are a little less pleased. Lecturers differ
# more (variance 0.26) than students (0.11); departments hardly at all, once the lecturers are known.
#
# ## Is the department needed?

# %%
fit.ranova().round(4)

# %% [markdown]
# ## Shares of the variance

# %%
fit.icc().round(3)

# %% [markdown]
# ## The lecturers
#
# Conditional modes with intervals. With many levels the plot leaves out their names and keeps the order:

# %%
jaxlmm.plot.caterpillar(fit, "d");

# %%
jaxlmm.plot.caterpillar(fit, "dept");

# %% [markdown]
# Both ends of the list, beside the raw means. A mean of 1.43 from 14 marks is hardly a stronger effect than one of 1.84 from 124:
# the fewer the marks, the more of a raw mean is put down to chance.

# %%
lecturers = fit.ranef(condvar=True).query("group == 'd'").set_index("level")
raw = marks.groupby("d", observed=True)["y"].agg(["mean", "size"])
raw.index = raw.index.astype(str)
lecturers.join(raw).sort_values("estimate")[["mean", "size", "estimate", "std_error"]].iloc[
    [0, 1, 2, -3, -2, -1]
].round(2)

# %% [markdown]
# ## Random slopes over a crossed factor
#
# Does the difference between service and own lectures vary between lecturers?

# %%
slopes = jaxlmm.lmer("y ~ service + (1 | s) + (service | d) + (1 | dept)", marks)
jaxlmm.anova(fit, slopes).round(4)

# %%
slopes.varcorr.round(3)

# %% [markdown]
# ## Predictions for a new lecturer
#
# Lecturer unknown, student and department known: the interval carries the lecturers' variance.

# %%
new = pd.DataFrame({"service": ["0", "1"], "s": ["1", "1"], "d": ["new", "new"], "dept": ["2", "2"]})
fit.predict(new, allow_new_levels=True, interval="prediction").round(2)

# %% [markdown]
# ## Beyond what fits in memory
#
# The exact plan factors a dense matrix of the smaller factor. With a hundred thousand levels on either side there is no
# room for it, and `plan="auto"` goes over to conjugate gradients with an estimated log-determinant. Asked for by name, it can
# be compared with the exact answer here:

# %%
krylov = jaxlmm.lmer(model, marks, control=jaxlmm.Control(plan="krylov"))
pd.DataFrame({"exact": fit.varcorr.set_index("grp")["vcov"], "krylov": krylov.varcorr.set_index("grp")["vcov"]}).round(
    5
)

# %% [markdown]
# It states its own error, in standard errors of the variance parameters:

# %%
np.round(krylov.monte_carlo.error, 3)
