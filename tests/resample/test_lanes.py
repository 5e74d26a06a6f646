"""Lanes: each is the fit of its own response, whatever stands beside it."""

from dataclasses import replace

import numpy as np
import pytest

from jaxlmm import covariance as covariance_lanes
from jaxlmm import pls
from jaxlmm.design import Design
from jaxlmm.fit import Batch, Control, Model, fit_lanes, fit_model, prepare
from jaxlmm.fit import batch as batches
from jaxlmm.fit import batch_of as lanes_of
from jaxlmm.fit import lanes as driver
from jaxlmm.fit.single import search
from jaxlmm.resample import sufficient
from jaxlmm.resample.simulate import draw_responses
from tests.designs import random_designs
from tests.fit.models import design_of

pytestmark = pytest.mark.usefixtures("double", "quick_programs")

DESIGNS = {design.id: design for design in random_designs()}
TOGETHER = ["no_fixed_effects", "one_intercept", "one_us2_balanced", "one_us2_ragged", "one_weights", "one_us2_diag2"]
ALONE = ["nested2_unbalanced", "crossed2_slopes"]
OBJECTIVE = 1e-6
COVARIANCE = 1e-4
LANES = 24


def the_design(name: str) -> Design:
    if name == "no_fixed_effects":
        design = design_of(DESIGNS["one_intercept"].problem)
        return replace(design, x=design.x[:, :0])
    return design_of(DESIGNS[name].problem)


def responses(name: str) -> tuple[Model, np.ndarray, list]:
    """A design's model, drawn responses, a third of them without random effects (for singular minima), and their models."""
    design = the_design(name)
    model = prepare(design)
    fit = fit_model(model, True)
    y = draw_responses(design, fit, np.zeros(design.n_obs), np.arange(LANES), 3)
    y[:, ::3] = np.random.default_rng(1).normal(size=y[:, ::3].shape)
    return model, y, [prepare(replace(design, y=y[:, lane])) for lane in range(LANES)]


def batch_of(name: str, model: Model, y: np.ndarray) -> Batch:
    found = pls.Responder.of(the_design(name), model.gram, model.coordinates).reduce(y)
    return lanes_of(model, pls.class_sums(model.plan, model.gram), found)


@pytest.mark.parametrize("reml", [True, False], ids=["REML", "ML"])
@pytest.mark.parametrize("name", [*TOGETHER, *ALONE])
def test_a_lane_is_the_fit_of_its_response(name: str, reml: bool) -> None:
    model, y, own = responses(name)
    start = pls.starting_theta(model.gram, model.response, model.plan.terms)
    found = fit_lanes(model, batch_of(name, model, y), reml, start, Control())
    ends = np.cumsum([0, *(sum(t.n_theta for t in terms) for terms in model.plan.terms)])
    for lane, single in enumerate(own):
        fit = fit_model(single, reml)
        assert found.status[lane] <= 1
        assert found.objective[lane] == pytest.approx(fit.objective, abs=OBJECTIVE)
        assert found.sigma[lane] == pytest.approx(fit.sigma, rel=COVARIANCE)
        np.testing.assert_allclose(
            found.beta[lane],
            fit.beta,
            rtol=0,
            atol=COVARIANCE * np.sqrt(np.diag(fit.unscaled_vcov)).max(initial=0.0) * fit.sigma,
        )
        errors = fit.sigma * np.sqrt(np.diag(fit.unscaled_vcov))
        np.testing.assert_allclose(found.std_error[lane], errors, rtol=COVARIANCE)
        for t, lam in enumerate(fit.lambdas):
            mine = covariance_lanes.lambda_lanes(model.plan.terms[t], found.theta[lane, ends[t] : ends[t + 1], None])[0]
            np.testing.assert_allclose(
                mine @ mine.T, lam @ lam.T, rtol=0, atol=COVARIANCE * max(1.0, np.abs(lam).max()) ** 2
            )
        assert found.singular[lane] == bool(fit.certificate.singular)
    assert found.singular.any()


@pytest.mark.parametrize("name", ["one_us2_balanced", "one_us2_ragged"])
def test_neighbours_and_chunks_do_not_matter(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, y, _ = responses(name)
    start = pls.starting_theta(model.gram, model.response, model.plan.terms)
    whole = fit_lanes(model, batch_of(name, model, y), True, start, Control())
    some = np.array([5, 0, 17])
    few = fit_lanes(model, batch_of(name, model, y[:, some]), True, start, Control())
    monkeypatch.setattr(driver, "FIRST", 3)
    monkeypatch.setattr(batches, "_device_bytes", lambda: (0.0, 16))
    cut = fit_lanes(model, batch_of(name, model, y), True, start, Control())
    for other, lanes in ((few, some), (cut, np.arange(LANES))):
        np.testing.assert_allclose(other.objective, whole.objective[lanes], rtol=1e-8)
        np.testing.assert_allclose(other.sigma, whole.sigma[lanes], rtol=1e-8)
        mine, theirs = (
            covariance_lanes.lambda_lanes(model.plan.terms[0], own.T) for own in (other.theta, whole.theta[lanes])
        )
        square, expected = mine @ mine.swapaxes(1, 2), theirs @ theirs.swapaxes(1, 2)
        size = np.maximum(np.abs(expected).max(axis=(1, 2), keepdims=True), 1e-3)
        np.testing.assert_allclose(square / size, expected / size, rtol=0, atol=1e-8)
        np.testing.assert_array_equal(other.singular, whole.singular[lanes])


def test_a_thousand_replicates_are_fits_one_at_a_time() -> None:
    """Of sleepstudy, from the same drawn sums, by the path of a single fit and from another start."""
    import jaxlmm

    fitted = jaxlmm.lmer("Reaction ~ Days + (Days | Subject)", jaxlmm.load_dataset("sleepstudy"))._fitted
    model, fit = fitted.model, fitted.fit
    drawn = sufficient.draw(model, fit, sufficient.sampler(model, fit), 7, np.arange(1000))
    found = fit_lanes(model, drawn, True, pls.starting_theta(model.gram, model.response, model.plan.terms), Control())
    assert found.certified.all()
    change = (model.coordinates.n_obs - 2) * 2.0 * np.log(drawn.scale) - 2.0 * model.coordinates.log_det
    for lane in range(1000):
        own = replace(model, reduced=batches.lane_of(model, drawn, lane))
        state, _ = search(own, np.array([0.7, 0.1, 0.4]), 1.0, Control())
        assert found.objective[lane] == pytest.approx(float(state.value) + change[lane], abs=1e-6)


def test_a_lane_that_runs_out_of_steps_says_so() -> None:
    model, y, _ = responses("one_us2_ragged")
    start = 30.0 * pls.starting_theta(model.gram, model.response, model.plan.terms)
    found = fit_lanes(model, batch_of("one_us2_ragged", model, y), True, start, Control(max_iterations=1))
    assert (found.status == batches.LIMIT).all()


def test_an_exact_fit_is_a_status() -> None:
    """Two responses: one drawn, one in the space of the fixed effects."""
    model, y, _ = responses("one_us2_ragged")
    design = design_of(DESIGNS["one_us2_ragged"].problem)
    batch = batch_of("one_us2_ragged", model, np.column_stack([y[:, 0], design.x @ np.ones(design.n_fixed)]))
    start = pls.starting_theta(model.gram, model.response, model.plan.terms)
    found = fit_lanes(model, batch, True, start, Control())
    assert found.status.tolist() == [batches.CONVERGED, batches.EXACT_FIT]
