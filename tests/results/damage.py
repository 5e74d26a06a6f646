"""Saved fits, changed by hand."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


def changed(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Rewrite the header of a saved fit."""
    with np.load(path, allow_pickle=False) as archive:
        arrays = {member: archive[member] for member in archive.files}
    header = json.loads(arrays["header"].tobytes())
    change(header)
    arrays["header"] = np.frombuffer(json.dumps(header).encode(), dtype=np.uint8)
    with open(path, "wb") as file:
        np.savez(file, **arrays)
