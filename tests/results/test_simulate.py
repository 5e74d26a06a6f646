"""New responses: reproducible replicate by replicate, and distributed as the model says."""

import jax
import numpy as np
import pytest

import jaxlmm
from jaxlmm import MixedModelResults
from tests.reference.loader import case
from tests.results.fits import fit, marginal_covariance, model_columns, numbers, table

DRAWS = 200
SEED = 20


def test_a_replicate_depends_on_seed_and_number_only() -> None:
    f = fit("penicillin")
    five = f.simulate(5, seed=3)
    assert isinstance(five, np.ndarray)
    assert five.dtype == np.float64
    assert five.shape == (144, 5)
    np.testing.assert_array_equal(f.simulate(5, seed=3), five)
    np.testing.assert_array_equal(f.simulate(2, seed=3), five[:, :2])
    assert np.unique(five[0]).size == 5
    assert not np.any(f.simulate(5, seed=4) == five)
    np.testing.assert_array_equal(f.simulate(), f.simulate(1, seed=0))


def drawn(f: MixedModelResults) -> np.ndarray:
    return f.simulate(2, seed=1)


def test_a_replicate_does_not_depend_on_the_users_generator() -> None:
    wanted = drawn(fit("penicillin"))
    with jax.default_prng_impl("rbg"):
        np.testing.assert_array_equal(drawn(fit("penicillin")), wanted)
    with jax.enable_x64(True):
        np.testing.assert_array_equal(drawn(fit("penicillin")), wanted)
    with jax.numpy_dtype_promotion("strict"):
        np.testing.assert_array_equal(drawn(fit("penicillin")), wanted)


def test_a_replicate_does_not_depend_on_how_jax_splits_its_counters() -> None:
    wanted = drawn(fit("penicillin"))
    with jax.threefry_partitionable(not jax.config.jax_threefry_partitionable):
        np.testing.assert_array_equal(drawn(fit("penicillin")), wanted)


@pytest.mark.parametrize(("case_id", "components"), [("sleep_max", 3), ("penicillin", 4)])
def test_moments_are_those_of_the_model(case_id: str, components: int) -> None:
    y = fit(case_id).simulate(DRAWS, seed=SEED)
    n = len(y)
    x, _ = model_columns(case_id, table(case_id))
    mean, v = x @ numbers(case(case_id)["beta"]), marginal_covariance(case_id)
    # Along the eigenvectors of the implied covariance the draws are independent standard normal numbers.
    values, vectors = np.linalg.eigh(v)
    standard = vectors.T @ (y - mean[:, None]) / np.sqrt(values)[:, None]
    # n means of DRAWS numbers: five standard errors bound the largest of 180.
    assert np.abs(standard.mean(axis=1)).max() < 5.0 / np.sqrt(DRAWS)
    # Equal eigenvalues make a component: the residual, within a level, between levels. Its mean square over m
    # directions and DRAWS draws has the standard error sqrt(2 / (m DRAWS)); the widest is 10 %.
    edges = np.flatnonzero(np.diff(values) > 1e-6 * values[1:]) + 1
    assert len(edges) + 1 == components
    for part in np.split(standard, edges):
        assert np.mean(np.square(part)) == pytest.approx(1.0, abs=5.0 * np.sqrt(2.0 / part.size))
    # Covariances between directions: n (n - 1) / 2 uncorrelated numbers with mean square 1 / DRAWS and, times DRAWS,
    # variance near 2: the standard error of their mean is sqrt(4 / n**2) = 1.4 %.
    product = (standard @ standard.T)[np.triu_indices(n, 1)]
    assert np.mean(np.square(product)) / DRAWS == pytest.approx(1.0, abs=0.07)


def test_draws_of_a_row_are_not_correlated() -> None:
    y = fit("sleep_max").simulate(DRAWS, seed=SEED)
    centred = y - y.mean(axis=1, keepdims=True)
    lag = np.mean(centred[:, 1:] * centred[:, :-1]) / np.mean(np.square(centred))
    # 199 pairs of draws, each a mean over 18 independent subjects: standard error about 1 / sqrt(199 * 18) = 0.017
    # times the correlation within subjects, below 3.
    assert abs(lag) < 0.15


def test_a_simulated_response_can_be_refitted() -> None:
    f = fit("sleep_max")
    found = np.array([f.refit(y).params for y in f.simulate(12, seed=5).T])
    # Twelve estimates scatter around the truth with the standard errors of the fit.
    z = (found - f.params.to_numpy()) / f.bse.to_numpy()
    assert np.abs(z).max() < 4.5
    assert 0.2 < np.mean(z**2) < 3.0


def test_weights_divide_the_residual_variance() -> None:
    frame = table("sleep_weights")
    f = jaxlmm.lmer("Reaction ~ Days + (1 | Subject)", frame, weights=np.where(frame["Days"] < 5, 1e4, 1.0))
    y = f.simulate(DRAWS, seed=SEED) - f.predict(random=False).to_numpy()[:, None]
    heavy = (frame["Days"] < 5).to_numpy()
    within = [y[rows] - np.repeat(y[rows].reshape(18, 5, -1).mean(axis=1), 5, axis=0) for rows in (heavy, ~heavy)]
    variance = [np.mean(np.square(part)) * 5 / 4 for part in within]
    # 18 * 4 * 200 degrees of freedom each: relative standard error sqrt(2 / 14400) = 1.2 %.
    assert variance[0] == pytest.approx(f.scale / 1e4, rel=0.06)
    assert variance[1] == pytest.approx(f.scale, rel=0.06)
