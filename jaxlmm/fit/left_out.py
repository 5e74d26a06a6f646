"""The fit without the rows of each level of a grouping factor in turn: exact refits, and what one step says of them.

The rows of a level are taken out of the cross-products, in standard coordinates, and the columns of X made orthogonal
again; the plan and its index arrays stay, for a level without rows adds nothing. So a refit costs a few evaluations from the
fit's own θ, and no pass over the other rows. Called by `results`; the caller holds the double-precision scope.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import jax
import numpy as np

from jaxlmm import optimize, pls
from jaxlmm.design import Design
from jaxlmm.errors import JaxlmmError
from jaxlmm.fit import boundary, evaluations, krylov
from jaxlmm.fit.record import Certificate, Fit, Model
from jaxlmm.fit.single import Control, evaluate, fit_at, reduce
from jaxlmm.fit.threads import one_blas_thread, side_by_side

DETERMINED = 1e-8
"""Pivot of the remaining rows' XᵀWX, relative to all rows', below which a coefficient is not determined any more."""

NEAR = 0.1
"""First trust region of a refit: the minimum is near."""


class LeftOut(NamedTuple):
    """Fits without each level.

    Attributes
    ----------
    theta : (L, n_theta) array
        Canonical parameters.
    beta, std_error : (L, p) arrays
        Coefficients and their standard errors.
    sigma, objective : (L,) arrays
        Residual standard deviations, and criteria.
    status : (L,) object array
        How each ended: as in `Certificate`, or "not identified".
    """

    theta: np.ndarray
    beta: np.ndarray
    std_error: np.ndarray
    sigma: np.ndarray
    objective: np.ndarray
    status: np.ndarray


@dataclass(frozen=True)
class Rows:
    """The rows of a design in standard coordinates, in order of the levels of one factor.

    Attributes
    ----------
    x, y, w : (n, p), (n,), (n,) arrays
        Fixed-effects columns, what is left of the response, and weights.
    z, codes : lists of (n, k) and (n,) arrays
        Columns and levels of each grouping factor.
    ends : (L + 1,) int array
        Where each level begins.
    """

    x: np.ndarray
    y: np.ndarray
    w: np.ndarray
    z: list[np.ndarray]
    codes: list[np.ndarray]
    ends: np.ndarray

    @classmethod
    def of(cls, design: Design, model: Model, factor: int) -> Rows:
        """Rows sorted by the levels of a factor."""
        coordinates, order = model.coordinates, np.argsort(design.random[factor].codes, kind="stable")
        x = design.x[order][:, coordinates.kept]
        weights = design.row_weights[order]
        codes = [block.codes[order] for block in design.random]
        return cls(
            x @ coordinates.transform,
            (design.y[order] - x @ coordinates.beta) / coordinates.scale,
            weights / coordinates.weight_scale,
            [block.z[order] @ a for block, a in zip(design.random, coordinates.factor_maps, strict=True)],
            codes,
            np.searchsorted(codes[factor], np.arange(design.random[factor].n_levels + 1)),
        )


def without_level(model: Model, rows: Rows, level: int) -> Model | None:
    """The model without the rows of a level; None where the others do not determine all coefficients."""
    part = slice(int(rows.ends[level]), int(rows.ends[level + 1]))
    gram, coordinates, total = model.gram, model.coordinates, model.gram.xx
    x, y, w = rows.x[part], rows.y[part], rows.w[part]
    wx, wy = w[:, None] * x, w * y
    p = x.shape[1]
    xx, xy = total * np.eye(p) - wx.T @ x, -(wx.T @ y)
    values = np.linalg.eigvalsh(xx)
    if values.size and values[0] < DETERMINED * total:
        return None
    lower = np.linalg.cholesky(xx)
    turn = np.sqrt(total) * np.linalg.inv(lower).T
    shift = np.linalg.solve(xx, xy)
    zz, zx, zy = [], [], []
    for t, (z, codes) in enumerate(zip(rows.z, rows.codes, strict=True)):
        own_z, own = z[part], codes[part]
        wz = w[:, None] * own_z
        zz.append(_less(gram.zz[t], own, np.einsum("na,nb->nab", wz, own_z)))
        moved = _less(gram.zx[t], own, np.einsum("na,np->nap", wz, x))
        zy.append(_less(model.response.zy[t], own, wz * y[:, None]) - np.einsum("kpl,p->kl", moved, shift))
        zx.append(np.einsum("kpl,pm->kml", moved, turn))
    within = _within(model, rows, part, turn, shift)
    pairs = {key: _less_pairs(own, key, rows, part, w) for key, own in gram.pairs.items()}
    yy = float(model.response.yy - wy @ y - xy @ shift)
    changed = replace(
        coordinates,
        beta=coordinates.beta + coordinates.scale * coordinates.transform @ shift,
        transform=coordinates.transform @ turn,
        log_det=coordinates.log_det + float(np.log(np.abs(np.diagonal(turn))).sum()),
        n_obs=coordinates.n_obs - x.shape[0],
        sum_log_weights=coordinates.sum_log_weights - float(np.log(w).sum()),
    )
    smaller = pls.Gram(tuple(zz), tuple(zx), pairs, total, within[0])
    response = pls.Response(tuple(zy), yy, within[1])
    return Model(smaller, response, changed, model.plan, reduce(model.plan, smaller, response, changed))


def left_out(model: Model, rows: Rows, fit: Fit, control: Control, hessian: np.ndarray | None = None) -> LeftOut:
    """Fits without each level; with `hessian`, that of the fit in standard θ, first-order approximations of them.

    By the implicit function theorem θ moves by -H⁻¹∇d, ∇d the gradient without the level at the fit's θ; coefficients and σ
    are those at the moved θ.
    """
    levels = rows.ends.size - 1
    p, m = fit.beta.size, fit.theta.size
    answer = LeftOut(
        np.full((levels, m), np.nan),
        np.full((levels, p), np.nan),
        np.full((levels, p), np.nan),
        np.full(levels, np.nan),
        np.full(levels, np.nan),
        np.full(levels, "not identified", dtype=object),
    )
    start = np.asarray(boundary.lifted(model.plan, fit.standard_theta))
    # How many blocks are alike may change with the level, and programs with it.
    model = replace(model, plan=pls.expanded(model.plan))

    def one(level: int) -> None:
        smaller = without_level(model, rows, level)
        if smaller is None:
            return
        try:
            if hessian is None:
                own = fit_at(smaller, start, fit.reml, control, NEAR, fit.monte_carlo)
            else:
                own = _moved(smaller, fit, hessian)
        except JaxlmmError:
            return
        answer.theta[level], answer.beta[level], answer.sigma[level] = own.theta, own.beta, own.sigma
        answer.std_error[level] = own.sigma * np.sqrt(np.diagonal(own.unscaled_vcov))
        answer.objective[level], answer.status[level] = own.objective, own.certificate.status

    with one_blas_thread():
        side_by_side(one, list(range(levels)), (model.plan, "left out"))
    return answer


def _moved(model: Model, fit: Fit, hessian: np.ndarray) -> Fit:
    """The estimates one step of the fit's own Hessian away."""
    theta = np.asarray(fit.standard_theta)
    if model.plan.kind == "krylov":
        model = krylov.shared_round(model, fit)
    there = evaluations.of(model.plan).minimize(model.plan, model.reduced, optimize.initial(theta), float(fit.reml), 0)
    gradient = np.asarray(jax.device_get(there.gradient))
    # On the boundary a parameter of zero has no slope, and stays.
    moving = theta != 0
    step = np.zeros_like(theta)
    step[moving] = -np.linalg.solve(hessian[np.ix_(moving, moving)], gradient[moving])
    certificate = Certificate("approximate", 1, np.nan, np.nan, np.nan, (), np.nan, ())
    return evaluate(model, theta + step, fit.reml, certificate)


