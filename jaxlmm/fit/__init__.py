"""From cross-products to certified minima: one lane, or many."""

from jaxlmm.fit.batch import NARROW, Batch, LaneFits, as_lane, batch_of, batch_of_sums, chunks, joined
from jaxlmm.fit.boundary import lifted, numpy_lambdas
from jaxlmm.fit.compiling import compile_cache
from jaxlmm.fit.kenward_roger import Adjusted, adjust, f_test
from jaxlmm.fit.krylov_uncertainty import Estimated
from jaxlmm.fit.lane_modes import fitted_lanes
from jaxlmm.fit.lanes import fit_lanes
from jaxlmm.fit.left_out import LeftOut, Rows, left_out
from jaxlmm.fit.many import Settings, Shared, fit_columns, lane_of_rows
from jaxlmm.fit.record import Certificate, Fit, Model, MonteCarlo
from jaxlmm.fit.row_forms import row_forms
from jaxlmm.fit.satterthwaite import satterthwaite_df
from jaxlmm.fit.second_order import INFORMATION, LARGEST, SecondOrder
from jaxlmm.fit.single import Control, evaluate, fit_model, null_objective, prepare, prepare_sums, reduce, with_response
from jaxlmm.fit.uncertainty import conditional_variances, measured_variances, prediction_variances

__all__ = [
    "INFORMATION",
    "LARGEST",
    "NARROW",
    "Adjusted",
    "Batch",
    "Certificate",
    "Control",
    "Estimated",
    "Fit",
    "LaneFits",
    "LeftOut",
    "Model",
    "MonteCarlo",
    "Rows",
    "SecondOrder",
    "Settings",
    "Shared",
    "adjust",
    "as_lane",
    "batch_of",
    "batch_of_sums",
    "chunks",
    "compile_cache",
    "conditional_variances",
    "evaluate",
    "f_test",
    "fit_columns",
    "fit_lanes",
    "fit_model",
    "fitted_lanes",
    "joined",
    "lane_of_rows",
    "left_out",
    "lifted",
    "measured_variances",
    "null_objective",
    "numpy_lambdas",
    "prediction_variances",
    "prepare",
    "prepare_sums",
    "reduce",
    "row_forms",
    "satterthwaite_df",
    "with_response",
]
