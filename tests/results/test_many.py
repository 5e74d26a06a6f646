"""`fit_many`: against loops of lme4, lmerTest and limma, against fits one by one, and against its own promises."""

import functools

import numpy as np
import pandas as pd
import pytest

import jaxlmm
from jaxlmm.errors import DataError, FormulaError
from jaxlmm.inference.moderation import moderated_variances, variance_prior
from tests.reference.loader import HERE, cases

FORMULAS = {
    "intercept": "~ disease + age + (1 | donor)",
    "slope": "~ disease + age + time + (1 + time | donor)",
}
LATE = {"late-early": "disease[T.late] - disease[T.early]"}
R_NAMES = {"(Intercept)": "Intercept", "diseaseearly": "disease[T.early]", "diseaselate": "disease[T.late]"}


@functools.cache
def table(name: str) -> pd.DataFrame:
    return pd.read_csv(HERE / "many" / f"{name}.csv")


@functools.cache
def design() -> pd.DataFrame:
    return table("data").assign(disease=lambda d: pd.Categorical(d["disease"], ["none", "early", "late"]))


@functools.cache
def fits(model: str, case: str) -> jaxlmm.ManyFits:
    responses = table({"missing": "missing", "expression": "expression"}.get(case, "responses"))
    weights = table("weights") if case == "weights" else None
    return jaxlmm.fit_many(FORMULAS[model], design(), responses, weights=weights, tests=LATE)


CASES = [(model, case) for model in FORMULAS for case in ("plain", "weights", "missing")] + [
    ("intercept", "expression")
]


@pytest.mark.parametrize(("model", "case"), CASES)
def test_every_response_equals_lmertest(model: str, case: str) -> None:
    """Estimates, standard errors, Satterthwaite's degrees of freedom and p-values, of coefficients and of a named test.

    lmerTest differentiates numerically; its degrees of freedom are good to about 1e-4.
    """
    many = fits(model, case)
    lanes = table(f"lanes_{model}_{case}").set_index("response")
    np.testing.assert_allclose(many.objective, lanes["REMLcrit"], rtol=0, atol=1e-7)
    np.testing.assert_allclose(many.sigma, lanes["sigma"], rtol=1e-6)
    np.testing.assert_array_equal(many.is_singular, lanes["singular"].astype(bool))
    expected = table(f"fits_{model}_{case}").replace({"term": R_NAMES})
    both = many.frame.astype({"term": str}).merge(expected, on=["response", "term"], suffixes=("", "_r"))
    assert len(both) == len(expected) == len(many.frame)
    np.testing.assert_array_less(((both["estimate"] - both["estimate_r"]) / both["std_error_r"]).abs(), 1e-6)
    np.testing.assert_allclose(both["std_error"], both["std_error_r"], rtol=1e-6)
    # Where lmerTest's numerical Hessian has a negative eigenvalue, as it said itself, its degrees of freedom are not.
    steady = ~both["response"].isin(["g36"] if (model, case) == ("slope", "weights") else [])
    np.testing.assert_allclose(both["df"][steady], both["df_r"][steady], rtol=3e-4)
    np.testing.assert_allclose(both["p_value"], both["p_value_r"], rtol=0, atol=1e-5)


def test_moderated_statistics_equal_limma() -> None:
    """Prior, moderated variances and the whole table; R read coefficients that lme4 gave to about 1e-7."""
    many = jaxlmm.fit_many(FORMULAS["intercept"], design(), table("expression"), ddf="residual")
    df = np.full(50, 121.0 - 4.0)
    prior, limma = variance_prior(many.sigma.to_numpy() ** 2, df), table("limma_prior").iloc[0]
    assert prior.df == pytest.approx(limma["df.prior"], rel=1e-5)
    assert prior.variance == pytest.approx(limma["s2.prior"], rel=1e-5)
    moderated = moderated_variances(many.sigma.to_numpy() ** 2, df, prior)
    np.testing.assert_allclose(moderated, table("limma_posterior")["s2.post"], rtol=1e-5)
    top = many.top_table("disease[T.late]", number=None, sort_by="none")
    expected = table("limma_top_table").set_index("response")
    for column in expected:
        np.testing.assert_allclose(top[column], expected[column], rtol=1e-5, err_msg=column)
    assert many.top_table("disease[T.late]", number=3).index.tolist() == expected["P.Value"].nsmallest(3).index.tolist()


def test_adjusted_p_values_are_those_of_benjamini_and_hochberg() -> None:
    """For each term by itself, from the definition: p(i) m / i, made monotone from the largest down."""
    frame = fits("intercept", "plain").frame
    for _, own in frame.groupby("term", observed=True):
        p = own["p_value"].to_numpy()
        order = np.argsort(p)
        raw = p[order] * p.size / np.arange(1, p.size + 1)
        expected = np.minimum.accumulate(raw[::-1])[::-1]
        np.testing.assert_allclose(own["p_adjusted"].to_numpy()[order], np.minimum(expected, 1.0), rtol=1e-12)


