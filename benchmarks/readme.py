"""Print what README and docs/tour.md show: `python benchmarks/readme.py`."""

import os
import tempfile
import time

import pandas as pd

import jaxlmm
from jaxlmm.datasets import dataset_names, describe_dataset

sleepstudy = jaxlmm.load_dataset("sleepstudy")
begin = time.perf_counter()
fit = jaxlmm.lmer("Reaction ~ Days + (Days | Subject)", sleepstudy)
first = time.perf_counter() - begin
begin = time.perf_counter()
jaxlmm.lmer("Reaction ~ Days + (Days | Subject)", sleepstudy.assign(Reaction=lambda f: f.Reaction + f.Days))
print(f"first fit {first:.1f} s, second {time.perf_counter() - begin:.2f} s\n")

print(fit.ranef()["Subject"].head(3).round(2))
print(fit.ranef(condvar=True).head(3).round(2))

new = {"Days": [0, 9, 9], "Subject": ["308", "308", "new"]}
print(fit.predict(new, allow_new_levels=True, interval="prediction").round(1))

machines = jaxlmm.load_dataset("machines")
print(jaxlmm.lmer("score ~ Machine + (1 | Worker)", machines, contrasts={"Machine": "contr.sum"}).params.round(2))

models = {
    "intercepts": fit.update(". ~ . - (Days | Subject) + (1 | Subject)", reml=False),
    "slopes": fit.update(reml=False),
}
table = pd.concat({name: model.glance() for name, model in models.items()}).droplevel(1)
print(table[["n_parameters", "log_lik", "aic", "bic", "converged"]].round(2))

draws = fit.bootstrap(10_000, seed=1)
print(draws)
print(draws.conf_int().round(2).loc[["Days", "sd__Days|Subject"]])

print(fit.bootstrap(2000, seed=1, kind="cases").conf_int("bca").round(2).loc[["Days"]])

responses = pd.DataFrame(fit.simulate(1000, seed=1)).add_prefix("r")
many = jaxlmm.fit_many("~ Days + (Days | Subject)", sleepstudy, responses, tests={"a week": "7 * Days"})
print(many)
print(many.frame[["response", "term", "estimate", "std_error", "df", "p_adjusted"]].head(3).round(3))
print(many.top_table("Days", number=2).round(2))
print(many.variance_fractions().head(2).round(2))
print(round(many.fit("r7").objective, 2))

print(fit.conf_int("profile").round(2))
print(fit.ranova().round(4))
print(jaxlmm.anova(models["intercepts"], models["slopes"])[["chisq", "df", "p_value"]].round(4))
oats = jaxlmm.load_dataset("oats")
yields = jaxlmm.lmer("yield ~ C(nitro) * Variety + (1 | Block/Variety)", oats, ddf="kenward-roger")
print(yields.anova().round(3))
means = yields.emmeans("nitro")
print(means.frame.round(2))
print(means.pairs()[["contrast", "estimate", "std_error", "df", "p_value"]].head(3).round(3))
print(means.contrast("poly").round(3)[["contrast", "estimate", "p_value"]])
print(fit.robust("CR2").round(3)[["estimate", "std_error", "df"]])
print(fit.influence("Subject").cooks_distance.nlargest(2).round(3))
print(fit.r_squared().round(3).to_dict())

path = os.path.join(tempfile.mkdtemp(), "sleep.npz")
fit.save(path)
print(jaxlmm.load(path).predict({"Days": [10]}, random=False).round(1).tolist())

print()
for name in dataset_names():
    print(describe_dataset(name).split("\n\n")[0])
