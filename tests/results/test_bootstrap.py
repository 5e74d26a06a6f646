"""`fit.bootstrap`: against lme4's bootMer, against itself, and what it says about failures."""

import functools
from dataclasses import replace

import jax
import numpy as np
import pandas as pd
import pytest
from scipy.stats import ks_2samp

import jaxlmm
from jaxlmm.errors import DataError, DesignError
from jaxlmm.inference.intervals import interval
from jaxlmm.resample.cases import drawn_counts
from tests.reference.loader import HERE

SLEEP = "Reaction ~ Days + (Days | Subject)"
PENICILLIN = "diameter ~ 1 + (1 | plate) + (1 | sample)"
SMALLEST_P = 1e-4
"""Of two-sample Kolmogorov-Smirnov tests, seven columns: a false alarm in a thousand such suites, with the seeds fixed."""


@functools.cache
def sleepstudy() -> jaxlmm.MixedModelResults:
    return jaxlmm.lmer(SLEEP, jaxlmm.load_dataset("sleepstudy"))


@functools.cache
def sleepstudy_draws() -> pd.DataFrame:
    return sleepstudy().bootstrap(4000, seed=11).frame


@functools.cache
def penicillin() -> jaxlmm.MixedModelResults:
    return jaxlmm.lmer(PENICILLIN, jaxlmm.load_dataset("penicillin"))


def bootmer(name: str) -> pd.DataFrame:
    return pd.read_csv(HERE / "bootmer" / f"{name}.csv")


def assert_the_same_distribution(ours: pd.DataFrame, theirs: pd.DataFrame, columns: dict[str, str]) -> None:
    for mine, other in columns.items():
        assert ks_2samp(ours[mine].dropna(), theirs[other].dropna()).pvalue > SMALLEST_P, mine
    share, expected = ours["singular"].mean(), theirs["singular"].mean()
    error = np.sqrt(max(expected, 1e-3) * (1 / len(ours) + 1 / len(theirs)))
    assert abs(share - expected) <= 4.0 * error


def test_sleepstudy_is_distributed_as_bootmer_says() -> None:
    columns = {
        "Intercept": "(Intercept)",
        "Days": "Days",
        "sd__Intercept|Subject": "sd.Subject.(Intercept).NA",
        "sd__Days|Subject": "sd.Subject.Days.NA",
        "sd__Observation|Residual": "sd.Residual.NA.NA",
        "cor__Intercept.Days|Subject": "cor.Subject.(Intercept).Days",
    }
    ours, theirs = sleepstudy_draws(), bootmer("sleepstudy")
    assert_the_same_distribution(ours, theirs, {k: v for k, v in columns.items() if not k.startswith("cor")})
    # On the boundary a correlation is one, or of nothing; how often that is, is compared above.
    name = "cor__Intercept.Days|Subject"
    assert ks_2samp(ours[~ours.singular][name], theirs[theirs.singular == 0][columns[name]]).pvalue > SMALLEST_P


def test_penicillin_is_distributed_as_bootmer_says() -> None:
    """Crossed factors: responses are drawn and every lane is fitted alone."""
    ours = penicillin().bootstrap(400, seed=5).frame
    columns = {
        "Intercept": "(Intercept)",
        "sd__Intercept|plate": "sd.plate.(Intercept).NA",
        "sd__Intercept|sample": "sd.sample.(Intercept).NA",
        "sd__Observation|Residual": "sd.Residual.NA.NA",
    }
    assert_the_same_distribution(ours, bootmer("penicillin"), columns)


