"""Batches on two cores: what `test_two_cores.py` runs in a process of its own. Prints one line per plan.

With jax 0.10 on two cores, several batched LAPACK calls in flight can wait for each other for ever. The number of
threads is decided when the runtime starts, so the process is pinned before jax is imported.
"""

import os
import sys

LANES, TIMES = 64, 20
DESIGNS = {
    "grouped": "one_us2_ragged",
    "grouped, classes": "one_us2_balanced",
    "nested": "nested2_unbalanced",
    "crossed": "crossed2_balanced",
    "dense": "one_us2_ragged",
}
"""One design for each way to eliminate random effects; two columns per level wherever that is affordable."""


def models():
    """Name and model of each plan."""
    from jaxlmm.fit import prepare
    from tests.designs import random_designs
    from tests.fit.models import design_of

    designs = {d.id: d for d in random_designs()}
    for name, design in DESIGNS.items():
        model = prepare(design_of(designs[design].problem), "dense" if name == "dense" else "auto")
        yield name, model, designs[design].theta


def batched(plan):
    """Criterion, gradient and Hessian of many lanes that share their data."""
    import jax

    from jaxlmm import pls
    from tests.fit.quick import quick

    return quick(lambda reduced, thetas: jax.vmap(lambda t: pls.derivatives(plan, reduced, t, 1.0))(thetas))


def lanes(theta):
    """Parameters (LANES, n_theta) around one point."""
    import jax.numpy as jnp

    return jnp.asarray(theta) * jnp.linspace(0.5, 1.5, LANES)[:, None]


if __name__ == "__main__":
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
    import jax

    with jax.enable_x64(True):
        for name, model, theta in models():
            program, thetas = batched(model.plan), lanes(theta)
            for _ in range(TIMES):
                result = program(model.reduced, thetas)
            assert all(bool(jax.numpy.isfinite(leaf).all()) for leaf in jax.block_until_ready(result))
            print(name, flush=True)
    sys.exit(0)
