"""Profile likelihood: the deviance along each parameter, all others at their best, and the intervals that follow.

ζ(c) = sign(c - ĉ) √(d(c) - d̂) of the maximum-likelihood deviance, as in lme4 (Bates et al. 2015, J. Stat. Softw. 67(1), §5.1;
Bates & Watts 1988, Nonlinear Regression, ch. 6). All values of all parameters are lanes of one batch of Newton steps with
exact Hessians; the limits of an interval are then found where ζ is the normal quantile, by lanes again. Called by `results`;
the caller holds the double-precision scope.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import norm

from jaxlmm.covariance import Structure, correlated_sets
from jaxlmm.design import Frame
from jaxlmm.errors import ConvergenceError, DesignError
from jaxlmm.fit.threads import LARGE, one_blas_thread
from jaxlmm.inference.profile_curves import Curve, beyond, guess, limit, within
from jaxlmm.inference.profile_families import Family, Point, Space, least_squares
from jaxlmm.inference.reference import Reference
from jaxlmm.pls import Components, expand

WIDTH = 2**24
"""So many numbers the matrices of one batch of lanes may hold."""

STEPS = (-4.0, -3.25, -2.5, -1.9, -1.3, -0.7, 0.7, 1.3, 1.9, 2.5, 3.25, 4.0)
"""Where each profile is looked at first, in standard errors."""

CERTAIN = 0.3
"""Standard error of a standard deviation, relative to it, below which its first values are symmetric for a chi-squared."""

ROUNDS = 12
"""How often curves are prolonged."""

ITERATIONS, TOLERANCE = 100, 1e-10
"""Newton steps of a lane, and the predicted decrease of the deviance at which it stops."""

AWAY = 0.05
"""Step, relative to the parameters, along a direction of negative curvature that has no slope."""

LOWER = 1e-5
"""So much lower than the fit's deviance may that of a lane be by rounding, and by how far the fit may be from its minimum."""

LIMIT_ROUNDS = 8
"""How often limits are improved."""


