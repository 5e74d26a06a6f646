"""One parameter held fixed, all others free: the deviance along each parameter's profile, with derivatives.

In the user's units Λ is triangular in an order of rows that begins with the effect in question, so that its standard
deviation is σ times one element of Λ, and a correlation a ratio of two. What is held fixed is substituted:

    a standard deviation c     θ_11 = c/σ, with log σ in its place
    a correlation ρ            θ_21 = b ρ, θ_22 = b √(1 - ρ²), with b in place of θ_22
    σ                          nothing to substitute
    a coefficient              the columns of X that leave it fixed, and y less its part

With σ profiled out the deviance is log|V| + n log r², else log|V| + 2n log σ + r²/σ². Called by `profile`.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from jaxlmm.covariance import lower_factor, n_theta, positions, square_derivatives
from jaxlmm.fit import Fit, Model, lifted, numpy_lambdas
from jaxlmm.pls import Expansion

Point = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Value (R,), gradient (R, d) and Hessian (R, d, d) of the deviance."""


@dataclass(frozen=True)
class Space:
    """The parameters of a model by maximum likelihood, in the user's units.

    Attributes
    ----------
    model, fit : Model, Fit
        The fit by maximum likelihood.
    into : list of (k, k) arrays
        B of each grouping factor: relative covariance matrices are B Σ Bᵀ in standard coordinates.
    linear : (m, m) array
        The same for the elements of all covariance matrices.
    starts : list of (k, k) arrays
        Λ of each factor where lanes start: that of the fit, a little off the boundary, for every lane would stay there.
    """

    model: Model
    fit: Fit
    into: list[np.ndarray]
    linear: np.ndarray
    starts: list[np.ndarray]

    @classmethod
    def of(cls, model: Model, fit: Fit) -> Space:
        """The space of a fit by maximum likelihood."""
        coordinates = model.coordinates
        root = np.sqrt(coordinates.weight_scale)
        into = [root * np.linalg.inv(a) for a in coordinates.factor_maps]
        m, begin = sum(n_theta(terms) for terms in coordinates.terms), 0
        linear = np.zeros((m, m))
        for terms, b in zip(coordinates.terms, into, strict=True):
            rows, columns = positions(terms)
            for i, (r, c) in enumerate(zip(rows, columns, strict=True)):
                part = np.zeros_like(b)
                part[r, c] = part[c, r] = 1.0
                linear[begin : begin + rows.size, begin + i] = (b @ part @ b.T)[rows, columns]
            begin += rows.size
        theta = np.asarray(lifted(model.plan, fit.standard_theta))
        lams = [
            a @ lam / root for a, lam in zip(coordinates.factor_maps, numpy_lambdas(model.plan, theta), strict=True)
        ]
        return cls(model, fit, into, linear, lams if fit.certificate.singular else list(fit.lambdas))

    @property
    def sigma_unit(self) -> float:
        """σ in the user's units over σ in standard coordinates."""
        return self.model.coordinates.sigma_unit