@pytest.mark.parametrize("case", ["plain", "weights", "missing"])
def test_one_response_as_ordinary_results(case: str) -> None:
    many = fits("slope", case)
    for name in ("g02", "g25"):
        one = many.fit(name)
        assert one.formula == f"{name} {FORMULAS['slope']}"
        assert one.objective == pytest.approx(many.objective[name], abs=1e-8)
        np.testing.assert_allclose(one.params, many.params.loc[name], rtol=1e-6)
        values = many.fittedvalues[name]
        np.testing.assert_allclose(values[one.fittedvalues.index], one.fittedvalues, rtol=1e-6)
        resid = many.resid[[name]][name]
        np.testing.assert_allclose(resid.dropna(), one.resid, rtol=0, atol=1e-6 * one.sigma)
        assert resid.notna().sum() == one.nobs


def assert_each_as_alone(formula: str, data: pd.DataFrame, y: pd.DataFrame, weights: pd.DataFrame | None) -> None:
    """Each response as `lmer` fits it by itself.

    Both stop where one more step would lower the objective by 1e-9: that leaves the objective some 1e-9, and estimates some
    3e-5 of their standard errors.
    """
    many = jaxlmm.fit_many(formula, data, y, weights=weights, ddf="normal")
    for name in y:
        used = y[name].notna()
        own = None if weights is None else weights[name][used].to_numpy()
        one = jaxlmm.lmer(f"{name} {formula}", data.assign(**{name: y[name]})[used], weights=own)
        assert many.objective[name] == pytest.approx(one.objective, abs=1e-7)
        assert many.sigma[name] == pytest.approx(one.sigma, rel=1e-4)
        np.testing.assert_allclose(many.resid[name].dropna(), one.resid, rtol=0, atol=1e-4 * one.sigma)


def test_other_designs_are_fitted_one_by_one() -> None:
    """Crossed factors, with weights and missing values: as `lmer` of each."""
    data = jaxlmm.load_dataset("penicillin")
    rng = np.random.default_rng(0)
    y = pd.DataFrame({"a": data["diameter"], "b": data["diameter"] + rng.normal(size=len(data))}, index=data.index)
    y.loc[y.index[[3, 50]], "b"] = np.nan
    weights = pd.DataFrame(rng.uniform(0.5, 2.0, size=y.shape), index=data.index, columns=y.columns)
    formula = "~ 1 + (1 | plate) + (1 | sample)"
    for own in (None, weights):
        assert_each_as_alone(formula, data, y, own)
    (penicillin,) = (case for case in cases() if case["id"] == "penicillin")
    many = jaxlmm.fit_many(formula, data, {"diameter": data["diameter"]})
    # lmerTest's numerical derivatives leave it about 2e-5.
    np.testing.assert_allclose(many.frame["df"], penicillin["satterthwaite"]["df"], rtol=1e-4)


def test_degrees_of_freedom_can_be_chosen() -> None:
    many = fits("intercept", "missing")
    residual = many.table(ddf="residual").set_index(["response", "term"])
    assert residual["df"]["g01", "age"] == 121 - 4
    assert residual["df"]["g21", "age"] == 115 - 4
    assert np.isinf(many.table(ddf="normal")["df"]).all()
    narrow, wide = many.table(level=0.5), many.table(level=0.99)
    assert ((wide["conf_high"] - wide["conf_low"]) > (narrow["conf_high"] - narrow["conf_low"])).all()


def test_shares_of_variance() -> None:
    """The definition, term by term, on one response."""
    many = fits("slope", "plain")
    shares = many.variance_fractions()
    np.testing.assert_allclose(shares.sum(axis=1), 1.0)
    one = many.fit("g05")
    d = design()
    x = {"age": d["age"] * one.params["age"], "time": d["time"] * one.params["time"]}
    x["disease"] = sum((d["disease"] == k) * one.params[f"disease[T.{k}]"] for k in ("early", "late"))
    variances = {name: float(np.var(column)) for name, column in x.items()}
    total = float(np.var(sum(x.values())))
    z = np.column_stack([np.ones(len(d)), d["time"]])
    random = np.einsum("ni,ij,nj->n", z, one.cov_re.to_numpy(), z).mean()
    whole = total + random + one.sigma**2
    expected = {name: value / sum(variances.values()) * total / whole for name, value in variances.items()}
    expected |= {"1 + time | donor": random / whole, "Residual": one.sigma**2 / whole}
    for name, value in expected.items():
        assert shares.loc["g05", name] == pytest.approx(value, rel=1e-6), name


