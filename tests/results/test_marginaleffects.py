"""The bridge to marginaleffects agrees with our marginal means, where that package is there with a polars that it can use."""

from typing import Any

import numpy as np
import pytest

import jaxlmm
from jaxlmm import DataError


def oats() -> jaxlmm.MixedModelResults:
    return jaxlmm.lmer("yield ~ nitro * Variety + (1 | Block/Variety)", jaxlmm.load_dataset("oats"))


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "marginaleffects.classes.model", None)
    with pytest.raises(DataError, match=r"jaxlmm\[marginaleffects\]"):
        oats().to_marginaleffects()


def test_means_and_slopes() -> None:
    package: Any = pytest.importorskip("marginaleffects", reason="an optional package")
    polars: Any = pytest.importorskip("polars")
    if int(polars.__version__.split(".")[0]) >= 2:
        pytest.skip("marginaleffects 0.6 compares floats with whole numbers, which polars 2 refuses")
    fit = oats()
    model, means = fit.to_marginaleffects(), fit.emmeans("Variety", ddf="normal").frame
    found = package.avg_predictions(model, by="Variety").sort("Variety")
    np.testing.assert_allclose(found["estimate"], means["emmean"], rtol=1e-6)
    np.testing.assert_allclose(found["std_error"], means["std_error"], rtol=1e-4)
    slopes = package.avg_slopes(model, variables="nitro", by="Variety").sort("Variety")
    np.testing.assert_allclose(slopes["estimate"], fit.emtrends("Variety", "nitro").frame["nitro.trend"], rtol=1e-4)
