"""Which threads do what on a CPU: lanes side by side, and BLAS with one thread for each.

XLA calls LAPACK for large matrices one at a time. OpenBLAS divides even a matrix of a hundred rows between all cores, which
takes longer than one core alone. Called by `single` and `lanes`.
"""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import jax
from threadpoolctl import ThreadpoolController

T = TypeVar("T")

LARGE = 3000
"""Rows of a dense matrix from which on several threads are left to share it."""

_LOCK = threading.Lock()
_held: list[Any] = []
"""The limit, once for each of those who ask for it."""


@functools.cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()


def cores() -> int:
    """Threads that share work: one for each core of a CPU; one where an accelerator does it, or several devices."""
    own = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return own if jax.default_backend() == "cpu" and jax.local_device_count() == 1 else 1


@contextlib.contextmanager
def one_blas_thread(wanted: bool = True) -> Iterator[None]:
    """Let BLAS use one thread in this block; the last of several blocks at once puts back what there was before."""
    if not wanted or jax.default_backend() != "cpu":
        yield
        return
    with _LOCK:
        _held.append(_controller().limit(limits=1, user_api="blas") if not _held else None)
    try:
        yield
    finally:
        with _LOCK:
            if len(_held) > 1:
                _held.pop()
            else:
                _held.pop().restore_original_limits()


_own = threading.local()
"""Whether a thread is one of those that share work."""

_compiled: set[Hashable] = set()
"""Work that was done before, so that its programs are there."""


def side_by_side(function: Callable[[T], None], items: Sequence[T], work: Hashable) -> None:
    """Call a function with every item, on as many threads as there are cores.

    Parameters
    ----------
    work : hashable
        Which programs the function calls. When they are new the first item goes alone, so that they are compiled once.
    """
    if len(items) <= 1 or cores() == 1 or getattr(_own, "busy", False):
        for item in items:
            function(item)
        return

    device = getattr(jax.config, "jax_default_device", None)

    def scoped(item: T) -> None:
        _own.busy = True  # what this thread does, it does alone
        with jax.enable_x64(True), jax.default_device(device):  # both are a thread's own
            function(item)

    if work not in _compiled:
        function(items[0])
        _compiled.add(work)
        items = items[1:]
    list(_pool(cores()).map(scoped, items))


@functools.cache
def _pool(workers: int) -> ThreadPoolExecutor:
    """Threads that wait for work."""
    return ThreadPoolExecutor(workers, thread_name_prefix="jaxlmm")
