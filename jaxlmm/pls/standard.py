"""Standard coordinates: the cross-products as the criterion wants them, and the way back to the user's.

After the last merge the fixed-effects columns that are linearly dependent are found and left out, the others
are orthogonalized, X T with (XT)ᵀW(XT) = (Σw) I, and y is replaced by its least-squares residual in units of
a power of two near its standard deviation:

    y = X β_ols + c r,      X T = Q √Σw,      w = ω w̃ with ω a power of four.

So no scale or origin of the user's columns reaches the optimizer. What comes back: β = β_ols + c T β̃,
σ = c √ω σ̃, b = c A b̃ with A the frame of the factor's columns, and

    d = d̃ + n log c²  (ML),      d = d̃ + (n-p) log c² - 2 log|det T|  (REML).

Called by `fit`; the plans see only `Gram` and `Response`.
"""

from dataclasses import dataclass

import numpy as np

from jaxlmm.covariance import Structure
from jaxlmm.errors import DesignError
from jaxlmm.pls.crossprod import CrossProducts
from jaxlmm.pls.frames import Frame, power_of_two
from jaxlmm.pls.rows import Pairs

RANK_TOLERANCE = 1e-7
"""A column whose part orthogonal to the columns before it is below this fraction of it is redundant (R's lm)."""

SUSPICIOUS, WORST_CONDITION = 1e-4, 1e-11
"""Columns that each pass may fail together: once one is closer to the others than the first, all kept columns must have
a condition that leaves digits (smallest singular value at unit norms above the second)."""

CONSTANT = 1e-10
"""A column whose part orthogonal to the constant is below this fraction of it is constant."""

EXACT_FIT = 1e-14
"""Residual norm relative to the response's, below which nothing is left for the random effects to explain."""


@dataclass(frozen=True)
class Gram:
    """Cross-products of the columns of the model, in standard coordinates (arrays with levels last).

    Attributes
    ----------
    zz : tuple of (k, k, levels) arrays
        One per grouping factor.
    zx : tuple of (k, p, levels) arrays
        Random with fixed columns.
    pairs : dict of (s, t) to Pairs
        Blocks between two factors.
    xx : float
        The diagonal of XᵀWX, which is a multiple of the identity.
    within : (p, p) array or None
        XᵀWX after the projection of each level's Z_g, of designs with one grouping factor.
    """

    zz: tuple[np.ndarray, ...]
    zx: tuple[np.ndarray, ...]
    pairs: dict[tuple[int, int], Pairs]
    xx: float
    within: np.ndarray | None


@dataclass(frozen=True)
class Response:
    """Cross-products with the response: XᵀWy is zero in standard coordinates.

    Attributes
    ----------
    zy : tuple of (k, levels) arrays
        Random columns with the response.
    yy : float
        Residual sum of squares of the least-squares fit.
    within : (p + 1,) array or None
        XᵀWy and yᵀWy after the projection of each level's Z_g, of designs with one grouping factor.
    """

    zy: tuple[np.ndarray, ...]
    yy: float
    within: np.ndarray | None


@dataclass(frozen=True)
class Basis:
    """How rows of the user's columns come into standard coordinates.

    Attributes
    ----------
    frame, factor_frames : Frame, tuple of Frame
        In which [1 X y] and the columns of each grouping factor are stored.
    to_x : (p_all + 1, p) array
        XT from the stored columns of [1 X].
    of_ones : (p,) array
        Coefficients of the user's kept columns that make a column of ones; zero where none do.
    """

    frame: Frame
    factor_frames: tuple[Frame, ...]
    to_x: np.ndarray
    of_ones: np.ndarray


