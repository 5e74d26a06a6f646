"""More responses over the rows of one design: their cross-products without summing those of X and Z again.

With X̃ the columns in standard coordinates, X̃ᵀWX̃ = (Σw) I, and o the coefficients that make a column of ones of X where it
has one, a response y with mean m is taken apart as

    y = X (T β̃ + m o) + c r,      β̃ = X̃ᵀW(y - m)/Σw,

twice, so that r is orthogonal to X̃ to the last digit, and only Z_tᵀWr and rᵀWr are summed: two sparse products for any
number of responses at once. With one grouping factor, what each level's Z_g explains is taken off the rows themselves, as in
`rows`. Called by `fit`, for refits and for lanes.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from scipy import sparse

from jaxlmm.design import Design
from jaxlmm.linalg import back_substitute, lower_blocks
from jaxlmm.pls.crossprod import CrossProducts
from jaxlmm.pls.frames import power_of_two
from jaxlmm.pls.rows import stored_columns
from jaxlmm.pls.standard import EXACT_FIT, Basis, Coordinates, Gram, Response, exact_fit, standardize


@dataclass(frozen=True)
class Responses:
    """Cross-products of R responses in the standard coordinates of one design, each in its own unit.

    Attributes
    ----------
    zy : tuple of (k, levels, R) arrays
        Random columns with the responses.
    yy : (R,) array
        Residual sums of squares of the least-squares fits.
    within : (p + 1, R) array or None
        XᵀWy and yᵀWy after the projection of each level's Z_g, of designs with one grouping factor.
    beta : (p, R) array
        Least-squares coefficients in the user's columns.
    scale : (R,) array
        c, the units; 1 where `exact`.
    exact : (R,) bool array
        Whether the fixed effects alone reproduce the response, so that there is nothing to fit.
    """

    zy: tuple[np.ndarray, ...]
    yy: np.ndarray
    within: np.ndarray | None
    beta: np.ndarray
    scale: np.ndarray
    exact: np.ndarray

    def one(self, lane: int = 0) -> Response:
        """The response of one lane."""
        within = None if self.within is None else self.within[:, lane]
        return Response(tuple(zy[:, :, lane] for zy in self.zy), float(self.yy[lane]), within)

    def coordinates(self, base: Coordinates, lane: int = 0) -> Coordinates:
        """The way back of one lane.

        Raises
        ------
        DesignError
            When the fixed effects reproduce the response.
        """
        if self.exact[lane]:
            raise exact_fit()
        return replace(base, beta=self.beta[:, lane], scale=float(self.scale[lane]))


class Residuals(NamedTuple):
    """Rows of responses without their fixed effects, in their units.

    Attributes
    ----------
    rest : (n, R) array
        r.
    square : (R,) array
        Weighted sum of squares in the user's units.
    scale, exact : (R,) arrays
        As in `Responses`.
    zy : tuple of (k, levels, R) arrays
        Z_tᵀWr.
    beta : (p, R) array
        Least-squares coefficients in the user's columns.
    """

    rest: np.ndarray
    square: np.ndarray
    scale: np.ndarray
    exact: np.ndarray
    zy: tuple[np.ndarray, ...]
    beta: np.ndarray

    @property
    def yy(self) -> np.ndarray:
        """Weighted sum of squares (R,) in the responses' units."""
        return self.square / self.scale**2


