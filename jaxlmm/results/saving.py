"""Fits in files: an npz archive of arrays with one JSON text among them. No pickle, no rows unless asked.

What is kept is what answers questions later: estimates, cross-products (for variances and intervals), levels, and the
state that encodes new data as the old was (knots, means, categories). The formula is parsed again when a file is
read, through the same allowlist, so that a file cannot smuggle a program in.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from jaxlmm import pls
from jaxlmm.covariance import STRUCTURES
from jaxlmm.errors import DataError, DesignError, FormulaError, SavedModelError
from jaxlmm.fit import Certificate, Control, Fit, Model, MonteCarlo, reduce
from jaxlmm.inference import check_ddf
from jaxlmm.pls import Coordinates, Gram, Response
from jaxlmm.precision import double
from jaxlmm.report import Fitted
from jaxlmm.results.archive import read_archive, write_archive
from jaxlmm.results.checked import check_saved
from jaxlmm.results.saved_frame import frame_from_json, frame_to_json

FORMAT = "jaxlmm model"
VERSION = 3

OF_PROBES = ("theta", "std_error", "bse")
"""Arrays of a fit's Monte Carlo error."""


def save(fitted: Fitted, control: Control, path: str | os.PathLike[str], rows: bool = False) -> None:
    """Write a fit to `path`; with `rows`, the rows of the design and of its columns, too.

    Raises
    ------
    SavedModelError
        When the file cannot be written.
    DataError
        When rows are asked for of a fit that was itself read without them; nothing is written then.
    """
    if rows:
        fitted.frame.with_rows()
    fit, gram, coordinates = fitted.fit, fitted.model.gram, fitted.model.coordinates
    arrays: dict[str, np.ndarray] = {
        "theta": fit.theta,
        "standard_theta": fit.standard_theta,
        "beta": fit.beta,
        "standard_vcov": fit.standard_vcov,
        "kept": coordinates.kept,
        "dropped": coordinates.dropped,
        "ols": coordinates.beta,
        "transform": coordinates.transform,
    }
    for t in range(len(gram.zz)):
        arrays |= {f"lambda{t}": fit.lambdas[t], f"b{t}": fit.b[t], f"zz{t}": gram.zz[t], f"zx{t}": gram.zx[t]}
        arrays |= {f"zy{t}": fitted.model.response.zy[t], f"map{t}": coordinates.factor_maps[t]}
    if gram.within is not None and fitted.model.response.within is not None:
        arrays |= {"within_x": gram.within, "within_y": fitted.model.response.within}
    for (s, t), pair in gram.pairs.items():
        name = f"pair{s}_{t}"
        arrays |= {f"{name}_first": pair.first, f"{name}_second": pair.second, f"{name}_block": pair.block}
    header = {
        "format": FORMAT,
        "version": VERSION,
        "frame": frame_to_json(fitted.frame, arrays, rows),
        "ddf": fitted.ddf,
        "timings": fitted.timings,
        "objective": fit.objective,
        "reml": fit.reml,
        "sigma": fit.sigma,
        "pwrss": fit.pwrss,
        "certificate": vars(fit.certificate),
        "monte_carlo": None if fit.monte_carlo is None else _as_lists(fit.monte_carlo),
        "plan": fitted.model.plan.kind,
        "control": {"plan": control.plan, "max_iterations": control.max_iterations},
        "terms": [[(term.name, term.size) for term in terms] for terms in coordinates.terms],
        "coordinates": {
            name: getattr(coordinates, name)
            for name in ("log_det", "scale", "weight_scale", "n_obs", "sum_log_weights")
        },
        "xx": gram.xx,
        "yy": fitted.model.response.yy,
    }
    write_archive(path, header, arrays, "the fit")


@double
def read(path: str | os.PathLike[str], trusted: bool = False) -> tuple[Fitted, Control]:
    """Read what `save` wrote; a formula that escaped the allowlist is evaluated only where `trusted` says so.

    Raises
    ------
    SavedModelError
        When the file is absent, damaged, or not a model that this version can read.
    """
    header, arrays = read_archive(path, FORMAT, VERSION, "a model")
    frame = header.get("frame")
    if isinstance(frame, dict) and frame.get("trusted") and not trusted:
        raise SavedModelError(
            f"the formula in {os.fspath(path)!r} was trusted to call any function; if you know who wrote the file, and trust "
            "them to run code on this machine, write load(path, trusted=True)"
        )
    try:
        check_saved(header, arrays)
        check_ddf(header["ddf"])
        return _fitted(header, arrays), Control(**header["control"])
    except (SavedModelError, DataError, DesignError) as problem:
        raise SavedModelError(f"{os.fspath(path)!r} is damaged: {problem}; save the fit again") from None
    except FormulaError as problem:
        raise SavedModelError(f"{os.fspath(path)!r} holds a formula that cannot be used: {problem}") from None
    except Exception as problem:
        # Whatever a changed entry meets: types and keys here, expressions in formulaic.
        raise SavedModelError(f"{os.fspath(path)!r} is damaged: {type(problem).__name__} {problem}") from None


def _as_lists(found: MonteCarlo) -> dict[str, Any]:
    return vars(found) | {name: getattr(found, name).tolist() for name in OF_PROBES}


def _monte_carlo(saved: dict[str, Any] | None) -> MonteCarlo | None:
    if saved is None:
        return None
    return MonteCarlo(**(saved | {name: np.array(saved[name], dtype=float) for name in OF_PROBES}))


def _fitted(header: dict[str, Any], arrays: dict[str, np.ndarray]) -> Fitted:
    terms = tuple(tuple(STRUCTURES[name](size) for name, size in factor) for factor in header["terms"])
    count = range(len(terms))
    pairs = {
        (s, t): pls.Pairs(*(arrays[f"pair{s}_{t}_{part}"] for part in ("first", "second", "block")))
        for s in count
        for t in count
        if s < t
    }
    gram = Gram(
        tuple(arrays[f"zz{t}"] for t in count),
        tuple(arrays[f"zx{t}"] for t in count),
        pairs,
        header["xx"],
        arrays.get("within_x"),
    )
    response = Response(tuple(arrays[f"zy{t}"] for t in count), header["yy"], arrays.get("within_y"))
    coordinates = Coordinates(
        kept=arrays["kept"],
        dropped=arrays["dropped"],
        beta=arrays["ols"],
        transform=arrays["transform"],
        factor_maps=tuple(arrays[f"map{t}"] for t in count),
        terms=terms,
        **header["coordinates"],
    )
    plan = pls.choose(gram, terms, header["plan"])
    reduced = reduce(plan, gram, response, coordinates)
    certificate = dict(header["certificate"])
    for name in ("singular", "flat"):
        certificate[name] = tuple(map(tuple, certificate[name]))
    fit = Fit(
        theta=arrays["theta"],
        standard_theta=arrays["standard_theta"],
        lambdas=tuple(arrays[f"lambda{t}"] for t in count),
        objective=header["objective"],
        reml=header["reml"],
        sigma=header["sigma"],
        beta=arrays["beta"],
        unscaled_vcov=coordinates.unscaled(arrays["standard_vcov"]),
        standard_vcov=arrays["standard_vcov"],
        b=tuple(arrays[f"b{t}"] for t in count),
        pwrss=header["pwrss"],
        certificate=Certificate(**certificate),
        monte_carlo=_monte_carlo(header["monte_carlo"]),
    )
    frame = frame_from_json(header["frame"], arrays)
    return Fitted(frame, Model(gram, response, coordinates, plan, reduced), fit, header["ddf"], header["timings"])
