"""One fit: prepare the model, minimize, settle on or off the boundary, read off the estimates.

The caller holds the double-precision scope (`precision.double`). Called by `api`, `results` and `inference`.
"""

from dataclasses import dataclass, replace

import jax
import numpy as np

from jaxlmm import optimize, pls
from jaxlmm.covariance import canonical_theta
from jaxlmm.design import CHUNK_ROWS, Design
from jaxlmm.errors import DesignError
from jaxlmm.fit import boundary, evaluations, krylov, programs
from jaxlmm.fit.directions import directions
from jaxlmm.fit.record import Certificate, Fit, Model, MonteCarlo
from jaxlmm.fit.threads import LARGE, one_blas_thread

EXACT_HESSIANS = 24
"""Without a cheap Hessian: up to this many covariance parameters every step computes it; beyond, gradients update it."""

ROUNDING = 1e-6
"""A lane that no step improves has reached rounding error if Newton's step predicts less than this times √|objective|."""

EXACT = 1e-8
"""Residual standard deviation, relative to that of the least-squares fit, below which nothing is left to estimate."""

STAGE = 8
"""Steps before a lane that has not stopped is tried on the boundary, and again after twice as many."""

ROUNDS = 8
"""How often a fit may leave the boundary."""


@dataclass(frozen=True)
class Control:
    """Settings of a fit.

    Attributes
    ----------
    plan : str
        How the random effects are eliminated: "grouped" (one grouping factor), "nested" (a chain of nested factors, finest
        first), "crossed" (a chain first, then one dense matrix), "krylov" (a chain first, then conjugate gradients, the
        log-determinant from probes: `fit.monte_carlo` says how exactly), "dense" (everything in one matrix, for tiny models),
        or "auto", the cheapest that applies and fits; `fit.plan.describe()` says which.
    max_iterations : int
        Steps of the optimizer before the fit is given up with a `ConvergenceWarning`.
    start : (n_theta,) array, optional
        Where to start, in the optimizer's own standardized parameters; None takes a moment estimate, which is nearly
        always better.
    chunk_rows : int
        Of data that are read from a source: rows in memory at a time.
    progress : bool
        Of such data: show a bar (tqdm) with rows per second.

    Examples
    --------
    >>> import jaxlmm
    >>> dyestuff = jaxlmm.load_dataset("dyestuff")
    >>> fit = jaxlmm.lmer("Yield ~ 1 + (1 | Batch)", dyestuff, control=jaxlmm.Control(plan="dense"))
    >>> fit.plan.kind
    'dense'
    """

    plan: str = "auto"
    max_iterations: int = 500
    start: np.ndarray | None = None
    chunk_rows: int = CHUNK_ROWS
    progress: bool = False


DEFAULT = Control()
"""The settings of a fit that was given none."""


def prepare(design: Design, plan: str = "auto", many_lanes: bool = False) -> Model:
    """Reduce a design to cross-products in standard coordinates and choose a plan, for one response or for many."""
    return prepare_sums(pls.CrossProducts.from_design(design), plan, many_lanes)


def prepare_sums(cross: pls.CrossProducts, plan: str = "auto", many_lanes: bool = False) -> Model:
    """The same from sums over rows that are elsewhere."""
    gram, response, coordinates = pls.standardize(cross)
    chosen = pls.choose(gram, coordinates.terms, plan, many_lanes)
    return Model(gram, response, coordinates, chosen, reduce(chosen, gram, response, coordinates))


def reduce(plan: pls.Plan, gram: pls.Gram, response: pls.Response, coordinates: pls.Coordinates):
    """What iterations of a plan read."""
    if plan.kind == "krylov":
        return pls.krylov_round.reduce(plan, gram, response, coordinates, krylov.COMPILED)
    return jax.device_put(pls.reduce(plan, gram, response, coordinates))


def with_response(model: Model, responder: pls.Responder, y: np.ndarray) -> Model:
    """The model of another response (n,), an offset already subtracted, over the rows of the model's own."""
    responses = responder.reduce(y[:, None])
    response = responses.one()
    reduced = model.plan.module.compress_response(model.plan, model.reduced.layout, model.gram, response)
    return replace(
        model,
        response=response,
        coordinates=responses.coordinates(model.coordinates),
        reduced=model.reduced._replace(response=jax.device_put(reduced)),
    )


def fit_model(model: Model, reml: bool, control: Control = DEFAULT) -> Fit:
    """Minimize the criterion and certify the minimum."""
    if control.start is None:
        theta = pls.starting_theta(model.gram, model.response, model.plan.terms)
    else:
        theta = np.asarray(control.start, dtype=float)
    with one_blas_thread(wanted=model.plan.n_dense < LARGE):
        fit = fit_at(model, theta, reml, control)
    if reproduced(model, fit):
        raise DesignError(
            "the random effects reproduce the response exactly (residual standard deviation 0 to rounding), so the "
            "likelihood has no maximum; check the response, or remove random effects"
        )
    return fit


