"""Fixtures of more than one room."""

import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import jax
import pytest

from tests.fit.quick import quick

MAPS = Path("/proc/self/maps")

MANY_MAPS = 25_000
"""Linux allows a process 65,530 memory maps, a compiled program takes about two hundred, and XLA crashes without them."""


@pytest.fixture(scope="module", autouse=True)
def room_for_programs() -> Iterator[None]:
    """Forget the programs of earlier modules, the tests' own among them, before they fill the process."""
    if MAPS.exists() and len(MAPS.read_bytes().splitlines()) > MANY_MAPS:
        jax.clear_caches()
        gc.collect()
    yield


@pytest.fixture(autouse=True)
def no_figure_stays_open() -> Iterator[None]:
    """Plots are drawn without a window, and closed."""
    os.environ.setdefault("MPLBACKEND", "Agg")
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


@pytest.fixture(scope="module")
def double() -> Iterator[None]:
    """Double precision for a module: `pytestmark = pytest.mark.usefixtures("double")`.

    Only tests of the inner floors want it, whose callers hold the scope; public functions open their own. It is of a
    module's scope because hypothesis runs many examples within one test.
    """
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="module")
def quick_programs() -> Iterator[None]:
    """The programs of `jaxlmm.fit.programs`, compiled with little effort, for a module that needs many of them."""
    from jaxlmm.fit import programs

    with pytest.MonkeyPatch.context() as patch:
        for name in (
            "minimize",
            "minimize_by_gradients",
            "profile",
            "estimates",
            "conditional_variances",
            "slopes",
        ):
            patch.setattr(programs, name, quick(getattr(programs, name).__wrapped__, static_argnums=0))
        yield