@dataclass(frozen=True)
class Family:
    """A parameter that is held fixed.

    Attributes
    ----------
    space : Space
        The model.
    kind : str
        "sd", "cor", "sigma" or "beta".
    factor, rows : int, (k,) int array
        For "sd" and "cor": the grouping factor, and the order of its rows in which Λ is triangular.
    first : int
        Column of the factor where the term in question begins; for "beta" the number of the coefficient.
    estimate : float
        Of the parameter.
    """

    space: Space
    kind: str
    factor: int
    rows: np.ndarray
    first: int
    estimate: float

    def start(self, lanes: int) -> np.ndarray:
        """φ (R, d) at the estimates."""
        theta = np.concatenate([self._triangular(t)[positions(terms)] for t, terms in enumerate(self._terms)])
        if self.kind == "sd":
            theta[self._slot(0, 0)] = np.log(self.space.fit.sigma / self.space.sigma_unit)
        if self.kind == "cor":
            below = theta[self._slot(1, 0)], theta[self._slot(1, 1)]
            theta[self._slot(1, 1)] = np.hypot(*below)
            theta = np.delete(theta, self._slot(1, 0))
        return np.tile(np.where(self.lowest == 0.0, np.abs(theta), theta), (lanes, 1))

    @functools.cached_property
    def lowest(self) -> np.ndarray:
        """Bounds (d,) of φ: both factors of a correlation are positive, for with one negative it would change its sign."""
        answer = np.full(len(self.space.linear), -np.inf)
        if self.kind == "cor":
            answer[[self._slot(0, 0), self._slot(1, 1)]] = 0.0
            answer = np.delete(answer, self._slot(1, 0))
        return answer

    def sigmas(self, phi: np.ndarray, fixed: np.ndarray) -> list[np.ndarray]:
        """Covariance matrices (R, k, k) of each factor in standard coordinates."""
        return [
            b @ lam @ lam.swapaxes(1, 2) @ b.T
            for b, lam in zip(self.space.into, self._factors(phi, fixed), strict=True)
        ]

    def point(self, phi: np.ndarray, fixed: np.ndarray, at: Expansion) -> Point:
        """The deviance and its derivatives in φ."""
        n = self.space.model.coordinates.n_obs
        at = at.columns(self._basis(fixed)) if self.kind == "beta" else at
        square, d_square, dd_square = least_squares(at)
        jacobian, curvature = self._derivatives(phi, fixed)
        if self.kind in ("cor", "beta"):
            value = at.logdet + n * np.log(square)
            first = at.d_logdet + n * d_square / square[:, None]
            ratio = d_square / square[:, None]
            second = at.dd_logdet + n * (dd_square / square[:, None, None] - ratio[:, :, None] * ratio[:, None])
            return _chain(value, first, second, jacobian, curvature)
        log_sigma = phi[:, self._slot(0, 0)] if self.kind == "sd" else np.log(fixed / self.space.sigma_unit)
        precision = np.exp(-2.0 * log_sigma)
        value = at.logdet + 2.0 * n * log_sigma + square * precision
        first = at.d_logdet + d_square * precision[:, None]
        second = at.dd_logdet + dd_square * precision[:, None, None]
        value, gradient, hessian = _chain(value, first, second, jacobian, curvature)
        if self.kind == "sd":
            slot = self._slot(0, 0)
            cross = -2.0 * precision[:, None] * np.einsum("ri,rij->rj", d_square, jacobian)
            gradient[:, slot] += 2.0 * n - 2.0 * square * precision
            hessian[:, slot] += cross
            hessian[:, :, slot] += cross
            hessian[:, slot, slot] += 4.0 * square * precision
        return value, gradient, hessian

    @property
    def _terms(self):
        return self.space.model.coordinates.terms

    def _slot(self, row: int, column: int) -> int:
        """Where an element of the term's triangle stands in θ."""
        return self._slots[self.first + row, self.first + column]

    @functools.cached_property
    def _slots(self) -> dict[tuple[int, int], int]:
        """Where the elements of the factor's triangle stand in θ."""
        begin = sum(n_theta(terms) for terms in self._terms[: self.factor])
        rows, columns = positions(self._terms[self.factor])
        return {(int(r), int(c)): begin + i for i, (r, c) in enumerate(zip(rows, columns, strict=True))}

    def _triangular(self, t: int) -> np.ndarray:
        """The estimated Λ of a factor, triangular in the order of rows."""
        lam = self.space.starts[t]
        return lower_factor(lam[self.rows]) if self.kind in ("sd", "cor") and t == self.factor else lam

    def _theta(self, phi: np.ndarray, fixed: np.ndarray) -> np.ndarray:
        """All elements (R, m) of the triangles."""
        if self.kind == "sd":
            theta, slot = phi.copy(), self._slot(0, 0)
            theta[:, slot] = fixed / self.space.sigma_unit * np.exp(-phi[:, slot])
            return theta
        if self.kind == "cor":
            theta = np.insert(phi, self._slot(1, 0), 0.0, axis=1)
            size = theta[:, self._slot(1, 1)]
            theta[:, self._slot(1, 0)], theta[:, self._slot(1, 1)] = size * fixed, size * np.sqrt(1.0 - fixed**2)
            return theta
        return phi

    def _factors(self, phi: np.ndarray, fixed: np.ndarray) -> list[np.ndarray]:
        """Λ (R, k, k) of each factor in the user's units."""
        theta, answer, begin = self._theta(phi, fixed), [], 0
        for t, terms in enumerate(self._terms):
            rows, columns = positions(terms)
            k = self.space.into[t].shape[0]
            lam = np.zeros((len(phi), k, k))
            lam[:, self._rows(t)[rows], columns] = theta[:, begin : begin + rows.size]
            answer.append(lam)
            begin += rows.size
        return answer

    def _rows(self, t: int) -> np.ndarray:
        own = self.kind in ("sd", "cor") and t == self.factor
        return self.rows if own else np.arange(self.space.into[t].shape[0])

    def _derivatives(self, phi: np.ndarray, fixed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """First (R, m, d) and second (R, m, d, d) derivatives of the covariances' elements, in standard coordinates."""
        m, begin = len(self.space.linear), 0
        first, second = np.zeros((len(phi), m, m)), np.zeros((m, m, m))
        for t, (terms, lam) in enumerate(zip(self._terms, self._factors(phi, fixed), strict=True)):
            own = slice(begin, begin + n_theta(terms))
            first[:, own, own], second[own, own, own] = square_derivatives(
                terms, lam, self._rows(t)[positions(terms)[0]]
            )
            begin = own.stop
        first, second = self.space.linear @ first, np.tensordot(self.space.linear, second, axes=1)
        return self._substituted(phi, fixed, first, np.broadcast_to(second, (len(phi), *second.shape)))

    def _substituted(self, phi, fixed, first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Derivatives in φ from those in θ."""
        if self.kind == "sd":
            slot = self._slot(0, 0)
            theta = self._theta(phi, fixed)[:, slot]
            inner = np.tile(np.eye(first.shape[2]), (len(phi), 1, 1))
            inner[:, slot, slot] = -theta
            second = inner.swapaxes(1, 2)[:, None] @ second @ inner[:, None]
            second[:, :, slot, slot] += first[:, :, slot] * theta[:, None]
            return first @ inner, second
        if self.kind == "cor":
            low, high = self._slot(1, 0), self._slot(1, 1)
            inner = np.tile(np.eye(first.shape[2]), (len(phi), 1, 1))
            inner[:, low, high], inner[:, high, high] = fixed, np.sqrt(1.0 - fixed**2)
            inner = np.delete(inner, low, axis=2)
            return first @ inner, inner.swapaxes(1, 2)[:, None] @ second @ inner[:, None]
        return first, second

    def _basis(self, fixed: np.ndarray) -> np.ndarray:
        """[X y] times this (R, p + 1, p): columns that leave the coefficient as it is, and y less its part."""
        coordinates = self.space.model.coordinates
        row = coordinates.transform[self.first]
        p = row.size
        free = np.linalg.svd(row[None])[2][1:].T
        value = (fixed - coordinates.beta[self.first]) / coordinates.scale
        basis = np.zeros((fixed.size, p + 1, p))
        basis[:, :p, : p - 1] = free
        basis[:, :p, p - 1] = -value[:, None] * row / (row @ row)
        basis[:, p, p - 1] = 1.0
        return basis


def least_squares(at: Expansion) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """r² (R,) and its derivatives (R, m), (R, m, m): what is left of y when X is fitted to it."""
    f = at.f
    beta = np.linalg.solve(f[:, :-1, :-1], f[:, :-1, -1:])
    rest = np.concatenate([-beta, np.ones((len(f), 1, 1))], axis=1)[:, :, 0]
    square = np.einsum("ra,rab,rb->r", rest, f, rest)
    along = np.einsum("riab,rb->ria", at.down, rest)
    first = -np.einsum("ra,ria->ri", rest, along)
    bent = (at.bend @ rest[:, None, None, :, None])[..., 0] @ rest[:, None, :, None]
    bent = bent[..., 0]
    taken = np.linalg.solve(f[:, :-1, :-1], along[:, :, :-1].swapaxes(1, 2))
    second = bent + bent.swapaxes(1, 2) - 2.0 * along[:, :, :-1] @ taken
    return square, first, second


def _chain(value, first, second, jacobian, curvature) -> Point:
    """Derivatives in φ from those in the elements of the covariance matrices."""
    gradient = np.einsum("ri,rij->rj", first, jacobian)
    hessian = jacobian.swapaxes(1, 2) @ second @ jacobian + np.sum(first[:, :, None, None] * curvature, axis=1)
    return value, gradient, 0.5 * (hessian + hessian.swapaxes(1, 2))
