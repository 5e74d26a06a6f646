"""Fixtures of more than one room."""

from collections.abc import Iterator

import jax
import pytest


@pytest.fixture(scope="module")
def double() -> Iterator[None]:
    """Double precision for a module: `pytestmark = pytest.mark.usefixtures("double")`.

    Only tests of the inner floors want it, whose callers hold the scope; public functions open their own. It is of a
    module's scope because hypothesis runs many examples within one test.
    """
    with jax.enable_x64(True):
        yield
