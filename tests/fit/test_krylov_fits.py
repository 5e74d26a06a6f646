"""Fits of the plan `krylov` beside the exact ones: within what they say of themselves, and within 0.1 standard errors.

Probes are fixed, so a test either always passes or always fails; four standard deviations of eight probes are met by one
criterion in two hundred.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import jax
import numpy as np
import pandas as pd
import pytest

import jaxlmm
from jaxlmm import Control, ConvergenceError, DesignError, MixedModelResults
from jaxlmm.errors import ConvergenceWarning
from jaxlmm.fit import conditional_variances, krylov, krylov_uncertainty
from jaxlmm.linalg import gradients
from jaxlmm.pls import costs
from tests.reference.loader import data

KRYLOV = Control(plan="krylov")
CLOSE = 0.1
"""Standard errors between the two fits, from the issue."""


def _random(rng: np.random.Generator, n: int, a: int, b: int) -> tuple[np.ndarray, np.ndarray]:
    return rng.integers(0, a, n), rng.integers(0, b, n)


def _weak(rng: np.random.Generator, n: int, a: int, b: int) -> tuple[np.ndarray, np.ndarray]:
    """A level meets its neighbours on a circle only: long paths."""
    g = rng.integers(0, a, n)
    return g, (g * b // a + rng.integers(0, 3, n)) % b


def _communities(rng: np.random.Generator, n: int, a: int, b: int) -> tuple[np.ndarray, np.ndarray]:
    """Ten communities with one row in fifty between them."""
    g = rng.integers(0, a, n)
    own = (g % 10) + 10 * rng.integers(0, b // 10, n)
    return g, np.where(rng.random(n) < 0.02, rng.integers(0, b, n), own)


def _once(rng: np.random.Generator, n: int, a: int, b: int) -> tuple[np.ndarray, np.ndarray]:
    """Very unequal: many levels are seen once."""
    return (a * rng.random(n) ** 3).astype(int), (b * rng.random(n) ** 4).astype(int)


def _disconnected(rng: np.random.Generator, n: int, a: int, b: int) -> tuple[np.ndarray, np.ndarray]:
    """Two halves that share no level."""
    g = rng.integers(0, a, n)
    return g, 2 * rng.integers(0, b // 2, n) + g % 2


LAYOUTS: dict[str, Callable[..., tuple[np.ndarray, np.ndarray]]] = {
    "random": _random,
    "weak": _weak,
    "communities": _communities,
    "once": _once,
    "disconnected": _disconnected,
}
SIZES = [(1500, 300, 120), (2500, 250, 200), (4000, 500, 80)]
INTERCEPTS, SLOPES, THREE, CHAIN = (
    "y ~ x + (1 | g) + (1 | h)",
    "y ~ x + (x | g) + (x || h)",
    "y ~ x + (1 | g) + (1 | h) + (1 | m)",
    "y ~ x + (1 | g) + (1 | s) + (x | h)",
)
CASES = [
    *((layout, size, INTERCEPTS) for layout in LAYOUTS for size in range(3)),
    *((layout, 1, SLOPES) for layout in ("random", "communities", "once")),
    ("random", 0, THREE),
    ("random", 2, CHAIN),
]


@cache
def table(layout: str, size: int) -> pd.DataFrame:
    n, a, b = SIZES[size]
    rng = np.random.default_rng([size, list(LAYOUTS).index(layout)])
    g, h = LAYOUTS[layout](rng, n, a, b)
    x, m = rng.normal(size=n), rng.integers(0, 30, n)
    y = 0.5 * x + rng.normal(0, 0.6, a)[g] + rng.normal(0, 0.5, b)[h] + rng.normal(0, 0.4, a)[g] * x
    y = y + rng.normal(0, 0.4, 30)[m] + rng.normal(0, 0.5, a)[g // 8] + rng.normal(0, 0.4, b)[h] * x
    return pd.DataFrame({"y": y + rng.normal(size=n), "x": x, "g": g, "h": h, "m": m, "s": g // 8})


def check(ours: MixedModelResults, exact: MixedModelResults) -> None:
    error = ours.monte_carlo
    assert error is not None
    assert ours.converged
    assert ours.plan.kind == "krylov"
    assert abs(ours.objective - exact.objective) <= 4 * error.objective + 1e-6
    # Canonical parameters, those on the boundary left out.
    theta, known = ours._fitted.fit.standard_theta - exact._fitted.fit.standard_theta, error.std_error > 0
    assert np.abs(theta[known] / error.std_error[known]).max() < CLOSE
    assert error.error < CLOSE
    # Of a standard error, in standard errors of β: its own variance is that of θ̂.
    assert np.abs(ours.bse / exact.bse - 1.0).max() < CLOSE
    assert np.abs((ours.params - exact.params) / exact.bse).max() < CLOSE


@pytest.mark.parametrize(("layout", "size", "formula"), CASES)
def test_twenty_designs(layout: str, size: int, formula: str) -> None:
    rows = table(layout, size)
    check(jaxlmm.lmer(formula, rows, control=KRYLOV), jaxlmm.lmer(formula, rows))


def test_insteval() -> None:
    formula, rows = "y ~ 1 + (1 | s) + (1 | d) + (1 | dept)", data("insteval")
    check(jaxlmm.lmer(formula, rows, control=KRYLOV), jaxlmm.lmer(formula, rows))


@cache
def pair() -> tuple[MixedModelResults, MixedModelResults]:
    rows = table("random", 1)
    return jaxlmm.lmer(SLOPES, rows, control=KRYLOV), jaxlmm.lmer(SLOPES, rows)


def test_inference() -> None:
    """Degrees of freedom, variances of variances and of modes, predictions: near the exact ones, which differ by the average
    information and by θ̂."""
    ours, exact = pair()
    np.testing.assert_allclose(ours.tidy()["df"], exact.tidy()["df"], rtol=0.05)
    np.testing.assert_allclose(ours.tidy("ran_pars")["std_error"], exact.tidy("ran_pars")["std_error"], rtol=0.05)
    modes, known = ours.ranef(condvar=True), exact.ranef(condvar=True)
    for (_, mine), (_, theirs) in zip(modes.groupby("group"), known.groupby("group"), strict=True):
        ratio = mine["std_error"].to_numpy() / theirs["std_error"].to_numpy() - 1.0
        assert np.sqrt(np.mean(ratio**2)) < 0.02
        assert np.abs(mine["estimate"].to_numpy() - theirs["estimate"].to_numpy()).max() < 0.01
    new = table("random", 1)[:50]
    a, b = (fit.predict(new, interval="prediction") for fit in (ours, exact))
    np.testing.assert_allclose(a, b, atol=0.02)
    # The expected information takes dense matrices for either plan.
    expected = (np.diagonal(fit.cov_varcorr(information="expected")) for fit in (ours, exact))
    np.testing.assert_allclose(*expected, rtol=0.05)


def test_everything_else_runs() -> None:
    ours, exact = pair()
    assert "probes" in str(ours.summary())
    np.testing.assert_allclose(
        ours.refit(exact.simulate(1, seed=3)[:, 0]).theta, exact.refit(exact.simulate(1, seed=3)[:, 0]).theta, atol=0.02
    )


@cache
def weak_pair() -> tuple[MixedModelResults, MixedModelResults]:
    """A path of levels with variances of four residual ones, which takes many probes."""
    rng = np.random.default_rng(0)
    n, a, b = 1500, 400, 300
    g, x = rng.integers(0, a, n), rng.normal(size=n)
    h = (g * b // a + rng.integers(0, 2, n)) % b
    y = 1 + 0.5 * x + rng.normal(0, 2, a)[g] + rng.normal(0, 2, b)[h] + rng.normal(size=n)
    rows = pd.DataFrame({"y": y, "x": x, "g": g, "h": h})
    return jaxlmm.lmer(INTERCEPTS, rows, control=KRYLOV), jaxlmm.lmer(INTERCEPTS, rows)


def test_conditional_variances_are_exact_or_say_how_far_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """Held to the exact plan at the same θ; where probes are used, what they say of their error is of the error's size."""
    ours, exact = weak_pair()
    check(ours, exact)
    there = replace(exact._fitted.fit, standard_theta=ours._fitted.fit.standard_theta, sigma=ours.sigma)
    with jax.enable_x64(True):
        wanted = [v[:, 0, 0] ** 0.5 for v in conditional_variances(exact._fitted.model, there)]
    modes = ours.ranef(condvar=True)
    np.testing.assert_allclose(modes["std_error"], np.concatenate(wanted), rtol=1e-7)
    assert (modes["monte_carlo_error"] == 0.0).all()
    assert "monte_carlo_error" not in exact.ranef(condvar=True)
    monkeypatch.setattr(krylov_uncertainty, "WHOLE", (0, 0.0))
    modes = ours.ranef(condvar=True)
    # 256 probes of 300 to 400 levels leave the ratio within a few per cent of one; a forgotten root is a factor of two.
    off = modes.assign(off=modes["std_error"] - np.concatenate(wanted)).groupby("group")
    for _, own in off:
        assert 0.8 < np.sqrt(np.mean(own["off"] ** 2) / np.mean(own["monte_carlo_error"] ** 2)) < 1.25