@pytest.mark.parametrize("weights", [None, "w"])
def test_drawn_statistics_and_drawn_responses_have_one_distribution(weights: str | None) -> None:
    """Sufficient statistics against y*: responses of `simulate`, each refitted, with unequal weights and ragged groups."""
    data = jaxlmm.load_dataset("sleepstudy").iloc[:-5].assign(w=lambda d: 0.5 + np.arange(len(d)) % 7)
    fit = jaxlmm.lmer(SLEEP, data, weights=weights)
    drawn = fit.bootstrap(3000, seed=2).frame
    again = [fit.refit(y) for y in fit.simulate(300, seed=9).T]
    refits = pd.DataFrame(
        {
            "Days": [f.params["Days"] for f in again],
            "sd__Observation|Residual": [f.sigma for f in again],
            "sd__Days|Subject": [f.varcorr["sdcor"].iloc[1] for f in again],
            "objective": [f.objective for f in again],
            "singular": [f.is_singular for f in again],
        }
    )
    assert_the_same_distribution(drawn, refits, {name: name for name in refits if name != "singular"})


BOOT = {
    "Intercept": "(Intercept)",
    "Days": "Days",
    "sd__Intercept|Subject": "sd.intercept",
    "sd__Days|Subject": "sd.days",
    "sd__Observation|Residual": "sd.residual",
}
"""Our names and those of the jackknife's reference file."""

CASES = {
    "Intercept": "(Intercept)",
    "Days": "Days",
    "sd__Intercept|Subject": "sd.Subject.(Intercept).NA",
    "sd__Days|Subject": "sd.Subject.Days.NA",
    "sd__Observation|Residual": "sd.Residual.NA.NA",
}
"""The same of bootMer's and of the cases bootstrap's."""


def test_whole_groups_are_resampled_as_by_lme4() -> None:
    ours = sleepstudy().bootstrap(4000, seed=3, kind="cases").frame
    theirs = bootmer("sleepstudy_cases_2000")
    assert_the_same_distribution(ours, theirs, CASES)


def test_multiplicities_are_fits_of_repeated_rows() -> None:
    """Unbalanced groups, weights: each replicate against `lmer` on its own rows, drawn twice where it stands twice."""
    data = jaxlmm.load_dataset("sleepstudy").iloc[:-5].assign(w=lambda d: 0.5 + np.arange(len(d)) % 7)
    fit = jaxlmm.lmer(SLEEP, data, weights="w")
    draws = fit.bootstrap(6, seed=8, kind="cases").frame
    counts = drawn_counts(18, np.arange(6), 8)
    codes = data["Subject"].astype("category").cat.codes.to_numpy()
    for i in range(6):
        parts = []
        for g, times in enumerate(counts[:, i].astype(int)):
            parts += [data[codes == g].assign(Subject=f"{g}.{copy}") for copy in range(times)]
        one = jaxlmm.lmer(SLEEP, pd.concat(parts, ignore_index=True), weights="w")
        assert draws["objective"][i] == pytest.approx(one.objective, abs=1e-7)
        assert draws["Days"][i] == pytest.approx(one.params["Days"], rel=1e-6)
        assert draws["sd__Days|Subject"][i] == pytest.approx(one.varcorr["sdcor"].iloc[1], rel=1e-5, abs=1e-5)


def test_groups_left_out_are_those_of_lme4() -> None:
    with jax.enable_x64(True):
        found = sleepstudy().bootstrap(2, seed=1)._left_out
    expected = bootmer("sleepstudy_jackknife_17")
    # Both minima are good to 1e-8 or so in the criterion, which leaves standard deviations some 1e-5.
    np.testing.assert_allclose(found["objective"], expected["REMLcrit"], rtol=0, atol=1e-7)
    for mine, other in BOOT.items():
        np.testing.assert_allclose(found[mine], expected[other], rtol=3e-5, err_msg=mine)


@pytest.mark.parametrize("level", [0.9, 0.95])
def test_bca_limits_are_those_of_boot(level: float) -> None:
    """bootMer's replicates through our formula, by the share of them below each limit; boot interpolates quantiles otherwise,
    so that one replicate more or less may be below."""
    drawn = bootmer("sleepstudy")[list(CASES.values())].to_numpy()
    left_out = bootmer("sleepstudy_jackknife_17")[list(BOOT.values())].to_numpy()
    expected = bootmer("sleepstudy_bca_17").query("level == @level")
    limits = interval("bca", drawn, expected["estimate"].to_numpy(), level, left_out)
    for ours, theirs in zip(limits, (expected["lower"], expected["upper"]), strict=True):
        below = np.abs((drawn < ours).sum(axis=0) - (drawn < theirs.to_numpy()).sum(axis=0))
        assert below.max() <= 1


