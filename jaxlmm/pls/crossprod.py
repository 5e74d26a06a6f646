"""Cross-products of a design: what the likelihood needs of the rows, as a monoid.

`rows` sums over the rows of one part of the data; here parts merge by addition, in any order, once they stand in one frame.
The triangular factor of √W [1 X y] travels along, for decisions about rank that a Gram matrix cannot make. Called by `fit`,
with the `Design` that `design` built; read by `standard`.
"""

from dataclasses import dataclass, replace

import numpy as np

from jaxlmm.design import Design
from jaxlmm.linalg import SINGULAR_PIVOT, lower_blocks
from jaxlmm.pls.frames import Frame
from jaxlmm.pls.rows import FactorSums, Pairs, sum_rows, triangle_of


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
    sum_log_weights : float
        Σ log w.
    n_obs : int
        Number of rows.
    """

    factors: tuple[FactorSums, ...]
    pairs: dict[tuple[int, int], Pairs]
    ff: np.ndarray
    triangle: np.ndarray
    within: np.ndarray | None
    frame: Frame
    sum_log_weights: float
    n_obs: int

    @classmethod
    def from_design(cls, design: Design) -> "CrossProducts":
        """Sum over the rows of a design."""
        sums = sum_rows(design)
        return cls(**sums._asdict(), n_obs=design.n_obs)

    def merge(self, other: "CrossProducts") -> "CrossProducts":
        """Sums over the rows of both; the two must number their levels alike."""
        other = other.reframe(self.frame, tuple(f.frame for f in self.factors))
        factors = tuple(
            replace(a, zz=a.zz + b.zz, zf=a.zf + b.zf, rows=_sum_of_rows(a, b))
            for a, b in zip(self.factors, other.factors, strict=True)
        )
        pairs = {key: merge_pairs(self.pairs[key], other.pairs[key]) for key in self.pairs}
        return CrossProducts(
            factors,
            pairs,
            self.ff + other.ff,
            triangle_of(np.vstack([self.triangle, other.triangle])),
            _merged_within(self, other),
            self.frame,
            self.sum_log_weights + other.sum_log_weights,
            self.n_obs + other.n_obs,
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
    return triangle_of(np.vstack([a.within, b.within, f.reshape(-1, f.shape[2])]))


def merge_pairs(a: Pairs, b: Pairs) -> Pairs:
    """Sums over the pairs of both."""
    first, second = np.concatenate([a.first, b.first]), np.concatenate([a.second, b.second])
    width = second.max() + 1
    distinct, where = np.unique(first * width + second, return_inverse=True)
    both = np.concatenate([a.block, b.block], axis=2)
    block = np.empty((*a.block.shape[:2], distinct.size))
    for i, j in np.ndindex(block.shape[:2]):
        block[i, j] = np.bincount(where, weights=both[i, j], minlength=distinct.size)
    counts = (a.rows, b.rows)
    known = None if a.rows is None or b.rows is None else np.concatenate([own for own in counts if own is not None])
    rows = None if known is None else np.bincount(where, weights=known, minlength=distinct.size)
    return Pairs(distinct // width, distinct % width, block, rows)


def _sum_of_rows(a: FactorSums, b: FactorSums) -> np.ndarray | None:
    return None if a.rows is None or b.rows is None else a.rows + b.rows
