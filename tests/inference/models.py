"""Fits of the models in `tests/reference/inference/*.json`, each made once."""

import json
import re
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

import jaxlmm
from jaxlmm import MixedModelResults
from tests.reference.loader import HERE, data

UNBALANCED = [1, 2, 7, 30, 31, 32, 33, 100]
"""Rows, counted from 1, that cake_unbalanced leaves out."""


@cache
def numbers(name: str) -> dict[str, Any]:
    """One file of reference numbers."""
    return json.loads((HERE / "inference" / f"{name}.json").read_text())


def in_python(formula: str) -> str:
    """R's formula as ours: columns that the scripts made are written as what they are made of."""
    spelled = formula.replace("nitro_f", "C(nitro)").replace("Days^2", "Days**2")
    # Two bars in brackets of their own are how R prints an expanded ||.
    return re.sub(r"\(\(1 \| (\w+)\) \+ \(0 \+ (\w+) \| \w+\)\)", r"(\2 || \1)", spelled)


def table(fit: dict[str, Any]) -> pd.DataFrame:
    """The rows of a fit."""
    name = fit["data"]
    if name == "weak":
        weak = numbers("rlrt")["weak_data"]
        return pd.DataFrame(weak).astype({"g": str})
    found = data(name)
    note = str(fit.get("note"))
    if name == "cake":
        found["temp"] = found["temperature"].astype(float)
    if "without rows" in note:
        found = found.drop(index=[row - 1 for row in UNBALANCED])
    if "w2 =" in note:
        found["w2"] = 0.5 + (np.arange(len(found)) % 4) / 2
    if "first 20 schoolid" in note:
        schools = numbers("robust")["cases"]["egsingle20_nested"]["schools"]
        found = found[found["schoolid"].astype(str).isin([str(school) for school in schools])]
    return found


FITS: dict[str, MixedModelResults] = {}


def fitted(fit: dict[str, Any], ddf: str = "satterthwaite") -> MixedModelResults:
    """Our fit of a reference fit, at the same optimum."""
    keys = ("formula", "data", "REML", "weights", "contrasts", "note")
    key = json.dumps([fit.get(name) for name in keys]) + ddf
    if key not in FITS:
        contrasts = {name.replace("nitro_f", "nitro"): code for name, code in (fit.get("contrasts") or {}).items()}
        FITS[key] = jaxlmm.lmer(
            in_python(fit["formula"]),
            table(fit),
            reml=fit["REML"],
            weights=fit.get("weights"),
            contrasts=contrasts or None,
            ddf=ddf,
        )
        np.testing.assert_allclose(FITS[key].objective, fit["objective"], atol=1e-7 * np.sqrt(abs(fit["objective"])))
    return FITS[key]


def column(rows: list[dict[str, Any]], name: str) -> np.ndarray:
    """One field of R's rows; null is infinite for degrees of freedom, and missing otherwise."""
    missing = np.inf if name in ("df", "DenDF", "df_denom") else np.nan
    return np.array([missing if row.get(name) is None else row[name] for row in rows], dtype=float)
