"""npz archives with one JSON text among the arrays: written whole or not at all, read without pickle."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import tempfile
import zipfile
from typing import Any

import numpy as np

from jaxlmm.errors import SavedModelError


def path_text(path: Any) -> str:
    """A path as text.

    Raises
    ------
    SavedModelError
        When it is none.
    """
    if not isinstance(path, str | os.PathLike):
        raise SavedModelError(f"{path!r:.60} is no path of a file; write a string or a pathlib.Path")
    return str(os.fspath(path))


def write_archive(
    path: str | os.PathLike[str], header: dict[str, Any], arrays: dict[str, np.ndarray], what: str
) -> None:
    """Write a file beside its place and move it there once it is whole.

    Raises
    ------
    SavedModelError
        When it cannot be written; what stood there before still does.
    """
    path = path_text(path)
    everything = {**arrays, "header": np.frombuffer(json.dumps(header).encode(), dtype=np.uint8)}
    beside = None
    try:
        if os.path.isdir(path):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        handle, beside = tempfile.mkstemp(prefix=".writing-", dir=os.path.dirname(os.path.abspath(path)))
        with os.fdopen(handle, "wb") as file:
            np.savez_compressed(file, allow_pickle=False, **everything)
        # A temporary file is for its owner only; this one gets what any new file would.
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(beside, 0o666 & ~mask)
        os.replace(beside, path)
        beside = None
    except OSError as problem:
        why = problem.strerror or str(problem)
        raise SavedModelError(
            f"{what} cannot be saved in {path!r}: {why}; give a file in a folder that exists"
        ) from None
    finally:
        if beside is not None:
            with contextlib.suppress(OSError):
                os.remove(beside)


def read_archive(
    path: str | os.PathLike[str], kind: str, version: int, what: str
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Header and arrays of a file of a kind and version.

    Raises
    ------
    SavedModelError
        When the file is absent, damaged, of another kind, or of another version.
    """
    path = path_text(path)
    try:
        with open(path, "rb") as file:
            if not zipfile.is_zipfile(file):
                raise SavedModelError(f"{path!r} is not {what} that jaxlmm saved: it is no npz archive, or cut short")
            file.seek(0)
            with np.load(file, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
        if "header" not in arrays:
            raise SavedModelError(f"{path!r} is not {what} that jaxlmm saved: it has no header")
        header = json.loads(arrays.pop("header").tobytes())
    except FileNotFoundError:
        raise SavedModelError(f"there is no file {path!r}") from None
    except SavedModelError:
        raise
    except Exception as problem:
        # zipfile, zlib and NumPy each have errors of their own for bytes that they cannot read.
        said = str(problem) or type(problem).__name__
        raise SavedModelError(f"{path!r} is not {what} that jaxlmm saved: {said}") from None
    if not isinstance(header, dict) or header.get("format") != kind:
        raise SavedModelError(f"{path!r} is not {what} that jaxlmm saved")
    if header.get("version") != version:
        raise SavedModelError(
            f"{path!r} was written in version {header.get('version')} of the format; this jaxlmm reads {version}"
        )
    return header, arrays
