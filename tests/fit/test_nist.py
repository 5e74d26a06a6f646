"""NIST's one-way ANOVA sets: sigma and the group SD of y ~ 1 + (1 | treatment), in correct digits.

A balanced design has its REML estimates in closed form from the certified mean squares. SmLs04 to 06 have 7 constant
leading digits, SmLs07 to 09 have 13: what float64 holds of their data allows 4.6 and 4.2 correct digits at best.
"""

from functools import cache

import numpy as np
import pytest

from jaxlmm.covariance import Unstructured
from jaxlmm.design import Design, RandomEffects
from jaxlmm.fit import Fit, fit_model, prepare
from jaxlmm.precision import double
from tests.reference.loader import nist, nist_cases

DIGITS = {"SmLs07": 3.5, "SmLs08": 3.5, "SmLs09": 3.5}
"""The project's contract; 7 digits for every other set."""

CASES = {case["id"]: case for case in nist_cases()}


def correct_digits(estimate: float, certified: float) -> float:
    """NIST's log relative error."""
    return -np.log10(max(abs(estimate - certified) / abs(certified), 1e-16))


@cache
@double
def fit_of(name: str) -> Fit:
    table = nist(name)
    labels, codes = np.unique(table["treatment"].to_numpy(dtype=str), return_inverse=True)
    one = np.ones((len(table), 1))
    design = Design(one, table["y"].to_numpy(), None, (RandomEffects(codes, one, len(labels), (Unstructured(1),)),))
    return fit_model(prepare(design), reml=True)


@pytest.mark.parametrize("name", CASES)
def test_correct_digits(name: str) -> None:
    case, fit = CASES[name], fit_of(name)
    wanted = DIGITS.get(name, 7.0)
    assert correct_digits(fit.sigma, case["reml_sigma"]) >= wanted
    assert correct_digits(fit.sigma * fit.theta[0], case["reml_sd_group"]) >= wanted
    assert fit.certificate.converged
    assert fit.certificate.singular == ()


@pytest.mark.parametrize("name", CASES)
def test_the_mean(name: str) -> None:
    """Within 0.002 of its standard error, as every coefficient, and two units in the last place of a number that size."""
    case, fit = CASES[name], fit_of(name)
    mean, error = float(case["mean"]), fit.sigma * np.sqrt(fit.unscaled_vcov[0, 0])
    assert abs(fit.beta[0] - mean) <= 0.002 * error + 2.0 * np.spacing(mean)
