"""What a file must hold to be a saved fit: the types of its header, and arrays whose shapes fit each other.

A file may have been damaged or edited. Everything that follows relies on these checks, made once after reading and
before anything is built. Called by `jaxlmm.results.saving`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxlmm.covariance import STRUCTURES
from jaxlmm.errors import SavedModelError

NUMBER = (int, float)
HEADER: dict[str, tuple[type, ...]] = {
    "frame": (dict,),
    "ddf": (str,),
    "timings": (dict,),
    "objective": NUMBER,
    "reml": (bool,),
    "sigma": NUMBER,
    "pwrss": NUMBER,
    "certificate": (dict,),
    "monte_carlo": (dict, type(None)),
    "plan": (str,),
    "control": (dict,),
    "terms": (list,),
    "coordinates": (dict,),
    "xx": NUMBER,
    "yy": NUMBER,
}
CERTIFICATE: dict[str, tuple[type, ...]] = {
    "status": (str,),
    "iterations": (int,),
    **dict.fromkeys(("gradient", "predicted_decrease", "smallest_curvature", "boundary_slope"), NUMBER),
    "singular": (list,),
    "flat": (list,),
}
MONTE_CARLO: dict[str, tuple[type, ...]] = {
    "objective": NUMBER,
    "theta": (list,),
    "std_error": (list,),
    "bse": (list,),
    "probes": (int,),
    "directions": (int,),
}
COORDINATES = dict.fromkeys(("log_det", "scale", "weight_scale", "n_obs", "sum_log_weights"), NUMBER)
CONTROL: dict[str, tuple[type, ...]] = {"plan": (str,), "max_iterations": (int,)}
FRAME: dict[str, tuple[type, ...]] = {
    "formula": (str,),
    "trusted": (bool,),
    "random": (list,),
    "contrasts": (dict,),
    "na_action": (str,),
    "columns": (dict,),
    "fixed": (dict,),
    "factors": (list,),
    "term_order": (list,),
    "response": (str,),
    "has_rows": (bool,),
    "n_data": (int,),
    "n_used": (int,),
    "missing": (dict,),
    "offsets": (list,),
    "arguments": (dict,),
    "notices": (list,),
}
MATRIX: dict[str, tuple[type, ...]] = {"names": (list,), "terms": (list,), "transforms": (dict,), "categories": (dict,)}
FACTOR: dict[str, tuple[type, ...]] = {
    "name": (str,),
    "columns": (list,),
    "parts": (list,),
    "levels": (list,),
    "terms": (list,),
}


def check_saved(header: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    """Refuse a header or arrays that cannot come from one fit.

    Parameters
    ----------
    header : dict
        The JSON text of the file.
    arrays : dict of str to array
        All arrays of the file.

    Raises
    ------
    SavedModelError
        Naming the entry, what it is and what it must be.
    """
    _typed(header, HEADER, "the header")
    _typed(header["certificate"], CERTIFICATE, "certificate")
    for name, length in (("singular", 3), ("flat", 2)):
        good = all(isinstance(entry, list) and _counts(entry, length) for entry in header["certificate"][name])
        _need(good, f"{name} in certificate is {header['certificate'][name]!r:.60}, not lists of {length} numbers")
    if header["monte_carlo"] is not None:
        _typed(header["monte_carlo"], MONTE_CARLO, "monte_carlo")
    _typed(header["control"], CONTROL, "control")
    _typed(header["coordinates"], COORDINATES, "coordinates")
    for name in ("objective", "sigma", "pwrss", "xx", "yy"):
        _need(math.isfinite(header[name]), f"{name} is {header[name]}, not a finite number")
    for name, value in header["coordinates"].items():
        _need(math.isfinite(value), f"{name} is {value}, not a finite number")
    _need(all(isinstance(s, NUMBER) for s in header["timings"].values()), "timings are not numbers")
    frame = header["frame"]
    _typed(frame, FRAME, "frame")
    _need(_texts(frame["notices"]), "notices are not texts")
    for name, column in frame["columns"].items():
        good = isinstance(column, dict) and (isinstance(column.get("value"), NUMBER) or bool(column.get("categories")))
        _need(good, f"column {name!r} is {column!r:.60}, neither a value nor categories")
    _need(
        all(isinstance(count, int) for count in frame["missing"].values()), "counts of missing values are not numbers"
    )
    used, given = frame["n_used"], frame["n_data"]
    _need(0 < used <= given, f"{used} of {given} rows cannot have been used")
    # Rows that stand for cells are fewer than those that the fit is of.
    cells = frame["arguments"].get("counts") is not None
    _need(
        cells or used == header["coordinates"]["n_obs"],
        f"{used} rows were used, but the fit says {header['coordinates']['n_obs']}",
    )
    _matrix(frame["fixed"], "the fixed effects", None)
    sizes = [_sizes(terms, t) for t, terms in enumerate(header["terms"])]
    _factors(frame, header["terms"])
    levels = [len(factor["levels"]) for factor in frame["factors"]]
    n_fixed = len(frame["fixed"]["names"])
    _columns(arrays, n_fixed)
    _shapes(arrays, _expected(arrays, header, sizes, levels))
    for t, n_levels in enumerate(levels):
        parts = math.prod(len(part) for part in frame["factors"][t]["parts"])
        _indices(arrays, f"keys{t}", parts)
        _need(bool((np.diff(arrays[f"keys{t}"]) > 0).all()), f"array keys{t} is not ascending")
        for s in range(t):
            _indices(arrays, f"pair{s}_{t}_first", levels[s])
            _indices(arrays, f"pair{s}_{t}_second", n_levels)
        if frame["has_rows"]:
            _indices(arrays, f"codes{t}", n_levels)
    for i, column in enumerate(frame["columns"].values()):
        if frame["has_rows"] and "categories" in column:
            _indices(arrays, f"column{i}", len(column["categories"]))


def _need(condition: bool, problem: str) -> None:
    if not condition:
        raise SavedModelError(problem)


def _typed(value: Any, wanted: Mapping[str, tuple[type, ...]], what: str) -> None:
    """Check that a dict has exactly the entries of a table, each of its type."""
    _need(isinstance(value, dict), f"{what} is of type {type(value).__name__}, not a set of entries")
    for name, types in wanted.items():
        _need(name in value, f"{what} has no {name}")
        given = value[name]
        good = isinstance(given, types) and (bool in types or not isinstance(given, bool))
        expected = " or ".join(t.__name__ for t in types)
        _need(good, f"{name} in {what} is of type {type(given).__name__}, not {expected}")


def _sizes(terms: Any, t: int) -> list[int]:
    """Number of columns of each term of a factor."""
    what = f"the list of terms of factor {t}"
    _need(isinstance(terms, list) and len(terms) > 0, f"{what} is {terms!r:.60}")
    for term in terms:
        good = isinstance(term, list) and len(term) == 2 and isinstance(term[0], str) and term[0] in STRUCTURES
        good = good and isinstance(term[1], int) and not isinstance(term[1], bool) and term[1] >= 1
        _need(good, f"{what} holds {term!r:.60}, not a covariance structure and a size")
    return [size for _, size in terms]


def _factors(frame: dict[str, Any], terms: list[Any]) -> None:
    """Check that the named factors are those of the numbers, term by term."""
    _need(len(terms) == len(frame["factors"]) > 0, f"{len(frame['factors'])} factors have {len(terms)} lists of terms")
    for factor, own in zip(frame["factors"], terms, strict=True):
        _typed(factor, FACTOR, "a grouping factor")
        name = factor["name"]
        parts = factor["parts"]
        _need(_texts(factor["columns"]), f"columns of {name} are not names")
        _need(
            len(parts) == len(factor["columns"]) > 0, f"{name} has {len(parts)} parts, {len(factor['columns'])} columns"
        )
        for part in (factor["levels"], *parts):
            good = isinstance(part, list) and len(part) > 0 and all(isinstance(v, str | int | float) for v in part)
            _need(good, f"{name} has levels that are neither texts nor numbers")
        _need(len(factor["terms"]) == len(own), f"{name} has {len(factor['terms'])} terms, not {len(own)}")
        for written, (structure, size) in zip(factor["terms"], own, strict=True):
            good = isinstance(written, list) and len(written) == 4 and written[2:] == [structure, size]
            _need(
                good and isinstance(written[0], str),
                f"a term of {name} is {written!r:.60}, not of {structure} and {size}",
            )
            _matrix(written[1], written[0], size)
    wanted = {(f, t) for f, own in enumerate(terms) for t in range(len(own))}
    given = [tuple(pair) if isinstance(pair, list) else pair for pair in frame["term_order"]]
    good = len(given) == len(wanted) and all(pair in given for pair in wanted)
    _need(good, f"term_order is {frame['term_order']!r:.60}, which is no order of the terms")


def _matrix(matrix: Any, what: str, size: int | None) -> None:
    """Check the names of a model matrix, and that its terms are ranges of them."""
    _typed(matrix, MATRIX, what)
    _need(_texts(matrix["names"]), f"the columns of {what} are not names")
    count = len(matrix["names"])
    _need(size in (None, count), f"{what} has {count} columns, not {size}")
    for term in matrix["terms"]:
        good = isinstance(term, list) and len(term) == 3 and isinstance(term[0], str)
        good = good and all(isinstance(end, int) and 0 <= end <= count for end in term[1:])
        _need(good, f"a term of {what} is {term!r:.60}, not a name and a range of {count} columns")


def _counts(values: list[Any], length: int) -> bool:
    return len(values) == length and all(isinstance(value, int) and value >= 0 for value in values)


def _texts(values: list[Any]) -> bool:
    return all(isinstance(value, str) for value in values)


def _columns(arrays: dict[str, np.ndarray], n_fixed: int) -> None:
    """Check that kept and dropped columns together are all columns."""
    for name in ("kept", "dropped"):
        _need(name in arrays, f"there is no array {name}")
        _need(arrays[name].ndim == 1 and arrays[name].dtype.kind in "iu", f"array {name} does not hold column numbers")
    both = sorted([*arrays["kept"].tolist(), *arrays["dropped"].tolist()])
    _need(both == list(range(n_fixed)), f"arrays kept and dropped do not number the {n_fixed} fixed-effects columns")


Shapes = dict[str, tuple[int, ...]]


def _expected(
    arrays: dict[str, np.ndarray], header: dict[str, Any], sizes: list[list[int]], levels: list[int]
) -> Shapes:
    """The shape of every array of the file."""
    p = arrays["kept"].size
    frame = header["frame"]
    structures = [STRUCTURES[name](size) for terms in header["terms"] for name, size in terms]
    n_theta = sum(structure.n_theta for structure in structures)
    shapes: Shapes = {"theta": (n_theta,), "standard_theta": (n_theta,), "beta": (p,), "ols": (p,)}
    shapes |= {"standard_vcov": (p, p), "transform": (p, p)}
    if "within_x" in arrays or "within_y" in arrays:
        shapes |= {"within_x": (p, p), "within_y": (p + 1,)}
    width = [sum(own) for own in sizes]
    for t, (k, n) in enumerate(zip(width, levels, strict=True)):
        shapes |= {f"lambda{t}": (k, k), f"map{t}": (k, k), f"b{t}": (n, k), f"keys{t}": (n,)}
        shapes |= {f"zz{t}": (k, k, n), f"zx{t}": (k, p, n), f"zy{t}": (k, n)}
        for s in range(t):
            pair = f"pair{s}_{t}"
            first = arrays.get(f"{pair}_first")
            count = first.size if first is not None else 0
            shapes |= {f"{pair}_first": (count,), f"{pair}_second": (count,), f"{pair}_block": (width[s], k, count)}
    if frame["has_rows"]:
        rows = frame["n_used"]
        shapes |= {"x": (rows, len(frame["fixed"]["names"])), "y": (rows,), "index": (rows,)}
        shapes |= {name: (rows,) for name in ("weights", "offset") if name in arrays}
        shapes |= {f"codes{t}": (rows,) for t in range(len(levels))}
        shapes |= {f"z{t}": (rows, k) for t, k in enumerate(width)}
        shapes |= {f"column{i}": (rows,) for i in range(len(frame["columns"]))}
    return shapes


def _shapes(arrays: dict[str, np.ndarray], expected: Shapes) -> None:
    for name, shape in expected.items():
        _need(name in arrays, f"there is no array {name}")
        array = arrays[name]
        _need(array.shape == shape, f"array {name} has shape {array.shape}, not {shape}")
        if name != "index":
            _need(array.dtype.kind in "iuf", f"array {name} holds no numbers, but {array.dtype}")
            _need(bool(np.isfinite(array).all()), f"array {name} holds a value that is not a finite number")


def _indices(arrays: dict[str, np.ndarray], name: str, stop: int) -> None:
    """Check that an array holds whole numbers from 0 to stop - 1."""
    array = arrays[name]
    good = array.dtype.kind in "iu" and (array.size == 0 or 0 <= array.min() <= array.max() < stop)
    _need(bool(good), f"array {name} does not hold whole numbers from 0 to {stop - 1}")
