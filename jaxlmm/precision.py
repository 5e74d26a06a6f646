"""Double precision, scoped: no global JAX setting is touched.

`jax.enable_x64` is thread-local, and an array made inside the scope would be truncated by the next operation
outside it. So every public function that computes wears `double`, and returns NumPy or pandas.
"""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import jax

P = ParamSpec("P")
R = TypeVar("R")


def double(function: Callable[P, R]) -> Callable[P, R]:
    """Run `function` with 64-bit JAX types, in this thread and for this call only."""

    @functools.wraps(function)
    def scoped(*args: P.args, **kwargs: P.kwargs) -> R:
        with jax.enable_x64(True):
            return function(*args, **kwargs)

    return scoped
