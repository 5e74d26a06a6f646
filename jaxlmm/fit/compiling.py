"""`jit` with the compiler options that make a user wait least.

On a CPU, XLA's fusion emitters take about twice as long to compile our programs as the emitters before them, and the
programs run no faster. The option is asked for in each of our own programs, so that no global
setting is touched, and only where this version of XLA knows it.
"""

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

from jaxlmm.errors import DataError

MOST_PROGRAMS = 150
"""Compiled programs that are kept. On a CPU each takes about two hundred memory maps, of which Linux allows a process
65,530; the compiler crashes the process when they are used up. A new shape beyond that many begins afresh."""

CPU_OPTIONS: dict[str, Any] = {"xla_cpu_use_fusion_emitters": False}


@functools.cache
def compiler_options() -> dict[str, Any] | None:
    """The options for the default backend, or None where it knows none of them."""
    if jax.default_backend() != "cpu":
        return None
    try:
        jax.jit(lambda x: x, compiler_options=CPU_OPTIONS)(0)
    except Exception:  # whatever an XLA without the option raises: it is an optimization only
        return None
    return CPU_OPTIONS


_KEPT: list[Any] = []
"""Every function that was compiled here."""


def _kept(jitted: Any) -> Any:
    _KEPT.append(jitted)
    return jitted


def _size(jitted: Any) -> int:
    """Number of its programs; JAX has no public word for it."""
    return jitted._cache_size() if hasattr(jitted, "_cache_size") else 0


def kept_programs() -> int:
    """Number of compiled programs of ours that are in memory."""
    return sum(map(_size, _KEPT))


def _forget_if_too_many() -> None:
    if kept_programs() > MOST_PROGRAMS:
        for jitted in _KEPT:
            jitted.clear_cache()


def program(*static: int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make a function a compiled program; `static` are the positions of its static arguments.

    The compiled function is made at the first call, since asking for the backend earlier would initialize JAX at import.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.cache
        def compiled() -> Any:
            return _kept(jax.jit(function, static_argnums=static, compiler_options=compiler_options()))

        @functools.wraps(function)
        def call(*arguments: Any) -> Any:
            own = compiled()
            before = _size(own)
            answer = own(*arguments)
            if _size(own) > before:
                _forget_if_too_many()
            return answer

        return call

    return decorate


def compile_cache(folder: str | os.PathLike[str]) -> Path:
    """Keep compiled programs in a folder, so that the next process starts without compiling.

    Nothing is kept unless this is called; it turns on JAX's own persistent compilation cache for the whole process, with
    JAX's settings `jax_compilation_cache_dir`, `jax_persistent_cache_min_compile_time_secs` and
    `jax_persistent_cache_min_entry_size_bytes`, so that other programs of yours that use JAX are kept there, too. Call it
    before the first fit. A program is found again by the same version of JAX on the same kind of machine.

    Parameters
    ----------
    folder : str or path
        Where; made if it is not there. The files hold machine code: use a folder that only you can write to.

    Returns
    -------
    pathlib.Path
        The folder.

    Raises
    ------
    DataError
        When the folder cannot be made.

    Examples
    --------
    >>> import tempfile, jaxlmm
    >>> folder = jaxlmm.compile_cache(tempfile.mkdtemp())
    """
    path = Path(folder).expanduser()
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise DataError(f"compile_cache({os.fspath(folder)!r}): the folder cannot be made: {problem}") from None
    jax.config.update("jax_compilation_cache_dir", str(path))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    return path
