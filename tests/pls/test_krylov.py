"""The plan `krylov`: against the oracle where nothing is estimated, against dense formulas in its parts.

With every direction in the basis there are no probes, and the criterion is exact up to the residuals of Lanczos' method and
of conjugate gradients: 1e-9 relative, as for the other plans.
"""

from functools import cache
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import linalg

from jaxlmm import pls
from jaxlmm.covariance import positions
from jaxlmm.errors import ConvergenceError
from jaxlmm.fit import conditional_variances, evaluate, krylov
from jaxlmm.fit.krylov_uncertainty import Estimated
from jaxlmm.fit.record import Model
from jaxlmm.fit.single import reduce
from jaxlmm.linalg import SparseBlocks, conjugate_gradients
from jaxlmm.linalg import sparse as sparse_blocks
from jaxlmm.pls import krylov_criterion as criterion
from jaxlmm.pls import krylov_logdet as logdet
from jaxlmm.pls import krylov_round
from jaxlmm.precision import double
from tests import oracle
from tests.fit.models import BY_HAND
from tests.pls.test_plans import DESIGNS, PLACES, chosen, close, expected, standard_problem

pytestmark = pytest.mark.usefixtures("double", "quick_programs")

VALUE, DERIVATIVE = 1e-9, 1e-8
CROSSED = [
    name for name, design in DESIGNS.items() if design.structure in ("crossed", "nested x crossed", "partly nested")
]


@cache
@double
def model_of(name: str) -> Model:
    """A design with this plan; no round yet."""
    own = chosen(name)
    plan = pls.choose(own.gram, own.coordinates.terms, "krylov")
    return Model(own.gram, own.response, own.coordinates, plan, reduce(plan, own.gram, own.response, own.coordinates))


def whole(model: Model, theta: np.ndarray) -> Model:
    """With a round at some other θ that leaves nothing to probes."""
    return krylov.with_round(model, 0.7 * theta + 0.1, krylov.Settings(0, krylov.size_of(model)))


@pytest.mark.parametrize("name", CROSSED)
def test_value_gradient_and_information(name: str) -> None:
    for place, reml in PLACES:
        theta = np.asarray(getattr(DESIGNS[name], place))
        model = whole(model_of(name), theta)
        value, gradient, hessian = criterion.curvature(model.plan, model.reduced, theta, float(reml))
        d, g, h = expected(name, place, reml)
        h = h + oracle.expected_less_observed(standard_problem(name), theta, reml)
        assert float(value) == pytest.approx(d, rel=VALUE)
        assert np.linalg.norm(gradient - g) <= DERIVATIVE * max(np.linalg.norm(g), 1.0)
        close_enough = DERIVATIVE if place == "theta" else 1e-5
        assert np.linalg.norm(hessian - h) <= close_enough * max(np.linalg.norm(h), 1.0), (place, reml)


@pytest.mark.parametrize("name", ["crossed2_slopes", "crossed3_slopes", "nested2_x_item", "partly_nested"])
def test_estimates_in_the_users_units(name: str) -> None:
    """Modes, coefficients, and variances of modes, to which the probes add nothing here."""
    design = DESIGNS[name]
    model = whole(model_of(name), np.asarray(design.theta))
    fit = evaluate(model, design.theta, True, BY_HAND)
    exact = oracle.estimates(design.problem, fit.theta, True)
    close(fit.beta, exact["beta"])
    close(fit.sigma**2 * fit.unscaled_vcov, exact["vcov"])
    for b, b_exact in zip(fit.b, exact["b"], strict=True):
        close(b, b_exact)
    if krylov.size_of(model) <= krylov.WHOLE:
        for v, v_exact in zip(conditional_variances(model, fit), exact["condvar"], strict=True):
            close(v, v_exact)


