"""Plots of fits, with matplotlib (extra `plot`); the numbers of each are a table of the same name in `jaxlmm.plot.data`."""

from jaxlmm.plot import data
from jaxlmm.plot.coefficients import coefficients
from jaxlmm.plot.effects import caterpillar, ranef_qq, shrinkage
from jaxlmm.plot.influence import influence
from jaxlmm.plot.many import variance_fractions, volcano
from jaxlmm.plot.means import emmeans
from jaxlmm.plot.profiles import profile_density, profile_zeta
from jaxlmm.plot.replicates import bootstrap_correlation, bootstrap_density, bootstrap_ridgeline
from jaxlmm.plot.residuals import overview, resid_fitted, resid_qq
from jaxlmm.plot.trajectories import trajectories

__all__ = [
    "bootstrap_correlation",
    "bootstrap_density",
    "bootstrap_ridgeline",
    "caterpillar",
    "coefficients",
    "data",
    "emmeans",
    "influence",
    "overview",
    "profile_density",
    "profile_zeta",
    "ranef_qq",
    "resid_fitted",
    "resid_qq",
    "shrinkage",
    "trajectories",
    "variance_fractions",
    "volcano",
]