def reproduced(model: Model, fit: Fit) -> bool:
    """Whether a fit leaves nothing of the response."""
    return not fit.sigma > EXACT * model.coordinates.sigma_unit


def fit_at(
    model: Model,
    theta: np.ndarray,
    reml: bool,
    control: Control,
    radius: float = 1.0,
    like: MonteCarlo | None = None,
) -> Fit:
    """The same from a start θ in standard coordinates; the nearer it is, the smaller may the first trust region be.

    `like` is of a similar fit, and says how many probes are wanted.
    """
    if model.plan.kind == "krylov":
        return _fit_in_rounds(model, theta, reml, control, radius, like)
    state, slope = search(model, theta, float(reml), control, radius)
    return evaluate(model, np.asarray(state.theta), reml, _certificate(model, state, slope))


def _fit_in_rounds(
    model: Model, theta: np.ndarray, reml: bool, control: Control, radius: float, like: MonteCarlo | None
) -> Fit:
    """Minimize with few probes, and again with as many as the Monte Carlo error asks for."""
    settings = krylov.Settings.first(krylov.size_of(model), like)
    for number in range(krylov.ROUNDS):
        for _ in range(krylov.RECENTRED):
            here = krylov.with_round(model, theta, settings)
            state, slope = search(here, theta, float(reml), control, radius)
            before, theta = theta, np.asarray(state.theta)
            if krylov.near(here, theta) or np.array_equal(theta, before):
                break
        else:
            state = replace(state, status=np.asarray(optimize.RUNNING))  # not where its round was made
        error = krylov.monte_carlo(here, state, float(reml))
        last = error.error <= krylov.ENOUGH or settings.probes >= krylov.MOST
        if last or number + 1 == krylov.ROUNDS:
            break
        radius, settings = 0.1, settings.after(error.error, krylov.size_of(model))
    certificate = _certificate(here, state, slope)
    return replace(evaluate(here, np.asarray(state.theta), reml, certificate), monte_carlo=error)


def search(
    model: Model, theta: np.ndarray, flag: float, control: Control, radius: float = 1.0, certify: bool = True
) -> tuple[optimize.State, float]:
    """Minimize from θ, leaving the boundary or settling on it; and the slope there (NaN off the boundary).

    Parameters
    ----------
    radius : float
        Of the first trust region, in natural changes of the parameters: the nearer the start, the smaller.
    certify : bool
        Whether gradient and Hessian are wanted at a minimum on the boundary, too.
    """
    state = _minimize_in_stages(model, theta, flag, control.max_iterations, radius)
    slope = np.nan
    for _ in range(ROUNDS):
        found = boundary.examine(model, np.asarray(state.theta), flag)
        if found is None:
            slope = np.nan
            break
        slope = found.slope
        away = boundary.leave(model, found, flag) if found.escape is not None else None
        if away is not None and found.value - boundary.INDIFFERENT <= float(state.value):
            state = _minimize(model, away, flag, control.max_iterations, int(state.iteration))
            continue
        if found.value <= float(state.value) + boundary.INDIFFERENT:
            settled = optimize.initial(boundary.theta_of(model.plan, found.lambdas))
            if not certify:
                state = replace(state, theta=settled.theta)
                break
            there = jax.device_get(evaluations.of(model.plan).minimize(model.plan, model.reduced, settled, flag, 0))
            state = replace(state, theta=there.theta, value=there.value, gradient=there.gradient, hessian=there.hessian)
        else:
            slope = np.nan
        break
    return state, slope


def _minimize_in_stages(model: Model, theta: np.ndarray, flag: float, limit: int, radius: float) -> optimize.State:
    """Steps from θ; a lane that is still on its way after a stage is set down on the boundary where that is where it goes.

    Towards a singular value of zero the objective behaves like θ⁴, and steps shrink by a constant factor only.
    """
    if not _exact_steps(model.plan):
        return _minimize(model, theta, flag, limit)
    stage, start = STAGE, optimize.initial(theta, 0, radius)
    state = jax.device_get(
        evaluations.of(model.plan).minimize(model.plan, model.reduced, start, flag, min(stage, limit))
    )
    while int(state.status) == optimize.RUNNING and int(state.iteration) < limit:
        stage *= 2
        found = boundary.examine(model, np.asarray(state.theta), flag, boundary.EARLY)
        start = state
        if found is not None and found.escape is None and found.value <= float(state.value) + float(state.predicted):
            start = optimize.initial(boundary.theta_of(model.plan, found.lambdas), int(state.iteration))
        state = jax.device_get(
            evaluations.of(model.plan).minimize(model.plan, model.reduced, start, flag, min(stage, limit))
        )
    return state


def _exact_steps(plan: pls.Plan) -> bool:
    """Whether every step computes a Hessian."""
    return plan.n_theta <= EXACT_HESSIANS or plan.cheap_curvature


