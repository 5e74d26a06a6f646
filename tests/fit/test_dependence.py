"""Nearly dependent fixed effects: two bases of one space of columns give the same fit, however close to each other.

Under ML nothing but the space enters the objective, the variances and the fitted values, so a well-conditioned basis
says what a badly conditioned one must give.
"""

import numpy as np
import pytest

import jaxlmm
from tests.bad_input import table

DATA = table().assign(
    near=lambda f: f.x + 1e-6 * f.z,
    nearer=lambda f: f.x + 1e-7 * f.z / 2,
    far=lambda f: 1e6 + f.z,
    six=lambda f: f.x.astype(int).astype(str),
)

# The last number is what the digits of the columns allow: of the 51 columns of the first spline the sixth independent one
# differs from the five before it by 1e-10 of itself, so that rounding the columns turns the space by 1e-6.
BASES = {
    "near, grouped": ("x + z", "x + near", "(1 | g)", 1e-9),
    "near, nested": ("x + z", "x + near", "(1 | h/g)", 1e-9),
    "near, crossed": ("x + z", "x + near", "(1 | g) + (1 | a)", 1e-9),
    "far from zero": ("z", "far", "(1 | g)", 1e-9),
    "spline with more knots than values": ("six", "cr(x, df=50)", "(1 | g)", 1e-6),
    "spline of half as many": ("six", "bs(x, df=20)", "(1 | g)", 1e-9),
}


@pytest.mark.parametrize("basis", BASES)
def test_two_bases_of_one_space(basis):
    good, bad, random, digits = BASES[basis]
    expected = jaxlmm.lmer(f"y ~ {good} + {random}", DATA, reml=False)
    found = jaxlmm.lmer(f"y ~ {bad} + {random}", DATA, reml=False)
    assert found.params.size == expected.params.size
    np.testing.assert_allclose(found.objective, expected.objective, rtol=digits)
    np.testing.assert_allclose(found.varcorr.sdcor, expected.varcorr.sdcor, rtol=1e3 * digits, atol=1e-6)
    np.testing.assert_allclose(found.fittedvalues, expected.fittedvalues, rtol=1e3 * digits)


def test_coefficients_of_near_columns():
    expected = jaxlmm.lmer("y ~ x + z + (1 | g)", DATA)
    found = jaxlmm.lmer("y ~ x + near + (1 | g)", DATA)
    # x β₁ + z β₂ = x (β₁ - 1e6 β₂) + near 1e6 β₂
    np.testing.assert_allclose(found.params["near"], 1e6 * expected.params["z"], rtol=1e-6)
    np.testing.assert_allclose(found.params["x"], expected.params["x"] - 1e6 * expected.params["z"], rtol=1e-6)
    np.testing.assert_allclose(found.bse["near"], 1e6 * expected.bse["z"], rtol=1e-6)


def test_nearer_than_rs_tolerance_is_redundant():
    found = jaxlmm.lmer("y ~ x + nearer + (1 | g)", DATA)
    assert "nearer" not in found.params
    assert "nearer" in str(found.summary())
