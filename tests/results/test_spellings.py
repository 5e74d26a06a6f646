"""Functions of lme4 and attributes of other packages: an AttributeError that gives our spelling."""

import copy
import re
from importlib.resources import files

import pytest

import jaxlmm
from tests.results.fits import fit

OURS = {
    **{"fixef": "params", "VarCorr": "varcorr", "vcov": "cov_params()", "logLik": "llf", "AIC": "aic", "BIC": "bic"},
    **{"deviance": "objective", "residuals": "resid", "fitted": "fittedvalues", "isSingular": "is_singular"},
    **{"confint": "conf_int()", "ngrps": "n_groups"},
}
MODULE = {
    "glmer": "not available",
    "qqmath": "jaxlmm.plot.ranef_qq(fit)",
    "lmerControl": "jaxlmm.Control",
    "ranef": "fit.ranef()",
    "ranova": "fit.ranova()",
    "lsmeans": "fit.emmeans(specs)",
    "dotplot": "jaxlmm.plot.caterpillar(fit)",
    "to_latex": "jaxlmm.table(fit).to_latex()",
    "lrtest": "jaxlmm.anova(fit1, fit2)",
    "glht": "fit.contrast(tests)",
    "read_csv": "pandas.read_csv",
}


@pytest.mark.parametrize("name", OURS)
def test_names_of_r(name: str) -> None:
    with pytest.raises(AttributeError, match=f"'{name}'") as of_the_fit:
        getattr(fit("sleep_max"), name)
    with pytest.raises(AttributeError, match=f"'{name}'") as of_the_module:
        getattr(jaxlmm, name)
    for caught in (of_the_fit, of_the_module):
        assert str(caught.value).endswith(f"write fit.{OURS[name]}")
    member = OURS[name].removesuffix("()")
    assert hasattr(fit("sleep_max"), member)


@pytest.mark.parametrize("name", MODULE)
def test_the_module(name: str) -> None:
    with pytest.raises(AttributeError) as caught:
        getattr(jaxlmm, name)
    assert MODULE[name] in str(caught.value)


def test_unknown_names_get_pythons_message() -> None:
    with pytest.raises(AttributeError, match="'MixedModelResults' object has no attribute 'nope'"):
        fit("sleep_max").nope  # noqa: B018
    with pytest.raises(AttributeError, match="module 'jaxlmm' has no attribute 'nope'"):
        jaxlmm.nope  # noqa: B018
    with pytest.raises(TypeError, match="unexpected keyword argument 'nope'"):
        fit("sleep_max").predict(nope=1)


def test_results_are_copied_as_before() -> None:
    assert copy.copy(fit("sleep_max")).params.equals(fit("sleep_max").params)
    assert "params" in dir(fit("sleep_max"))


def test_version_and_types() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", jaxlmm.__version__)
    assert files("jaxlmm").joinpath("py.typed").is_file()