def _less(sums: np.ndarray, codes: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """Sums (..., levels) without the parts (r, ...) of some rows."""
    answer = sums.copy()
    np.subtract.at(np.moveaxis(answer, -1, 0), codes, parts)
    return answer


def _less_pairs(pairs: pls.Pairs, key: tuple[int, int], rows: Rows, part: slice, w: np.ndarray) -> pls.Pairs:
    s, t = key
    width = int(pairs.second.max()) + 1
    order = np.searchsorted(
        pairs.first.astype(np.int64) * width + pairs.second,
        rows.codes[s][part].astype(np.int64) * width + rows.codes[t][part],
    )
    own = np.einsum("na,nb->nab", w[:, None] * rows.z[s][part], rows.z[t][part])
    return pls.Pairs(pairs.first, pairs.second, _less(pairs.block, order, own))


def _within(model: Model, rows: Rows, part: slice, turn: np.ndarray, shift: np.ndarray):
    """What is within the levels of one grouping factor, without that of the level that is left out."""
    if model.gram.within is None or model.response.within is None:
        return None, None
    root = np.sqrt(rows.w[part])[:, None]
    basis, sizes, _ = np.linalg.svd(root * rows.z[0][part], full_matrices=False)
    basis = basis[:, sizes > DETERMINED * sizes[0]]
    rest = root * np.column_stack([rows.x[part], rows.y[part]])
    rest = rest - basis @ (basis.T @ rest)
    xx = model.gram.within - rest[:, :-1].T @ rest[:, :-1]
    xy = model.response.within - rest.T @ rest[:, -1]
    yy = xy[-1] - 2.0 * shift @ xy[:-1] + shift @ xx @ shift
    return turn.T @ xx @ turn, np.append(turn.T @ (xy[:-1] - xx @ shift), yy)
