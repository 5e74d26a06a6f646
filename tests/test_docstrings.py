"""Every example in a docstring prints what it says; white space aside, which pandas puts at the ends of lines."""

import doctest
import importlib
import pkgutil
from collections.abc import Iterator

import jax
import pytest

import jaxlmm

MODULES = sorted(found.name for found in pkgutil.walk_packages(jaxlmm.__path__, "jaxlmm."))


@pytest.fixture(autouse=True)
def _no_cache_is_left_behind() -> Iterator[None]:
    """An example asks for a cache of compiled programs, which other tests in this process do not expect."""
    before = jax.config.jax_compilation_cache_dir
    yield
    jax.config.update("jax_compilation_cache_dir", before)


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    module = importlib.import_module(name)
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.IGNORE_EXCEPTION_DETAIL)
    reports: list[str] = []
    for example in doctest.DocTestFinder().find(module, name):
        runner.run(example, out=reports.append)
    assert not runner.failures, "".join(reports)
