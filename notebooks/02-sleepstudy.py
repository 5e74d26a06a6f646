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
# # Sleepstudy, from plot to paper
#
# Eighteen long-distance drivers were allowed three hours of sleep a night. Every day their reaction time was measured
# (Belenky et al. 2003). How much slower do they get, and how much do they differ? This page goes the whole way: look,
# fit, check, compare, and write it up.

# %%
import jaxlmm

sleepstudy = jaxlmm.load_dataset("sleepstudy")
print(jaxlmm.datasets.describe_dataset("sleepstudy"))

# %% [markdown]
# Days 0 and 1 were training and day 2 the baseline. Most analyses, lme4's among them, keep all ten days, and so does
# this page; `sleepstudy[sleepstudy.Days >= 2]` would be a choice to report.
#
# ## Fit
#
# A line for each driver, drawn from a population of lines: `(Days | Subject)`.

# %%
fit = jaxlmm.lmer("Reaction ~ Days + (Days | Subject)", sleepstudy)
fit.summary()

# %% [markdown]
# Reactions start at 251 ms and slow by 10.5 ms a day. Drivers differ by 25 ms (one standard deviation) at the start and by
# 6 ms a day in their slopes.
#
# ## Look
#
# Each driver's data, the driver's fitted line, and the population's:

# %%
jaxlmm.plot.trajectories(fit);

# %% [markdown]
# The model does not take each driver's own line at face value: it shrinks it towards the population's, more where the
# driver's data say less.

# %%
jaxlmm.plot.shrinkage(fit);

# %% [markdown]
# Who is slow, and who gets slower? The conditional modes with 95 % intervals:

# %%
jaxlmm.plot.caterpillar(fit);

# %% [markdown]
# ## Check
#
# Above, residuals against fitted values and against normal quantiles; below, the random effects. The smooth curve need not lie on
# zero, even when the model is right: effects are shrunk, so that residuals go up with fitted values, the more the fewer rows a level has.
# With ten rows a driver it is hardly seen.

# %%
fit.plot();

# %% [markdown]
# The tails of the residuals are heavier than a normal distribution's: three days lie four to five standard deviations from their driver's
# line. Which drivers move the estimates?

# %%
jaxlmm.plot.influence(fit.influence("Subject"), number=8);

# %% [markdown]
# A sandwich estimator does not believe the covariance model. Here it says nothing new, and cannot: every driver was measured on the same
# days, all fixed effects vary by driver, and then CR2 equals the model's standard errors by algebra.

# %%
fit.robust("CR2").round(3)

# %% [markdown]
# ## Compare
#
# Do drivers really differ in their slopes? Fit the model without, and compare by likelihood (both by maximum likelihood,
# as `jaxlmm.anova` does by itself). The variance under test lies on the boundary, so that this p-value is too large, if
# anything.

# %%
parallel = fit.update(". ~ . - (Days | Subject) + (1 | Subject)")
jaxlmm.anova(parallel, fit).round(4)

# %% [markdown]
# Is the correlation of intercepts and slopes needed?

# %%
uncorrelated = fit.update(". ~ . - (Days | Subject) + (Days || Subject)")
jaxlmm.anova(uncorrelated, fit).round(4)

# %% [markdown]
# The data do not ask for it (χ² = 0.06 on one degree of freedom). It stays in the model all the same, since whether it is there depends on
# where zero lies on the axis of days.
#
# ## How sure
#
# Wald intervals assume that estimates are normal. Profiles do not: ζ is the signed square root of the likelihood ratio,
# and where it bends, a symmetric interval is wrong.

# %%
profile = fit.profile()
jaxlmm.plot.profile_zeta(profile);

# %%
profile.conf_int().round(2)

# %% [markdown]
# The parametric bootstrap asks the same of 2,000 simulated data sets:

# %%
draws = fit.bootstrap(2000, seed=1)
jaxlmm.plot.bootstrap_density(draws);

# %% [markdown]
# ## Write it up
#
# A table of the models, in Markdown, LaTeX or HTML:

# %%
models = {"parallel lines": parallel, "uncorrelated": uncorrelated, "full": fit}
jaxlmm.table(**models)

# %%
print(jaxlmm.table(full=fit).to_latex())

# %% [markdown]
# And a sentence whose numbers come from the fit:

# %%
row = fit.tidy().set_index("term").loc["Days"]
print(
    f"Reaction times slowed by {row.estimate:.1f} ms per day of sleep restriction "
    f"(95 % CI {row.conf_low:.1f} to {row.conf_high:.1f}; t({row.df:.0f}) = {row.statistic:.2f}, p = {row.p_value:.1g}; "
    f"linear mixed model with random intercepts and slopes for {fit.n_groups['Subject']} drivers, REML, "
    f"Satterthwaite degrees of freedom)."
)
