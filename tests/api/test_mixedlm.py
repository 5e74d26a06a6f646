"""`mixedlm`: what its arguments mean together, what contradicts what, and agreement with statsmodels."""

import warnings

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import statsmodels.formula.api as smf
from statsmodels.regression.mixed_linear_model import MixedLM as TheirMixedLM

import jaxlmm
from jaxlmm import DataError, DesignError, FormulaError

N = 240


def _table():
    """Pupils x in rooms (labels 0 to 2 repeat) in schools, with an arm that crosses both; unbalanced."""
    draw = np.random.default_rng(4)
    school = np.sort(draw.integers(0, 20, N))
    room, item = draw.integers(0, 3, N), draw.integers(0, 5, N)
    x = draw.normal(size=N)
    own = [scale * draw.normal(size=size) for scale, size in ((1.2, 20), (0.6, 20), (0.8, 60), (0.7, 5))]
    y = 2 + 0.5 * x + own[0][school] + own[1][school] * x + own[2][school * 3 + room] + own[3][item]
    return pd.DataFrame(
        {
            "y": y + draw.normal(size=N),
            "x": x,
            "z": draw.normal(size=N),
            "school": [f"s{i:02d}" for i in school],
            "room": room,
            "item": [f"i{i}" for i in item],
            "arm": draw.integers(0, 2, N).astype(bool),
            "my group": school,
            "row": range(N),
            "one": 1,
        },
        index=pd.RangeIndex(1000, 1000 + N),
    )


TABLE = _table()

MEANING = [
    # formula, arguments, what they mean as one formula
    ("y ~ x", {"groups": "school"}, "y ~ x + (1 | school)"),
    ("y ~ x", {"groups": "my group"}, "y ~ x + (1 | `my group`)"),
    ("y ~ x", {"groups": "school", "re_formula": "1"}, "y ~ x + (1 | school)"),
    ("y ~ x", {"groups": "school", "re_formula": "~x"}, "y ~ x + (x | school)"),
    ("y ~ x", {"groups": "school", "re_formula": "0 + x"}, "y ~ x + (0 + x | school)"),
    ("y ~ x + (1 | item)", {"groups": "school"}, "y ~ x + (1 | item) + (1 | school)"),
    ("y ~ x + (1 | item)", {"groups": "school", "re_formula": "~x"}, "y ~ x + (1 | item) + (x | school)"),
    ("y ~ x + (0 + x | school)", {"groups": "school"}, "y ~ x + (0 + x | school) + (1 | school)"),
    ("y ~ x + (1|school)", {}, "y ~ x + (1|school)"),
    ("y ~ x", {"re_formula": {"school": "~1", "item": "~x"}}, "y ~ x + (1 | school) + (x | item)"),
    ("y ~ x", {"re_formula": {"school:room": "1"}}, "y ~ x + (1 | school:room)"),
    ("y ~ x", {"re_formula": {"school/room": "1"}}, "y ~ x + (1 | room:school) + (1 | school)"),
    ("y ~ x", {"re_formula": {"my group": "1"}}, "y ~ x + (1 | `my group`)"),
    ("y ~ x", {"groups": "school", "re_formula": {"item": "1"}}, "y ~ x + (1 | item) + (1 | school)"),
    ("y ~ x", {"groups": "school", "re_formula": {"school": "~x"}}, "y ~ x + (x | school)"),
    ("y ~ x + (x|school)", {"re_formula": {"school": "1 + x"}}, "y ~ x + (x|school)"),
    ("y ~ x + (x||school)", {"re_formula": {"school": "~x"}}, "y ~ x + (x||school)"),
    ("y ~ x + (1|school/room)", {"re_formula": {"room:school": "~1"}}, "y ~ x + (1|school/room)"),
    ("y ~ x + (1|school:room)", {"re_formula": {"room:school": "~1"}}, "y ~ x + (1|school:room)"),
    ("y ~ x + (1|school)", {"re_formula": {"item": "~x"}}, "y ~ x + (1|school) + (x | item)"),
    ("y ~ x + (x|school)", {"vc_formula": {"school": "unstructured"}}, "y ~ x + (x|school)"),
    ("y ~ x + (x|school)", {"vc_formula": {"school": "diag"}}, "y ~ x + zerocorr(x | school)"),
    ("y ~ x + (1|school)", {"vc_formula": {"school": "diag"}}, "y ~ x + (1|school)"),
    ("y ~ x + (x||school)", {"vc_formula": {"school": "diag"}}, "y ~ x + (1 | school) + zerocorr(0 + x | school)"),
    ("y ~ 0 + x + (x|school)", {"vc_formula": {"school": "diag"}}, "y ~ 0 + x + zerocorr(x | school)"),
    (
        "log(y + 9) ~ x + offset(z) + (x|school) + (1|item)",
        {"vc_formula": {"school": "diag"}},
        "log(y + 9) ~ x + zerocorr(x | school) + (1 | item) + offset(z)",
    ),
    (
        "y ~ x",
        {"groups": "school", "re_formula": "~x", "vc_formula": {"school": "diag"}},
        "y ~ x + zerocorr(x | school)",
    ),
    ("y ~ x", {"groups": "school", "vc_formula": {"v": "0 + C(room)"}}, "y ~ x + (1 | school:room)"),
    ("y ~ x", {"groups": "school", "vc_formula": {"v": "0 + item"}}, "y ~ x + (1 | school:item)"),
    ("y ~ x", {"groups": "school", "vc_formula": {"v": "0 + C(room):C(arm)"}}, "y ~ x + (1 | school:room:arm)"),
    ("y ~ x", {"groups": "school", "vc_formula": {"v": "0 + arm"}}, "y ~ x + (1 | school:arm)"),
    ("y ~ x", {"groups": "school", "vc_formula": {"v": "0 + x"}}, "y ~ x + (0 + x | school)"),
    ("y ~ x", {"groups": "school", "vc_formula": {"v": "0 + C(room):x"}}, "y ~ x + (0 + x | school:room)"),
    ("y ~ x", {"groups": "school", "vc_formula": {"v": "0 + I(x**2)"}}, "y ~ x + (0 + I(x ** 2) | school)"),
    ("y ~ x", {"groups": "school", "vc_formula": {"v": "1"}}, "y ~ x + (1 | school)"),
    ("y ~ x", {"groups": "one", "vc_formula": {"v": "0 + C(item)"}}, "y ~ x + (1 | one:item)"),
    (
        "y ~ x",
        {"groups": "school", "re_formula": "1", "vc_formula": {"room": "0 + C(room)", "s": "0 + x"}},
        "y ~ x + (1 | school) + (1 | school:room) + (0 + x | school)",
    ),
]


