"""F tests and contrasts against lmerTest and pbkrtest: `tests/reference/inference/anova.json`.

Degrees of freedom of lmerTest come from numerical derivatives, good to about 1e-5 (1e-4 where a variance is nearly zero);
everything else is exact but for theta, which is good to 1e-7. The contract asks for 0.5 %.
"""

from typing import Any

import numpy as np
import pytest

import jaxlmm
from jaxlmm import DataError, DesignError
from tests.inference.models import column, fitted, numbers

DF, EXACT = 2e-4, 1e-5

TABLES = [
    (case, coding, ddf, kind)
    for case, codings in numbers("anova")["anova"].items()
    for coding, found in codings.items()
    for ddf in ("Satterthwaite", "Kenward-Roger")
    for kind in found[ddf]
]

KINDS = {"I": 1, "II": 2, "III": 3}
TESTS = [(case, name) for case, found in numbers("anova")["contests"].items() for name in found["contests"]]


@pytest.mark.parametrize(("case", "coding", "ddf", "kind"), TABLES)
def test_tables(case: str, coding: str, ddf: str, kind: str) -> None:
    known = numbers("anova")["anova"][case][coding]
    ours, rows = fitted(known["fit"]).anova(type=KINDS[kind], ddf=ddf.lower()), known[ddf][kind]
    np.testing.assert_array_equal(ours["num_df"], column(rows, "NumDF"))
    np.testing.assert_allclose(ours["den_df"], column(rows, "DenDF"), rtol=DF)
    np.testing.assert_allclose(ours["F"], column(rows, "F"), rtol=EXACT, atol=1e-9)
    np.testing.assert_allclose(ours["sum_sq"], column(rows, "SumSq"), rtol=EXACT, atol=1e-7)
    np.testing.assert_allclose(ours["mean_sq"], column(rows, "MeanSq"), rtol=EXACT, atol=1e-7)
    np.testing.assert_allclose(ours["p_value"], column(rows, "p"), rtol=1e-2, atol=1e-10)


@pytest.mark.parametrize(("case", "name"), TESTS)
@pytest.mark.parametrize("ddf", ["Satterthwaite", "Kenward-Roger"])
def test_contests(case: str, name: str, ddf: str) -> None:
    known = numbers("anova")["contests"][case]
    fit, contest = fitted(known["fit"]), known["contests"][name]
    combinations, found = np.atleast_2d(np.array(contest["L"], dtype=float)), contest[ddf]
    joint = fit.contrast(combinations, joint=True, ddf=ddf.lower()).iloc[0]
    several = found["contestMD"][0]
    assert joint["num_df"] == several["NumDF"]
    np.testing.assert_allclose(joint["den_df"], several["DenDF"], rtol=DF)
    np.testing.assert_allclose(joint["F"], several["F"], rtol=EXACT)
    alone, rows = fit.contrast(combinations, ddf=ddf.lower()), found["contest1D"]
    np.testing.assert_allclose(alone["estimate"], column(rows, "estimate"), rtol=EXACT, atol=1e-8)
    np.testing.assert_allclose(alone["std_error"], column(rows, "SE"), rtol=EXACT)
    np.testing.assert_allclose(alone["df"], column(rows, "df"), rtol=DF)
    np.testing.assert_allclose(alone["statistic"], column(rows, "t"), rtol=EXACT, atol=1e-7)
    size = np.abs(column(rows, "upper") - column(rows, "lower")).max()
    np.testing.assert_allclose(alone["conf_low"], column(rows, "lower"), atol=1e-4 * size)
    np.testing.assert_allclose(alone["conf_high"], column(rows, "upper"), atol=1e-4 * size)


@pytest.mark.parametrize("case", numbers("anova")["contests"])
def test_adjusted_covariance(case: str) -> None:
    known = numbers("anova")["contests"][case]
    ours, theirs = (
        fitted(known["fit"], "kenward-roger").cov_params().to_numpy(),
        np.array(known["vcovAdj"], dtype=float),
    )
    sizes = np.sqrt(np.outer(theirs.diagonal(), theirs.diagonal()))
    np.testing.assert_allclose(ours / sizes, theirs / sizes, atol=EXACT)


@pytest.mark.parametrize("case", numbers("anova")["KRmodcomp"])
def test_kenward_roger_of_nested_fixed_parts(case: str) -> None:
    """pbkrtest scales F; the hypothesis is that the coefficients that the smaller model lacks are zero."""
    known = numbers("anova")["KRmodcomp"][case]
    fit = fitted(known["fit"])
    small = jaxlmm.lmer(known["small"], fit._data)  # its column space, whatever its coding
    of = fit._fitted.frame.design.x
    into = np.linalg.lstsq(of, small._fitted.frame.design.x, rcond=None)[0]
    rows = np.linalg.svd(into.T)[2][into.shape[1] :]
    ours, theirs = fit.contrast(rows, joint=True, ddf="kenward-roger").iloc[0], known["Ftest"]
    assert ours["num_df"] == theirs["ndf"]
    np.testing.assert_allclose(ours["den_df"], theirs["ddf"], rtol=EXACT)
    np.testing.assert_allclose(ours["F"], theirs["stat"], rtol=EXACT)
    np.testing.assert_allclose(ours["p_value"], theirs["p"], rtol=1e-3, atol=1e-12)


def test_other_distributions() -> None:
    fit = fitted(numbers("anova")["anova"]["oats_factor"]["contr.sum"]["fit"])
    for ddf, degrees in (("normal", np.inf), ("residual", fit.nobs - len(fit.params))):
        table = fit.anova(ddf=ddf)
        assert (table["den_df"] == degrees).all()
        assert ((table["p_value"] > 0) & (table["p_value"] < 1)).all()


def test_a_term_by_its_names() -> None:
    fit = fitted(numbers("anova")["contests"]["machines"]["fit"])
    by_name = fit.contrast({"C - B": "Machine[T.C] - Machine[T.B]"})
    by_weights = fit.contrast([0, -1, 1])
    np.testing.assert_array_equal(by_name.to_numpy(), by_weights.to_numpy())
    assert by_name.index.tolist() == ["C - B"]


@pytest.mark.parametrize(
    ("question", "words"),
    [
        (lambda f: f.anova(type=4), "1, 2 or 3"),
        (lambda f: f.anova(f), "jaxlmm.anova"),
        (lambda f: f.anova(test="F"), "leave it out"),
        (lambda f: f.contrast("Dys"), "Days"),
        (lambda f: f.contrast([1.0]), "2 coefficients"),
        (lambda f: f.contrast([0.0, 0.0]), "nothing to test"),
    ],
)
def test_questions_that_mean_nothing(question: Any, words: str) -> None:
    fit = fitted(numbers("anova")["ranova"]["sleepstudy"]["fit"])
    with pytest.raises((DataError, DesignError), match=words):
        question(fit)


def test_empty_cells_have_no_type_three() -> None:
    cake = jaxlmm.load_dataset("cake")
    cake = cake[(cake["recipe"] != "C") | (cake["temperature"].astype(str) != "225")]
    fit = jaxlmm.lmer("angle ~ recipe * temperature + (1 | recipe:replicate)", cake)
    with pytest.raises(DesignError, match="type=2"):
        fit.anova()
    assert fit.anova(type=2)["num_df"].tolist() == [2, 5, 9]
