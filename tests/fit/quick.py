"""`jax.jit` for tests: programs that run a few times on small problems, compiled four times as fast.

What users run is compiled by `jaxlmm.fit.programs` with XLA's own settings; the fits in `tests/fit` and the reference
cases go through those. The functions are the same, and so are their results up to rounding.
"""

import functools

import jax

LITTLE_EFFORT = {"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": False}


@functools.cache
def _options() -> dict[str, object]:
    """The options, or none where this version of XLA does not know one of them."""
    try:
        jax.jit(lambda x: x + 1, compiler_options=LITTLE_EFFORT)(0.0)
    except Exception:  # whatever the compiler raises: it is optional
        return {}
    return LITTLE_EFFORT


def quick(function, **options):
    """`jax.jit(function, **options)`, compiled with little effort."""
    return jax.jit(function, compiler_options=_options(), **options)


@functools.cache
def of_plan(function):
    """A function whose first argument is a plan, compiled once for each plan and shape."""
    return quick(function, static_argnums=0)
