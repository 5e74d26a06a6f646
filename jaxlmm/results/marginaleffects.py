"""The fixed effects of a fit as the package marginaleffects wants a model. Called by `judgements`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from jaxlmm.design import NewData
from jaxlmm.errors import DataError
from jaxlmm.formula import variables_of
from jaxlmm.report import Fitted

if TYPE_CHECKING:
    import polars as pl


def as_marginaleffects(fitted: Fitted) -> Any:
    """A model for marginaleffects.predictions, .comparisons, .slopes and .hypotheses: population means.

    Raises
    ------
    DataError
        When the package is not installed, or the fit was loaded without its rows.
    """
    try:
        import polars
        from marginaleffects.classes.model import ModelAbstract, ModelVault
    except ImportError:
        raise DataError(
            "to_marginaleffects() needs the package marginaleffects, 0.6 or later; install it with pip install "
            "'jaxlmm[marginaleffects]'"
        ) from None
    frame, kept = fitted.frame, fitted.model.coordinates.kept
    frame.with_rows()

    class PopulationMeans(ModelAbstract):
        """Predictions without random effects."""

        def get_exog(self, newdata: pl.DataFrame) -> np.ndarray:
            return NewData(frame, polars.DataFrame(newdata).to_pandas(), (), ()).fixed()[:, kept]

        def get_predict(self, params: np.ndarray, newdata: Any) -> pl.DataFrame:
            exog = newdata if isinstance(newdata, np.ndarray) else self.get_exog(newdata)
            rows = polars.Series("rowid", range(len(exog)), dtype=polars.Int32)
            return polars.DataFrame([rows, polars.Series("estimate", exog @ np.asarray(params).ravel())])

        def get_vcov(self, vcov: Any = True) -> np.ndarray | None:
            return None if vcov is False else self.vault.vcov

        def get_df(self) -> float:
            return float(np.inf)

    table, response = frame.table, list(variables_of(frame.formula.response or ()))
    variables = [*response[:1], *variables_of(frame.formula.fixed)]
    return PopulationMeans(
        fitted,
        ModelVault(
            coef=fitted.fit.beta.copy(),
            coefnames=np.array(fitted.coefficients, dtype=object),
            # Read there for the names of variables only; rows are coded by the fit's own specification.
            formula=f"{variables[0]} ~ {' + '.join(variables[1:]) or '1'}",
            modeldata=polars.from_pandas(table.reset_index(drop=True)),
            package="jaxlmm",
            vcov=fitted.reference.covariance(fitted.method()),
            variables_type={name: _kind(table[name]) for name in table},
            variable_names=variables,
        ),
    )


def _kind(column: Any) -> str:
    return "numeric" if column.dtype.kind in "fiu" else "character"