def test_lanes_are_fits_of_their_own() -> None:
    """Each response has the probes that it needs, whatever is fitted beside it: the numbers are those of a single fit."""
    ours, exact = weak_pair()
    rows = ours._fitted.frame.table
    y = exact.simulate(2, seed=4)
    many = jaxlmm.fit_many(
        "~ x + (1 | g) + (1 | h)", rows, pd.DataFrame(y, columns=["a", "b"], index=rows.index), control=KRYLOV
    )
    alone = ours.refit(y[:, 1])
    tidy = many.frame[(many.frame["response"] == "b") & (many.frame["effect"] == "fixed")]
    np.testing.assert_allclose(tidy["estimate"], alone.params, rtol=1e-9)
    np.testing.assert_allclose(tidy["std_error"], alone.bse, rtol=1e-9)
    np.testing.assert_allclose(tidy["df"], alone.tidy()["df"], rtol=1e-6)
    assert alone.monte_carlo is not None
    for name, column in zip(("a", "b"), y.T, strict=True):
        wanted = exact.refit(column)._fitted.fit.standard_theta
        found = many.fit(name)._fitted.fit.standard_theta
        assert np.abs((found - wanted) / alone.monte_carlo.std_error).max() < CLOSE


def test_lanes_of_weighted_rows() -> None:
    """Weights in tiny units change σ's unit and nothing else; σ is then no sign of a response that is reproduced."""
    rng = np.random.default_rng(3)
    g, h, x, w = rng.integers(0, 60, 400), rng.integers(0, 30, 400), rng.normal(size=400), rng.uniform(0.5, 2.0, 400)
    y = x + rng.normal(size=60)[g] + rng.normal(size=30)[h] + rng.normal(size=400) / np.sqrt(w)
    rows = pd.DataFrame({"x": x, "g": g, "h": h, "w": w, "tiny": 1e-20 * w})
    found = [
        jaxlmm.fit_many("~ x + (1 | g) + (1 | h)", rows, pd.DataFrame({"y": y}), weights=name, control=KRYLOV)
        for name in ("w", "tiny")
    ]
    assert [many.status.tolist() for many in found] == [["converged"], ["converged"]]
    np.testing.assert_allclose(found[1].sigma, 1e-10 * found[0].sigma, rtol=1e-6)
    exact = jaxlmm.lmer(INTERCEPTS, rows.assign(y=y), weights="w")
    np.testing.assert_allclose(found[0].sigma, exact.sigma, rtol=1e-3)