@pytest.mark.parametrize(("formula", "arguments", "meaning"), MEANING, ids=str)
def test_arguments_mean_one_formula(formula, arguments, meaning):
    assert jaxlmm.mixedlm(formula, TABLE, **arguments).formula == meaning


CONTRADICTIONS = [
    # formula, arguments, error, what its message names
    ("y ~ x", {}, FormulaError, ["no random effects", "groups"]),
    ("y ~ x", {"re_formula": {}, "vc_formula": {}}, FormulaError, ["no random effects"]),
    ("y ~ x", {"re_formula": "~x"}, FormulaError, ["re_formula='~x'", "groups is not given"]),
    ("y ~ x + (1|item)", {"re_formula": "~x"}, FormulaError, ["re_formula='~x'", "groups is not given"]),
    ("y ~ x + (1|school)", {"groups": "school"}, FormulaError, ["groups='school'", "(1 | school)", "not identified"]),
    (
        "y ~ x + (x|school)",
        {"groups": "school", "re_formula": "0 + x"},
        FormulaError,
        ["re_formula='0 + x'", "(x | school) has x"],
    ),
    (
        "y ~ x + (x|school)",
        {"re_formula": {"school": "~1"}},
        FormulaError,
        ["re_formula['school'] = '~1'", "(1 | school)", "(x | school)"],
    ),
    ("y ~ x + (1|school)", {"re_formula": {"school": "~x"}}, FormulaError, ["(x | school)", "(1 | school)"]),
    ("y ~ x + (1|school/room)", {"re_formula": {"school/room": "~x"}}, FormulaError, ["(x | room:school)"]),
    ("y ~ x", {"re_formula": {"scool": "~1"}}, FormulaError, ["'scool'", "re_formula", "school"]),
    ("y ~ x", {"re_formula": {"school:rom": "~1"}}, FormulaError, ["'school:rom'", "'rom' is not a column"]),
    ("y ~ x", {"re_formula": {"school) + (1 | item": "~1"}}, FormulaError, ["'school) + (1 | item'"]),
    ("y ~ x", {"re_formula": {"school:": "~1"}}, FormulaError, ["'school:'", "cannot be read"]),
    ("y ~ x", {"re_formula": {3: "~1"}}, FormulaError, ["3", "re_formula", "int"]),
    ("y ~ x", {"re_formula": {"school": 1}}, FormulaError, ["re_formula['school'] = 1", "int"]),
    ("y ~ x", {"re_formula": {"school": "(1 | school)"}}, FormulaError, ["A bar cannot stand here"]),
    ("y ~ x", {"re_formula": {"school": "~ __import__('os')"}}, FormulaError, ["__import__"]),
    (
        "y ~ x",
        {"re_formula": {"school/room": "~1", "school": "~x"}},
        FormulaError,
        ["re_formula['school'] = '~x'", "re_formula['school/room'] = '~1'"],
    ),
    ("y ~ x", {"re_formula": ["~1"], "groups": "school"}, FormulaError, ["re_formula", "list"]),
    ("y ~ x + (1|school)", {"vc_formula": {"item": "diag"}}, FormulaError, ["'item'", "those are: school"]),
    ("y ~ x + (1|school)", {"vc_formula": {"scool": "diag"}}, FormulaError, ["'scool'", "vc_formula"]),
    ("y ~ x + (1|school)", {"vc_formula": "diag"}, FormulaError, ["vc_formula", "str"]),
    ("y ~ x + (1|school)", {"vc_formula": {"school": 1}}, FormulaError, ["vc_formula['school']", "int"]),
    (
        "y ~ x + (x||school)",
        {"vc_formula": {"school": "unstructured"}},
        FormulaError,
        ["vc_formula['school'] = 'unstructured'", "(1 | school) + (0 + x | school)"],
    ),
    ("y ~ x + diag(x|school)", {"vc_formula": {"school": "us"}}, FormulaError, ["'us'", "zerocorr(x | school)"]),
    ("y ~ x + (1|school)", {"vc_formula": {"room": "0 + C(room)"}}, FormulaError, ["'0 + C(room)'", "groups"]),
    ("y ~ x", {"groups": "school", "vc_formula": {"v": "C(room)"}}, FormulaError, ["'C(room)'", "one variance"]),
    ("y ~ x", {"groups": "school", "vc_formula": {"v": "0 + x + z"}}, FormulaError, ["x, z", "one variance"]),
    ("y ~ x", {"groups": "school", "vc_formula": {"v": "0 + center(x)"}}, FormulaError, ["center", "within each"]),
    ("y ~ x", {"groups": "school", "vc_formula": {"v": "0 + C(room, contr.sum)"}}, FormulaError, ["Write C(a)"]),
    ("y ~ x", {"groups": "school", "vc_formula": {"v": "0 + rom"}}, FormulaError, ["'rom'", "vc_formula['v']"]),
    ("y ~ x", {"groups": "school", "vc_formula": {"v": "0 + C(rom)"}}, DataError, ["'rom'"]),
    ("y ~ x", {"groups": "school", "vc_formula": {"v": "diagonal"}}, FormulaError, ["vc_formula['v'] = 'diagonal'"]),
    (
        "y ~ x",
        {"groups": "school", "re_formula": "~x", "vc_formula": {"v": "0 + x"}},
        FormulaError,
        ["vc_formula['v'] = '0 + x'", "(x | school) has x"],
    ),
    ("y ~ x", {"groups": "scool"}, DataError, ["'scool'", "'school'"]),
    ("y ~ x", {"groups": "~x"}, DataError, ["groups='~x'", "re_formula='~x'"]),
    ("y ~ x", {"groups": np.arange(5)}, DataError, ["5 values", f"{N} rows"]),
    ("y ~ x", {"groups": ["school", "room"]}, DataError, ["2 values", f"{N} rows"]),
    ("y ~ x", {"groups": TABLE[["school"]]}, DataError, ["shape", "one column"]),
    ("y ~ x", {"groups": 3}, DataError, ["groups", "3"]),
    ("y ~ x", {"groups": TABLE["school"].reset_index(drop=True)}, DataError, ["groups", "index"]),
    ("y ~ x", {"groups": "row"}, DesignError, ["'row'", "confounded with the residual"]),
    ("y ~ x", {"groups": "one"}, DesignError, ["'one'", "one level"]),
    ("y ~ x", {"groups": "school", "subset": [True] * N}, DataError, ["subset", "data[subset]"]),
    ("y ~ x", {"groups": "school", "use_sqrt": True}, DataError, ["use_sqrt"]),
    ("y ~ x", {"groups": "school", "missing": "skip"}, DataError, ["missing='skip'"]),
    ("y ~ x", {"groups": "school", "missing": "none", "na_action": "drop"}, DataError, ["missing", "na_action"]),
    ("y ~ x", {"groups": "school", "ddf": "t"}, DesignError, ["ddf='t'"]),
    ("y ~ x", {"groups": "school", "grups": 1}, TypeError, ["grups"]),
]


