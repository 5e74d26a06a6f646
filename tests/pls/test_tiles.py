"""Pairs summed in tiles equal one product of the border written out, for tiles that end in the middle of a level."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlmm.pls.tail import Tail
from jaxlmm.pls.tiles import less_tiles, tiles

pytestmark = pytest.mark.usefixtures("double")

LEVELS, COLUMNS = (6, 5), (2, 1)
N_CHAIN, WIDTH = 40, 3


def drawn(rng: np.random.Generator):
    """Entries of two tail factors: each of 40 levels touches some levels of both, a few none."""
    entries, across = [], []
    for n_levels, k in zip(LEVELS, COLUMNS, strict=True):
        touched = rng.random((N_CHAIN, n_levels)) < 0.4
        level, column = np.nonzero(touched)
        block = rng.normal(size=(WIDTH, k, level.size))
        entries.append((level, column, block))
        across.append(jnp.asarray(block))
    return entries, across


def written_out(entries, tail: Tail, blocks):
    """The border (WIDTH N_CHAIN, q), by a loop."""
    border = np.zeros((WIDTH, N_CHAIN, tail.size))
    for t, (level, column, _) in enumerate(entries):
        for e in range(level.size):
            for a in range(COLUMNS[t]):
                row = sum(k * n for k, n in zip(COLUMNS[:t], LEVELS[:t], strict=True)) + a * LEVELS[t] + column[e]
                border[:, level[e], row] += blocks[t][:, a, e]
    return border.reshape(-1, tail.size)


@pytest.mark.parametrize("tile", [7, 64, 4096])
def test_tiles(tile: int) -> None:
    """Value, and derivative along a direction, forward and in reverse."""
    rng = np.random.default_rng(tile)
    (entries, across), tail = drawn(rng), Tail(COLUMNS, LEVELS)
    start = rng.normal(size=(tail.size, tail.size))
    found, columns = tiles(entries, tail, tile), [e[1] for e in entries]

    def taken(across):
        return jnp.tril(less_tiles(jnp.asarray(start), found, across, columns, tail))

    border = written_out(entries, tail, across)
    np.testing.assert_allclose(taken(across), np.tril(start - border.T @ border), atol=1e-12)

    direction = [jnp.asarray(rng.normal(size=c.shape)) for c in across]
    moved = written_out(entries, tail, direction)
    change = -np.tril(moved.T @ border + border.T @ moved)
    np.testing.assert_allclose(jax.jvp(taken, (across,), (direction,))[1], change, atol=1e-12)

    weights = np.tril(rng.normal(size=start.shape))
    gradient = jax.grad(lambda c: jnp.sum(weights * taken(c)))(across)
    along = sum(float(jnp.sum(g * d)) for g, d in zip(gradient, direction, strict=True))
    assert along == pytest.approx(float(np.sum(weights * change)), rel=1e-12)