@pytest.mark.parametrize("name", ["crossed2_slopes", "nested2_x_item", "partly_nested"])
def test_degrees_of_freedom_follow_the_variances(name: str) -> None:
    """Derivatives of the logarithm of r² cᵀ(XᵀV⁻¹X)⁻¹c, by differences of the oracle's covariance."""
    theta, problem = np.asarray(DESIGNS[name].theta), standard_problem(name)
    model = whole(model_of(name), theta)
    p = problem.x.shape[1]
    seen = criterion.evaluated(model.plan, model.reduced, theta, 1.0)[3]
    found = criterion.of_pwrss(model.plan, seen)[:, None] + criterion.of_variances(model.plan, seen, np.eye(p))

    def logs(at: np.ndarray) -> np.ndarray:
        own = oracle.estimates(problem, at, True)
        return np.log(np.diagonal(own["vcov"]))

    for i, step in enumerate(1e-5 * np.eye(theta.size)):
        slope = (logs(theta + step) - logs(theta - step)) / 2e-5
        np.testing.assert_allclose(found[i], slope, rtol=1e-5, atol=1e-7)


def matrices() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    e = rng.normal(size=(60, 60)) / 25
    e = e + e.T
    np.fill_diagonal(e, 0.0)
    change = rng.normal(size=(60, 60))
    return np.eye(60) + e, change + change.T


def f_of(a: np.ndarray) -> np.ndarray:
    """log A + I - A."""
    return linalg.logm(a).real + np.eye(len(a)) - a


def test_forms_and_their_derivatives() -> None:
    a, change = matrices()
    starts = np.random.default_rng(4).normal(size=(60, 3))
    (found,) = logdet.forms(lambda v: a @ v, starts)
    np.testing.assert_allclose(found.value, np.einsum("nc,nm,mc->c", starts, f_of(a), starts), rtol=1e-9)
    forms = np.einsum("nm,nk,km->m", found.vectors, change, found.vectors)
    ours = np.bincount(found.owner, found.weights * forms)
    h = 1e-5
    sides = [np.einsum("nc,nm,mc->c", starts, f_of(a + s * h * change), starts) for s in (1, -1)]
    np.testing.assert_allclose(ours, (sides[0] - sides[1]) / (2 * h), rtol=1e-6)


def test_starts_that_are_used_up() -> None:
    """Eigenvectors end Lanczos' method after a step, a start of zeros before it."""
    a, _ = matrices()
    values, vectors = np.linalg.eigh(a)
    starts = np.column_stack([vectors[:, 0], np.zeros(60), vectors[:, :2].sum(axis=1)])
    found = np.concatenate([part.value for part in logdet.forms(lambda v: a @ v, starts)])
    f = np.log(values) + 1 - values
    np.testing.assert_allclose(found, [f[0], 0.0, f[0] + f[1]], atol=1e-12)


def test_the_estimate_is_unbiased_and_deflation_helps() -> None:
    a, _ = matrices()
    probes = logdet.signs(60, range(400))
    exact = np.linalg.slogdet(a)[1] - np.trace(a) + 60
    spread = {}
    for count in (0, 10):
        basis = logdet.dominant(lambda v: a @ v, 60, count)
        rest = krylov_round.projected(basis, probes)
        known = sum(part.value.sum() for part in logdet.forms(lambda v: a @ v, basis))
        drawn = np.concatenate([part.value for part in logdet.forms(lambda v: a @ v, rest)])
        spread[count] = drawn.std()
        assert abs(known + drawn.mean() - exact) < 4 * drawn.std() / 20
    assert spread[10] < 0.8 * spread[0]


def test_probes_do_not_depend_on_each_other() -> None:
    np.testing.assert_array_equal(logdet.signs(9, range(5))[:, 2:], logdet.signs(9, range(2, 5)))
    assert np.abs(logdet.signs(1000, range(3))).min() == 1.0


@pytest.mark.parametrize("accelerated", [False, True])
@pytest.mark.parametrize(("a", "b"), [(1, 1), (2, 3)])
def test_products_with_blocks(accelerated: bool, a: int, b: int) -> None:
    rng = np.random.default_rng(0)
    places = np.unique(rng.integers(0, 7 * 5, 20))
    rows, columns = np.divmod(places, 5)
    blocks = rng.normal(size=(a, b, places.size))
    dense = np.zeros((7, a, 5, b))
    dense[rows, :, columns] = np.moveaxis(blocks, -1, 0)
    matrix = SparseBlocks(rows, columns, blocks, (7, 5), accelerated)
    right, left = rng.normal(size=(5, b, 4)), rng.normal(size=(7, a, 4))
    np.testing.assert_allclose(matrix.times(right), np.einsum("iajb,jbr->iar", dense, right), rtol=1e-12)
    np.testing.assert_allclose(matrix.transposed(left), np.einsum("iajb,iar->jbr", dense, left), rtol=1e-12)