@pytest.mark.parametrize(("formula", "arguments", "error", "names"), CONTRADICTIONS, ids=lambda v: str(v)[:60])
def test_contradictions_are_errors_that_name_both_sides(formula, arguments, error, names):
    with pytest.raises(error) as caught:
        jaxlmm.mixedlm(formula, TABLE, **arguments)
    for name in names:
        assert name in str(caught.value)


@pytest.mark.parametrize(
    ("groups", "name"),
    [
        (TABLE["school"], "school"),
        (TABLE["school"].astype("category"), "school"),
        (TABLE["my group"], "my group"),
        (TABLE["school"].rename("town"), "town"),
        (TABLE["school"].rename(None), "groups"),
        (TABLE["school"].str.upper(), "groups"),
        (TABLE["school"].to_numpy(), "groups"),
        (TABLE["school"].tolist(), "groups"),
        (pd.Categorical(TABLE["school"]), "groups"),
        (pl.Series("town", TABLE["school"].tolist()), "town"),
        (pl.Series("school", TABLE["school"].tolist()), "school"),
    ],
)
def test_groups_by_values(groups, name):
    model = jaxlmm.mixedlm("y ~ x", TABLE, groups=groups)
    assert [factor.grouping.name for factor in model.frame.factors] == [name]
    assert model.frame.factors[0].grouping.n_levels == TABLE["school"].nunique()
    assert "groups" not in TABLE
    assert "town" not in TABLE


