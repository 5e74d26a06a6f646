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
# # A first mixed model
#
# Test scores of students who sit in classrooms, in schools, in provinces. Scores from the same classroom resemble each
# other, and so do those from the same school: an ordinary regression would count them as independent and be too sure
# of itself. A mixed model gives every level of the hierarchy its own share of the variance.
#
# The table is made by a seeded generator (`jaxlmm.datasets.students`), so that the true values are known.

# %%
import jaxlmm

students = jaxlmm.load_dataset("students")
students.head()

# %% [markdown]
# ## Random intercepts at three levels
#
# `(1 | classroom)` reads: an intercept of its own for every classroom, drawn from a normal distribution whose variance
# is estimated. The engine finds by itself that classrooms are nested in schools and schools in provinces.

# %%
intercepts = jaxlmm.lmer("test_score ~ age + sex + (1 | classroom) + (1 | school) + (1 | province)", students)
intercepts.summary()

# %% [markdown]
# The coefficients, with 95 % intervals:

# %%
intercepts.tidy().round(3)

# %% [markdown]
# How the variance divides over the levels:

# %%
components = intercepts.varcorr
components.assign(share=components["vcov"] / components["vcov"].sum()).round(3)

# %% [markdown]
# ## Random slopes
#
# Do scores rise with age equally fast in all classrooms? `(age | classroom)` adds a slope per classroom, correlated with
# its intercept.

# %%
slopes = jaxlmm.lmer("test_score ~ age + sex + (age | classroom) + (age | school) + (1 | province)", students)
slopes.varcorr.round(3)

# %% [markdown]
# AIC compares the two (the fixed effects are the same, so the restricted likelihoods are comparable):

# %%
{"intercepts": round(intercepts.aic, 1), "slopes": round(slopes.aic, 1)}

# %% [markdown]
# ## The same student, tested more than once
#
# Every student has two or three scores. A further factor says so:

# %%
repeated = jaxlmm.lmer(
    "test_score ~ age + sex + (1 | classroom) + (1 | school) + (1 | province) + (1 | student_id)", students
)
repeated.varcorr.round(3)

# %% [markdown]
# ## Labels that repeat
#
# `classroom_label` is A, B, C ... in every school. Classroom A of one school has nothing to do with classroom A of
# another, so the factor is the combination of the two: `(1 | school/classroom_label)` is
# `(1 | school) + (1 | classroom_label:school)`.

# %%
nested = jaxlmm.lmer("test_score ~ age + sex + (1 | school/classroom_label)", students)
nested.n_groups

# %% [markdown]
# With globally unique labels, `classroom` and `school:classroom` divide the students alike. Only the sum of the two
# variances is then identified, and the fit says so:

# %%
twice = jaxlmm.lmer("test_score ~ age + sex + (1 | classroom) + (1 | school:classroom)", students)
[note for note in twice.summary().notes if "identified" in note]

# %% [markdown]
# ## statsmodels' spelling
#
# `mixedlm` takes statsmodels' arguments. Without bars in the formula, `groups` means what it means there:

# %%
jaxlmm.mixedlm("test_score ~ age + sex", students, groups=students["student_id"]).fit().params.round(3)

# %% [markdown]
# A dict sets the covariance structure of each grouping factor: here, slopes that are uncorrelated with intercepts.

# %%
diagonal = jaxlmm.mixedlm(
    "test_score ~ age + sex + (age | classroom) + (age | school) + (age | province)",
    students,
    vc_formula={"classroom": "diag", "school": "diag", "province": "diag"},
).fit()
diagonal.varcorr.round(3)

# %% [markdown]
# ## Predictions
#
# For students the model knows, with the effects of their groups; and for a classroom that it has never seen, where the
# interval is wider because that classroom's effects are not known.

# %%
known = students.head(2)
slopes.predict(known, interval="prediction").round(1)

# %%
unseen = known.assign(classroom="new")
slopes.predict(unseen, allow_new_levels=True, interval="prediction").round(1)