def test_on_an_accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    """The path of other devices, run on this one: arrays are JAX's, products XLA's."""
    name = "nested2_x_item"
    theta = np.asarray(DESIGNS[name].theta)
    monkeypatch.setattr(sparse_blocks, "on_accelerator", lambda: True)
    own = chosen(name)
    plan = pls.choose(own.gram, own.coordinates.terms, "krylov")
    model = Model(own.gram, own.response, own.coordinates, plan, reduce(plan, own.gram, own.response, own.coordinates))
    assert not isinstance(model.reduced.gram.zz[0], np.ndarray)
    model = whole(model, theta)
    value, gradient, _ = criterion.curvature(model.plan, model.reduced, theta, 1.0)
    d, g, _ = expected(name, "theta", True)
    assert float(value) == pytest.approx(d, rel=VALUE)
    np.testing.assert_allclose(gradient, g, atol=DERIVATIVE * np.linalg.norm(g))


def test_small_eigenvalues_cost_nothing_with_a_basis() -> None:
    """Ten nearly disconnected groups: with their directions solved for, ten times fewer products."""
    rng = np.random.default_rng(1)
    q = np.linalg.qr(rng.normal(size=(200, 200)))[0]
    values = np.concatenate([np.geomspace(1e-6, 1e-4, 10), rng.uniform(0.5, 1.0, 190)])
    a = (q * values) @ q.T
    right = rng.normal(size=(200, 3))
    count: list[int] = []

    def apply(v: np.ndarray) -> np.ndarray:
        count.append(1)
        return a @ v

    x = conjugate_gradients(apply, right, q[:, :10])
    assert np.abs(a @ x - right).max() < 1e-8
    deflated = len(count)
    count.clear()
    conjugate_gradients(apply, right)
    assert 3 * deflated < len(count)


def test_a_system_that_stalls(monkeypatch: pytest.MonkeyPatch) -> None:
    from jaxlmm.linalg import gradients

    monkeypatch.setattr(gradients, "MOST", 20)
    a = np.diag(np.geomspace(1e-12, 1.0, 300))
    with pytest.raises(ConvergenceError, match="nearly disconnected"):
        conjugate_gradients(lambda v: a @ v, np.ones((300, 1)))


@pytest.mark.parametrize("name", ["crossed2_slopes", "nested2_x_item"])
def test_variances_of_variances(name: str) -> None:
    """From the information about θ and σ together, by numbers: the delta method to τ and δ, as `SecondOrder` has them."""
    theta = np.asarray(DESIGNS[name].theta)
    model = whole(model_of(name), theta)
    fit = evaluate(model, theta, True, BY_HAND)
    own = Estimated(model, fit)
    hessian, _ = own.seen

    def parameters(at: np.ndarray) -> np.ndarray:
        """log r², and the elements of ΛΛᵀ."""
        square: list[Any] = [
            np.log(float(krylov.profile(model.plan, own.here.reduced, krylov._factors(model.plan, at), 1.0).pwrss))
        ]
        for terms, lam in zip(model.plan.terms, krylov._factors(model.plan, at), strict=True):
            rows, columns = positions(terms)
            square.extend((lam @ lam.T)[rows, columns])
        return np.array(square)

    h = 1e-5
    slopes = np.array([(parameters(theta + h * e) - parameters(theta - h * e)) / (2 * h) for e in np.eye(theta.size)])
    covariance = slopes.T @ (2.0 * np.linalg.inv(hessian)) @ slopes
    covariance[0, 0] += 2.0 / (model.coordinates.n_obs - model.coordinates.n_fixed)
    np.testing.assert_allclose(own.variances(), covariance, rtol=1e-5, atol=1e-8 * np.abs(covariance).max())


def test_lambda_arrays() -> None:
    """Λ of θ on the host is that of the compiled programs."""
    plan = model_of("crossed3_slopes").plan
    theta = np.asarray(DESIGNS["crossed3_slopes"].theta)
    for ours, theirs in zip(krylov._factors(plan, theta), pls.lambdas(plan, jnp.asarray(theta)), strict=True):
        np.testing.assert_array_equal(ours, theirs)