def test_groups_by_values_never_overwrite_a_column():
    table = TABLE.assign(groups="mine", groups_2="mine too")
    model = jaxlmm.mixedlm("y ~ x", table, groups=TABLE["school"].to_numpy())
    assert model.formula == "y ~ x + (1 | groups_3)"
    assert (model.data["groups"] == "mine").all()


@pytest.mark.parametrize("wrap", [pl.DataFrame, pa.table, dict], ids=["polars", "pyarrow", "dict"])
def test_groups_by_values_in_other_tables(wrap):
    table = wrap(TABLE[["y", "x", "school"]].to_dict("list"))
    model = jaxlmm.mixedlm("y ~ x", table, groups=TABLE["item"].to_numpy())
    assert model.formula == "y ~ x + (1 | groups)"
    assert model.frame.factors[0].grouping.levels.tolist() == ["i0", "i1", "i2", "i3", "i4"]
    # Of the three only a polars column carries its name along.
    name = "school" if wrap is pl.DataFrame else "groups"
    assert jaxlmm.mixedlm("y ~ x", table, groups=table["school"]).formula == f"y ~ x + (1 | {name})"


def test_missing_values_of_groups_are_rows_left_out():
    groups = TABLE["school"].where(TABLE["row"] >= 7)
    assert jaxlmm.mixedlm("y ~ x", TABLE, groups=groups).nobs == N - 7
    assert jaxlmm.mixedlm("y ~ x", TABLE.assign(school=groups), groups="school", missing="drop").nobs == N - 7
    for arguments in ({"missing": "none"}, {"missing": "raise"}, {"na_action": "raise"}):
        with pytest.raises(DataError, match=r"groups'? \(7\)"):
            jaxlmm.mixedlm("y ~ x", TABLE, groups=groups, **arguments)


def test_a_model_is_checked_when_made_and_fitted_by_fit():
    model = jaxlmm.MixedLM.from_formula("y ~ x", data=TABLE, groups="school")
    assert repr(model) == f"<MixedLM: 'y ~ x + (1 | school)', {N} rows>"
    assert (model.endog_names, model.exog_names, model.nobs) == ("y", ["Intercept", "x"], N)
    for arguments, culprit in (({"reml": "x"}, "reml='x'"), ({"method": "powell"}, "method"), ({"disp": 0}, "disp")):
        with pytest.raises(DataError, match=culprit):
            model.fit(**arguments)
    with pytest.raises(TypeError, match="metod"):
        model.fit(metod="powell")


def test_the_result_can_be_updated_saved_and_used_for_prediction(tmp_path):
    fit = jaxlmm.mixedlm("y ~ x", TABLE, groups=TABLE["school"].to_numpy()).fit()
    assert fit.ddf == "normal"
    assert fit.update(". ~ . - x").formula == "y ~ 1 + (1 | groups)"
    new = pd.DataFrame({"x": [0.0], "groups": ["s03"]})
    expected = fit.params["Intercept"] + fit.random_effects["s03"]["Intercept"]
    assert fit.predict(new).item() == pytest.approx(expected)
    fit.save(tmp_path / "fit.npz")
    assert jaxlmm.load(tmp_path / "fit.npz").predict(new).item() == pytest.approx(expected)


def _sleepstudy():
    return jaxlmm.load_dataset("sleepstudy")


