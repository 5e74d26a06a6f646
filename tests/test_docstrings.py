"""Every example in a docstring prints what it says; white space aside, which pandas puts at the ends of lines."""

import doctest
import importlib
import pkgutil

import pytest

import jaxlmm

MODULES = sorted(found.name for found in pkgutil.walk_packages(jaxlmm.__path__, "jaxlmm."))


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    module = importlib.import_module(name)
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.IGNORE_EXCEPTION_DETAIL)
    reports: list[str] = []
    for example in doctest.DocTestFinder().find(module, name):
        runner.run(example, out=reports.append)
    assert not runner.failures, "".join(reports)