@dataclass(frozen=True)
class Coordinates:
    """The way back from standard coordinates to the user's.

    Attributes
    ----------
    kept, dropped : int arrays
        Columns of the user's X that are estimated, and those that are redundant.
    beta : (p,) array
        Least-squares coefficients of the kept columns.
    transform : (p, p) array
        T, upper triangular.
    log_det : float
        log|det T|.
    scale : float
        c, the unit of the response.
    weight_scale : float
        ω, the unit of the weights.
    factor_maps : tuple of (k, k) arrays
        A of each grouping factor: b = c A b̃.
    terms : tuple of tuple of Structure
        Covariance structures of each factor's terms.
    n_obs : int
        Number of rows.
    sum_log_weights : float
        Σ log w̃, of the scaled weights.
    basis : Basis or None
        How rows come into these coordinates; None for a fit that was read from a file.
    """

    kept: np.ndarray
    dropped: np.ndarray
    beta: np.ndarray
    transform: np.ndarray
    log_det: float
    scale: float
    weight_scale: float
    factor_maps: tuple[np.ndarray, ...]
    terms: tuple[tuple[Structure, ...], ...]
    n_obs: int
    sum_log_weights: float
    basis: Basis | None = None

    @property
    def n_fixed(self) -> int:
        """Number of estimated coefficients."""
        return self.kept.size

    @property
    def sigma_unit(self) -> float:
        """σ in the user's units over σ in standard coordinates."""
        return float(self.scale * np.sqrt(self.weight_scale))

    def unscaled(self, standard: np.ndarray) -> np.ndarray:
        """A matrix (p, p) of standard coefficients, over σ̃², as one of the user's over σ²."""
        user = self.transform @ standard @ self.transform.T / self.weight_scale
        return 0.5 * (user + user.T)

    def objective(self, standard: float, reml: bool) -> float:
        """The user's deviance or REML criterion, from the one in standard coordinates."""
        degrees = self.n_obs - (self.n_fixed if reml else 0)
        change = degrees * 2.0 * np.log(self.scale) - (2.0 * self.log_det if reml else 0.0)
        return float(standard + change)


def exact_fit() -> DesignError:
    """The error for a response in the space of the fixed effects."""
    return DesignError(
        "the fixed effects reproduce the response exactly (residual sum of squares 0), so there is nothing "
        "left to attribute to random effects; check the response, or remove fixed effects"
    )


def standardize(cross: CrossProducts) -> tuple[Gram, Response, Coordinates]:
    """Bring cross-products into standard coordinates.

    Raises
    ------
    DesignError
        When the fixed effects reproduce the response exactly.
    """
    omega = float(power_of_two(cross.triangle[0, 0] ** 2 / cross.n_obs))
    omega = omega if np.log2(omega) % 2 == 0 else 2.0 * omega
    triangle = cross.triangle / np.sqrt(omega)
    to_user = cross.frame.to_user()
    user = triangle @ to_user
    # Means of the columns; of a constant one its value, exactly, where the triangle has rounding errors.
    values = cross.ff[0] @ to_user / cross.ff[0, 0]
    ones, response = triangle[:, 0], triangle[:, -1] * cross.frame.scale[-1]
    origin = cross.frame.shift[-1]

    kept, dropped = independent_columns(user[:, 1:-1], triangle[:, 1:-1] * cross.frame.scale[1:-1])
    columns, back = _centered(cross.frame, to_user, triangle, kept, values)
    basis, upper = _orthonormal(triangle @ columns)
    along_ones = basis.T @ ones
    has_constant = np.linalg.norm(ones - basis @ along_ones) <= RANK_TOLERANCE * np.linalg.norm(ones)
    if not has_constant:
        response, origin = response + origin * ones, 0.0
    beta = np.linalg.solve(upper, basis.T @ response) if kept.size else np.zeros(0)
    residual = response - basis @ (basis.T @ response)
    residual = residual - basis @ (basis.T @ residual)
    size = np.linalg.norm(residual)
    if not size > EXACT_FIT * np.linalg.norm(response + origin * ones):
        raise exact_fit()
    total = float(ones @ ones)
    scale = float(power_of_two(size / np.sqrt(total)))
    orthogonal = np.linalg.solve(upper, np.eye(kept.size)) * np.sqrt(total)
    transform = back @ orthogonal

    # Columns stored in the frame, combined into XT and into the residual of y.
    to_x = columns @ orthogonal
    to_y = -(columns @ beta)
    to_y[-1] += cross.frame.scale[-1]
    if not has_constant:
        to_y[0] += cross.frame.shift[-1]
    to_y /= scale

    within_xx, within_xy = _within(cross.within, to_x / np.sqrt(omega), to_y / np.sqrt(omega))
    gram = Gram(
        tuple(f.zz / omega for f in cross.factors),
        tuple(np.einsum("kml,mp->kpl", f.zf, to_x) / omega for f in cross.factors),
        {key: Pairs(p.first, p.second, p.block / omega) for key, p in cross.pairs.items()},
        total,
        within_xx,
    )
    zy = tuple(np.einsum("kml,m->kl", f.zf, to_y) / omega for f in cross.factors)
    of_ones = np.zeros(kept.size)
    constant = _constant_column(triangle, kept)
    if has_constant and constant is not None:
        of_ones[constant] = 1.0 / values[1 + kept[constant]]
    elif has_constant:
        of_ones = back @ np.linalg.solve(upper, along_ones)
    coordinates = Coordinates(
        kept,
        dropped,
        back @ beta + of_ones * origin,
        transform,
        float(np.log(np.abs(np.diagonal(orthogonal))).sum()),
        scale,
        omega,
        tuple(np.linalg.inv(f.frame.to_user()) for f in cross.factors),
        tuple(f.terms for f in cross.factors),
        cross.n_obs,
        cross.sum_log_weights - cross.n_obs * np.log(omega),
        Basis(cross.frame, tuple(f.frame for f in cross.factors), to_x[:-1], of_ones),
    )
    return gram, Response(zy, float(size / scale) ** 2, within_xy), coordinates