def test_a_minimum_that_no_round_reaches_is_not_certified(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(krylov, "near", lambda *_: False)
    monkeypatch.setattr(krylov, "RECENTRED", 1)
    with pytest.warns(ConvergenceWarning, match="iteration limit"):
        fit = jaxlmm.lmer("diameter ~ 1 + (1 | plate) + (1 | sample)", data("penicillin"), control=KRYLOV)
    assert not fit.converged


def test_memory_is_what_a_container_may_use(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    whole = costs.memory()
    (tmp_path / "limited").write_text("1000000\n")
    (tmp_path / "free").write_text("max\n")
    for names, expected in ((["limited", "free"], 1e6), (["free", "absent"], None)):
        monkeypatch.setattr(costs, "CONTAINERS", [str(tmp_path / name) for name in names])
        assert costs.memory() == expected if expected else costs.memory() >= whole


def test_bootstrap_and_influence_beside_the_exact_ones() -> None:
    ours, exact = weak_pair()
    assert ours.monte_carlo is not None
    drawn, expected = (fit.bootstrap(2, seed=1).frame for fit in (ours, exact))
    # Replicates are drawn from either fit's own estimates, which differ by less than CLOSE themselves.
    error = exact.tidy("ran_pars").set_index("term")["std_error"]
    names = [name for name in expected if name.startswith("sd__Intercept")]
    assert len(names) == 2
    for name in names:
        assert np.abs(drawn[name] - expected[name]).max() < 2 * CLOSE * error.loc["sd__Intercept"].max()
    near, known = (fit.influence("h", approximate=True).frame for fit in (ours, exact))
    for name in ("theta1", "theta2"):
        # Less what the fits themselves differ by, a level moves θ as it does there: gradients by other probes than the fit's
        # moved all levels by a fifth of their spread.
        off = (near[name] - known[name]) - (near[name] - known[name]).mean()
        assert np.sqrt(np.mean(off**2)) < 0.05 * known[name].std()
        assert abs((near[name] - known[name]).mean()) < CLOSE * ours.monte_carlo.std_error.max()


def test_comparisons_tell_what_probes_leave_uncertain() -> None:
    ours, exact = weak_pair()
    for fit, told in ((ours, True), (exact, False)):
        larger = fit.update(". ~ . + I(x**2)")
        tables = jaxlmm.anova(fit, larger), fit.ranova()
        for own in tables:
            assert ("monte_carlo_error" in own) is told
    smaller = ours.ranova()
    assert ours.monte_carlo is not None
    # Each smaller model has one factor, and an exact criterion.
    np.testing.assert_allclose(smaller["monte_carlo_error"].iloc[1:], ours.monte_carlo.objective)


def test_saved_and_loaded(tmp_path: Any) -> None:
    ours, _ = pair()
    ours.save(tmp_path / "fit.npz")
    again = jaxlmm.load(tmp_path / "fit.npz")
    assert again.monte_carlo is not None
    assert again.monte_carlo.probes == ours.monte_carlo.probes
    np.testing.assert_array_equal(again.tidy()["df"], ours.tidy()["df"])
    assert str(again.summary()).splitlines()[-2:] == str(ours.summary()).splitlines()[-2:]


def test_a_factor_that_explains_nothing() -> None:
    # Every level of z has responses of all sizes, so that there is less between levels than chance leaves.
    rows = table("random", 2).assign(z=lambda d: d["y"].rank(method="first").astype(int) % 50)
    formula = "y ~ x + (1 | g) + (1 | z)"
    ours, exact = jaxlmm.lmer(formula, rows, control=KRYLOV), jaxlmm.lmer(formula, rows)
    assert ours.converged
    assert exact.is_singular
    np.testing.assert_allclose(ours.varcorr["vcov"], exact.varcorr["vcov"], atol=0.02)


def test_a_zero_variance_leaves_nothing_to_deflate() -> None:
    """The matrix of 20 levels without variance is the identity: no dominant directions, and every question has its answer."""
    rng = np.random.default_rng(1)
    g, h, x = rng.integers(0, 40, 300), rng.integers(0, 20, 300), rng.normal(size=300)
    rows = pd.DataFrame({"g": g, "h": h, "x": x, "y": x + rng.normal(0, 0.6, 40)[g] + rng.normal(size=300)})
    ours, exact = jaxlmm.lmer(INTERCEPTS, rows, control=KRYLOV), jaxlmm.lmer(INTERCEPTS, rows)
    assert ours.is_singular
    assert exact.is_singular
    assert ours.objective == pytest.approx(exact.objective, abs=1e-6)
    np.testing.assert_allclose(ours.bse, exact.bse, rtol=1e-5)
    np.testing.assert_allclose(ours.ranef(condvar=True)["std_error"], exact.ranef(condvar=True)["std_error"], atol=1e-4)
    assert ours.monte_carlo is not None
    assert ours.monte_carlo.error < CLOSE
    predicted = (fit.predict(rows.head(3), interval="prediction") for fit in (ours, exact))
    np.testing.assert_allclose(*predicted, atol=1e-3)


def test_variances_far_from_the_start() -> None:
    """A round is made anew where θ leaves the place that it was made for; variances of a million residual ones are right."""
    rows, size = table("random", 0), 1e3
    rng = np.random.default_rng(2)
    y = rows["y"] + size * rng.normal(size=300)[rows["g"]] + 0.3 * size * rng.normal(size=120)[rows["h"]]
    ours, exact = (jaxlmm.lmer(INTERCEPTS, rows.assign(y=y), control=own) for own in (KRYLOV, Control()))
    check(ours, exact)


def test_a_design_that_stalls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Variances of 1e10 residual ones leave conjugate gradients no digits: an error, and no numbers."""
    monkeypatch.setattr(gradients, "MOST", 300)
    rows = table("random", 0)
    rng = np.random.default_rng(2)
    y = rows["y"] + 1e5 * rng.normal(size=300)[rows["g"]] + 1e5 * rng.normal(size=120)[rows["h"]]
    with pytest.raises(ConvergenceError, match="stalled"):
        jaxlmm.lmer(INTERCEPTS, rows.assign(y=y), control=KRYLOV)


def test_the_cheaper_plan_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = table("random", 0)
    assert jaxlmm.lmer(INTERCEPTS, rows).plan.kind == "crossed"
    monkeypatch.setattr(costs, "memory", lambda: 2e5)
    with pytest.raises(DesignError, match="'krylov' takes"):
        jaxlmm.lmer(INTERCEPTS, rows)
    monkeypatch.setattr(costs, "memory", lambda: 1e7)
    monkeypatch.setattr(costs, "SHARE", 1e-3)
    fit = jaxlmm.lmer(INTERCEPTS, rows)
    assert fit.plan.kind == "krylov"
    assert "exact: about" in fit.plan.describe()


def test_nothing_is_allocated_for_a_plan_that_cannot_fit() -> None:
    n = 300_000
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"y": rng.normal(size=n), "g": rng.permutation(n) // 3, "h": rng.permutation(n) // 4})
    for plan in ("crossed", "dense"):
        with pytest.raises(DesignError, match=rf"plan '{plan}' takes about .* GiB .* plan='auto'"):
            jaxlmm.lmer("y ~ 1 + (1 | g) + (1 | h)", rows, control=Control(plan=plan))