@pytest.mark.parametrize("kind", ["array", "polars", "dict", "chunks", "arrays", "memmap"])
def test_responses_in_any_form(kind: str, tmp_path) -> None:
    frame = table("responses")
    values = frame.to_numpy()
    given = {
        "array": lambda: values,
        "polars": lambda: pytest.importorskip("polars").from_pandas(frame),
        "dict": lambda: frame.to_dict("list"),
        "chunks": lambda: iter([frame.iloc[:, :7], frame.iloc[:, 7:]]),
        "arrays": lambda: (values[:, part] for part in (slice(0, 4), slice(4, 50))),
        "memmap": lambda: _on_disk(values, tmp_path),
    }[kind]()
    many = jaxlmm.fit_many(FORMULAS["intercept"], design(), given, ddf="residual")
    whole = fits("intercept", "plain")
    np.testing.assert_allclose(many.objective, whole.objective, rtol=0, atol=1e-8)
    by_number = kind in ("array", "arrays", "memmap")
    assert list(many.names) == (list(range(50)) if by_number else list(frame))
    if kind in ("chunks", "arrays"):
        with pytest.raises(DataError, match="came from an iterator and are gone"):
            many.fit(many.names[0])


def test_single_precision_is_read_as_what_it_holds() -> None:
    single = table("responses").astype(np.float32)
    expected = jaxlmm.fit_many(FORMULAS["intercept"], design(), single.astype(float), ddf="residual")
    many = jaxlmm.fit_many(FORMULAS["intercept"], design(), single, ddf="residual")
    np.testing.assert_array_equal(many.objective, expected.objective)


def _on_disk(values: np.ndarray, folder) -> np.ndarray:
    path = folder / "y.npy"
    np.save(path, values)
    return np.load(path, mmap_mode="r")


def test_what_cannot_be_fitted_is_a_status() -> None:
    """A constant response, one that misses a whole level of disease, one with rows of a single donor, and a good one."""
    d, y = design(), table("responses")[["g01"]].copy()
    y["constant"] = 3.0
    y["no late"] = y["g01"].where(d["disease"] != "late")
    y["one donor"] = y["g01"].where(d["donor"] == "d03")
    y["empty"] = np.nan
    with pytest.warns(jaxlmm.ConvergenceWarning, match="3 of 5 responses have no certified minimum"):
        many = jaxlmm.fit_many(FORMULAS["intercept"], d, y, tests=LATE)
    assert many.status.tolist() == ["converged", "exact fit", "converged", "not identified", "not identified"]
    frame = many.frame.set_index(["response", "term"])
    assert frame["p_value"]["constant"].isna().all()
    assert frame["estimate"]["one donor"].isna().all()
    one = jaxlmm.lmer("g01 " + FORMULAS["intercept"], d.assign(g01=y["no late"]).dropna())
    absent = frame.loc["no late"]
    assert absent["estimate"][["disease[T.late]", "late-early"]].isna().all()
    np.testing.assert_allclose(absent["estimate"][one.params.index], one.params, rtol=1e-7)
    np.testing.assert_allclose(absent["std_error"][one.params.index], one.bse, rtol=1e-6)
    assert "3 FAILED" in repr(many)


def test_weights_for_all_responses_and_rows_left_out() -> None:
    """One column of weights; a covariate with a missing value takes its row from every response; an offset."""
    d = design().assign(w=lambda t: 0.5 + np.arange(len(t)) % 5, shift=lambda t: t["time"] / 10)
    d.loc[5, "age"] = np.nan
    y = table("responses")[["g08", "g09"]]
    many = jaxlmm.fit_many(FORMULAS["intercept"], d, y, weights="w", offset="shift", ddf="normal")
    for name in y:
        one = jaxlmm.lmer(f"{name} {FORMULAS['intercept']}", d.assign(**{name: y[name]}), weights="w", offset="shift")
        assert many.objective[name] == pytest.approx(one.objective, abs=1e-8)
        assert many.fit(name).objective == pytest.approx(one.objective, abs=1e-8)
        np.testing.assert_allclose(many.fittedvalues[name], one.fittedvalues, rtol=1e-7)


def test_weights_that_leave_one_row_of_each_level() -> None:
    """One row of each level has nearly all its weight, up to 1e14 times that of the others: as a fit by itself."""
    rng = np.random.default_rng(5)
    a = np.repeat(np.arange(6), 20)
    d = pd.DataFrame({"x": rng.normal(size=120), "a": a})
    y = 1.0 + d["x"] + rng.normal(size=6)[a] + rng.normal(size=120)
    for ratio in (1e4, 1e8, 1e14):
        w = np.where(np.arange(120) % 20 == 0, np.sqrt(ratio), 1.0 / np.sqrt(ratio))
        many = jaxlmm.fit_many("~ x + (1 | a)", d, {"y": y}, weights={"y": w})
        one = jaxlmm.lmer("y ~ x + (1 | a)", d.assign(y=y), weights=w)
        assert many.objective["y"] == pytest.approx(one.objective, abs=1e-8)
        np.testing.assert_allclose(many.params.loc["y"], one.params, rtol=1e-8)


