"""Files that were saved fits once: whatever was changed in them, reading them is an error of ours."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import jaxlmm
from jaxlmm import SavedModelError
from tests.reference.loader import data
from tests.results.damage import changed
from tests.results.fits import fit

HEADERS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "version": lambda h: h.update(version=99),
    "format": lambda h: h.update(format="something else"),
    "no plan": lambda h: h.pop("plan"),
    "unknown plan": lambda h: h.update(plan="quick"),
    "plan of one factor": lambda h: h.update(plan="grouped"),
    "no fixed effects": lambda h: h["frame"].pop("fixed"),
    "broken formula": lambda h: h["frame"].update(formula="diameter ~ 1 + ("),
    "formula of another column": lambda h: h["frame"].update(formula="diameter ~ 1 + z + (1 | plate) + (1 | sample)"),
    "frame a list": lambda h: h.update(frame=[]),
    "frame a text": lambda h: h.update(frame="x"),
    "certificate a list": lambda h: h.update(certificate=[1]),
    "flat a number": lambda h: h["certificate"].update(flat=[3]),
    "control a text": lambda h: h.update(control="x"),
    "objective a text": lambda h: h.update(objective="1"),
    "sigma missing": lambda h: h.update(sigma=float("nan")),
    "terms of unknown structure": lambda h: h.update(terms=[[["ar1", 1]], [["us", 1]]]),
    "terms of another size": lambda h: h.update(terms=[[["us", 2]], [["us", 1]]]),
    "one factor less": lambda h: h["frame"]["factors"].pop(),
    "one level less": lambda h: h["frame"]["factors"][0]["levels"].pop(),
    "levels a dict": lambda h: h["frame"]["factors"][0].update(levels={}),
    "ddf": lambda h: h.update(ddf="x"),
    "term order": lambda h: h["frame"].update(term_order=[[0, 0], [0, 0]]),
    "more rows used than given": lambda h: h["frame"].update(n_used=10**6),
    "rows that are not there": lambda h: h["frame"].update(has_rows=True),
    "missing a list": lambda h: h["frame"].update(missing=[]),
    "columns a list": lambda h: h["frame"].update(columns=[1, 2]),
    "a column a number": lambda h: h["frame"]["columns"].update(plate=3),
    "random a number": lambda h: h["frame"].update(random=[3]),
    "transforms a number": lambda h: h["frame"]["fixed"].update(transforms={"pairs": 3}),
}


@pytest.mark.parametrize("change", HEADERS)
def test_headers_that_cannot_be_read(change: str, tmp_path: Path) -> None:
    fit("penicillin").save(tmp_path / "fit.npz")
    changed(tmp_path / "fit.npz", HEADERS[change])
    with pytest.raises(SavedModelError, match="fit"):
        jaxlmm.load(tmp_path / "fit.npz")


SPOILED: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "one more": lambda a: np.concatenate([a, a[-1:]]),
    "one less": lambda a: a[:-1],
    "one axis more": lambda a: a[None],
    "a scalar": lambda a: np.asarray(1.0),
    "text": lambda a: a.astype(str),
    "not finite": lambda a: np.where(np.isfinite(a), np.nan, a),
}


MODELS = {
    "crossed": ("diameter ~ 1 + (1 | plate) + (1 | sample)", "penicillin", {}),
    "dropped column": ("Reaction ~ Days + I(2 * Days) + (Days | Subject)", "sleepstudy", {}),
    "weights and offset": ("Reaction ~ Days + (1 | Subject)", "sleepstudy", {"weights": "Reaction", "offset": "Days"}),
}
OPTIONAL = ("weights", "offset")


@pytest.mark.parametrize("name", MODELS)
def test_arrays_that_do_not_fit_each_other(name: str, tmp_path: Path) -> None:
    path = tmp_path / "fit.npz"
    formula, dataset, arguments = MODELS[name]
    jaxlmm.lmer(formula, data(dataset), **arguments).save(path, rows=True)
    with np.load(path, allow_pickle=False) as archive:
        sound = {member: archive[member] for member in archive.files}
    for member, array in sound.items():
        if member in ("header", "index"):
            continue
        changes = {how: spoil(array) for how, spoil in SPOILED.items() if array.size}
        for how, spoilt in changes.items():
            np.savez(path, **{**sound, member: spoilt})
            with pytest.raises(SavedModelError, match=f"{member.removesuffix('_first')}|kept"):
                jaxlmm.load(path)
                raise AssertionError(f"{member} was read: {how}")
        if member not in OPTIONAL:
            np.savez(path, **{other: values for other, values in sound.items() if other != member})
            with pytest.raises(SavedModelError, match=rf"fit\.npz.*{member}"):
                jaxlmm.load(path)
