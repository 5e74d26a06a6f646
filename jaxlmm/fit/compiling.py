"""`jit` with the compiler options that make a user wait least.

On a CPU, XLA's fusion emitters take about twice as long to compile our programs as the emitters before them, and the
programs run no faster. The option is asked for in each of our own programs, so that no global
setting is touched, and only where this version of XLA knows it.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax

CPU_OPTIONS: dict[str, Any] = {"xla_cpu_use_fusion_emitters": False}


@functools.cache
def compiler_options() -> dict[str, Any] | None:
    """The options for the default backend, or None where it knows none of them."""
    if jax.default_backend() != "cpu":
        return None
    try:
        jax.jit(lambda x: x, compiler_options=CPU_OPTIONS)(0)
    except Exception:  # whatever an XLA without the option raises: it is an optimization only
        return None
    return CPU_OPTIONS


def program(*static: int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make a function a compiled program; `static` are the positions of its static arguments.

    The compiled function is made at the first call, since asking for the backend earlier would initialize JAX at import.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.cache
        def compiled() -> Callable[..., Any]:
            return jax.jit(function, static_argnums=static, compiler_options=compiler_options())

        @functools.wraps(function)
        def call(*arguments: Any) -> Any:
            return compiled()(*arguments)

        return call

    return decorate
