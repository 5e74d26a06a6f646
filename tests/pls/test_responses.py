"""Responses reduced over rows that were summed before, against the sums of a design that holds each response itself."""

from dataclasses import replace

import numpy as np
import pytest

from jaxlmm import pls
from jaxlmm.covariance import Unstructured
from jaxlmm.design import Design, RandomEffects
from jaxlmm.errors import DesignError
from tests.designs import random_designs
from tests.fit.models import design_of

DESIGNS = {design.id: design for design in random_designs()}
NAMES = [
    "one_weights",
    "one_us4",
    "one_us2_ragged",
    "one_empty_cells",
    "nested3_slopes",
    "crossed2_slopes",
    "partly_nested",
]
CLOSE = 1e-11


def far_away() -> Design:
    """A covariate and a response a hundred million standard deviations from zero."""
    rng = np.random.default_rng(5)
    codes, time = np.repeat(np.arange(12), 6), 1e8 + np.tile(np.arange(6.0), 12)
    x = np.column_stack([np.ones(72), time])
    y = 1e8 + rng.normal(size=72) + rng.normal(size=12)[codes]
    return Design(x, y, None, (RandomEffects(codes, x, 12, (Unstructured(2),)),))


def no_constant() -> Design:
    design = far_away()
    return replace(design, x=design.x[:, 1:] - 1e8, y=design.y - 1e8)


def designs() -> dict[str, Design]:
    return {name: design_of(DESIGNS[name].problem) for name in NAMES} | {
        "far away": far_away(),
        "no constant": no_constant(),
    }


@pytest.mark.parametrize("name", designs())
def test_responses(name: str) -> None:
    design = designs()[name]
    rng = np.random.default_rng(1)
    gram, _, coordinates = pls.standardize(pls.CrossProducts.from_design(design))
    y = design.y[:, None] + design.y.std() * rng.normal(size=(design.n_obs, 3)) * [0.0, 1.0, 1e4]
    found = pls.Responder.of(design, gram, coordinates).reduce(y)
    for lane in range(3):
        own, response, back = pls.standardize(pls.CrossProducts.from_design(replace(design, y=y[:, lane])))
        mine = found.one(lane)
        assert found.scale[lane] == back.scale
        assert mine.yy == pytest.approx(response.yy, rel=CLOSE)
        for a, b in zip(mine.zy, response.zy, strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=CLOSE * np.sqrt(response.yy * gram.xx))
        if response.within is not None:
            np.testing.assert_allclose(mine.within, response.within, rtol=0, atol=CLOSE * response.yy)
        fitted, expected = design.x[:, back.kept] @ found.beta[:, lane], design.x[:, back.kept] @ back.beta
        np.testing.assert_allclose(fitted, expected, rtol=0, atol=1e-7 * y[:, lane].std())
        np.testing.assert_array_equal(own.zz[0], gram.zz[0])


def test_a_response_in_the_space_of_the_fixed_effects() -> None:
    design = no_constant()
    gram, _, coordinates = pls.standardize(pls.CrossProducts.from_design(design))
    found = pls.Responder.of(design, gram, coordinates).reduce(np.column_stack([design.y, 3.0 * design.x[:, 0]]))
    assert found.exact.tolist() == [False, True]
    with pytest.raises(DesignError, match="reproduce the response exactly"):
        found.coordinates(coordinates, 1)


def test_levels_coded_in_one_byte() -> None:
    """Two columns for each of a hundred levels: more places than a byte counts."""
    rng = np.random.default_rng(3)
    codes, x = np.repeat(np.arange(100), 4), np.column_stack([np.ones(400), rng.normal(size=400)])
    y = rng.normal(size=400)
    wide, narrow = (
        Design(x, y, None, (RandomEffects(c, x, 100, (Unstructured(2),)),)) for c in (codes, codes.astype(np.int8))
    )
    gram, _, coordinates = pls.standardize(pls.CrossProducts.from_design(wide))
    found = [pls.Responder.of(design, gram, coordinates).reduce(y[:, None]).zy[0] for design in (wide, narrow)]
    np.testing.assert_array_equal(*found)
