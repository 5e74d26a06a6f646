"""What cannot be drawn is refused by an error of jaxlmm that says what to write."""

from collections.abc import Callable
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

import jaxlmm
from jaxlmm import plot
from jaxlmm.errors import DataError, DesignError
from tests.reference.loader import data


@pytest.fixture(scope="module")
def things(sleep: Any, machines: Any, without_fixed: Any, singular: Any) -> dict[str, Any]:
    responses = pd.DataFrame(sleep.simulate(5, seed=1)).add_prefix("r")
    return {
        "fit": sleep,
        "machines": machines,
        "empty": without_fixed,
        "draws": singular.bootstrap(20, seed=1),
        "influence": singular.influence(approximate=True),
        "profile": machines.profile(),
        "many": jaxlmm.fit_many("~ Days + (Days | Subject)", data("sleepstudy"), responses),
    }


Call = Callable[[dict[str, Any]], Any]

BAD: dict[str, tuple[Call, str]] = {
    "group": (lambda t: plot.caterpillar(t["fit"], "School"), "no grouping factor; write one of 'Subject'"),
    "list of groups": (lambda t: plot.caterpillar(t["fit"], ["Subject"]), "no grouping factor; write one of 'Subject'"),
    "effect": (lambda t: plot.ranef_qq(t["fit"], effects="age"), "write one of 'Intercept', 'Days'"),
    "no effects": (lambda t: plot.caterpillar(t["fit"], effects=[]), "names no effect of 'Subject'.* 'Intercept'"),
    "effect twice": (lambda t: plot.shrinkage(t["fit"], effects=["Days", "Days"]), "'Days' is asked for twice"),
    "axes": (lambda t: plot.caterpillar(t["fit"], ax=plt.subplots()[1]), "has 2 panels"),
    "x": (lambda t: plot.trajectories(t["fit"], x="age"), "write one of 'Days'"),
    "x of levels": (
        lambda t: plot.trajectories(t["machines"], x="Machine"),
        "x='Machine' .* 'Machine', 'Worker', none",
    ),
    "no x": (lambda t: plot.trajectories(t["machines"]), "^trajectories need a numeric column"),
    "level": (lambda t: plot.trajectories(t["fit"], levels=["999"]), "no level of 'Subject'"),
    "number as level": (lambda t: plot.trajectories(t["fit"], levels=[308]), "308 is no level of 'Subject'"),
    "no levels": (lambda t: plot.trajectories(t["fit"], levels=[]), "names no level"),
    "bootstrap": (lambda t: plot.bootstrap_density(t["fit"]), "got MixedModelResults; write fit.bootstrap"),
    "no terms": (lambda t: plot.bootstrap_density(t["draws"], []), "names no term of this bootstrap"),
    "no terms to correlate": (lambda t: plot.bootstrap_correlation(t["draws"], []), "names no term"),
    "profile": (lambda t: plot.profile_zeta(t["fit"]), "write fit.profile"),
    "no parameters": (lambda t: plot.profile_density(t["profile"], []), "names no parameter of this profile"),
    "means": (lambda t: plot.emmeans(t["fit"]), "write fit.emmeans"),
    "many": (lambda t: plot.volcano(t["fit"], "Days"), "write jaxlmm.fit_many"),
    "alpha": (lambda t: plot.volcano(t["many"], "Days", alpha=5), "alpha=5 .* such as 0.05"),
    "labels": (lambda t: plot.volcano(t["many"], "Days", labels=-1), "labels=-1 .* 0 or more"),
    "frame": (lambda t: plot.caterpillar(t["fit"].params), "this plot is of a fit"),
    "residuals of many": (lambda t: plot.resid_fitted(t["many"]), r"got ManyFits; write .*many.fit\('name'\)"),
    "page of many": (lambda t: plot.overview(t["many"]), "got ManyFits"),
    "page of a bootstrap": (lambda t: plot.overview(t["draws"]), "got Bootstrap"),
    "coefficients of many": (lambda t: plot.coefficients(t["many"]), "got ManyFits"),
    "coefficients of a list": (lambda t: plot.coefficients([t["fit"]]), "got list; write coefficients"),
    "no fit": (lambda t: plot.coefficients(), "no fit was given"),
    "number as term": (lambda t: plot.coefficients(t["fit"], terms=3), "3 is no coefficient"),
    "no coefficients": (lambda t: plot.coefficients(t["empty"]), "there are no fixed effects.*caterpillar"),
    "influence on nothing": (lambda t: plot.influence(t["empty"].influence(approximate=True)), "no fixed effects"),
    "influence of a fit": (lambda t: plot.influence(t["fit"]), "write fit.influence"),
    "no number": (lambda t: plot.influence(t["influence"], 0), "number=0 .* 1 or more"),
    "less than none": (lambda t: plot.influence(t["influence"], -1), "number=-1"),
    "number as text": (lambda t: plot.influence(t["influence"], "all"), "number='all'"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_drawn(things: dict[str, Any], name: str) -> None:
    call, message = BAD[name]
    with pytest.raises(DataError, match=message):
        call(things)


def test_three_effects(things: dict[str, Any]) -> None:
    """Two are drawn; a third is not left out without a word."""
    fit = jaxlmm.lmer("score ~ Machine + (Machine | Worker)", data("machines"))
    with pytest.raises(DataError, match=r"one effect or two, and 3 .* effects=\['Intercept', 'Machine"):
        plot.shrinkage(fit, effects=["Intercept", "Machine[T.B]", "Machine[T.C]"])


ONE: dict[str, Callable[[dict[str, Any], Any], Any]] = {
    "resid_fitted": lambda t, ax: plot.resid_fitted(t["fit"], ax=ax),
    "resid_qq": lambda t, ax: plot.resid_qq(t["fit"], ax=ax),
    "shrinkage": lambda t, ax: plot.shrinkage(t["fit"], ax=ax),
    "influence": lambda t, ax: plot.influence(t["influence"], ax=ax),
    "coefficients": lambda t, ax: plot.coefficients(t["fit"], ax=ax),
    "emmeans": lambda t, ax: plot.emmeans(t["machines"].emmeans("Machine"), ax=ax),
    "volcano": lambda t, ax: plot.volcano(t["many"], "Days", ax=ax),
    "variance_fractions": lambda t, ax: plot.variance_fractions(t["many"], ax=ax),
    "ridgeline": lambda t, ax: plot.bootstrap_ridgeline(t["draws"], ax=ax),
    "correlation": lambda t, ax: plot.bootstrap_correlation(t["draws"], ax=ax),
    "density": lambda t, ax: plot.bootstrap_density(t["draws"], "Intercept", ax=ax),
    "caterpillar": lambda t, ax: plot.caterpillar(t["fit"], effects="Days", ax=ax),
    "profile": lambda t, ax: plot.profile_zeta(t["profile"], ".sigma", ax=ax),
}


@pytest.mark.parametrize("name", ONE)
def test_axes(things: dict[str, Any], name: str) -> None:
    """One Axes is drawn on and given back; a name, or a list of numbers, is refused."""
    for wrong in ("figure", [1, 2]):
        with pytest.raises(DataError, match=r"ax= is of type .*; write ax=plt\.subplots"):
            ONE[name](things, wrong)
    _, ax = plt.subplots()
    assert ONE[name](things, ax) is ax


LEVELS: dict[str, Callable[[dict[str, Any], Any], Any]] = {
    "resid_qq": lambda t, level: plot.resid_qq(t["fit"], level=level),
    "data.resid_qq": lambda t, level: plot.data.resid_qq(t["fit"], level),
    "caterpillar": lambda t, level: plot.caterpillar(t["fit"], level=level),
    "ranef_qq": lambda t, level: plot.ranef_qq(t["fit"], level=level),
    "coefficients": lambda t, level: plot.coefficients(t["fit"], level=level),
    "profile_zeta": lambda t, level: plot.profile_zeta(t["profile"], level=level),
    "profile_density": lambda t, level: plot.profile_density(t["profile"], level=level),
    "bootstrap_density": lambda t, level: plot.bootstrap_density(t["draws"], level=level),
}


@pytest.mark.parametrize("name", LEVELS)
@pytest.mark.parametrize("level", [95, 1.5, -1, "a", 0.0, np.nan])
def test_levels(things: dict[str, Any], name: str, level: Any) -> None:
    with pytest.raises(DesignError, match="is not a confidence level; write a number between 0 and 1"):
        LEVELS[name](things, level)
    assert not plt.get_fignums()
