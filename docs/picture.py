"""Draws the picture of the README: `python docs/picture.py`."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import jaxlmm

sleepstudy = jaxlmm.load_dataset("sleepstudy")
fit = jaxlmm.lmer("Reaction ~ Days + (Days | Subject)", sleepstudy)
draws = fit.bootstrap(10_000, seed=1)
rng = np.random.default_rng(0)
effects = np.where(rng.random(5000) < 0.06, rng.normal(0, 8, 5000), 0.0)
responses = fit.simulate(5000, seed=1) - fit.params["Days"] * sleepstudy[["Days"]].to_numpy()
responses = responses + sleepstudy[["Days"]].to_numpy() * effects
many = jaxlmm.fit_many("~ Days + (Days | Subject)", sleepstudy, pd.DataFrame(responses).add_prefix("gene"))

figure, axes = plt.subplots(1, 4, figsize=(15, 3.6), layout="constrained")
jaxlmm.plot.caterpillar(fit, effects="Days", ax=axes[0])
jaxlmm.plot.shrinkage(fit, ax=axes[1])
jaxlmm.plot.bootstrap_density(draws, "sd__Days|Subject", ax=axes[2])
jaxlmm.plot.volcano(many, "Days", labels=0, ax=axes[3])
axes[1].legend(*axes[1].get_legend_handles_labels(), fontsize="x-small", frameon=False, loc="lower left")
axes[2].get_legend().remove()
titles = ["conditional modes", "shrinkage", "10,000 replicates, estimate and 95 % interval", "5,000 responses"]
for ax, title in zip(axes, titles, strict=True):
    ax.set_title(title, fontsize="medium")
figure.savefig(Path(__file__).parent / "_static" / "sleepstudy.png", dpi=110)
