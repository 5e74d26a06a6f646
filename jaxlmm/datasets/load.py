"""Look a table up by name: a classic from the package's own files, or the seeded generator.

A file becomes a DataFrame here, with each factor a pandas Categorical of strings in the order that `classics`
states and each number as it was published.
"""

import difflib
import inspect
import textwrap
from importlib.resources import files
from typing import Any

import numpy as np
import pandas as pd

from jaxlmm.datasets.classics import CLASSICS, Classic, Factor
from jaxlmm.datasets.students import STUDENTS, students
from jaxlmm.errors import DataError

GENERATED = {"students": students}


def dataset_names() -> list[str]:
    """The names that `load_dataset` knows.

    Returns
    -------
    list of str
        In alphabetical order.

    Examples
    --------
    >>> from jaxlmm.datasets import dataset_names
    >>> dataset_names()[:3]
    ['cake', 'chickweight', 'dyestuff']
    """
    return sorted([*CLASSICS, *GENERATED])


def load_dataset(name: str, **options: Any) -> pd.DataFrame:
    """Load a table to try a model on.

    Parameters
    ----------
    name : str
        One of `dataset_names()`; capitals do not matter.
    **options
        For ``"students"`` only: the arguments of `jaxlmm.datasets.students`, such as ``seed=7``.

    Returns
    -------
    pandas.DataFrame
        Factors are categorical columns of strings, measurements are numbers. A fresh copy at every call.

    Raises
    ------
    DataError
        When no table has this name, or a published table is asked for with options.

    See Also
    --------
    describe_dataset : the published source, the columns and their units.

    Examples
    --------
    >>> from jaxlmm.datasets import load_dataset
    >>> load_dataset("sleepstudy").head(3)
       Reaction  Days Subject
    0  249.5600     0     308
    1  258.7047     1     308
    2  250.8006     2     308
    """
    key = _known(name)
    if key in GENERATED:
        return _generate(key, options)
    if options:
        raise DataError(
            f"load_dataset({key!r}) was given {', '.join(options)}: a published table has nothing to "
            f"choose. Options belong to {', '.join(map(repr, GENERATED))}."
        )
    return _read(key, CLASSICS[key])


def describe_dataset(name: str) -> str:
    """Say where a table comes from and what its columns mean.

    Parameters
    ----------
    name : str
        One of `dataset_names()`; capitals do not matter.

    Returns
    -------
    str
        Title, published source, and a line for each column with its unit or its number of levels.

    Raises
    ------
    DataError
        When no table has this name.

    Examples
    --------
    >>> from jaxlmm.datasets import describe_dataset
    >>> print(describe_dataset("dyestuff2"))
    dyestuff2: A simulated table of dyestuff's shape whose batches differ less than chance: the fit is
    singular
    <BLANKLINE>
    Source: Box, G. E. P. and Tiao, G. C. (1973), Bayesian Inference in Statistical Analysis, Addison-
    Wesley, section 5.1.2.
    <BLANKLINE>
    Columns:
      Batch  batch (factor, 6 levels: A, B, C, D, ...)
      Yield  simulated yield, no unit
    """
    key = _known(name)
    about = STUDENTS if key in GENERATED else CLASSICS[key]
    width = max(map(len, about.columns))
    lines = [_wrap(f"{key}: {about.title}"), "", _wrap(f"Source: {about.source}"), "", "Columns:"]
    for column, meaning in about.columns.items():
        indent = " " * (width + 4)
        lines.append(_wrap(f"  {column:<{width}}  {_meaning(meaning)}", indent))
    return "\n".join(lines)


def _known(name: str) -> str:
    """The name as the tables spell it, or an error that lists them."""
    key = name.lower() if isinstance(name, str) else name
    names = dataset_names()
    if key in names:
        return key
    close = difflib.get_close_matches(str(key), names, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise DataError(f"There is no data set named {name!r}.{hint} The names are: {', '.join(names)}.")


def _generate(key: str, options: dict[str, Any]) -> pd.DataFrame:
    known = inspect.signature(GENERATED[key]).parameters
    if unknown := [option for option in options if option not in known]:
        raise DataError(
            f"load_dataset({key!r}) has no option {', '.join(unknown)}. The options are: {', '.join(known)}."
        )
    return GENERATED[key](**options)


def _read(key: str, about: Classic) -> pd.DataFrame:
    factors = {column: f for column, f in about.columns.items() if isinstance(f, Factor)}
    folder = files("jaxlmm.datasets") / "data"
    packed = (folder / f"{key}.csv.gz").is_file()
    with (folder / (f"{key}.csv.gz" if packed else f"{key}.csv")).open("rb") as file:
        text = pd.read_csv(file, dtype=str, compression="gzip" if packed else None)
    columns = {
        column: pd.Categorical(text[column], list(factors[column].levels) or sorted(set(text[column]), key=int))
        if column in factors
        else _number(text[column].tolist())
        for column in about.columns
    }
    return pd.DataFrame(columns)


def _number(cells: list[str]) -> np.ndarray:
    """Whole numbers as int64, others as the nearest float64; pandas' own parser may be one bit off."""
    try:
        return np.array([int(cell) for cell in cells], dtype=np.int64)
    except ValueError:
        return np.array([float(cell) for cell in cells], dtype=np.float64)


def _meaning(column: str | Factor) -> str:
    if isinstance(column, str):
        return column
    shown = ", ".join(column.levels[:4]) + (", ..." if len(column.levels) > 4 else "")
    count = f"{len(column.levels)} levels: " if column.levels else ""
    return f"{column.about} (factor{', ' if shown else ''}{count}{shown})"


def _wrap(text: str, indent: str = "") -> str:
    return textwrap.fill(text, width=100, subsequent_indent=indent)