def _pigs():
    """Growth of 24 pigs over 12 weeks, with a slope for each: the shape of statsmodels' Dietox example."""
    draw = np.random.default_rng(7)
    pig, time = np.repeat(np.arange(24), 12), np.tile(np.arange(1.0, 13.0), 24)
    weight = 15 + 7 * time + 3 * draw.normal(size=24)[pig] + 0.7 * draw.normal(size=24)[pig] * time
    return pd.DataFrame({"Weight": weight + 2 * draw.normal(size=pig.size), "Time": time, "Pig": pig})


AGREEMENT = [
    ("Reaction ~ Days", _sleepstudy, {"groups": "Subject"}),
    ("Reaction ~ Days", _sleepstudy, {"groups": "Subject", "re_formula": "~Days"}),
    ("Weight ~ Time", _pigs, {"groups": "Pig", "re_formula": "~Time"}),
    ("y ~ x", lambda: TABLE, {"groups": "school", "re_formula": "~x"}),
    (
        "score ~ Machine",
        lambda: jaxlmm.load_dataset("machines"),
        {"groups": "Worker", "re_formula": "1", "vc_formula": {"machine": "0 + C(Machine)"}},
    ),
    ("y ~ x", lambda: TABLE, {"groups": "school", "vc_formula": {"room": "0 + C(room)", "top": "1"}}),
    ("y ~ x", lambda: TABLE, {"groups": "school", "vc_formula": {"room": "0 + C(room)"}}),
]


def _by_statsmodels(formula, data, reml, arguments):
    """statsmodels' fit carried on to a vanishing gradient, and the information of its coefficients alone."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = TheirMixedLM.from_formula(formula, data, **arguments)
        first = model.fit(reml=reml, method=["lbfgs", "powell"])
        fit = model.fit(reml=reml, start_params=first.params_object, method="bfgs", gtol=1e-10)
        hessian, _ = model.hessian(fit.params_object)
    k = model.k_fe
    return fit, np.sqrt(np.diagonal(np.linalg.inv(-hessian[:k, :k])))


@pytest.mark.parametrize("reml", [True, False], ids=["REML", "ML"])
@pytest.mark.parametrize(
    ("formula", "table", "arguments"), AGREEMENT, ids=lambda v: "table" if callable(v) else str(v)[:70]
)
def test_agrees_with_statsmodels(formula, table, arguments, reml):
    # statsmodels stops when its gradient is about 1e-8 of the criterion or cannot be lowered further, which leaves
    # variances right to about 1e-5 and everything that depends on them to second order, the criterion, to 1e-9.
    fit = jaxlmm.mixedlm(formula, table(), **arguments).fit(reml=reml)
    expected, se = _by_statsmodels(formula, table(), reml, arguments)
    assert fit.llf == pytest.approx(expected.llf, rel=1e-9)
    np.testing.assert_array_less(np.abs(fit.params - expected.fe_params) / se, 1e-5)
    np.testing.assert_allclose(fit.bse, se, rtol=1e-5)
    assert fit.scale == pytest.approx(expected.scale, rel=1e-5)
    np.testing.assert_allclose(fit.fittedvalues, expected.fittedvalues, atol=1e-5 * fit.sigma)
    if "vc_formula" in arguments:
        variances = [*np.diagonal(expected.cov_re), *expected.vcomp]
        np.testing.assert_allclose(np.sort(fit.vcomp), np.sort(variances), rtol=1e-5)
    else:
        largest = np.abs(expected.cov_re).to_numpy().max()
        np.testing.assert_allclose(fit.cov_re, expected.cov_re, atol=1e-5 * largest)
        # What statsmodels calls bse_fe inverts the joint information of coefficients and covariances.
        np.testing.assert_allclose(fit.bse, expected.bse_fe, rtol=0.005)
        for level, effects in expected.random_effects.items():
            np.testing.assert_allclose(fit.random_effects[level], effects, atol=1e-5 * fit.sigma)


def test_effects_of_variance_components_are_statsmodels():
    arguments = {"groups": "school", "vc_formula": {"room": "0 + C(room)"}}
    fit = jaxlmm.mixedlm("y ~ x", TABLE, **arguments).fit()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = smf.mixedlm("y ~ x", TABLE, **arguments).fit(gtol=1e-10).random_effects
    theirs = {f"{school}:{name[-3]}": v for school, own in expected.items() for name, v in own.items()}
    assert theirs.keys() == fit.random_effects.keys()
    for level, value in theirs.items():
        assert fit.random_effects[level]["Intercept"] == pytest.approx(value, abs=1e-5)
