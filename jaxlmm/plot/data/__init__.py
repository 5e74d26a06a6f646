"""The numbers of every plot, as a pandas DataFrame: `jaxlmm.plot.data.caterpillar(fit)` is what `plot.caterpillar` draws."""

from jaxlmm.plot.data import asked
from jaxlmm.plot.data.effects import caterpillar, ranef_qq, shrinkage
from jaxlmm.plot.data.judgements import coefficients, influence, profile_bounds, profile_density, profile_zeta
from jaxlmm.plot.data.lanes import (
    bootstrap_bounds,
    bootstrap_correlation,
    bootstrap_density,
    bootstrap_ridgeline,
    variance_fractions,
    volcano,
)
from jaxlmm.plot.data.means import emmeans, emmeans_rows
from jaxlmm.plot.data.rows import resid_fitted, resid_qq, resid_smooth
from jaxlmm.plot.data.trajectories import trajectories

__all__ = [
    "asked",
    "bootstrap_bounds",
    "bootstrap_correlation",
    "bootstrap_density",
    "bootstrap_ridgeline",
    "caterpillar",
    "coefficients",
    "emmeans",
    "emmeans_rows",
    "influence",
    "profile_bounds",
    "profile_density",
    "profile_zeta",
    "ranef_qq",
    "resid_fitted",
    "resid_qq",
    "resid_smooth",
    "shrinkage",
    "trajectories",
    "variance_fractions",
    "volcano",
]
