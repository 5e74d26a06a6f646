"""What is compiled, counted: a fit of a similar shape compiles nothing, whatever its data, its criterion, its units.

Levels and co-occurring pairs are rounded up (`pls.bucket`), so that "similar" means within one bucket; rows do not count.
XLA reports every program that it compiles, single eager operations among them.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
import pandas as pd
import pytest

import jaxlmm
from jaxlmm.fit import compiling

COMPILED = "/jax/core/compile/backend_compile_duration"


@pytest.fixture(scope="module")
def compiled() -> Iterator[list[str]]:
    """Programs compiled since the list was last cleared."""
    seen: list[str] = []

    def listen(event: str, seconds: float, **about) -> None:
        if event == COMPILED:
            seen.append(str(about.get("fun_name", event)))

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield seen
    jax.monitoring.unregister_event_duration_listener(listen)


def table(groups: int, items: int, rows: int, seed: int) -> pd.DataFrame:
    """Groups crossed with items; groups lie in four regions."""
    rng = np.random.default_rng(seed)
    g, i = np.divmod(np.arange(groups * items * rows) // rows, items)
    x = rng.normal(size=g.size)
    y = x + rng.normal(size=groups)[g] * (1 + 0.5 * x) + rng.normal(size=items)[i] + rng.normal(size=g.size)
    return pd.DataFrame({"y": y, "x": x, "g": g, "i": i, "r": g % 4})


@pytest.mark.parametrize(
    "formula",
    ["y ~ x + (x | g)", "y ~ x + (1 | r/g)", "y ~ x + (1 | g) + (1 | i)", "y ~ x + (x | g) + (1 | i)"],
)
def test_a_similar_fit_compiles_nothing(formula: str, compiled: list[str]) -> None:
    first = jaxlmm.lmer(formula, table(30, 6, 2, seed=1))
    y = first.simulate(1, seed=4)
    compiled.clear()
    again = [
        jaxlmm.lmer(formula, table(30, 6, 3, seed=2), reml=False),
        jaxlmm.lmer(formula, table(30, 6, 1, seed=3).assign(x=lambda f: 1e6 + 1e3 * f.x)),
        first.refit(y),
    ]
    assert compiled == []
    assert all(fit.converged for fit in again)


def test_programs_are_forgotten_before_they_fill_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of models in one session: each shape is a program, and a process has room for a few hundred."""
    monkeypatch.setattr(compiling, "MOST_PROGRAMS", 5)
    jax.clear_caches()
    for groups in (6, 9, 13, 17, 6):
        rows = table(groups, 6, 2, seed=1)
        fit = jaxlmm.lmer("y ~ x + (1 | g)", rows)
        assert compiling.kept_programs() <= 5
        dense = jaxlmm.lmer("y ~ x + (1 | g)", rows, control=jaxlmm.Control(plan="dense"))
        assert fit.objective == pytest.approx(dense.objective, rel=1e-10)


PROCESS = """
import sys, jax, jaxlmm
jaxlmm.compile_cache(sys.argv[1])
seen = []
jax.monitoring.register_event_listener(lambda event, **about: seen.append(event.rsplit("/", 1)[-1]))
fit = jaxlmm.lmer("Yield ~ 1 + (1 | Batch)", jaxlmm.load_dataset("dyestuff"))
print(seen.count("cache_hits"), seen.count("cache_misses"), repr(fit.objective))
"""


def test_the_second_process_finds_everything_in_the_cache(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    words = [sys.executable, "-c", PROCESS, str(tmp_path / "programs")]
    first, second = (
        subprocess.run(words, env=environment, capture_output=True, text=True, check=True).stdout.split()
        for _ in range(2)
    )
    assert int(first[1]) > 0
    assert (int(second[0]), int(second[1])) == (int(first[1]), 0)
    assert second[2] == first[2]


def test_nothing_is_kept_unless_asked_for() -> None:
    assert jax.config.jax_compilation_cache_dir is None


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(jaxlmm.DataError, match="compile_cache"):
        jaxlmm.compile_cache(tmp_path / "file" / "programs")
