"""Cross-products of a design: what the likelihood needs of the rows. The n axis ends here.

With F = [1 X y] and W the weights, everything is a sum over rows,

    Z_tᵀWZ_t  (k, k, levels),    Z_tᵀWF  (k, m, levels),    FᵀWF,    Z_sᵀWZ_t for pairs of levels that co-occur,

so that chunks of rows merge by addition. The sums are of shifted and scaled columns (a frame); shifts are
rounded to a few bits of the column's spread and scales are powers of two, so that integer covariates still
give exactly equal blocks. Two frames are brought together by the parallel-variance update (Chan, Golub &
LeVeque 1983, Am. Stat. 37(3)), which in matrix form is a congruence by a unit triangular matrix. The
triangular factor of √W F travels along (tall-skinny QR), for decisions about rank that a Gram matrix cannot
make. Called by `fit`, with the `Design` that `design` built; read by `standard`.
"""

from dataclasses import dataclass, replace

import numpy as np

from jaxlmm.covariance import Structure
from jaxlmm.design import Design, RandomEffects

QR_ROWS = 65536
"""Rows per panel of the tall-skinny QR: large enough for BLAS, small enough for the cache."""

SINGULAR_PIVOT = 1e-12
"""A pivot of a level's Z_gᵀWZ_g below this fraction of its diagonal is the rounding error of a zero."""

SHIFT_BITS = 4
"""Shifts are multiples of the column's spread (as a power of two) divided by 2**SHIFT_BITS."""


@dataclass(frozen=True)
class Frame:
    """Shifts and scales of a block of columns: user's column = shift + scale * stored column.

    Attributes
    ----------
    shift, scale : (c,) arrays
        Of each column; a column without a constant beside it has shift zero.
    constant : (c,) int array
        Index of the constant column that absorbs a shift of this column, or -1.
    """

    shift: np.ndarray
    scale: np.ndarray
    constant: np.ndarray

    @classmethod
    def of(cls, columns: np.ndarray, constant: np.ndarray) -> "Frame":
        """Frame of the columns (n, c), given which constant column each may lean on."""
        shift, scale = np.zeros(columns.shape[1]), np.ones(columns.shape[1])
        for j in range(columns.shape[1]):
            column, leans = columns[:, j], constant[j] >= 0
            deviation = column - column[0]
            mean, spread = deviation.mean(), deviation.std()
            if leans and spread > 0:
                grid = np.exp2(np.floor(np.log2(spread)) - SHIFT_BITS)
                shift[j] = np.round((column[0] + mean) / grid) * grid
            size = np.sqrt(np.mean((column - shift[j]) ** 2))
            if size > 0 and np.isfinite(size):
                scale[j] = power_of_two(size)
        return cls(shift, scale, constant)

    def map_to(self, other: "Frame") -> np.ndarray:
        """Matrix A with (columns stored in `other`) = (columns stored here) A."""
        change = np.diag(self.scale / other.scale)
        for j in np.flatnonzero(self.constant >= 0):
            if self.constant[j] != j:
                change[self.constant[j], j] += (self.shift[j] - other.shift[j]) / other.scale[j]
        return change

    def to_user(self) -> np.ndarray:
        """Matrix A with (the user's columns) = (columns stored here) A."""
        return self.map_to(Frame(np.zeros_like(self.shift), np.ones_like(self.scale), self.constant))


def power_of_two(value: float) -> float:
    """The power of two next to a positive value."""
    return float(np.exp2(np.round(np.log2(value))))


@dataclass(frozen=True)
class FactorSums:
    """Sums over rows for one grouping factor, with batch axis (levels) last.

    Attributes
    ----------
    zz : (k, k, levels) array
        Z_gᵀWZ_g of each level.
    zf : (k, m, levels) array
        Z_gᵀWF of each level.
    frame : Frame
        Of the k columns.
    terms : tuple of Structure
        Covariance structures of the terms.
    """

    zz: np.ndarray
    zf: np.ndarray
    frame: Frame
    terms: tuple[Structure, ...]

    @property
    def n_levels(self) -> int:
        """Number of levels."""
        return self.zz.shape[2]


@dataclass(frozen=True)
class Pairs:
    """Z_sᵀWZ_t for the pairs of levels of two factors that occur together.

    Attributes
    ----------
    first, second : (P,) int arrays
        Levels of the two factors, sorted by first, then second.
    block : (k_s, k_t, P) array
        Their cross-products.
    """

    first: np.ndarray
    second: np.ndarray
    block: np.ndarray


