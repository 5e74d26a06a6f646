"""The sums of several processes of `jax.distributed` added up: levels are agreed on first, then arrays are reduced.

Each process knows what all have learnt, puts its own sums where they belong among all columns and levels, in one frame,
and one `psum` over a mesh with a device of each process adds them. Triangular factors are stacked. Called by `CrossProducts`.
"""

from __future__ import annotations

import copy
import io
import json
from typing import Any

import jax
import numpy as np

from jaxlmm.design import Learnt
from jaxlmm.pls import CrossProducts as Sums
from jaxlmm.pls import Frame, Pairs, mesh_of, placed, total, triangle_of
from jaxlmm.results.saving_sums import learnt_from, learnt_to


def over_processes(learnt: Learnt, sums: Sums) -> tuple[Learnt, Sums]:
    """What all processes have learnt, and their sums; the same on each of them."""
    everyone = [learnt_from(*_unpacked(own)) for own in _gathered(_packed(*learnt_to(learnt)))]
    union = copy.deepcopy(everyone[0])
    places = [None, *(union.absorb(other) for other in everyone[1:])]
    sizes = [(len(union.random[group]), union.n_levels(group)) for group in union.groups]
    mine = places[jax.process_index()]
    if mine is None:
        fixed = np.arange(len(learnt.fixed))
        random = [np.arange(len(learnt.random[group])) for group in learnt.groups]
        levels = [np.arange(learnt.n_levels(group)) for group in learnt.groups]
    else:
        fixed, random, levels = mine.fixed, mine.random, mine.levels
    own = placed(sums, fixed, random, levels, sizes, len(union.fixed))
    m = len(union.fixed) + 2
    inner = np.concatenate([[0], 1 + fixed, [m - 1]])
    own = own.reframe(
        _common(own.frame, inner), tuple(_common(f.frame, r) for f, r in zip(own.factors, random, strict=True))
    )
    return union, _added(own)


def _added(own: Sums) -> Sums:
    """The sums of all processes, over the same columns and levels in one frame."""
    first = {device.process_index: device for device in reversed(jax.devices())}
    mesh = mesh_of([first[i] for i in range(jax.process_count())])

    def add(array: np.ndarray) -> np.ndarray:
        return total(mesh, np.asarray(array, dtype=float))

    counts = add(np.array([own.sum_log_weights, own.n_obs]))
    triangles = _allgathered(own.triangle)
    factors = tuple(
        type(f)(add(f.zz), add(f.zf), f.frame, f.terms, None if f.rows is None else add(f.rows)) for f in own.factors
    )
    return Sums(
        factors,
        {key: _pairs(pair, add) for key, pair in own.pairs.items()},
        add(own.ff),
        triangle_of(triangles.reshape(-1, own.ff.shape[0])),
        None,
        own.frame,
        float(counts[0]),
        round(float(counts[1])),
    )


def _pairs(own: Pairs, add: Any) -> Pairs:
    """Pairs of all processes."""
    keys = np.stack([own.first, own.second]).astype(np.int64)
    every = np.concatenate([_integers(part).reshape(2, -1) for part in _gathered(keys.tobytes())], axis=1)
    width = int(every[1].max(initial=0)) + 1
    distinct = np.unique(every[0] * width + every[1])
    where = np.searchsorted(distinct, keys[0] * width + keys[1])
    block = np.zeros((*own.block.shape[:2], distinct.size))
    block[:, :, where] = own.block
    rows = np.zeros(distinct.size)
    rows[where] = 0.0 if own.rows is None else own.rows
    return Pairs(distinct // width, distinct % width, add(block), None if own.rows is None else add(rows))


def _common(frame: Frame, known: np.ndarray) -> Frame:
    """For each column the frame of the first process that has it."""
    has = np.zeros(frame.shift.size)
    has[known] = 1.0
    all_of = _allgathered(np.stack([frame.shift, frame.scale, frame.constant.astype(float), has]))
    chosen = all_of[all_of[:, 3].argmax(axis=0), :, np.arange(frame.shift.size)]
    return Frame(chosen[:, 0], chosen[:, 1], chosen[:, 2].astype(int))


def _allgathered(array: np.ndarray) -> np.ndarray:
    """The arrays (processes, ...) of all processes, of one shape."""
    from jax.experimental import multihost_utils

    found = np.asarray(multihost_utils.process_allgather(array))
    return found if jax.process_count() > 1 else found.reshape(1, *array.shape)


def _gathered(own: bytes) -> list[bytes]:
    """The bytes of all processes."""
    sizes = _allgathered(np.array([len(own)], dtype=np.int64))[:, 0]
    padded = np.zeros(int(sizes.max()), dtype=np.uint8)
    padded[: len(own)] = np.frombuffer(own, dtype=np.uint8)
    return [part[:size].tobytes() for part, size in zip(_allgathered(padded), sizes, strict=True)]


def _integers(data: bytes) -> np.ndarray:
    return np.frombuffer(data, dtype=np.int64)


def _packed(header: dict[str, Any], arrays: dict[str, np.ndarray]) -> bytes:
    file = io.BytesIO()
    text = np.frombuffer(json.dumps(header).encode(), dtype=np.uint8)
    np.savez(file, allow_pickle=False, **{**arrays, "header": text})
    return file.getvalue()


def _unpacked(data: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    with np.load(io.BytesIO(data), allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    return json.loads(arrays.pop("header").tobytes()), arrays