def test_cases_and_bca_of_nested_groups() -> None:
    """The top factor's levels are resampled with everything in them; BCa leaves them out one by one."""
    data = jaxlmm.load_dataset("pastes")
    fit = jaxlmm.lmer("strength ~ 1 + (1 | batch/cask)", data)
    draws = fit.bootstrap(40, seed=1, kind="cases")
    codes = data["batch"].astype("category").cat.codes.to_numpy()
    counts = drawn_counts(10, np.arange(1), 1)[:, 0].astype(int)
    parts = [data[codes == g].assign(batch=f"{g}.{c}") for g, times in enumerate(counts) for c in range(times)]
    one = jaxlmm.lmer("strength ~ 1 + (1 | batch/cask)", pd.concat(parts, ignore_index=True))
    assert draws.frame["objective"][0] == pytest.approx(one.objective, abs=1e-7)
    assert (draws.conf_int("bca").loc["Intercept"].diff().iloc[1]) > 0
    # Whether groups are independent is the design's, whatever plan it is fitted by.
    dense = jaxlmm.lmer("strength ~ 1 + (1 | batch/cask)", data, control=jaxlmm.Control(plan="dense"))
    same = dense.bootstrap(4, seed=1, kind="cases").frame
    np.testing.assert_allclose(same["objective"], draws.frame["objective"][:4], atol=1e-6)
    with pytest.raises(DataError, match="here they are crossed"):
        penicillin().bootstrap(10, kind="cases")


@pytest.mark.parametrize("formula", ["y ~ treated + (1 | a/b)", "y ~ treated + (1 | a)"])
def test_cases_that_do_not_identify_a_coefficient_are_a_status(formula: str) -> None:
    """A treatment of one group of six: a resample without it cannot tell its effect, and is counted."""
    rng = np.random.default_rng(0)
    a = np.repeat(np.arange(6), 8)
    data = pd.DataFrame({"a": a, "b": np.tile(np.repeat([0, 1], 4), 6), "treated": (a == 0) * 1.0})
    data["y"] = rng.normal(size=48) + rng.normal(size=6)[a]
    draws = jaxlmm.lmer(formula, data).bootstrap(30, seed=1, kind="cases")
    drawn = drawn_counts(6, np.arange(30), 1)
    np.testing.assert_array_equal(draws.frame["status"] == "not identified", drawn[0] == 0)
    assert draws.n_failed == (drawn[0] == 0).sum() > 0
    with pytest.raises(DataError, match="1 of 6 such fits have no certified minimum"):
        draws.conf_int("bca")


def test_the_users_statistic() -> None:
    """For all replicates at once; intervals cover it, BCa among them."""

    def statistic(estimates: pd.DataFrame) -> dict:
        return {"share": estimates["sd__Days|Subject"] ** 2 / estimates["sd__Observation|Residual"] ** 2}

    draws = sleepstudy().bootstrap(300, seed=1, statistic=statistic)
    frame = draws.frame
    np.testing.assert_allclose(frame["share"], (frame["sd__Days|Subject"] / frame["sd__Observation|Residual"]) ** 2)
    assert draws.summary().loc["share", "estimate"] == pytest.approx(35.0717 / 654.9410, rel=1e-4)
    assert draws.conf_int("bca").loc["share"].notna().all()
    assert sleepstudy().bootstrap(5, statistic=lambda t: t["Days"] * 2).frame["statistic"].notna().all()
    with pytest.raises(DataError, match="it is given a table, not a fit"):
        sleepstudy().bootstrap(5, statistic=lambda m: m.params)  # bootMer's function: refused before anything is drawn
    for statistic, message in [
        (lambda t: [1.0, 2.0], "must give one number for each row"),
        (lambda t: t["Days"].iloc[::-1], "keep the rows in their order"),
        (lambda t: {"Days": t["Days"]}, "which the replicates have already"),
        (lambda t: ["a"] * len(t), "must be numeric"),
    ]:
        with pytest.raises(DataError, match=message):
            _ = sleepstudy().bootstrap(5, statistic=statistic).frame