@dataclass(frozen=True)
class Responder:
    """What reduces responses: the rows of one design, in standard coordinates.

    Attributes
    ----------
    x : (n, p) array
        X̃.
    weights : (n,) array or None
        w̃, in their own unit.
    zt : tuple of sparse (k levels, n) arrays
        Z_tᵀW̃ of each grouping factor, column by column.
    z : sparse (n, k levels) array or None
        Z, of designs with one grouping factor.
    codes, columns : (n,) int array and (k, n) array, or None
        Level of each row and what stands there in Z, of designs with one grouping factor.
    within_x : (n, p) array or None
        X̃ less its projection on each level's Z_g, of designs with one grouping factor.
    gram : Gram
        Cross-products of the design.
    coordinates : Coordinates
        The way back.
    basis : Basis
        The way here.
    """

    x: np.ndarray
    weights: np.ndarray | None
    zt: tuple[sparse.csr_array, ...]
    z: sparse.csr_array | None
    codes: np.ndarray | None
    columns: np.ndarray | None
    within_x: np.ndarray | None
    gram: Gram
    coordinates: Coordinates
    basis: Basis

    @classmethod
    def of(cls, design: Design, gram: Gram, coordinates: Coordinates) -> "Responder":
        """From a design and what `standardize` made of it."""
        basis = coordinates.basis or standardize(CrossProducts.from_design(design))[2].basis
        assert basis is not None
        x, blocks = stored_columns(design, basis.frame, basis.factor_frames)
        x = x @ basis.to_x
        weights = None if design.weights is None else design.weights / coordinates.weight_scale
        n = design.n_obs
        weighted, plain = [], []
        for z, block in zip(blocks, design.random, strict=True):
            k, rows = z.shape[1], np.tile(np.arange(n), z.shape[1])
            columns = np.concatenate([j * block.n_levels + block.codes.astype(np.int64) for j in range(k)])
            values = z.T.ravel()
            shape = (k * block.n_levels, n)
            weighed = values if weights is None else values * np.tile(weights, k)
            if weights is None:
                weighed = weighed / coordinates.weight_scale
            weighted.append(sparse.csr_array((weighed, (columns, rows)), shape=shape))
            plain.append(sparse.csr_array((values, (rows, columns)), shape=shape[::-1]))
        if len(plain) > 1:
            return cls(x, weights, tuple(weighted), None, None, None, None, gram, coordinates, basis)
        codes, columns = design.random[0].codes, blocks[0].T
        own = cls(x, weights, tuple(weighted), plain[0], codes, columns, None, gram, coordinates, basis)
        return replace(own, within_x=own.less_levels(x, gram.zx[0].swapaxes(1, 2)))

    def reduce(self, y: np.ndarray) -> Responses:
        """Cross-products of responses (n, R), from which an offset has been subtracted already."""
        found = self.residuals(y)
        within = None
        if self.within_x is not None:
            inside = self.less_levels(found.rest, found.zy[0])
            within = np.vstack([self.within_x.T @ self._weighed(inside), self._squares(inside)])
        return Responses(found.zy, found.yy, within, found.beta, found.scale, found.exact)

    def residuals(self, y: np.ndarray) -> Residuals:
        """What the fixed effects leave of responses (n, R)."""
        base, total = self.coordinates, self.gram.xx
        mean = y.mean(axis=0) if self.basis.of_ones.any() else np.zeros(y.shape[1])
        rest = y - mean
        beta = np.zeros((self.x.shape[1], y.shape[1]))
        for _ in range(2):
            along = self.x.T @ self._weighed(rest) / total
            beta += along
            rest -= self.x @ along
        square = self._squares(rest)
        exact = ~(square > EXACT_FIT**2 * self._squares(y))
        scale = np.where(exact, 1.0, power_of_two(np.sqrt(np.where(exact, 1.0, square) / total)))
        rest /= scale
        zy = tuple(
            (zt @ rest).reshape(block.shape[0], block.shape[2], -1)
            for zt, block in zip(self.zt, self.gram.zz, strict=True)
        )
        coefficients = base.transform @ beta + self.basis.of_ones[:, None] * mean
        return Residuals(rest, square, scale, exact, zy, coefficients)

    def level_coefficients(self, zc: np.ndarray) -> np.ndarray:
        """Coefficients (k, c, levels) of columns on each level's Z_g, given Z_gᵀW times them (k, c, levels)."""
        return back_substitute(*lower_blocks(self.gram.zz[0], zc))

    def less_levels(self, columns: np.ndarray, zy: np.ndarray) -> np.ndarray:
        """Columns (n, c) less their projection on each level's Z_g, given Z_gᵀW times them (k, levels, c)."""
        assert self.z is not None
        coefficients = self.level_coefficients(np.ascontiguousarray(zy.swapaxes(1, 2)))
        return columns - self.z @ coefficients.transpose(0, 2, 1).reshape(self.z.shape[1], -1)

    def _weighed(self, columns: np.ndarray) -> np.ndarray:
        """W̃ times columns (n, c)."""
        return columns / self.coordinates.weight_scale if self.weights is None else columns * self.weights[:, None]

    def _squares(self, columns: np.ndarray) -> np.ndarray:
        """Weighted sum of squares of each column."""
        return np.einsum("nc,nc->c", columns, self._weighed(columns))