def _minimize(model: Model, theta: np.ndarray, reml: float, limit: int, iteration: int = 0) -> optimize.State:
    """Steps from θ until the lane stops or has tried `limit` of them, of which `iteration` were tried before."""
    plan, reduced = model.plan, model.reduced
    start = optimize.initial(theta, iteration)
    if _exact_steps(plan):
        return jax.device_get(evaluations.of(model.plan).minimize(plan, reduced, start, reml, limit))
    state = evaluations.of(model.plan).minimize(plan, reduced, start, reml, iteration)
    while int(state.status) == optimize.RUNNING and int(state.iteration) < limit:
        state = programs.minimize_by_gradients(plan, reduced, state, reml, limit)
        if int(state.status) != optimize.RUNNING:
            state = _verify(model, state, reml, limit)
    return state


def _verify(model: Model, state: optimize.State, reml: float, limit: int) -> optimize.State:
    """Look again with the exact Hessian in place of the updated one; the lane runs on if it disagrees."""
    plan, reduced, tried = model.plan, model.reduced, int(state.iteration)
    checked = evaluations.of(model.plan).minimize(plan, reduced, optimize.initial(state.theta, tried), reml, tried)
    return evaluations.of(model.plan).minimize(plan, reduced, checked, reml, min(tried + 1, limit))


def evaluate(model: Model, standard_theta: np.ndarray, reml: bool, certificate: Certificate) -> Fit:
    """Estimates at given parameters, back in the user's units."""
    plan, coordinates = model.plan, model.coordinates
    profile, modes = jax.device_get(evaluations.of(plan).estimates(plan, model.reduced, standard_theta, float(reml)))
    p, root = coordinates.n_fixed, np.sqrt(coordinates.weight_scale)
    pwrss = float(profile.pwrss)
    sigma = coordinates.sigma_unit * np.sqrt(pwrss / (coordinates.n_obs - (p if reml else 0)))
    standard_root = profile.fixed_inverse_factor[:p, :p]
    root_vcov = standard_root @ coordinates.transform.T / root
    beta = coordinates.beta + coordinates.scale * coordinates.transform @ profile.beta[:p]
    standard = boundary.numpy_lambdas(plan, standard_theta)
    if plan.kind == "grouped":
        modes = [pls.grouped_modes(model.gram, model.response, standard[0], profile.beta[:p])]
    lambdas = [a @ lam / root for a, lam in zip(coordinates.factor_maps, standard, strict=True)]
    theta = np.concatenate([canonical_theta(terms, f) for terms, f in zip(plan.terms, lambdas, strict=True)])
    return Fit(
        theta,
        np.asarray(standard_theta),
        tuple(boundary.numpy_lambdas(plan, theta)),
        coordinates.objective(float(profile.objective), reml),
        reml,
        float(sigma),
        beta,
        root_vcov.T @ root_vcov,
        standard_root.T @ standard_root,
        tuple(
            coordinates.scale * (a @ b).T
            for a, b in zip(coordinates.factor_maps, pls.trim(modes, model.n_levels), strict=True)
        ),
        pwrss * coordinates.scale**2 * coordinates.weight_scale,
        certificate,
    )


def null_objective(model: Model, reml: bool) -> float:
    """The criterion without any random effects: that of least squares."""
    coordinates, response = model.coordinates, model.response
    p = coordinates.n_fixed if reml else 0
    degrees = coordinates.n_obs - p
    value = p * np.log(model.gram.xx) + degrees * (1.0 + np.log(2.0 * np.pi * response.yy / degrees))
    return coordinates.objective(float(value - coordinates.sum_log_weights), reml)


def at_rounding_error(predicted, value) -> np.ndarray:
    """Whether what Newton's step predicts is what the digits of the objective cannot show; of one lane, or of many."""
    return np.asarray(predicted <= ROUNDING * np.sqrt(np.maximum(np.abs(value), 1.0)))


def _certificate(model: Model, state: optimize.State, slope: float) -> Certificate:
    plan = model.plan
    counts = [
        [int((own.values < boundary.SINGULAR).sum()) for own in directions(terms, lam[None])]
        for terms, lam in zip(plan.terms, boundary.numpy_lambdas(plan, np.asarray(state.theta)), strict=True)
    ]
    singular = tuple((t, i, count) for t, own in enumerate(counts) for i, count in enumerate(own) if count)
    moving = np.asarray(state.theta) != 0
    curvatures, ways = np.linalg.eigh(np.asarray(state.hessian)[np.ix_(moving, moving)])
    along = ways.T @ np.asarray(state.gradient)[moving]
    upward = curvatures > optimize.FLAT * np.abs(curvatures).max(initial=0.0)
    predicted = 0.5 * float(np.sum(along[upward] ** 2 / curvatures[upward]))
    status = optimize.STATUS_NAMES[int(state.status)]
    if int(state.status) == optimize.STALLED and at_rounding_error(predicted, state.value):
        status = "rounding error"
    factors = range(len(plan.terms))
    flat = tuple((s, t) for s in factors for t in factors if s < t and pls.same_partition(model.gram, s, t))
    return Certificate(
        status,
        int(state.iteration),
        float(np.abs(np.asarray(state.gradient)).max()),
        predicted,
        float(curvatures[0]) if moving.any() else np.nan,
        singular,
        slope,
        flat,
    )
