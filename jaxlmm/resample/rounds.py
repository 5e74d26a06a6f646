"""The Python loop around batches of lanes: rounds one after another, a progress bar, checkpoints, and Ctrl-C.

Called by `results` for the bootstrap and for many responses.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from jaxlmm.errors import DataError, callers_level
from jaxlmm.fit import LaneFits
from jaxlmm.resample.checkpoint import Checkpoint


class Round(NamedTuple):
    """Lanes begin to end - 1: how they are fitted, and a digest of the numbers that they are fitted to."""

    begin: int
    end: int
    fit: Callable[[], LaneFits]
    digest: str = ""


def run(
    rounds: Iterable[Round], total: int | None, what: str, progress: bool, checkpoint: Checkpoint | None
) -> list[LaneFits]:
    """Fit round after round; what Ctrl-C finds finished is returned, with a warning.

    Parameters
    ----------
    total : int or None
        Number of lanes, where it is known.
    what : str
        What a lane is, in the plural, for the bar and messages.
    """
    parts: list[LaneFits] = []
    done = failed = 0
    bar = progress_bar(total, what) if progress else None
    try:
        for one in rounds:
            found = None if checkpoint is None else checkpoint.stored(one.begin, one.end, one.digest)
            if found is None:
                found = one.fit()
                if checkpoint is not None:
                    checkpoint.store(one.begin, one.end, one.digest, found)
            parts.append(found)
            done += one.end - one.begin
            failed += int((~found.certified).sum())
            if bar is not None:
                bar.set_postfix(rounds=len(parts), failed=failed, refresh=False)
                bar.update(one.end - one.begin)
    except KeyboardInterrupt:
        if not parts:
            raise
        whole = "" if total is None else f" of {total}"
        kept = "; the checkpoint holds them" if checkpoint is not None else ""
        warnings.warn(f"interrupted after {done}{whole} {what}: these are returned{kept}", UserWarning, callers_level())
    finally:
        if bar is not None:
            bar.close()
    return parts


def progress_bar(total: int | None, what: str) -> Any:
    """A bar of tqdm on the standard error, with counts per second."""
    try:
        from tqdm.auto import tqdm
    except ImportError:
        raise DataError("progress=True needs tqdm; install it with pip install 'jaxlmm[progress]'") from None
    return tqdm(total=total, unit=f" {what}", unit_scale=True, file=sys.stderr, dynamic_ncols=True)
