"""F tests of the terms of the fixed effects, with lmerTest's columns."""

from __future__ import annotations

import numpy as np
import pandas as pd

from jaxlmm.design import Frame
from jaxlmm.inference.hypotheses import hypothesis
from jaxlmm.inference.reference import Method, Reference

COLUMNS = ["sum_sq", "mean_sq", "num_df", "den_df", "F", "p_value"]


def f_table(frame: Frame, reference: Reference, kind: int, method: Method) -> pd.DataFrame:
    """One row per term: sum_sq, mean_sq, num_df, den_df, F, p_value.

    Sums of squares are those with which F is a ratio of mean squares: F σ̂² times the degrees of freedom, over Kenward and
    Roger's scale, as in lmerTest. A term whose columns are all redundant has nothing to test, and NaN.
    """
    scale, rows, names = reference.fit.sigma**2, [], []
    for name, combinations in hypothesis(frame, reference.model.coordinates.kept, kind):
        names.append(name)
        if not len(combinations):
            rows.append([np.nan, np.nan, 0, np.nan, np.nan, np.nan])
            continue
        found = reference.test(method, combinations)
        mean = found.statistic * scale / found.scale
        rows.append([mean * found.num_df, mean, found.num_df, found.den_df, found.statistic, found.p_value])
    table = pd.DataFrame(rows, columns=COLUMNS, index=pd.Index(names, dtype=object))
    return table.astype({name: float for name in COLUMNS if name != "num_df"}).astype({"num_df": int})
