"""A folder that a long run leaves its finished rounds in, so that it can be resumed after it was killed.

`about.json` says which run the rounds belong to; each round is one npz file, written under another name first and renamed, so
that a file is either whole or not there. No pickle is written or read. Called by `rounds`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from jaxlmm.errors import DataError, SavedModelError
from jaxlmm.fit import LaneFits

ABOUT = "about.json"
FIELDS = tuple(field.name for field in dataclasses.fields(LaneFits))


class Checkpoint:
    """Finished rounds of one run in a folder.

    Parameters
    ----------
    path : str or path
        The folder; made if it is not there.
    about : dict
        What makes the run this run: formula, seed, settings, a digest of the data. Plain JSON.

    Raises
    ------
    DataError
        When the folder cannot be made, or holds the rounds of another run.
    """

    def __init__(self, path: str | os.PathLike[str], about: dict[str, Any]):
        if not isinstance(path, str | os.PathLike):
            raise DataError(f"checkpoint={path!r} is not a folder; write its path")
        self._folder = Path(path).expanduser()
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as problem:
            raise DataError(f"checkpoint={os.fspath(path)!r}: the folder cannot be made: {problem}") from None
        about = json.loads(json.dumps(about))
        file = self._folder / ABOUT
        if not file.exists():
            if any(other.suffix != ".partial" for other in self._folder.iterdir()):
                raise DataError(
                    f"checkpoint={os.fspath(path)!r} is a folder with other files in it; give a new or an empty one"
                )
            self._replace(file, json.dumps(about, indent=1).encode())
            return
        try:
            found = dict(json.loads(file.read_text()))
        except (ValueError, TypeError):
            raise SavedModelError(
                f"{file} is not a file that jaxlmm wrote; give another folder as checkpoint="
            ) from None
        differs = [name for name in sorted({*found, *about}) if found.get(name) != about.get(name)]
        if differs:
            raise DataError(
                f"checkpoint={os.fspath(path)!r} holds the rounds of another run, which differs in {', '.join(differs)}; "
                "give another folder, or delete this one"
            )

    def stored(self, begin: int, end: int, digest: str) -> LaneFits | None:
        """The round of lanes begin to end - 1, if it is there and was made from the same numbers.

        Raises
        ------
        SavedModelError
            When the file of the round is damaged.
        DataError
            When it was made from other numbers.
        """
        file = self._file(begin, end)
        if not file.exists():
            return None
        try:
            with open(file, "rb") as opened, np.load(opened, allow_pickle=False) as held:
                found, fields = str(held["digest"]), {name: held[name] for name in FIELDS}
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as problem:
            raise SavedModelError(f"{file} is damaged ({problem}); delete it, and its lanes are fitted again") from None
        if found != digest or any(len(values) != end - begin for values in fields.values()):
            raise DataError(
                f"{file} was made from other responses; give another folder as checkpoint=, or delete this one"
            )
        return LaneFits(**fields)

    def store(self, begin: int, end: int, digest: str, fits: LaneFits) -> None:
        """Write a round."""
        file = self._file(begin, end)
        partial = file.with_suffix(f".{os.getpid()}.partial")
        with open(partial, "wb") as out:
            np.savez(out, digest=np.array(digest), **{name: getattr(fits, name) for name in FIELDS})
            out.flush()
            os.fsync(out.fileno())
        os.replace(partial, file)

    def _file(self, begin: int, end: int) -> Path:
        return self._folder / f"{begin:09d}-{end:09d}.npz"

    def _replace(self, file: Path, content: bytes) -> None:
        partial = file.with_suffix(f".{os.getpid()}.partial")
        partial.write_bytes(content)
        os.replace(partial, file)


def digest_of(arrays: Iterable[Any]) -> str:
    """A fingerprint of arrays."""
    digest = hashlib.sha256()
    for array in arrays:
        values = np.ascontiguousarray(array)
        digest.update(f"{values.dtype}{values.shape}".encode())
        digest.update(values.tobytes())
    return digest.hexdigest()
