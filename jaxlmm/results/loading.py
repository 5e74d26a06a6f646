"""`load`: read a fit that `MixedModelResults.save` wrote."""

from __future__ import annotations

import os

from jaxlmm.results import saving
from jaxlmm.results.model import MixedModelResults


def load(path: str | os.PathLike[str], trusted: bool = False) -> MixedModelResults:
    """Read a fit that `MixedModelResults.save` wrote.

    Parameters
    ----------
    path : path
        File to read.
    trusted : bool
        Whether a formula that was fitted with `trusted=True` may be evaluated again. Such a file can run any code.

    Returns
    -------
    MixedModelResults
        Without the rows of the data unless they were saved: everything but fitted values, residuals, `simulate`,
        `augment`, `refit` and `update` works.

    Raises
    ------
    SavedModelError
        When the file is absent, damaged, or not a model that this version can read.

    Examples
    --------
    >>> import jaxlmm, tempfile, os
    >>> fit = jaxlmm.lmer("Yield ~ 1 + (1 | Batch)", jaxlmm.load_dataset("dyestuff"))
    >>> path = os.path.join(tempfile.mkdtemp(), "dyestuff.npz")
    >>> fit.save(path)
    >>> jaxlmm.load(path).params.round(1)
    Intercept    1527.5
    dtype: float64
    """
    return MixedModelResults(*saving.read(path, trusted))
