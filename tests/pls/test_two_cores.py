"""No program of ours contains batched LAPACK on a CPU, where it can hang for ever (jax 0.10 on two cores).

Held twice: by running batched criteria, gradients and Hessians of every plan in a process that is pinned to two cores,
under a time limit; and by reading the programs, which does not depend on luck.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from jaxlmm import optimize, pls
from tests.pls import two_cores

pytestmark = pytest.mark.usefixtures("double")

ROOT = Path(__file__).resolve().parents[2]

LIMIT = 120.0
"""Seconds; most of the 15 that it takes are spent compiling, and a machine that is shared may be slow."""

FACTORIZATION = re.compile(r"lapack_|cholesky|triangular_solve|\beigh\b|\bqr\b")
BATCHED = re.compile(r"tensor<(?:\d+x){3,}[a-z]")


def batched_factorizations(function, *arguments) -> list[str]:
    """Lines of the lowered program that call a factorization with more than two dimensions."""
    lines = jax.jit(function).lower(*arguments).as_text().splitlines()
    # What a call refers to by name is a private function of the program, whose body is among the lines as well.
    return [
        x
        for x in lines
        if FACTORIZATION.search(x) and "func.func" not in x and " call @" not in x and BATCHED.search(x)
    ]


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system cannot pin a process to cores")
def test_batches_end_on_two_cores() -> None:
    environment = {k: v for k, v in os.environ.items() if k not in ("NPROC", "XLA_FLAGS")} | {"PYTHONPATH": str(ROOT)}
    process = subprocess.run(
        [sys.executable, "-m", "tests.pls.two_cores"],
        cwd=ROOT, env=environment, timeout=LIMIT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    assert process.stdout.splitlines() == list(two_cores.DESIGNS)


def test_the_check_sees_a_batch() -> None:
    batch = jnp.eye(3) + jnp.zeros((4, 3, 3))
    assert batched_factorizations(jax.vmap(jnp.linalg.cholesky), batch)
    assert batched_factorizations(jax.vmap(jnp.linalg.eigh), batch)
    assert batched_factorizations(jax.vmap(lambda a: jax.scipy.linalg.solve_triangular(a, a)), batch)
    assert not batched_factorizations(jnp.linalg.cholesky, batch[0])


def test_no_batched_factorization() -> None:
    seen = []
    for name, model, theta in two_cores.models():
        plan, thetas = model.plan, two_cores.lanes(theta)
        expanded = pls.expanded(plan)
        levels = pls.reduce(expanded, model.gram, model.response, model.coordinates)

        def derivatives(reduced, thetas, plan=plan):
            return jax.vmap(lambda t: pls.derivatives(plan, reduced, t, 1.0))(thetas)

        def curvature(reduced, thetas, plan=plan):
            return jax.vmap(lambda t: pls.curvature(plan, reduced, t, 1.0))(thetas)

        def estimates(reduced, thetas, plan=expanded):
            both = (lambda p, r, t: pls.estimates(p, r, t, 1.0), pls.conditional_variances)
            return [jax.vmap(lambda t, f=f: f(plan, reduced, t))(thetas) for f in both]

        assert batched_factorizations(derivatives, model.reduced, thetas) == [], name
        assert batched_factorizations(curvature, model.reduced, thetas) == [], name
        assert batched_factorizations(estimates, levels, thetas) == [], name
        seen.append(plan.kind)
    assert set(seen) == {"grouped", "nested", "crossed", "dense"}


def test_no_batched_factorization_in_the_optimizer() -> None:
    def step(theta):
        state = optimize.initial(theta)
        proposal = optimize.propose(state, jnp.ones(theta.shape))
        return optimize.accept(state, proposal, (theta.sum(), theta, jnp.outer(theta, theta)))

    for size in (4, 20):
        assert batched_factorizations(jax.vmap(step), jnp.ones((8, size))) == []
