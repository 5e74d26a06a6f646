"""`CrossProducts` in files: sums, levels and the state of transforms, in an npz archive without pickle and without rows."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from jaxlmm.design import Arguments, Learnt
from jaxlmm.design.dictionaries import Combinations, Dictionary
from jaxlmm.design.learnt import Kind
from jaxlmm.design.raw import RawColumn, RawColumns, Spot
from jaxlmm.errors import FormulaError, SavedModelError
from jaxlmm.formula import parse_formula
from jaxlmm.pls import CrossProducts as Sums
from jaxlmm.pls import FactorSums, Frame, Pairs
from jaxlmm.results.archive import read_archive, write_archive
from jaxlmm.results.saved_frame import from_plain, plain

FORMAT = "jaxlmm cross-products"
VERSION = 1


def save_sums(learnt: Learnt, sums: Sums, path: str | os.PathLike[str]) -> None:
    """Write sums and what is known of their rows.

    Raises
    ------
    SavedModelError
        When the file cannot be written.
    """
    arrays: dict[str, np.ndarray] = {"ff": sums.ff, "triangle": sums.triangle, **_frame("frame", sums.frame)}
    for t, factor in enumerate(sums.factors):
        assert factor.rows is not None
        arrays |= {f"zz{t}": factor.zz, f"zf{t}": factor.zf, f"rows{t}": factor.rows}
        arrays |= _frame(f"frame{t}", factor.frame)
    for (s, t), pair in sums.pairs.items():
        assert pair.rows is not None
        name = f"pair{s}_{t}"
        arrays |= {f"{name}_first": pair.first, f"{name}_second": pair.second}
        arrays |= {f"{name}_block": pair.block, f"{name}_rows": pair.rows}
    header, levels = learnt_to(learnt)
    header |= {"format": FORMAT, "version": VERSION, "sum_log_weights": sums.sum_log_weights, "n_obs": sums.n_obs}
    write_archive(path, header, arrays | levels, "the sums")


def learnt_to(learnt: Learnt) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """What is known of rows, as JSON and arrays of levels."""
    arrays: dict[str, np.ndarray] = {}
    for d, dictionary in enumerate(learnt.dictionaries.values()):
        values = dictionary.array()
        arrays[f"levels{d}"] = values if values.dtype != object else np.array(values.tolist())
    for t, group in enumerate(learnt.groups):
        for i, part in enumerate(learnt.combinations[group].parts(learnt.n_levels(group))):
            arrays[f"parts{t}_{i}"] = part
    arguments = learnt.arguments
    contrasts = {k: v if isinstance(v, str) else np.asarray(v).tolist() for k, v in (arguments.contrasts or {}).items()}
    header = {
        "formula": learnt.formula.source,
        "trusted": learnt.formula.trusted,
        "arguments": {**arguments.columns, "contrasts": contrasts, "na_action": arguments.na_action},
        "states": plain(learnt.states),
        "kinds": {name: plain(list(vars(kind).values())) for name, kind in learnt.kinds.items()},
        "dictionaries": list(learnt.dictionaries),
        "fixed": _raw(learnt.fixed),
        "random": [_raw(learnt.random[group]) for group in learnt.groups],
        "sample": {name: float(f"{value:.1g}") for name, value in learnt.sample.items()},
        "n_data": learnt.n_data,
        "n_used": learnt.n_used,
        "missing": learnt.missing,
        "response": list(learnt.response),
        "less": learnt.less,
    }
    return header, arrays


def read_sums(path: str | os.PathLike[str], trusted: bool = False) -> tuple[Learnt, Sums]:
    """Read what `save_sums` wrote; a formula that escaped the allowlist is used only where `trusted` says so.

    Raises
    ------
    SavedModelError
        When the file is absent, damaged, or holds no sums that this version can read.
    """
    header, arrays = read_archive(path, FORMAT, VERSION, "a file of sums")
    if header.get("trusted") and not trusted:
        raise SavedModelError(
            f"the formula in {os.fspath(path)!r} was trusted to call any function; if you know who wrote the file, and trust "
            "them to run code on this machine, write load_cross_products(path, trusted=True)"
        )
    try:
        learnt = learnt_from(header, arrays)
        sums = _sums(header, arrays, learnt)
    except SavedModelError as problem:
        raise SavedModelError(f"{os.fspath(path)!r} is damaged: {problem}; sum the rows again") from None
    except FormulaError as problem:
        raise SavedModelError(f"{os.fspath(path)!r} holds a formula that cannot be used: {problem}") from None
    except Exception as problem:
        # Whatever a changed entry meets: keys, types and shapes.
        raise SavedModelError(f"{os.fspath(path)!r} is damaged: {type(problem).__name__} {problem}") from None
    return learnt, sums


def learnt_from(header: dict[str, Any], arrays: dict[str, np.ndarray]) -> Learnt:
    """What `learnt_to` was given."""
    given = dict(header["arguments"])
    given["contrasts"] = {k: v if isinstance(v, str) else np.array(v) for k, v in given["contrasts"].items()} or None
    learnt = Learnt(parse_formula(header["formula"], trusted=header["trusted"]), Arguments(**given))
    learnt.states = from_plain(header["states"])
    _need(isinstance(learnt.states, dict), "states are no table")
    learnt.kinds = {name: Kind(*from_plain(own)) for name, own in header["kinds"].items()}
    absent = set(learnt.formula.variables) - set(learnt.kinds)
    _need(not absent, f"nothing is known of the columns {sorted(absent)}")
    for name in ("n_data", "n_used"):
        _need(type(header[name]) is int and header[name] >= 0, f"{name} is {header[name]!r}, no number of rows")
    for d, name in enumerate(header["dictionaries"]):
        learnt.dictionaries[name] = Dictionary(arrays[f"levels{d}"].tolist())
        _need(len(learnt.dictionaries[name]) == arrays[f"levels{d}"].size, f"a level of {name} stands twice")
    learnt.fixed = _from_raw(header["fixed"])
    for t, group in enumerate(learnt.groups):
        learnt.random[group] = _from_raw(header["random"][t])
        parts = [arrays[f"parts{t}_{i}"].astype(np.int64) for i in range(len(group))]
        for name, part in zip(group, parts, strict=True):
            good = part.size > 0 and 0 <= part.min() <= part.max() < len(learnt.dictionaries[name])
            _need(bool(good), f"levels of {':'.join(group)} are made of unknown levels of {name}")
        learnt.combinations[group] = Combinations(len(group))
        numbers = learnt.combinations[group].of(parts)
        _need(np.array_equal(numbers, np.arange(numbers.size)), f"a level of {':'.join(group)} stands twice")
    learnt.sample = {name: float(value) for name, value in header["sample"].items()}
    learnt.n_data, learnt.n_used, learnt.missing = header["n_data"], header["n_used"], dict(header["missing"])
    learnt.less = bool(header["less"])
    low, high, truths = header["response"]
    learnt.response = (float(low), float(high), bool(truths))
    return learnt


def _sums(header: dict[str, Any], arrays: dict[str, np.ndarray], learnt: Learnt) -> Sums:
    m = 2 + len(learnt.fixed)
    groups = learnt.groups
    sizes = [(len(learnt.random[group]), learnt.n_levels(group)) for group in groups]
    shapes: dict[str, tuple[int, ...]] = {"ff": (m, m), "triangle": (m, m)}
    for part in ("shift", "scale", "constant"):
        shapes[f"frame_{part}"] = (m,)
    for t, (k, n_levels) in enumerate(sizes):
        shapes |= {f"zz{t}": (k, k, n_levels), f"zf{t}": (k, m, n_levels), f"rows{t}": (n_levels,)}
        shapes |= {f"frame{t}_{part}": (k,) for part in ("shift", "scale", "constant")}
        for s in range(t):
            name, count = f"pair{s}_{t}", arrays[f"pair{s}_{t}_first"].size
            shapes |= {f"{name}_{part}": (count,) for part in ("first", "second", "rows")}
            shapes[f"{name}_block"] = (sizes[s][0], k, count)
    for name, shape in shapes.items():
        _need(arrays[name].shape == shape, f"array {name} has shape {arrays[name].shape}, not {shape}")
        good = arrays[name].dtype.kind in "iuf" and bool(np.isfinite(arrays[name]).all())
        _need(good, f"array {name} holds a value that is not a finite number")
    factors = tuple(
        FactorSums(arrays[f"zz{t}"], arrays[f"zf{t}"], _from_frame(arrays, f"frame{t}"), (), arrays[f"rows{t}"])
        for t in range(len(groups))
    )
    pairs = {}
    for t in range(len(groups)):
        for s in range(t):
            own = [arrays[f"pair{s}_{t}_{part}"] for part in ("first", "second", "block", "rows")]
            good = own[0].max(initial=0) < sizes[s][1] and own[1].max(initial=0) < sizes[t][1]
            _need(bool(good and min(own[0].min(initial=0), own[1].min(initial=0)) >= 0), "pairs are of unknown levels")
            pairs[s, t] = Pairs(*own)
    _need(isinstance(header["n_obs"], int) and header["n_obs"] > 0, "there are no rows")
    frame = _from_frame(arrays, "frame")
    return Sums(
        factors, pairs, arrays["ff"], arrays["triangle"], None, frame, float(header["sum_log_weights"]), header["n_obs"]
    )


def _need(condition: bool, problem: str) -> None:
    if not condition:
        raise SavedModelError(problem)


def _frame(name: str, frame: Frame) -> dict[str, np.ndarray]:
    return {f"{name}_shift": frame.shift, f"{name}_scale": frame.scale, f"{name}_constant": frame.constant}


def _from_frame(arrays: dict[str, np.ndarray], name: str) -> Frame:
    constant = arrays[f"{name}_constant"].astype(int)
    _need(bool((constant < constant.size).all()), f"{name} leans on an unknown column")
    _need(bool((arrays[f"{name}_scale"] > 0).all()), f"{name} has a scale that is not positive")
    return Frame(arrays[f"{name}_shift"], arrays[f"{name}_scale"], constant)


def _raw(raw: RawColumns) -> dict[str, Any]:
    places = {spot: i for i, spot in enumerate(raw.spots)}
    return {
        "spots": [[list(spot.numbers), list(spot.factors)] for spot in raw.spots],
        "columns": [[places[own.spot], list(own.numbers), plain(list(own.cell))] for own in raw.columns],
    }


def _from_raw(saved: dict[str, Any]) -> RawColumns:
    spots = [Spot(tuple(numbers), tuple(factors)) for numbers, factors in saved["spots"]]
    return RawColumns(spots, [RawColumn(spots[i], tuple(n), tuple(cell)) for i, n, cell in saved["columns"]])
