"""What a reader looks for in the summary is there, in text and in HTML."""

import re
import xml.etree.ElementTree as ET
from functools import cache
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import jaxlmm
from jaxlmm import MixedModelResults
from tests.reference.loader import case
from tests.results.fits import CASES, fit, table


@cache
def messy() -> MixedModelResults:
    """A 0/1 response, missing rows, a redundant column, and a name that is markup."""
    frame = table("sleep_ri").rename(columns={"Days": "Days<b>&"})
    frame = frame.assign(slow=(frame["Reaction"] > 300).astype(float), twice=2.0 * frame["Days<b>&"])
    frame.loc[[3, 50], "slow"] = np.nan
    frame.loc[100, "twice"] = np.nan
    return jaxlmm.lmer("slow ~ `Days<b>&` + twice + (1 | Subject)", frame)


FITS = {**{id_: lambda id_=id_: fit(id_) for id_ in [*CASES, "dyestuff2_singular", "sleep_max_ml"]}, "messy": messy}


def lines(f: MixedModelResults) -> list[str]:
    return [re.sub(r"\s+", " ", line.strip()) for line in str(f.summary()).splitlines()]


def starting(f: MixedModelResults, begin: str) -> str:
    found = [line for line in lines(f) if line.startswith(begin)]
    assert len(found) == 1, f"{len(found)} lines begin with {begin!r} in\n{f.summary()}"
    return found[0]


def test_facts() -> None:
    f, known = fit("sleep_max"), case("sleep_max")
    assert "REML" in lines(f)[0]
    assert starting(f, "Formula:") == "Formula: Reaction ~ Days + (Days | Subject)"
    assert starting(f, "Rows:") == "Rows: 180"
    assert starting(f, "Groups:") == "Groups: Subject 18"
    assert starting(f, "REML criterion:") == f"REML criterion: {known['objective']:.4f}"
    values = [f"{known[name]:.4f}" for name in ("loglik", "aic", "bic")]
    assert starting(f, "logLik, AIC, BIC:").split(": ")[1].split(", ") == values


def test_scaled_residuals() -> None:
    f = fit("sleep_max")
    shown = [float(x) for x in re.findall(r"-?\d+\.\d+", starting(f, "Scaled residuals:"))]
    np.testing.assert_allclose(shown, np.quantile(f.resid / f.sigma, [0, 0.25, 0.5, 0.75, 1]), atol=6e-4)


def test_random_effects_table() -> None:
    f = fit("sleep_max")
    rows = {(r["grp"], r["var1"], r["var2"]): (r["vcov"], r["sdcor"]) for r in case("sleep_max")["varcorr"]}
    intercept, days = rows["Subject", "(Intercept)", None], rows["Subject", "Days", None]
    residual = rows["Residual", None, None]
    assert "Group Effect Variance Std.Dev. Corr" in lines(f)
    assert starting(f, "Subject Intercept") == f"Subject Intercept {intercept[0]:.2f} {intercept[1]:.3f}"
    correlation = rows["Subject", "(Intercept)", "Days"][1]
    assert f"Days {days[0]:.2f} {days[1]:.3f} {correlation:.2f}" in lines(f)
    assert starting(f, "Residual") == f"Residual {residual[0]:.2f} {residual[1]:.3f}"


def test_fixed_effects_table() -> None:
    f, known = fit("sleep_max"), case("sleep_max")
    assert "Satterthwaite" in starting(f, "Fixed effects")
    estimate, se = known["beta"]["Days"], known["se"]["Days"]
    cells = [line for line in lines(f) if line.startswith("Days")][-1].split()
    df, p = known["satterthwaite"]["df"]["Days"], known["satterthwaite"]["p"]["Days"]
    assert cells[:5] == ["Days", f"{estimate:.3f}", f"{se:.3f}", f"{df:.1f}", f"{estimate / se:.3f}"]
    assert float(cells[5]) == pytest.approx(p, rel=5e-3)
    half = stats.t.ppf(0.975, df) * se
    assert cells[6:] == [f"{estimate - half:.3f}", f"{estimate + half:.3f}"]
    normal = str(f.summary(ddf="normal"))
    assert "normal reference distribution" in normal and "Pr(>|z|)" in normal
    assert "expected information" in str(f.summary(information="expected"))


def test_plan_and_convergence() -> None:
    for name, kind in zip(CASES, ("grouped", "nested", "crossed"), strict=True):
        assert starting(fit(name), "Plan:").startswith(f"Plan: {kind}")
        assert re.match(r"Converged in \d+ iterations", starting(fit(name), "Converged"))
        assert "NOT CONVERGED" not in str(fit(name).summary())


