"""The command line: `jaxlmm fit "FORMULA" --data FILE_OR_DATASET [--ml] [--json]`.

Results go to standard output, errors to standard error with exit status 2 and no traceback.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from jaxlmm.api import lmer, load_dataset
from jaxlmm.datasets import dataset_names
from jaxlmm.errors import DataError, JaxlmmError
from jaxlmm.results import MixedModelResults

READERS = {
    ".csv": pd.read_csv,
    ".tsv": lambda path: pd.read_csv(path, sep="\t"),
    ".parquet": pd.read_parquet,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : sequence of str, optional
        Words after the program's name; those of the process by default.

    Returns
    -------
    int
        Exit status: 0, or 2 for anything that the user can mend.

    Examples
    --------
    >>> main(["fit", "Yield ~ 1 + (1 | Batch)", "--data", "no-such-file"])
    2
    """
    options = _parser().parse_args(arguments)
    try:
        fit = lmer(options.formula, read_data(options.data), reml=not options.ml, weights=options.weights)
    except JaxlmmError as problem:
        print(f"jaxlmm: {problem}", file=sys.stderr)
        return 2
    print(json.dumps(as_json(fit), allow_nan=False) if options.json else fit.summary())
    return 0


def read_data(source: str) -> pd.DataFrame:
    """A data set's name, or a CSV, TSV (both perhaps compressed) or Parquet file.

    Raises
    ------
    DataError
        When there is no such file, or it cannot be read.
    """
    path = Path(source)
    suffixes = [suffix.lower() for suffix in path.suffixes]
    kind = next((suffix for suffix in reversed(suffixes) if suffix in READERS), None)
    if kind is None and not path.exists():
        if source.lower() in dataset_names():
            return load_dataset(source)
        raise DataError(
            f"--data {source}: neither a file nor a data set; the data sets are {', '.join(dataset_names())}"
        )
    if kind is None:
        raise DataError(f"--data {source}: unknown kind of file; use one of {', '.join(READERS)}")
    try:
        return READERS[kind](path)
    except FileNotFoundError:
        raise DataError(f"--data {source}: there is no such file") from None
    except ImportError as problem:
        if kind == ".parquet":
            raise DataError("--data: Parquet needs pyarrow; install it with pip install 'jaxlmm[arrow]'") from None
        raise DataError(f"--data {source}: this compression needs a package that is not here: {problem}") from None
    except Exception as problem:
        # Damaged files raise whatever the library of their compression has: EOFError, zlib.error, LZMAError, ...
        said = str(problem) or type(problem).__name__
        raise DataError(
            f"--data {source}: cannot be read, the file may be damaged or of another kind: {said}"
        ) from None


def as_json(fit: MixedModelResults) -> dict[str, Any]:
    """What the summary shows, as JSON's types; numbers that are not finite become null."""
    return {
        "formula": fit.formula,
        "reml": fit.reml,
        "nobs": fit.nobs,
        "n_dropped": fit.n_dropped,
        "n_groups": {name: int(count) for name, count in fit.n_groups.items()},
        "objective": fit.objective,
        "log_lik": fit.llf,
        "aic": fit.aic,
        "bic": fit.bic,
        "sigma": fit.sigma,
        "converged": fit.converged,
        "is_singular": fit.is_singular,
        "fixed": _records(fit.tidy("fixed").drop(columns=["effect", "group"])),
        "varcorr": _records(fit.varcorr),
        "theta": {name: float(value) for name, value in fit.theta.items()},
        "notes": list(fit.summary().notes),
    }


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{key: None if _missing(value) else value for key, value in row.items()} for row in table.to_dict("records")]


def _missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and not math.isfinite(value))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="jaxlmm", description="Linear mixed-effects models with lme4's formulas.")
    commands = parser.add_subparsers(dest="command", required=True)
    fit = commands.add_parser("fit", help="fit one model and print its summary")
    fit.add_argument("formula", help='such as "Reaction ~ Days + (Days | Subject)"')
    fit.add_argument(
        "--data", required=True, help="a CSV, TSV or Parquet file, or the name of a data set: sleepstudy, ..."
    )
    fit.add_argument("--ml", action="store_true", help="maximum likelihood instead of REML")
    fit.add_argument("--weights", help="column of precision weights")
    fit.add_argument("--json", action="store_true", help="print one JSON object instead of the summary")
    return parser


if __name__ == "__main__":
    sys.exit(main())
