"""Fits that several tests of plots draw, made once in each module, by programs that are compiled with little effort."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

import jaxlmm
from tests.reference.loader import data


@pytest.fixture(scope="module", autouse=True)
def little_effort(quick_programs: None) -> None:
    """Plots are tested here, not the programs that fit what they draw."""


@pytest.fixture(scope="module")
def sleep() -> Any:
    return jaxlmm.lmer("Reaction ~ Days + (Days | Subject)", data("sleepstudy"))


@pytest.fixture(scope="module")
def weighted() -> Any:
    return jaxlmm.lmer("Reaction ~ Days + (Days | Subject)", data("sleepstudy"), weights="w")


@pytest.fixture(scope="module")
def machines() -> Any:
    return jaxlmm.lmer("score ~ Machine + (1 | Worker)", data("machines"))


@pytest.fixture(scope="module")
def without_fixed() -> Any:
    return jaxlmm.lmer("Reaction ~ 0 + (1 | Subject)", data("sleepstudy"))


@pytest.fixture(scope="module")
def sleep_draws(sleep: Any) -> Any:
    return sleep.bootstrap(300, seed=1)


@pytest.fixture(scope="module")
def singular() -> Any:
    """Whose variance is estimated as zero, as in half of its bootstrap replicates."""
    return jaxlmm.lmer("Yield ~ 1 + (1 | Batch)", data("dyestuff2"))


@pytest.fixture(scope="module")
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


@pytest.fixture(scope="module")
def long_fit(long_names: pd.DataFrame) -> Any:
    return jaxlmm.lmer("`response time in the second session (ms)` ~ x + condition + (1 | school)", long_names)
