"""Two threads that fit different models at once get the answers of one thread.

Each opens its own double-precision scope, which JAX keeps per thread; both trace and compile at the same time, because
the threads go first. The same program gives the same bits, so equality is exact but for how XLA splits sums: 1e-12.
"""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest

from jaxlmm.fit import Fit, conditional_variances, fit_model, prepare
from jaxlmm.precision import double
from tests.designs import random_designs
from tests.fit.models import design_of

pytestmark = pytest.mark.usefixtures("quick_programs")

DESIGNS = {d.id: design_of(d.problem) for d in random_designs() if d.id in ("one_us2_ragged", "nested2_unbalanced")}
ROUNDS = 5


@double
def fit_once(name: str) -> tuple[Fit, tuple[np.ndarray, ...]]:
    model = prepare(DESIGNS[name])
    fit = fit_model(model, reml=True)
    return fit, conditional_variances(model, fit)


def test_two_threads() -> None:
    together = Barrier(len(DESIGNS), timeout=300)

    def fit_in_a_thread(name: str):
        answers = []
        for _ in range(ROUNDS):
            together.wait()
            answers.append(fit_once(name))
        return answers

    with ThreadPoolExecutor(len(DESIGNS)) as pool:
        answers = dict(zip(DESIGNS, pool.map(fit_in_a_thread, DESIGNS), strict=True))
    for name in DESIGNS:
        alone, variances = fit_once(name)
        assert len(answers[name]) == ROUNDS
        for fit, condvar in answers[name]:
            assert fit.objective == pytest.approx(alone.objective, rel=1e-12)
            for ours, theirs in [(fit.theta, alone.theta), (fit.beta, alone.beta), (condvar[0], variances[0])]:
                assert ours.dtype == np.float64
                np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12 * np.abs(theirs).max())
