"""One model on several processes: each reads rows of its own, all get the same fit.

    python examples/several_processes.py 0 2 localhost:1234 &
    python examples/several_processes.py 1 2 localhost:1234

On a cluster whose scheduler JAX knows (Slurm, Kubernetes, MPI), `jax.distributed.initialize()` needs no arguments.
"""

import sys

import jax

rank, size, coordinator = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
jax.config.update("jax_cpu_collectives_implementation", "gloo")
jax.distributed.initialize(coordinator, size, rank)

import jaxlmm  # noqa: E402  (after JAX knows its processes)

MODEL = "y ~ 1 + x * region + (x | teacher) + (1 | school)"


def rows(rank: int):
    """Stands for this process's files: the parts differ in size, and in the levels that they have."""
    import numpy as np
    import pandas as pd

    everything = np.random.default_rng(1)
    effects = everything.normal(size=60)
    random = np.random.default_rng(rank)
    for n in (400 + 100 * rank, 300):
        teacher = random.integers(20 * rank, 40 + 20 * rank, n)
        x = random.normal(50, 3, n)
        yield pd.DataFrame(
            {
                "x": x,
                "teacher": teacher,
                "school": random.choice(["north", "south", "east", f"only{rank}"], n),
                "region": random.choice(["r2", "r1"] if rank == 0 else ["r3", "r1"], n),
                "y": 0.5 * x + effects[teacher] + random.normal(size=n),
            }
        )


sums = jaxlmm.cross_products(MODEL, lambda: rows(rank)).over_processes()
fit = jaxlmm.lmer_from(sums)
print(f"process {rank}: {sums.nobs} rows, criterion {fit.objective:.9f}, {fit.params.round(9).to_dict()}", flush=True)
