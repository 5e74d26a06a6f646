"""Lanes divided between devices: the same answers on one and on four."""

import json
import os
import subprocess
import sys

import numpy as np

RUN = """
import json, sys, jax, numpy as np, jaxlmm
assert jax.device_count() == int(sys.argv[1])
from jaxlmm.fit import batch
data = jaxlmm.load_dataset("sleepstudy").iloc[:-3]
fit = jaxlmm.lmer("Reaction ~ Days + (Days | Subject)", data)
draws = fit.bootstrap(200, seed=1).frame
rng = np.random.default_rng(0)
y = data["Reaction"].to_numpy()[:, None] + 20 * rng.normal(size=(len(data), 50))
w = rng.uniform(0.5, 2, size=y.shape)
plain = jaxlmm.fit_many("~ Days + (Days | Subject)", data, y)
weighted = jaxlmm.fit_many("~ Days + (Days | Subject)", data, y, weights=w)
found = {
    "draws": [draws["objective"].tolist(), draws["sd__Days|Subject"].tolist()],
    "plain": [plain.objective.tolist(), plain.frame["df"].tolist()],
    "weighted": [weighted.objective.tolist(), weighted.frame["df"].tolist()],
    "devices": batch.lane_devices(),
}
print(json.dumps(found))
"""


def answers(devices: int) -> dict:
    flags = f"--xla_force_host_platform_device_count={devices}"
    environment = {**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    call = [sys.executable, "-c", RUN, str(devices)]
    done = subprocess.run(call, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_four_devices_give_the_answers_of_one() -> None:
    one, four = answers(1), answers(4)
    assert (one.pop("devices"), four.pop("devices")) == (1, 4)
    for name, (objective, other) in one.items():
        np.testing.assert_allclose(four[name][0], objective, rtol=1e-8, err_msg=name)
        np.testing.assert_allclose(four[name][1], other, rtol=1e-5, atol=1e-6, err_msg=name)
