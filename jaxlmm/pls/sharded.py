"""Sums by level with the rows over several devices: each adds up its own, and one `psum` brings them together.

Row i adds left_i right_iᵀ to the level of its code. Rows are padded, with zeros that go to level 0, to a multiple of the
devices' number and to few different lengths, so that few programs are compiled. Called by `growing`, where devices were asked
for.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec

from jaxlmm.errors import DataError
from jaxlmm.pls.bucket import bucket

AXIS = "rows"
"""The name of the mesh's axis."""


def mesh_of(devices: Sequence[Any]) -> Mesh:
    """A mesh of one axis over devices.

    Raises
    ------
    DataError
        When they are none.
    """
    good = isinstance(devices, Sequence) and len(devices) > 0 and all(isinstance(own, jax.Device) for own in devices)
    if not good:
        raise DataError(f"devices={devices!r:.60} are no devices; write devices=jax.devices(), or some of these")
    return Mesh(np.array(list(devices)), (AXIS,))


def level_sums(mesh: Mesh, codes: np.ndarray, left: np.ndarray, right: np.ndarray, n_levels: int) -> np.ndarray:
    """Σ left_i right_iᵀ over the rows of each level.

    Parameters
    ----------
    mesh : Mesh
        Of one axis.
    codes : (n,) int array
        Level of each row.
    left, right : (a, n), (b, n) arrays
        Columns.
    n_levels : int
        Number of levels.

    Returns
    -------
    (a, b, n_levels) array
    """
    size = mesh.devices.size
    n = size * bucket(-(-codes.size // size))
    padding = n - codes.size
    padded = (
        np.pad(codes.astype(np.int32), (0, padding)),
        np.pad(left, [(0, 0), (0, padding)]),
        np.pad(right, [(0, 0), (0, padding)]),
    )
    found = _program(mesh, bucket(n_levels))(*padded)
    return np.asarray(found).T.reshape(left.shape[0], right.shape[0], -1)[:, :, :n_levels]


def total(mesh: Mesh, local: np.ndarray) -> np.ndarray:
    """The sum over all processes of an array that each has one of; the mesh has one device of each process."""
    sharding = jax.sharding.NamedSharding(mesh, PartitionSpec(AXIS))
    everywhere = jax.make_array_from_process_local_data(sharding, local[None], (mesh.devices.size, *local.shape))
    return np.asarray(_total(mesh)(everywhere).addressable_data(0))[0]


@functools.lru_cache(maxsize=64)
def _program(mesh: Mesh, n_levels: int) -> Any:
    rows = PartitionSpec(AXIS)

    def local(codes: Any, left: Any, right: Any) -> Any:
        products = (left[:, None] * right[None]).reshape(-1, codes.size)
        own = jnp.zeros((n_levels, products.shape[0])).at[codes].add(products.T)
        return jax.lax.psum(own, AXIS)

    columns = PartitionSpec(None, AXIS)
    return jax.jit(jax.shard_map(local, mesh=mesh, in_specs=(rows, columns, columns), out_specs=PartitionSpec()))


@functools.lru_cache(maxsize=8)
def _total(mesh: Mesh) -> Any:
    def local(own: Any) -> Any:
        return jax.lax.psum(own, AXIS)

    return jax.jit(jax.shard_map(local, mesh=mesh, in_specs=PartitionSpec(AXIS), out_specs=PartitionSpec()))
