"""The named side of a saved fit as JSON: formula, categories, and the state of its transforms."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from formulaic.formula import SimpleFormula
from formulaic.model_spec import ModelSpec
from formulaic.parser.types import Factor

from jaxlmm.covariance import STRUCTURES
from jaxlmm.design import Design, FactorTerms, Frame, RandomEffects, TermColumns
from jaxlmm.design.build import offset_effects, without_rows
from jaxlmm.design.contrasts import Codings
from jaxlmm.design.kept_rows import Rows
from jaxlmm.design.levels import Grouping
from jaxlmm.design.matrices import Matrix, column_names
from jaxlmm.errors import SavedModelError
from jaxlmm.formula import TRANSFORMS, RandomEffectsTerm, parse_effects, parse_formula, write_effects

VALUES = np.zeros(0)
"""Stands for weights or an offset that the fit was given as values, which a file does not keep."""


def frame_to_json(frame: Frame, arrays: dict[str, np.ndarray], rows: bool) -> dict[str, Any]:
    """Describe a frame; arrays of levels, and rows when asked for, are added to `arrays`."""
    for t, factor in enumerate(frame.factors):
        arrays[f"keys{t}"] = factor.grouping.keys
    if rows:
        design = frame.design
        labels = frame.rows.index
        numbers = pd.api.types.is_numeric_dtype(labels.dtype)
        arrays |= {
            "x": design.x,
            "y": design.y,
            "index": labels.to_numpy() if numbers else np.array([*map(str, labels)]),
        }
        if design.weights is not None:
            arrays["weights"] = design.weights
        if frame.offset is not None:
            arrays["offset"] = frame.offset
        for t, block in enumerate(design.random):
            arrays |= {f"codes{t}": block.codes, f"z{t}": block.z}
        for i, name in enumerate(frame.table):
            arrays[f"column{i}"] = _values(frame.table[name])
    return {
        "formula": frame.formula.source,
        "trusted": frame.formula.trusted,
        "random": [[write_effects(t.effects), list(t.group), t.covariance, t.source] for t in frame.formula.random],
        "contrasts": {k: v if isinstance(v, str) else v.tolist() for k, v in frame.codings.resolved.items()},
        "na_action": frame.arguments["na_action"],
        "columns": {str(name): _column(frame.table[name]) for name in frame.table},
        "fixed": _matrix(frame.fixed),
        "factors": [
            {
                "name": factor.grouping.name,
                "columns": list(factor.grouping.columns),
                "parts": [plain(levels.tolist()) for levels in factor.grouping.parts],
                "levels": plain(factor.grouping.levels.tolist()),
                "terms": [
                    [term.source, _matrix(term.matrix), term.structure.name, term.structure.size]
                    for term in factor.terms
                ],
            }
            for factor in frame.factors
        ],
        "term_order": [list(pair) for pair in frame.term_order],
        "response": frame.response,
        "has_rows": rows,
        "n_data": frame.rows.n_data,
        "n_used": len(frame.rows.index),
        "missing": frame.rows.missing,
        "offsets": [_matrix(matrix) for matrix in frame.offsets],
        "arguments": {
            name: _argument(frame.arguments[name])
            for name in ("weights", "offset", "counts", "within_ss")
            if name in frame.arguments
        },
        "notices": list(frame.notices),
    }


def frame_from_json(saved: dict[str, Any], arrays: dict[str, np.ndarray]) -> Frame:
    """The frame again; without rows its design has none."""
    random = tuple(
        RandomEffectsTerm(parse_effects(effects, trusted=saved["trusted"]), tuple(group), covariance, source)
        for effects, group, covariance, source in saved["random"]
    )
    parsed = parse_formula(saved["formula"], trusted=saved["trusted"])
    formula = replace(parsed, random=random)
    index = _index(saved, arrays)
    if saved["has_rows"]:
        columns = {
            name: _series(column, arrays[f"column{i}"]) for i, (name, column) in enumerate(saved["columns"].items())
        }
        table = pd.DataFrame(columns).set_axis(index)
    else:
        table = pd.DataFrame({name: _one_value(column) for name, column in saved["columns"].items()})
    codings = Codings(saved["contrasts"], table, (formula.fixed, *(term.effects for term in random)), check=False)
    factors = []
    for t, factor in enumerate(saved["factors"]):
        grouping = Grouping(
            factor["name"],
            tuple(factor["columns"]),
            tuple(pd.Index(part) for part in factor["parts"]),
            arrays[f"keys{t}"],
            pd.Index(factor["levels"], name=factor["name"]),
        )
        effects = [term.effects for term in random if term.group == grouping.columns]
        terms = tuple(
            TermColumns(source, _restored(matrix, effect, table, codings), STRUCTURES[name](size))
            for (source, matrix, name, size), effect in zip(factor["terms"], effects, strict=True)
        )
        factors.append(FactorTerms(grouping, terms))
    return Frame(
        formula,
        _design(saved, arrays, factors),
        Rows(np.zeros(0, dtype=bool), index, saved["missing"], saved["n_data"]),
        _restored(saved["fixed"], formula.fixed, table, codings),
        tuple(factors),
        tuple(map(tuple, saved["term_order"])),
        saved["response"],
        arrays.get("offset"),
        tuple(
            _restored(matrix, offset_effects(text, table), table, codings)
            for text, matrix in zip(formula.offsets, saved["offsets"], strict=True)
        ),
        table,
        codings,
        {
            **{name: VALUES if value is True else value for name, value in saved["arguments"].items()},
            "contrasts": saved["contrasts"],
            "na_action": saved["na_action"],
        },
        tuple(saved["notices"]),
    )


def _argument(value: Any) -> str | bool | None:
    """The column of an argument, or whether it was given as values."""
    return value if value is None or isinstance(value, str) else True


def _index(saved: dict[str, Any], arrays: dict[str, np.ndarray]) -> pd.Index:
    """Labels of the rows, or their numbers where rows were not saved."""
    return pd.Index(arrays["index"]) if saved["has_rows"] else pd.RangeIndex(saved["n_used"])


def _design(saved, arrays, factors) -> Design:
    if not saved["has_rows"]:
        return without_rows(len(saved["fixed"]["names"]), tuple(factors))
    blocks = tuple(
        RandomEffects(
            arrays[f"codes{t}"], arrays[f"z{t}"], f.grouping.n_levels, tuple(term.structure for term in f.terms)
        )
        for t, f in enumerate(factors)
    )
    return Design(arrays["x"], arrays["y"], arrays.get("weights"), blocks)


def _matrix(matrix: Matrix) -> dict[str, Any]:
    """Names and encoder state of a model matrix."""
    categories = {
        expression: plain(list(state["categories"]))
        for expression, (_, state) in matrix.spec.encoder_state.items()
        if "categories" in state
    }
    return {
        "names": list(matrix.names),
        "terms": [[name, columns.start, columns.stop] for name, columns in matrix.terms],
        "transforms": plain(dict(matrix.spec.transform_state)),
        "categories": categories,
    }


def _restored(saved: dict[str, Any], effects: SimpleFormula, table: pd.DataFrame, codings: Codings) -> Matrix:
    """A model matrix whose specification encodes new data as the saved one did."""
    spec = ModelSpec(
        formula=codings.write(effects),
        output="numpy",
        materializer="pandas",
        na_action="ignore",
        transform_state=from_plain(saved["transforms"]),
        encoder_state={
            expression: (Factor.Kind.CATEGORICAL, {"categories": values})
            for expression, values in saved["categories"].items()
        },
    )
    fresh = spec.get_model_matrix(table, context={**TRANSFORMS, **codings.context})
    names = column_names(fresh.model_spec, codings)
    if list(names) != saved["names"]:
        raise SavedModelError(
            f"the saved model has the columns {', '.join(saved['names'])}, but its formula now makes {', '.join(names)}; it "
            "was probably saved with another version of formulaic"
        )
    terms = tuple((name, slice(a, b)) for name, a, b in saved["terms"])
    return Matrix(np.zeros((0, len(names))), names, terms, fresh.model_spec)


def _column(series: pd.Series) -> dict[str, Any]:
    if isinstance(series.dtype, pd.CategoricalDtype):
        return {"categories": plain(series.cat.categories.tolist()), "ordered": bool(series.cat.ordered)}
    return {"value": float(series.min())}


def _values(series: pd.Series) -> np.ndarray:
    """A column's numbers, or the codes of its categories; nothing is missing in a row that was used."""
    return np.asarray(series.cat.codes if isinstance(series.dtype, pd.CategoricalDtype) else series)


def _series(column: dict[str, Any], values: np.ndarray) -> pd.Series:
    """The column that `_values` came from."""
    if "value" in column:
        return pd.Series(values)
    return pd.Series(pd.Categorical.from_codes(values, column["categories"], ordered=column["ordered"]))


def _one_value(column: dict[str, Any]) -> pd.Series:
    """One row with the right type, a value that occurred: enough to build the structure of a model matrix."""
    return _series(column, np.array([column.get("value", 0)]))


def plain(value: Any) -> Any:
    """JSON's types only; dicts become lists of pairs, since their keys may be numbers."""
    if isinstance(value, dict):
        return {"pairs": [[plain(k), plain(v)] for k, v in value.items()]}
    if isinstance(value, np.ndarray):
        return {"array": value.tolist()}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise SavedModelError(f"a transform's state of type {type(value).__name__} cannot be saved; remove that transform")


def from_plain(value: Any) -> Any:
    """What `plain` was given."""
    if isinstance(value, dict):
        if "array" in value:
            return np.asarray(value["array"])
        return {_key(k): from_plain(v) for k, v in value["pairs"]}
    return [from_plain(v) for v in value] if isinstance(value, list) else value


def _key(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