def test_every_factor_and_effect_is_named() -> None:
    text = str(fit("machines_nested").summary())
    for word in ("Machine:Worker 18", "Worker 6", "Machine[T.B]", "Machine[T.C]", "Residual"):
        assert word in text
    assert "Corr" not in text


def test_maximum_likelihood() -> None:
    f = fit("sleep_max_ml")
    assert "maximum likelihood" in lines(f)[0]
    assert starting(f, "Deviance:") == f"Deviance: {case('sleep_max_ml')['objective']:.4f}"
    assert "REML" not in str(f.summary())


def test_singular_fit_says_so() -> None:
    assert "(1 | Batch)" in starting(fit("dyestuff2_singular"), "Singular")
    for name in CASES:
        assert "Singular" not in str(fit(name).summary())


def test_iteration_limit_says_so() -> None:
    with pytest.warns(jaxlmm.ConvergenceWarning, match="NOT CONVERGED after 1 iterations") as caught:
        f = jaxlmm.lmer(case("sleep_max")["formula"], table("sleep_max"), control=jaxlmm.Control(max_iterations=1))
    assert [warning.filename for warning in caught] == [__file__]
    assert not f.converged and not f.glance()["converged"].any()
    assert repr(f).endswith("180 rows, NOT CONVERGED>")
    assert "NOT CONVERGED" in str(f.summary())
    assert not any(line.startswith("Converged") for line in lines(f))


@pytest.mark.parametrize("name", ["dyestuff2_singular", "sleep_max"])
def test_repr_and_glance_say_singular(name: str) -> None:
    f = fit(name)
    assert f.glance()["is_singular"].item() == ("singular" in repr(f)) == (name == "dyestuff2_singular")


def test_weights_and_offsets_are_named() -> None:
    frame = table("sleep_ri").assign(w=lambda f: 1.0 + f.Days, o=1.0)
    named = jaxlmm.lmer("Reaction ~ Days + offset(log(w)) + (1 | Subject)", frame, weights="w", offset="o")
    assert starting(named, "Weights:") == "Weights: w"
    assert starting(named, "Offset:") == "Offset: offset(log(w)) + o"
    given = jaxlmm.lmer("Reaction ~ Days + (1 | Subject)", frame, weights=frame.w, offset=frame.o.to_numpy())
    assert (starting(given, "Weights:"), starting(given, "Offset:")) == (
        "Weights: values given",
        "Offset: values given",
    )
    assert not [line for line in lines(fit("sleep_max")) if line.startswith(("Weights", "Offset"))]


def test_dropped_rows_columns_and_a_binary_response() -> None:
    f = messy()
    assert f.n_dropped == 3
    rows = starting(f, "Rows:")
    assert rows.startswith("Rows: 177 (3 ")
    for word in ("missing", "slow 2", "twice 1"):
        assert word in rows
    assert "twice" in starting(f, "Redundant")
    assert any("0/1" in line and "linear probability" in line for line in lines(f))
    for name in CASES:
        text = str(fit(name).summary())
        assert not any(word in text for word in ("missing", "Redundant", "0/1")), text


class Balanced(HTMLParser):
    """Every tag is closed in its order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.open.append(tag)
        self.seen.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("name", FITS)
def test_html_is_well_formed_and_escaped(name: str) -> None:
    f = FITS[name]()
    html = f.summary()._repr_html_()
    root = ET.fromstring(html)
    parser = Balanced()
    parser.feed(html)
    assert parser.open == []
    assert {"table", "td", "th"} <= parser.seen
    assert "b" not in parser.seen - {"b"}
    assert not any("<" in (element.tag or "") for element in root.iter())
    for word in (f.formula, *f.params.index):
        assert word in parser.text
    if name == "messy":
        assert "Days<b>&" in parser.text
        assert "Days<b>&" not in html
        assert "Days&lt;b&gt;&amp;" in html


@pytest.mark.parametrize("name", FITS)
def test_html_says_what_the_text_says(name: str) -> None:
    f = FITS[name]()
    parser = Balanced()
    parser.feed(f.summary()._repr_html_())
    words = set(parser.text.split())
    missing = {word for line in lines(f) for word in line.split() if word.rstrip(":") not in words | {"Formula"}}
    assert {w for w in missing if w.rstrip(":") not in parser.text} == set()


def test_tables_are_frames() -> None:
    summary = fit("sleep_max").summary()
    assert isinstance(summary.fixed, pd.DataFrame)
    assert isinstance(summary.random, pd.DataFrame)
    assert repr(summary) == str(summary)
