"""The design as arrays: where DataFrames have ended and names are gone.

Z is never formed. One grouping factor with k random-effects columns is two arrays, `codes` (n,) and `z`
(n, k): row i of Z is zero except in the k columns of level codes[i], where it is z[i]. All terms on the same
factor share one block, with Λ block diagonal over the terms.
"""

import numpy as np

from jaxlmm.covariance import Structure
from jaxlmm.pytrees import pytree, static


@pytree
class RandomEffects:
    """The random effects of one grouping factor: a block-sparse operator.

    Attributes
    ----------
    codes : (n,) int array
        Level of each row, 0 to n_levels - 1; every level occurs.
    z : (n, k) array
        Values of the k columns.
    n_levels : int
        Number of levels.
    terms : tuple of Structure
        Covariance structures of the terms; their sizes add up to k.
    """

    codes: np.ndarray
    z: np.ndarray
    n_levels: int = static()
    terms: tuple[Structure, ...] = static()


@pytree
class Design:
    """Everything that the likelihood needs to know of the data.

    Attributes
    ----------
    x : (n, p) array
        Fixed-effects model matrix in the user's columns.
    y : (n,) array
        Response, the offset already subtracted.
    weights : (n,) array or None
        Precision weights, positive; None means ones.
    random : tuple of RandomEffects
        One per grouping factor.
    """

    x: np.ndarray
    y: np.ndarray
    weights: np.ndarray | None
    random: tuple[RandomEffects, ...]

    @property
    def n_obs(self) -> int:
        """Number of rows."""
        return self.y.shape[0]

    @property
    def n_fixed(self) -> int:
        """Number of fixed-effects columns."""
        return self.x.shape[1]

    @property
    def row_weights(self) -> np.ndarray:
        """Weights (n,), ones where none were given."""
        return np.ones(self.n_obs) if self.weights is None else self.weights

    def rows(self, index: slice | np.ndarray) -> "Design":
        """The same design on a part of the rows; levels keep their numbers."""
        return Design(
            self.x[index],
            self.y[index],
            None if self.weights is None else self.weights[index],
            tuple(RandomEffects(f.codes[index], f.z[index], f.n_levels, f.terms) for f in self.random),
        )
