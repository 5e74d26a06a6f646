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
# # Coming from lme4, MixedModels.jl or statsmodels
#
# What you would write there, and what to write here. Every line of the last column is run as this page is made, with
#
# ```python
# d = jaxlmm.load_dataset("sleepstudy")
# m = jaxlmm.lmer("Reaction ~ Days + (Days | Subject)", d)
# ```
#
# Most of R's names of functions and arguments (`REML=`, `re.form`, `fixef`, ...) get an error that says what to write. What is not there
# (`glmer`, `step`, `lmList`, simr's `powerSim`) has a page among *How do I ...?* of the documentation.

# %%
import matplotlib.pyplot as plt
import pandas as pd
from IPython.display import Markdown

import jaxlmm

d = jaxlmm.load_dataset("sleepstudy").assign(w=1.0)
new = pd.DataFrame({"Days": [10, 10], "Subject": ["308", "new"]})
m = jaxlmm.lmer("Reaction ~ Days + (Days | Subject)", d)
m0 = jaxlmm.lmer("Reaction ~ Days + (1 | Subject)", d)
b = m.bootstrap(500, seed=1)
pr = m.profile()
e = jaxlmm.lmer("yield ~ C(nitro) * Variety + (1 | Block/Variety)", jaxlmm.load_dataset("oats"))
machines = jaxlmm.load_dataset("machines")


def translate(text: str) -> Markdown:
    """A Markdown table of the lines, each `lme4 ; MixedModels.jl ; statsmodels ; jaxlmm`; the last is run."""
    rows = [[cell.strip() for cell in line.split(" ; ")] for line in text.strip().splitlines()]
    for *_, ours in rows:
        eval(ours)
    plt.close("all")
    head = ["| lme4 and friends | MixedModels.jl | statsmodels | jaxlmm |", "|---|---|---|---|"]
    quoted = [[f"`{cell}`".replace("|", "\\|") if cell != "-" else "" for cell in row] for row in rows]
    return Markdown("\n".join([*head, *("| " + " | ".join(row) + " |" for row in quoted)]))


# %% [markdown]
# ## Models

# %%
translate("""
lmer(Reaction ~ Days + (Days | Subject), d) ; fit(MixedModel, @formula(Reaction ~ Days + (Days | Subject)), d; REML=true) ; mixedlm("Reaction ~ Days", d, groups="Subject", re_formula="~Days").fit() ; jaxlmm.lmer("Reaction ~ Days + (Days | Subject)", d)
lmer(..., REML = FALSE) ; fit(MixedModel, f, d) ; mixedlm(...).fit(reml=False) ; jaxlmm.lmer("Reaction ~ Days + (Days | Subject)", d, reml=False)
(Days || Subject) ; zerocorr(Days | Subject) ; - ; jaxlmm.lmer("Reaction ~ Days + (Days || Subject)", d)
(1 | Block/Variety) ; (1 | Block/Variety) ; vc_formula={"v": "0 + C(Variety)"} ; jaxlmm.lmer("yield ~ nitro + (1 | Block/Variety)", jaxlmm.load_dataset("oats"))
(1 | plate) + (1 | sample) ; (1 | plate) + (1 | sample) ; - ; jaxlmm.lmer("diameter ~ 1 + (1 | plate) + (1 | sample)", jaxlmm.load_dataset("penicillin"))
weights = w ; wts = d.w ; - ; jaxlmm.lmer("Reaction ~ Days + (Days | Subject)", d, weights="w")
contrasts = list(Machine = "contr.sum") ; contrasts = Dict(:Machine => EffectsCoding()) ; C(Machine, Sum) ; jaxlmm.lmer("score ~ Machine + (1 | Worker)", machines, contrasts={"Machine": "contr.sum"})
update(m, . ~ . - Days) ; - ; - ; m.update(". ~ . - Days")
- ; - ; mixedlm("Reaction ~ Days", d, groups="Subject").fit() ; jaxlmm.mixedlm("Reaction ~ Days", d, groups="Subject").fit()
""")

# %% [markdown]
# Two differences to know. MixedModels.jl fits by maximum likelihood unless told otherwise; lme4, statsmodels and jaxlmm by REML.
# And `||` splits terms, as in lme4: the levels of a factor in `(f || g)` stay correlated; `zerocorr(f | g)` splits columns, as in
# MixedModels.jl.
#
# ## Looking at a fit

