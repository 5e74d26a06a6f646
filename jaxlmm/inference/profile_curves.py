"""The profile of one parameter as a curve: known points of ζ, where to look next, and limits by inverse interpolation.

Bates & Watts 1988, Nonlinear Regression, ch. 6. Nothing is fitted here. Called by `profile`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from jaxlmm.inference.profile_families import Family

FAR = 3.6
"""|ζ| that a profile reaches on both sides unless its parameter ends there."""

LIMIT = 1e-7
"""The error of ζ that is left at a limit."""


@dataclass(frozen=True)
class Curve:
    """The profile of one parameter.

    Attributes
    ----------
    name : str
        lme4's: ".sig01", ".sigma", or the coefficient's.
    family : Family
        What is held fixed.
    bounds : (float, float)
        Of the parameter.
    values, zeta : (m,) arrays
        Ascending values, and ζ there.
    phi : (m, d) array
        All other parameters there.
    """

    name: str
    family: Family
    bounds: tuple[float, float]
    values: np.ndarray
    zeta: np.ndarray
    phi: np.ndarray

    @classmethod
    def begin(cls, name: str, family: Family, bounds: tuple[float, float]) -> Curve:
        """The estimate alone, where ζ is zero."""
        return cls(name, family, bounds, np.array([family.estimate]), np.zeros(1), family.start(1))

    def starts(self, values: np.ndarray) -> np.ndarray:
        """Where lanes at other values start: the known parameters interpolated, or those at the nearest value known."""
        answer = self.phi[np.argmin(np.abs(values[:, None] - self.values), axis=1)]
        for lane, value in enumerate(values):
            at = int(np.searchsorted(self.values, value))
            near = _around(at)
            # Between two minima that mirror each other lies a saddle.
            if self.values.size > 1 and (np.sign(self.phi[near]) == np.sign(self.phi[near][0])).all():
                answer[lane] = _lagrange(self.values[near], value) @ self.phi[near]
        return answer

    def joined(self, values: np.ndarray, zeta: np.ndarray, phi: np.ndarray) -> Curve:
        """The curve with further points."""
        values, order = np.unique(np.append(self.values, values), return_index=True)
        return replace(
            self, values=values, zeta=np.append(self.zeta, zeta)[order], phi=np.vstack([self.phi, phi])[order]
        )


def as_frame(curves: list[Curve]) -> pd.DataFrame:
    """One row per point: parameter, value, zeta."""
    parts = [pd.DataFrame({"parameter": c.name, "value": c.values, "zeta": c.zeta}) for c in curves]
    return pd.concat(parts, ignore_index=True)


def within(values: np.ndarray, estimate: float, bounds: tuple[float, float]) -> np.ndarray:
    """Values inside the bounds: those that would lie outside are moved between the estimate and the bound."""
    low, high = bounds
    below, above = values[values < estimate], values[values > estimate]
    if below.min() < low:
        below = low + (estimate - low) * np.linspace(0.0, 1.0, below.size + 1)[:-1]
    if above.max() > high:
        above = high - (high - estimate) * np.linspace(1.0, 0.0, above.size + 1)[1:]
    return np.unique(np.concatenate([below, above]))


def beyond(curve: Curve) -> np.ndarray:
    """Further values on the sides where ζ does not reach far enough."""
    answer, estimate = [], curve.family.estimate
    (low, high), first, last = curve.bounds, curve.values[0], curve.values[-1]
    spread = 0.5 * (last - first)
    # As far as a straight ζ would need, and a good deal more.
    above, below = (1.3 * FAR / max(abs(zeta), 0.1) - 1.0 for zeta in (curve.zeta[-1], curve.zeta[0]))
    if curve.zeta[-1] < FAR and last < high:
        further = last + min(spread, above * (last - estimate)) if last > estimate else last + spread
        answer.append(min(further, 0.5 * (last + high) if np.isfinite(high) else np.inf))
    if curve.zeta[0] > -FAR and first > low:
        answer.append(max(first - min(spread, below * (estimate - first)), low))
    return np.array(answer)


def guess(curve: Curve, target: float) -> float | None:
    """Where ζ is `target`, by interpolation of its inverse; None where it does not reach so far, or is known there."""
    zeta, values = curve.zeta, curve.values
    if not zeta[0] < target < zeta[-1] or np.abs(zeta - target).min() < LIMIT:
        return None
    at = int(np.clip(np.searchsorted(np.maximum.accumulate(zeta), target), 1, zeta.size - 1))
    near, low, high = _around(at), values[at - 1], values[at]
    # The middle where the polynomial does not lie between the neighbours, or where ζ of two of them is the same.
    with np.errstate(invalid="ignore"):
        guess = float(_lagrange(zeta[near], target) @ values[near])
    return guess if low < guess < high else 0.5 * (low + high)


def _around(at: int) -> slice:
    """The two points on either side of a place among ascending ones; at the ends the last two."""
    return slice(max(at - 2, 0), at + 2)


def _lagrange(points: np.ndarray, at: float) -> np.ndarray:
    """What each point has in the polynomial through all of them."""
    apart = points[:, None] - points
    np.fill_diagonal(apart, 1.0)
    shares = np.tile(at - points, (points.size, 1))
    np.fill_diagonal(shares, 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.prod(shares / apart, axis=1)


def limit(curve: Curve, target: float) -> float:
    """The value whose ζ is nearest to `target`; a bound where ζ does not reach it."""
    if target < curve.zeta[0]:
        return curve.bounds[0]
    if target > curve.zeta[-1]:
        return curve.bounds[1]
    return float(curve.values[np.argmin(np.abs(curve.zeta - target))])