@dataclass(frozen=True)
class CrossProducts:
    """Sums over rows of a design: a monoid under `merge`.

    Attributes
    ----------
    factors : tuple of FactorSums
        One per grouping factor, in the design's order.
    pairs : dict of (s, t) to Pairs
        For s < t.
    ff : (m, m) array
        FᵀWF, F = [1 X y].
    triangle : (m, m) array
        R with RᵀR = FᵀWF, from a QR factorization of √W F.
    within : (m, m) array or None
        Such a triangular factor of √W F after every level's Z_g has been projected out of its rows; only of designs
        with one grouping factor.
    frame : Frame
        Of the m columns of F.
    n_obs : int
        Number of rows.
    sum_log_weights : float
        Σ log w.
    """

    factors: tuple[FactorSums, ...]
    pairs: dict[tuple[int, int], Pairs]
    ff: np.ndarray
    triangle: np.ndarray
    within: np.ndarray | None
    frame: Frame
    n_obs: int
    sum_log_weights: float

    @classmethod
    def from_design(cls, design: Design) -> "CrossProducts":
        """Sum over the rows of a design."""
        f = np.column_stack([np.ones(design.n_obs), design.x, design.y])
        frame = Frame.of(f, np.zeros(f.shape[1], dtype=int))
        f = (f - frame.shift) / frame.scale
        weights = design.weights
        wf = f if weights is None else f * weights[:, None]
        factors, stored = [], []
        for block in design.random:
            z_frame = Frame.of(block.z, _constant_columns(block))
            z = (block.z - z_frame.shift) / z_frame.scale
            wz = z if weights is None else z * weights[:, None]
            factors.append(_factor_sums(block, z, wz, wf, z_frame))
            stored.append((block, z, wz))
        pairs = {
            (s, t): _pair_sums(*stored[s][::2], *stored[t][:2])
            for s in range(len(factors))
            for t in range(s + 1, len(factors))
        }
        return cls(
            tuple(factors),
            pairs,
            wf.T @ f,
            _triangle(f if weights is None else f * np.sqrt(weights)[:, None]),
            _within(stored[0], factors[0], f, weights) if len(factors) == 1 else None,
            frame,
            design.n_obs,
            0.0 if weights is None else float(np.log(weights).sum()),
        )

    def merge(self, other: "CrossProducts") -> "CrossProducts":
        """Sums over the rows of both; the two must number their levels alike."""
        other = other.reframe(self.frame, tuple(f.frame for f in self.factors))
        factors = tuple(
            replace(a, zz=a.zz + b.zz, zf=a.zf + b.zf) for a, b in zip(self.factors, other.factors, strict=True)
        )
        pairs = {key: _merge_pairs(self.pairs[key], other.pairs[key]) for key in self.pairs}
        return CrossProducts(
            factors,
            pairs,
            self.ff + other.ff,
            _triangle(np.vstack([self.triangle, other.triangle])),
            _merged_within(self, other),
            self.frame,
            self.n_obs + other.n_obs,
            self.sum_log_weights + other.sum_log_weights,
        )

    def reframe(self, frame: Frame, factor_frames: tuple[Frame, ...]) -> "CrossProducts":
        """The same sums with columns shifted and scaled as in the given frames."""
        change = self.frame.map_to(frame)
        changes = [f.frame.map_to(new) for f, new in zip(self.factors, factor_frames, strict=True)]
        factors = tuple(
            replace(
                f,
                zz=np.einsum("ia,ijl,jb->abl", a, f.zz, a),
                zf=np.einsum("ia,ijl,jb->abl", a, f.zf, change),
                frame=new,
            )
            for f, a, new in zip(self.factors, changes, factor_frames, strict=True)
        )
        pairs = {
            (s, t): replace(p, block=np.einsum("ia,ijl,jb->abl", changes[s], p.block, changes[t]))
            for (s, t), p in self.pairs.items()
        }
        return replace(
            self,
            factors=factors,
            pairs=pairs,
            ff=change.T @ self.ff @ change,
            triangle=self.triangle @ change,
            within=None if self.within is None else self.within @ change,
            frame=frame,
        )


def _constant_columns(block: RandomEffects) -> np.ndarray:
    """For each column of z, the constant column of its term that may absorb a shift, or -1."""
    constant = np.full(block.z.shape[1], -1)
    offset = 0
    for term in block.terms:
        columns = range(offset, offset + term.size)
        ones = [j for j in columns if term.shiftable and np.all(block.z[:, j] == 1.0)]
        if ones:
            constant[list(columns)] = ones[0]
        offset += term.size
    return constant


def _factor_sums(block, z, wz, wf, frame) -> FactorSums:
    k, m, levels = z.shape[1], wf.shape[1], block.n_levels
    zz, zf = np.empty((k, k, levels)), np.empty((k, m, levels))
    for i in range(k):
        for j in range(i, k):
            zz[i, j] = zz[j, i] = _sum_by(block.codes, wz[:, i] * z[:, j], levels)
        for j in range(m):
            zf[i, j] = _sum_by(block.codes, z[:, i] * wf[:, j], levels)
    return FactorSums(zz, zf, frame, block.terms)


