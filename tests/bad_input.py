"""What `tests/test_bad_input.py` is made of: a sound table, and the ways to spoil it."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import jaxlmm
from jaxlmm import JaxlmmError
from jaxlmm.results.saving import VERSION

N_GROUPS, PER_GROUP = 12, 6

N = N_GROUPS * PER_GROUP

MODEL = "y ~ x + a + (1 | g)"


def table() -> pd.DataFrame:
    """A sound table: response y, covariates x and z, factor a of three levels, groups g (12) and h (4)."""
    rng = np.random.default_rng(20240229)
    group = np.repeat(np.arange(N_GROUPS), PER_GROUP)
    x = np.tile(np.arange(PER_GROUP, dtype=float), N_GROUPS)
    y = 10 + x + rng.normal(size=N_GROUPS)[group] + rng.normal(size=N)
    return pd.DataFrame(
        {
            "y": y,
            "x": x,
            "z": rng.normal(size=N),
            "a": np.tile(["low", "mid", "top"], N // 3),
            "g": [f"g{i:02d}" for i in group],
            "h": [f"h{i % 4}" for i in group],
        }
    )


@dataclass(frozen=True)
class Row:
    """One mistake: its name, what is done (fit, folder) -> anything, and what must come back."""

    id: str
    act: Callable[..., Any]
    error: type[JaxlmmError]
    words: tuple[str, ...]
    needs_fit: bool = False


def fit(id: str, formula: Any, error, *words: str, data: Any = lambda frame: frame, **arguments: Any) -> Row:
    """A fit that must be refused; `data` makes the bad table of the sound one."""
    return Row(id, lambda: jaxlmm.lmer(formula, data(table()), **arguments), error, words)


def after(id: str, act: Callable[[Any], Any], error, *words: str) -> Row:
    """Something asked of a sound fit that must be refused."""
    return Row(id, act, error, words, needs_fit=True)


def column(name: str, value: Any) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """The table with a column replaced; `value` may be a function of the table."""
    return lambda frame: frame.assign(**{name: value})


def cell(name: str, row: int, value: Any) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """The table with one value replaced."""

    def change(frame: pd.DataFrame) -> pd.DataFrame:
        frame.loc[row, name] = value
        return frame

    return change


def write(path: str, content: bytes) -> Path:
    """A file in the test's own folder."""
    Path(path).write_bytes(content)
    return Path(path)


def exactly(frame: pd.DataFrame) -> pd.Series:
    """A response without any noise."""
    return 3.0 + 2.0 * frame["x"]


def missing_but_constant(frame: pd.DataFrame) -> pd.DataFrame:
    """A response that varies only in rows whose covariate is missing."""
    return frame.assign(y=np.where(frame.index < 5, frame["y"], 1.0), x=frame["x"].where(frame.index >= 5))


def twice(frame: pd.DataFrame) -> pd.DataFrame:
    """Two columns of the name x."""
    return pd.concat([frame, frame[["x"]]], axis=1)


def twice_in_arrow(frame: pd.DataFrame) -> Any:
    """The same as a pyarrow table."""
    pyarrow = pytest.importorskip("pyarrow")
    names = ["y", "x", "x", "a", "g"]
    return pyarrow.Table.from_arrays([pyarrow.array(frame[name].to_list()) for name in names], names=names)


def polars_column(expression: Callable[[Any], Any]) -> Callable[[pd.DataFrame], Any]:
    """A polars table whose x is made by an expression."""

    def change(frame: pd.DataFrame) -> Any:
        polars = pytest.importorskip("polars")
        return polars.DataFrame(frame.to_dict("list")).with_columns(x=expression(polars))

    return change


DAYS = pd.date_range("2024-01-01", periods=N)

MIXED = [1, "two", 3.0] * (N // 3)

WEIGHTS = np.ones(N)

OTHER_LEVELS = pd.DataFrame(np.eye(3)[:, :2], index=["low", "mid", "huge"])


def new(**columns: Any) -> dict[str, Any]:
    """A sound new row, with some columns replaced; None leaves a column out."""
    sound = {"x": [1.0], "a": ["mid"], "g": ["g03"]} | columns
    return {name: values for name, values in sound.items() if values is not None}


def numbered(_: Any) -> Any:
    """Text where the fit's grouping column held integers."""
    groups = {"g": np.repeat(np.arange(N_GROUPS), PER_GROUP)}
    return jaxlmm.lmer(MODEL, table().assign(**groups)).predict(new(g=["3"]))


def other_arrays() -> Path:
    """Somebody else's archive."""
    np.savez("other.npz", weights=np.ones(3))
    return Path("other.npz")


def trusted() -> Path:
    """A saved model whose formula, changed by someone, says that it may call anything."""
    header = {"format": "jaxlmm model", "version": VERSION}
    header["frame"] = {"formula": "y ~ open('owned', 'w') + (1 | g)", "trusted": True}
    np.savez("trusted.npz", header=np.frombuffer(json.dumps(header).encode(), dtype=np.uint8))
    return Path("trusted.npz")


class Bomb:
    """Writes a file when it is unpickled."""

    def __reduce__(self):
        return (os.system, ("touch owned",))


def pickled_inside() -> Path:
    """An archive whose members are pickles with a side effect."""
    np.savez("evil.npz", **{name: np.array([Bomb()], dtype=object) for name in ("header", "meta", "json", "theta")})
    return Path("evil.npz")


def cut_short(model: Any) -> Path:
    """A saved model whose second half was lost."""
    model.save("whole.npz")
    content = Path("whole.npz").read_bytes()
    return write("cut.npz", content[: len(content) // 2])