class Profiler:
    """Fits lanes of any parameters of one model.

    Parameters
    ----------
    reference : Reference
        Of the fit by maximum likelihood.
    """

    def __init__(self, reference: Reference):
        model, fit = reference.model, reference.fit
        self._components: Components = reference.second.components
        self._largest = max(stack.zz.shape[1] for stack in self._components.stacks)
        self.space = Space.of(model, fit)
        # At the estimates themselves: lanes start a little off the boundary where these lie on it.
        at, n = reference.second.expansion, model.coordinates.n_obs
        self._profiled = float(at.logdet[0] + n * np.log(least_squares(at)[0][0]))
        # Deviances with σ profiled out leave out n, and r² stands for σ².
        self.lowest = self._profiled + n - n * np.log(n)

    def extend(self, asked: list[tuple[Curve, np.ndarray]]) -> list[Curve]:
        """Curves with ζ at further values, all at once.

        Raises
        ------
        ConvergenceError
            When a lane finds no minimum, or a lower one than the fit.
        """
        lanes = [_Lanes(curve.family, fixed, curve.starts(fixed)) for curve, fixed in asked]
        # A step too far may overflow; it is not taken.
        with one_blas_thread(wanted=self._largest < LARGE), np.errstate(all="ignore"):
            self._minimize(lanes)
        answer = []
        for (curve, fixed), own in zip(asked, lanes, strict=True):
            lowest = self._profiled if curve.family.kind in ("cor", "beta") else self.lowest
            rise = own.value - lowest
            if rise.min() < -LOWER:
                raise ConvergenceError(
                    f"with {curve.name} held at {fixed[rise.argmin()]:.6g} the deviance is {-rise.min():.3g} lower than at "
                    "the maximum likelihood that was found, which is a local one; fit again with Control(start=...)"
                )
            height = np.sqrt(np.maximum(rise, 0.0))
            answer.append(curve.joined(fixed, np.sign(fixed - curve.family.estimate) * height, own.phi))
        return answer

    def _minimize(self, lanes: list[_Lanes]) -> None:
        """Damped Newton steps to the lowest deviance of each lane."""
        for own, point in zip(lanes, self._evaluate([(o.family, o.phi, o.fixed) for o in lanes]), strict=True):
            own.begin(point)
        for _ in range(ITERATIONS):
            tried = [(own, *own.next()) for own in lanes]
            tried = [(own, part, phi) for own, part, phi in tried if part.size]
            if not tried:
                break
            points = self._evaluate([(own.family, phi, own.fixed[part]) for own, part, phi in tried])
            for (own, part, phi), point in zip(tried, points, strict=True):
                own.take(part, phi, point)
        for own in lanes:
            lost = own.running | own.failed
            if lost.any():
                raise ConvergenceError(
                    f"the profile found no minimum with a parameter held at {own.fixed[lost][0]:.6g}, its estimate being "
                    f"{own.family.estimate:.6g}; write conf_int(method='boot') instead"
                )

    def _evaluate(self, asked: list[tuple[Family, np.ndarray, np.ndarray]]) -> list[Point]:
        """Deviances and derivatives of lanes of several parameters, in batches that memory holds."""
        width = max(1, WIDTH // (self._largest**2 + self._components.ff.size * len(self._components.directions) ** 2))
        answer: list[list[Point]] = [[] for _ in asked]
        batch: list[tuple[int, slice]] = []
        room = width
        for number, (_, phi, _) in enumerate(asked):
            begin = 0
            while begin < len(phi):
                end = min(begin + room, len(phi))
                batch.append((number, slice(begin, end)))
                room, begin = room - (end - begin), end
                if room == 0:
                    self._evaluate_batch(asked, batch, answer)
                    batch, room = [], width
        if batch:
            self._evaluate_batch(asked, batch, answer)
        return [tuple(np.concatenate(parts) for parts in zip(*own, strict=True)) for own in answer]  # type: ignore[misc]

    def _evaluate_batch(self, asked, batch, answer) -> None:
        sigmas = [asked[number][0].sigmas(asked[number][1][own], asked[number][2][own]) for number, own in batch]
        found = expand(self._components, [np.concatenate(parts) for parts in zip(*sigmas, strict=True)])
        begin = 0
        for number, own in batch:
            family, phi, fixed = asked[number]
            end = begin + (own.stop - own.start)
            answer[number].append(family.point(phi[own], fixed[own], found.lanes(slice(begin, end))))
            begin = end


class _Lanes:
    """Where the lanes of one parameter stand."""

    def __init__(self, family: Family, fixed: np.ndarray, phi: np.ndarray):
        self.family, self.fixed, self.phi = family, fixed, phi
        self.running, self.failed = np.ones(len(phi), dtype=bool), np.zeros(len(phi), dtype=bool)
        self.radius = np.full(len(phi), 1.0)
        self.value, self.gradient, self.hessian = np.empty(0), np.empty((0, 0)), np.empty((0, 0, 0))
        self.predicted = np.full(len(phi), np.inf)

    def begin(self, point: Point) -> None:
        """The first evaluation; a lane without one has failed."""
        self.value, self.gradient, self.hessian = point
        self.running = np.isfinite(self.value) & np.isfinite(self.hessian).all(axis=(1, 2))
        self.failed = ~self.running

    def next(self) -> tuple[np.ndarray, np.ndarray]:
        """Lanes that go on, and where they look next; those that are at their minimum stop."""
        part = np.flatnonzero(self.running)
        if not part.size:
            return part, self.phi[part]
        step, whole = self._step(part)
        small = whole & (np.abs(self.predicted[part]) <= TOLERANCE)
        self.running[part[small]] = False
        part = part[~small]
        return part, np.maximum(self.phi[part] + step[~small], self.family.lowest)

    def _step(self, part: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Newton's step, with curvatures turned positive, in a ball whose size is relative to the parameters'.

        The second answer is whether the step is Newton's own: positive curvatures, and not cut.
        """
        scale = np.maximum(np.abs(self.phi[part]), 1.0)
        # What is at its bound, and would fall if it could go beyond, stays there.
        held = (self.phi[part] <= self.family.lowest) & (self.gradient[part] >= 0.0)
        scale = np.where(held, 0.0, scale)
        values, vectors = np.linalg.eigh(self.hessian[part] * scale[:, :, None] * scale[:, None])
        floor = 1e-9 * np.abs(values).max(axis=1, initial=0.0, keepdims=True) + 1e-12
        along = np.einsum("rij,ri->rj", vectors, self.gradient[part] * scale)
        inner = -along / np.maximum(np.abs(values), floor)
        # The deviance is even in each column of Λ: on a saddle at zero no slope leads away, but the curvature does.
        stuck = (values < -floor) & (np.abs(inner) < AWAY)
        inner = np.where(stuck, np.where(inner < 0, -AWAY, AWAY), inner)
        length = np.linalg.norm(inner, axis=1)
        whole = (length <= self.radius[part]) & (values > -floor).all(axis=1)
        inner *= np.minimum(1.0, self.radius[part] / np.maximum(length, 1e-300))[:, None]
        self.predicted[part] = -np.sum(inner * along + 0.5 * values * inner**2, axis=1)
        return np.einsum("rij,rj->ri", vectors, inner) * scale, whole

    def take(self, part: np.ndarray, phi: np.ndarray, point: Point) -> None:
        """Keep what lowers the deviance, resize the balls, and stop what is done."""
        value, gradient, hessian = point
        noise = 1e-13 * np.maximum(np.abs(self.value[part]), 1.0)
        finite = np.isfinite(value) & np.isfinite(gradient).all(axis=1) & np.isfinite(hessian).all(axis=(1, 2))
        with np.errstate(invalid="ignore"):
            decrease = np.where(finite, self.value[part] - value, -np.inf)
        predicted = self.predicted[part]
        taken = finite & (decrease > -noise)
        ratio = decrease / np.maximum(predicted, noise)
        done = (np.abs(predicted) <= np.maximum(TOLERANCE, 10.0 * noise)) & (
            taken | (np.abs(decrease) <= 100.0 * noise)
        )
        shrunk = np.where(ratio < 0.25, 0.25, np.where(ratio > 0.75, 2.0, 1.0))
        self.radius[part] = np.minimum(self.radius[part] * shrunk, 1e3)
        kept = part[taken]
        self.phi[kept] = phi[taken]
        self.value[kept], self.gradient[kept], self.hessian[kept] = value[taken], gradient[taken], hessian[taken]
        stuck = ~done & (self.radius[part] < 1e-9)
        self.running[part[done | stuck]] = False
        self.failed[part[stuck]] = True


def profiled(frame: Frame, profiler: Profiler, errors: dict[str, float]) -> list[Curve]:
    """Profiles of all parameters, in lme4's order; `errors` holds a standard error for each name, where one is known."""
    fit, families = profiler.space.fit, list(_families(frame, profiler.space))
    curves, asked = [Curve.begin(*own) for own in families], []
    for curve in curves:
        error, estimate = errors.get(curve.name, np.nan), curve.family.estimate
        unknown = max(abs(estimate), 0.1 * fit.sigma) / 2.0
        if curve.family.kind == "sigma":
            unknown = estimate / np.sqrt(2.0 * profiler.space.model.coordinates.n_obs)
        size = error if np.isfinite(error) and error > 0 else unknown
        steps = np.array(STEPS)
        if curve.family.kind in ("sd", "sigma") and size < CERTAIN * estimate:
            # A variance's likelihood, that of a chi-squared, is nearly normal in the power -1/3.
            values = estimate * (1.0 - 2.0 / 3.0 * steps * size / estimate) ** -1.5
        else:
            values = estimate + size * steps
        asked.append((curve, within(values, estimate, curve.bounds)))
    curves = profiler.extend(asked)
    for _ in range(ROUNDS):
        curves, changed = _extended(profiler, curves, [beyond(curve) for curve in curves])
        if not changed:
            break
    return curves


def _extended(profiler: Profiler, curves: list[Curve], more: list[np.ndarray]) -> tuple[list[Curve], bool]:
    """Curves with further values where there are any, and whether there were."""
    asked = [(curve, own) for curve, own in zip(curves, more, strict=True) if own.size]
    if not asked:
        return curves, False
    found = iter(profiler.extend(asked))
    return [next(found) if own.size else curve for curve, own in zip(curves, more, strict=True)], True


def limits(profiler: Profiler, curves: list[Curve], level: float) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper limits of intervals, exact to the tolerance of the lanes; a bound where ζ does not reach so far.

    The inverse of ζ is interpolated, ζ is computed there, and the point joins those that are interpolated, until it agrees.
    """
    wanted = norm.ppf(0.5 + 0.5 * level)
    for _ in range(LIMIT_ROUNDS):
        more = [np.array([own for side in (-1.0, 1.0) if (own := guess(c, side * wanted)) is not None]) for c in curves]
        curves, changed = _extended(profiler, curves, more)
        if not changed:
            break
    found = np.array([[limit(curve, side * wanted) for side in (-1.0, 1.0)] for curve in curves])
    return found[:, 0], found[:, 1]


def _families(frame: Frame, space: Space):
    """Name, family and bounds of every parameter in lme4's order."""
    fit, number = space.fit, 0
    for _, f, t, block in frame.labelled_terms():
        structure = frame.factors[f].terms[t].structure
        sigma = fit.sigma**2 * fit.lambdas[f] @ fit.lambdas[f].T
        sd = np.sqrt(np.diagonal(sigma))
        k = len(sd)
        for row, column in zip(*structure.positions(), strict=True):
            number += 1
            name, i, j = f".sig{number:02d}", block.start + int(row), block.start + int(column)
            rows, first = _leading(k, block.start, structure, [int(row)] if i == j else [int(column), int(row)])
            if i == j:
                yield name, Family(space, "sd", f, rows, first, float(sd[i])), (0.0, np.inf)
            else:
                value = np.clip(sigma[i, j] / (sd[i] * sd[j]), -1.0, 1.0) if sd[i] * sd[j] > 0 else 0.0
                yield name, Family(space, "cor", f, rows, first, float(value)), (-1.0, 1.0)
    nothing = np.arange(0)
    yield ".sigma", Family(space, "sigma", 0, nothing, 0, fit.sigma), (1e-3 * fit.sigma, np.inf)
    for j, column in enumerate(space.model.coordinates.kept):
        yield frame.fixed.names[column], Family(space, "beta", 0, nothing, j, float(fit.beta[j])), (-np.inf, np.inf)


def _leading(k: int, start: int, structure: Structure, effects: list[int]) -> tuple[np.ndarray, int]:
    """Rows of a factor with some effects of a term before the others that they may be correlated with, and their place.

    Raises
    ------
    DesignError
        When the structure's triangle cannot begin with another effect.
    """
    together = next(part for part in correlated_sets(structure) if effects[0] in part)
    places = range(together[0], together[0] + len(together))
    filled = set(zip(*(part.tolist() for part in structure.positions()), strict=True))
    if together != [*places] or any((i, j) not in filled for i in together for j in together if i >= j):
        raise DesignError(
            f"profiles need a covariance structure in which all effects that may be correlated have a correlation of their "
            f"own and stand together, and {structure.name!r} is none; write method='wald' or method='boot'"
        )
    rows = np.arange(k)
    rows[start + together[0] : start + together[0] + len(together)] = [
        start + i for i in (*effects, *(i for i in together if i not in effects))
    ]
    return rows, start + together[0]