def _within(triangle: np.ndarray | None, to_x: np.ndarray, to_y: np.ndarray):
    """Within-level XᵀWX (p, p), and XᵀWy with yᵀWy (p + 1,), from their triangular factor."""
    if triangle is None:
        return None, None
    x, y = triangle @ to_x, triangle @ to_y
    return x.T @ x, np.append(x.T @ y, y @ y)


def _constant_column(triangle: np.ndarray, kept: np.ndarray) -> int | None:
    """Which of the kept columns is a constant one, if any; as stored, every other is centered."""
    own = triangle[:, 1 + kept]
    found = np.flatnonzero(np.linalg.norm(own[1:], axis=0) <= CONSTANT * np.linalg.norm(own, axis=0))
    return int(found[0]) if found.size else None


def _centered(
    frame, to_user: np.ndarray, triangle: np.ndarray, kept: np.ndarray, values: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Columns (m, p) that make the kept columns, centered where a constant stands beside them; and the way back.

    With X the user's columns and X_c the centered ones, X_c = X `back`, so that coefficients of X are `back` times those
    of X_c. The orthogonalization sees X_c only: how far a covariate is from zero costs no digits.
    """
    columns, back = to_user[:, 1 + kept].copy(), np.eye(kept.size)
    constant = _constant_column(triangle, kept)
    if constant is None:
        return columns, back
    value = values[1 + kept[constant]]
    for j in range(kept.size):
        if j != constant:
            columns[0, j] = 0.0
            back[constant, j] = -frame.shift[1 + kept[j]] / value
    return columns, back


def independent_columns(user: np.ndarray, centered: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Split columns into those that are kept and those that depend on the columns before them.

    Parameters
    ----------
    user : (m, p) array
        Coordinates of the columns in an orthonormal basis (a triangular factor).
    centered : (m, p) array
        The same columns less a multiple of the constant: what they are measured against when a constant
        column is among them, so that the decision does not depend on the origin of a covariate.

    Returns
    -------
    kept, dropped : int arrays
        In the user's order; R's limited pivoting moves redundant columns to the end and drops them there.
    """
    norms, own = np.linalg.norm(user, axis=0), np.linalg.norm(centered, axis=0)
    constant = (np.linalg.norm(centered[1:], axis=0) <= CONSTANT * own) & (norms > 0)
    reference = np.where(constant | ~constant.any(), norms, own)
    directions = np.zeros((user.shape[0], 0))
    kept: list[int] = []
    dropped: list[int] = []
    suspicious = False
    for j in range(user.shape[1]):
        rest = user[:, j]
        for _ in range(2):
            rest = rest - directions @ (directions.T @ rest)
        size = np.linalg.norm(rest)
        floor = 64 * np.finfo(float).eps * norms[j]
        independent = size > max(RANK_TOLERANCE * reference[j], floor)
        suspicious |= bool(independent and size < SUSPICIOUS * reference[j])
        if independent and suspicious:
            chosen = np.asarray([*kept, j])
            together = user[:, chosen] / norms[chosen]
            independent = np.linalg.svd(together, compute_uv=False)[-1] > WORST_CONDITION
        if independent:
            kept.append(j)
            directions = np.column_stack([directions, rest / size])
        else:
            dropped.append(j)
    return np.asarray(kept, dtype=int), np.asarray(dropped, dtype=int)


def _orthonormal(columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """QR factorization with a positive diagonal."""
    basis, upper = np.linalg.qr(columns)
    signs = np.where(np.diagonal(upper) < 0, -1.0, 1.0)
    return basis * signs, upper * signs[:, None]