# %%
translate("""
summary(m) ; m ; m.summary() ; m.summary()
fixef(m) ; fixef(m) ; m.fe_params ; m.params
coef(summary(m)) ; coeftable(m) ; m.bse_fe, m.pvalues ; m.tidy()
vcov(m) ; vcov(m) ; m.cov_params() ; m.cov_params()
VarCorr(m) ; VarCorr(m) ; m.cov_re, m.scale ; m.varcorr
sigma(m) ; m.σ ; np.sqrt(m.scale) ; m.sigma
getME(m, "theta") ; m.θ ; - ; m.theta
ranef(m) ; raneftables(m) ; m.random_effects ; m.ranef()
ranef(m, condVar = TRUE) ; condVar(m) ; m.random_effects_cov ; m.ranef(condvar=True)
coef(m) ; - ; - ; m.coef()
fitted(m), resid(m) ; fitted(m), residuals(m) ; m.fittedvalues, m.resid ; (m.fittedvalues, m.resid)
logLik(m), AIC(m), BIC(m) ; loglikelihood(m), aic(m), bic(m) ; m.llf, m.aic, m.bic ; (m.llf, m.aic, m.bic)
deviance(m), REMLcrit(m) ; objective(m) ; -2 * m.llf ; m.objective
isSingular(m) ; issingular(m) ; - ; m.is_singular
rePCA(m) ; m.rePCA ; - ; m.rePCA()
""")

# %% [markdown]
# ## Inference

# %%
translate("""
confint(m, method = "Wald") ; confint(m) ; m.conf_int() ; m.conf_int()
profile(m), confint(m) ; profile(m), confint(pr) ; m.profile_re(...) ; pr.conf_int()
bootMer(m, fixef, 500) ; parametricbootstrap(rng, 500, m) ; - ; m.bootstrap(500, seed=1)
confint(m, method = "boot") ; confint(b) ; - ; b.conf_int()
anova(m0, m) ; likelihoodratiotest(m0, m) ; - ; jaxlmm.anova(m0, m)
anova(m) (lmerTest) ; - ; - ; e.anova()
anova(m, ddf = "Kenward-Roger") ; - ; - ; e.anova(ddf="kenward-roger")
ranova(m) ; - ; - ; m.ranova()
exactRLRT(m0) (RLRsim) ; - ; - ; m0.exact_rlrt()
contest(m, L) ; - ; m.t_test(L) ; m.contrast("7 * Days")
emmeans(m, ~ Variety) ; emmeans(m) (Effects.jl) ; - ; e.emmeans("Variety")
pairs(emmeans(m, ~ Variety)) ; empairs(m) ; - ; e.emmeans("Variety").pairs()
coef_test(m, "CR2") (clubSandwich) ; - ; - ; m.robust("CR2")
r.squaredGLMM(m), icc(m) ; - ; - ; (m.r_squared(), m.icc())
influence(m, "Subject") ; - ; - ; m.influence("Subject")
hatvalues(m), cooks.distance(m) ; leverage(m) ; - ; m.diagnostics()
""")

# %% [markdown]
# ## Prediction and simulation

# %%
translate("""
predict(m, new, allow.new.levels = TRUE) ; predict(m, new; new_re_levels=:population) ; - ; m.predict(new, allow_new_levels=True)
predict(m, new, re.form = NA) ; - ; m.predict(new) ; m.predict(new, random=False)
predictInterval(m, new) (merTools) ; - ; - ; m.predict(new, allow_new_levels=True, interval="prediction")
simulate(m, 10, seed = 1) ; simulate(rng, m) ; - ; m.simulate(10, seed=1)
refit(m, y) ; refit!(m, y) ; - ; m.refit(m.simulate(1, seed=1)[:, 0])
""")

# %% [markdown]
# ## Plots and tables

# %%
translate("""
dotplot(ranef(m)) ; caterpillar(m) ; - ; jaxlmm.plot.caterpillar(m)
- ; shrinkageplot(m) ; - ; jaxlmm.plot.shrinkage(m)
qqmath(ranef(m)) ; qqcaterpillar(m) ; - ; jaxlmm.plot.ranef_qq(m)
plot(m) ; - ; - ; jaxlmm.plot.resid_fitted(m)
xyplot(pr) ; zetaplot(pr) ; - ; jaxlmm.plot.profile_zeta(pr)
- ; ridgeplot(b) ; - ; jaxlmm.plot.bootstrap_ridgeline(b)
- ; coefplot(m) ; - ; jaxlmm.plot.coefficients(m)
modelsummary(list(m0, m)) ; - ; summary_col([...]) ; jaxlmm.table(m0, m)
tidy(m), glance(m), augment(m) ; - ; - ; (m.tidy(), m.glance(), m.augment())
""")

# %% [markdown]
# ## The same numbers
#
# lme4 1.1-31 says 1743.62827 (REML criterion), 251.40510 and 10.467286 (fixed effects), 24.740658, 5.9221377 and 25.591796
# (standard deviations), 0.065551 (correlation). Its optimizer stops a little before the minimum, so that the fifth digit of a
# variance may differ.

# %%
pd.Series(
    [m.objective, *m.params, *m.varcorr["sdcor"]], ["REML", *m.params.index, "sd", "sd", "cor", "residual"]
).round(5)