@pytest.mark.parametrize(
    "formula", ["~ 0 + (1 | donor)", "~ age + zerocorr(1 + time | donor)", "~ age + (disease | donor)"]
)
def test_other_formulas_with_weights_and_missing_values(formula: str) -> None:
    """No fixed effects; diagonal; three columns, and with them six parameters."""
    d, y, w = design(), table("missing")[["g05", "g25", "g45"]], table("weights")[["g05", "g25", "g45"]]
    for weights in (None, w):
        assert_each_as_alone(formula, d, y, weights)


def test_masked_values_are_missing() -> None:
    y = table("responses")[["g03"]]
    masked = np.ma.masked_array(y.to_numpy(), mask=(y.index.to_numpy() % 9 == 0)[:, None])
    many = jaxlmm.fit_many(FORMULAS["intercept"], design(), masked)
    expected = jaxlmm.fit_many(
        FORMULAS["intercept"], design(), pd.DataFrame({"g03": y["g03"].mask(y.index.to_numpy() % 9 == 0)})
    )
    np.testing.assert_array_equal(many.objective, expected.objective)


def test_one_prior_variance_where_variances_vary_by_chance_only() -> None:
    """As many variances as chi-square draws of one variance: the prior has no spread, and its scale is their mean."""
    variances = 2.0 * np.linspace(0.9, 1.1, 60)
    prior = variance_prior(variances, np.full(60, 10.0))
    assert prior.df == np.inf
    assert prior.variance == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"responses": {"a": pd.Series(np.ones(121), index=range(5, 126))}},
            r"responses\['a'\] is a Series whose index",
        ),
        ({"responses": {"a": 3.0}}, r"responses\['a'\] has shape \(\)"),
        (
            {"responses": iter([{"a": np.arange(121.0)}, {"a": np.arange(121.0)}])},
            "two chunks of responses have a column",
        ),
        ({"control": jaxlmm.Control(start=np.ones(1))}, "is for one fit"),
        ({"formula": "y ~ age + (1 | donor)"}, "responses are given separately"),
        ({"responses": "y"}, "responses is of type str; pass a pandas"),
        ({"responses": np.ones(121)}, r"has shape \(121,\)"),
        ({"responses": np.ones((7, 2))}, "has 7 rows, but the data has 121"),
        (
            {"responses": table("responses").set_axis(range(1, 122))},
            "responses is a table whose index is not that of the data",
        ),
        ({"responses": pd.DataFrame({"a": ["x"] * 121})}, "column 'a' of responses is of type"),
        ({"responses": table("responses")[["g01", "g01"]]}, "several columns called 'g01'"),
        ({"responses": table("responses").replace(table("responses").iloc[3, 2], np.inf)}, "'g03' is inf in row 3"),
        ({"weights": table("weights").iloc[:, ::-1]}, "weights must have the columns of the responses"),
        ({"weights": -table("weights")}, "weight of response 'g01' in row 0 is -"),
        ({"tests": {"x": "disease[T.lat] - age"}}, r"did you mean 'disease\[T.late\]'"),
        ({"tests": {"x": "age + 1"}}, "without a constant"),
        ({"tests": {"age": "2 * age"}}, "which is the name of a coefficient"),
        ({"tests": {"x": [1, 2]}}, r"has shape \(2,\)"),
        ({"ddf": "kenward"}, "ddf='kenward' is not known"),
        ({"exprObj": 1}, "no argument 'exprObj': write responses="),
    ],
)
def test_bad_input(change: dict, message: str) -> None:
    arguments = {"formula": FORMULAS["intercept"], "data": design(), "responses": table("responses")} | change
    with pytest.raises((DataError, FormulaError, jaxlmm.DesignError), match=message):
        jaxlmm.fit_many(**arguments)


def test_bad_questions() -> None:
    many = fits("intercept", "plain")
    for ask, message in [
        (lambda: many.fit("g99"), "there is no response 'g99'"),
        (lambda: many.top_table("sex"), "neither a coefficient nor a test"),
        (lambda: many.top_table(sort_by="P"), "sort_by='P' is not known"),
        (lambda: many.top_table(number=0), "number=0 is not a number"),
    ]:
        with pytest.raises(DataError, match=message):
            ask()
    with pytest.raises(AttributeError, match="ManyFits"):
        many.nothing_like_it  # noqa: B018
