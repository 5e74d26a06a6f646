"""Fits that several tests of plots draw, each made once; figures are closed after each test."""

from collections.abc import Iterator
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

import jaxlmm
from tests.reference.loader import data


@pytest.fixture(autouse=True)
def no_figure_stays() -> Iterator[None]:
    yield
    plt.close("all")


@pytest.fixture(scope="session")
def sleep() -> Any:
    return jaxlmm.lmer("Reaction ~ Days + (Days | Subject)", data("sleepstudy"))


@pytest.fixture(scope="session")
def weighted() -> Any:
    return jaxlmm.lmer("Reaction ~ Days + (Days | Subject)", data("sleepstudy"), weights="w")


@pytest.fixture(scope="session")
def machines() -> Any:
    return jaxlmm.lmer("score ~ Machine + (1 | Worker)", data("machines"))


@pytest.fixture(scope="session")
def without_fixed() -> Any:
    return jaxlmm.lmer("Reaction ~ 0 + (1 | Subject)", data("sleepstudy"))


@pytest.fixture(scope="session")
def sleep_draws(sleep: Any) -> Any:
    return sleep.bootstrap(300, seed=1)


@pytest.fixture(scope="session")
def singular() -> Any:
    """Whose variance is estimated as zero, as in half of its bootstrap replicates."""
    return jaxlmm.lmer("Yield ~ 1 + (1 | Batch)", data("dyestuff2"))


@pytest.fixture(scope="session")
def long_names() -> pd.DataFrame:
    """48 schools, four conditions and a response with names that no plot has room for."""
    rng = np.random.default_rng(0)
    school, condition, x = np.repeat(np.arange(48), 6), rng.integers(0, 4, 288), rng.normal(size=288)
    return pd.DataFrame(
        {
            "response time in the second session (ms)": x
            + rng.normal(size=48)[school]
            + condition
            + rng.normal(size=288),
            "x": x,
            "school": [f"Sankt Gallen Oberschule {i} (Kanton)" for i in school],
            "condition": [f"condition with a very long name {i}" for i in condition],
        }
    )


@pytest.fixture(scope="session")
def long_fit(long_names: pd.DataFrame) -> Any:
    return jaxlmm.lmer("`response time in the second session (ms)` ~ x + condition + (1 | school)", long_names)