def test_as_xarray() -> None:
    pytest.importorskip("xarray")
    draws = sleepstudy().bootstrap(20, seed=1)
    dataset = draws.to_xarray()
    np.testing.assert_array_equal(dataset["Days"].to_numpy(), draws.frame["Days"])
    assert dataset.attrs["seed"] == 1


def test_replicates_depend_on_seed_and_number_only() -> None:
    fit = sleepstudy()
    whole, begun = sleepstudy_draws(), fit.bootstrap(30, seed=11)
    longer = begun.append(20).frame
    names = ["objective", "Days", "sd__Days|Subject"]
    np.testing.assert_allclose(longer[names], whole[names].iloc[:50], rtol=1e-7)
    assert longer["replicate"].tolist() == list(range(50))
    assert not np.allclose(fit.bootstrap(30, seed=12).frame["Days"], whole["Days"][:30])


def test_residual_bootstrap() -> None:
    """Spread of coefficients as the fit says; new responses keep the fit's variances on average."""
    fit = sleepstudy()
    draws = fit.bootstrap(400, seed=4, kind="residual")
    summary = draws.summary()
    np.testing.assert_allclose(summary["std_error"][["Intercept", "Days"]], fit.bse, rtol=0.2)
    assert summary["mean"]["sd__Observation|Residual"] == pytest.approx(fit.sigma, rel=0.05)
    assert "residual" in repr(draws)


def test_intervals() -> None:
    """Percentile, basic and normal intervals against their definitions, from the frame."""
    draws = sleepstudy().bootstrap(999, seed=1)
    values = draws.frame["Days"].to_numpy()
    low, high = np.quantile(values, [0.05, 0.95])
    estimate = sleepstudy().params["Days"]
    found = {
        method: draws.conf_int(method=method, level=0.9).loc["Days"].tolist()
        for method in ("percentile", "basic", "normal")
    }
    assert found["percentile"] == pytest.approx([low, high])
    assert found["basic"] == pytest.approx([2 * estimate - high, 2 * estimate - low])
    center, half = 2 * estimate - values.mean(), 1.6448536269514722 * values.std(ddof=1)
    assert found["normal"] == pytest.approx([center - half, center + half])


def test_failures_are_counted_and_kept() -> None:
    fit = sleepstudy()
    fit = jaxlmm.MixedModelResults(fit._fitted, replace(fit._control, max_iterations=1))
    draws = fit.bootstrap(50, seed=1)
    counts = draws.frame["status"].value_counts()
    assert draws.n_failed == counts.get("iteration limit", 0) > 0
    assert len(draws.frame) == 50
    assert "failed" in repr(draws)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n": 0}, "n=0 is not a number of replicates"),
        ({"n": True}, "n=True is not a number of replicates"),
        ({"seed": 1.5}, "seed=1.5 is not an integer"),
        ({"kind": "wild"}, "kind='wild' is not known; write 'parametric' or 'residual' or 'cases'"),
        ({"nsim": 10}, "no argument 'nsim': write n="),
        ({"statistic": 1}, "write a function of a table of replicates"),
    ],
)
def test_bad_arguments(arguments: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        sleepstudy().bootstrap(**({"n": 10, "seed": 1} | arguments))


def test_bad_intervals() -> None:
    draws = sleepstudy().bootstrap(20, seed=1)
    with pytest.raises(DataError, match="method='bca2' is not known"):
        draws.conf_int(method="bca2")
    with pytest.raises(DesignError, match="level=95 is not a confidence level"):
        draws.conf_int(level=95)
