"""Nothing outside the package changes: JAX keeps the user's settings, before and after a fit."""

import subprocess
import sys
import textwrap

PROGRAM = """
    import warnings
    warnings.simplefilter("error")
    import jax, jax.numpy as jnp
    before = dict(jax.config.values)
    import jaxlmm
    assert dict(jax.config.values) == before, "importing changes settings"
    assert jax.config.jax_enable_x64 is False
    assert jnp.zeros(1).dtype == jnp.float32
    fit = jaxlmm.lmer("Yield ~ 1 + (1 | Batch)", jaxlmm.load_dataset("dyestuff"))
    fit.simulate(1), fit.ranef(condvar=True), str(fit.summary())
    try:
        jaxlmm.lmer("Yield ~ 1 + (1 | Nothing)", jaxlmm.load_dataset("dyestuff"))
    except jaxlmm.DataError:
        pass
    assert dict(jax.config.values) == before, "fitting changes settings"
    assert jnp.zeros(1).dtype == jnp.float32
    assert jnp.asarray(2.0).dtype == jnp.float32
    print(round(fit.objective, 4))
"""


def test_the_settings_of_jax_are_left_alone() -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROGRAM)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    # The REML criterion of the Dyestuff data in Bates et al. (2015) and in tests/reference: 319.6543.
    assert done.stdout.split()[-1] == "319.6543"