def _pair_sums(first: RandomEffects, wz_first, second: RandomEffects, z_second) -> Pairs:
    keys = first.codes.astype(np.int64) * second.n_levels + second.codes
    distinct, where = np.unique(keys, return_inverse=True)
    block = np.empty((wz_first.shape[1], z_second.shape[1], distinct.size))
    for i in range(block.shape[0]):
        for j in range(block.shape[1]):
            block[i, j] = _sum_by(where, wz_first[:, i] * z_second[:, j], distinct.size)
    return Pairs(distinct // second.n_levels, distinct % second.n_levels, block)


def lower_blocks(zz: np.ndarray, zf: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Factor L (k, k, levels) of each level's Z_gᵀWZ_g = LLᵀ, and L⁻¹Z_gᵀWF (k, m, levels).

    With Z_g = Q Lᵀ the second is QᵀF, the part of F that lies in the space of the level's random effects. A level with
    fewer rows than columns has a singular block; its missing directions get zero rows and columns.
    """
    rest, right = zz.copy(), zf.copy()
    lower = np.zeros_like(rest)
    for j in range(rest.shape[0]):
        pivot = rest[j, j].copy()
        present = pivot > SINGULAR_PIVOT * zz[j, j]
        inverse = np.where(present, 1.0, 0.0) / np.sqrt(np.where(present, pivot, 1.0))
        lower[j:, j] = rest[j:, j] * inverse
        right[j] *= inverse
        for i in range(j + 1, rest.shape[0]):
            rest[i, j + 1 :] -= lower[i, j] * lower[j + 1 :, j]
            right[i] -= lower[i, j] * right[j]
    return lower, right


def _within(stored, factor: FactorSums, f: np.ndarray, weights) -> np.ndarray:
    """Triangular factor of F less its projection on each level's Z_g, from the rows, where nothing cancels."""
    block, z, _ = stored
    lower, right = lower_blocks(factor.zz, factor.zf)
    coefficients = back_substitute(lower, right)
    rest = f.copy()
    for i in range(z.shape[1]):
        rest -= z[:, i, None] * coefficients[i].T[block.codes]
    return _triangle(rest if weights is None else rest * np.sqrt(weights)[:, None])


def back_substitute(lower: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Solve Lᵀ x = b for each level; zero where a pivot is zero."""
    x = right.copy()
    for j in reversed(range(lower.shape[0])):
        pivot = lower[j, j]
        x[j] *= np.where(pivot > 0, 1.0, 0.0) / np.where(pivot > 0, pivot, 1.0)
        for i in range(j):
            x[i] -= lower[j, i] * x[j]
    return x


def _merged_within(a: CrossProducts, b: CrossProducts) -> np.ndarray | None:
    """Within-level triangular factor of two chunks: their own, and what differs between a level's two parts."""
    if a.within is None or b.within is None:
        return None
    rows, right = [], []
    for part in (a.factors[0], b.factors[0]):
        lower, projected = lower_blocks(part.zz, part.zf)
        rows.append(lower.transpose(2, 1, 0))
        right.append(projected.transpose(2, 0, 1))
    z, f = np.concatenate(rows, axis=1), np.concatenate(right, axis=1)
    for j in range(z.shape[2]):
        column = z[:, :, j].copy()
        for i in range(j):
            column -= np.einsum("lr,lr->l", z[:, :, i], column)[:, None] * z[:, :, i]
        norm, full = np.linalg.norm(column, axis=1), np.linalg.norm(z[:, :, j], axis=1)
        present = norm > np.sqrt(SINGULAR_PIVOT) * full
        z[:, :, j] = np.where(present[:, None], column / np.where(present, norm, 1.0)[:, None], 0.0)
        f = f - z[:, :, j, None] * np.einsum("lr,lrm->lm", z[:, :, j], f)[:, None, :]
    return _triangle(np.vstack([a.within, b.within, f.reshape(-1, f.shape[2])]))


def _merge_pairs(a: Pairs, b: Pairs) -> Pairs:
    first, second = np.concatenate([a.first, b.first]), np.concatenate([a.second, b.second])
    width = second.max() + 1
    distinct, where = np.unique(first * width + second, return_inverse=True)
    both = np.concatenate([a.block, b.block], axis=2)
    block = np.empty((*a.block.shape[:2], distinct.size))
    for i, j in np.ndindex(block.shape[:2]):
        block[i, j] = _sum_by(where, both[i, j], distinct.size)
    return Pairs(distinct // width, distinct % width, block)


def _sum_by(codes: np.ndarray, values: np.ndarray, n: int) -> np.ndarray:
    return np.bincount(codes, weights=values, minlength=n)


def _triangle(f: np.ndarray) -> np.ndarray:
    """Triangular factor of a tall matrix, panel by panel; square also when there are few rows."""
    m = f.shape[1]
    triangle = np.zeros((0, m))
    for begin in range(0, f.shape[0], QR_ROWS):
        panel = np.vstack([triangle, f[begin : begin + QR_ROWS]])
        triangle = np.asarray(np.linalg.qr(panel, mode="r"))
    padded = np.zeros((m, m))
    padded[: triangle.shape[0]] = triangle
    return padded
