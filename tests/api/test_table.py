"""`jaxlmm.table`: the cells are the fits' numbers, and each form holds all of them."""

import re
from typing import Any

import pytest

import jaxlmm
from jaxlmm.errors import DataError


@pytest.fixture(scope="module")
def fits() -> dict[str, Any]:
    sleep = jaxlmm.load_dataset("sleepstudy")
    formulas = {"intercepts": "Reaction ~ Days + (1 | Subject)", "slopes": "Reaction ~ Days + (Days | Subject)"}
    return {name: jaxlmm.lmer(formula, sleep) for name, formula in formulas.items()}


def test_cells_are_lme4s_numbers(fits: dict[str, Any]) -> None:
    """Bates et al. (2015), section 5: sleepstudy's summary, and of the random intercepts alone R's printed summary."""
    frame = jaxlmm.table(**fits).frame
    slopes = frame["slopes"].droplevel("part")
    assert slopes["Days", "estimate"] == "10.467"
    assert slopes["Days", "std_error"] == "(1.546)"
    assert slopes["Subject: SD Intercept", "estimate"] == "24.74"
    assert slopes["Residual SD", "estimate"] == "25.59"
    assert slopes["AIC", "estimate"] == "1755.6"
    assert frame.loc[("random", "Subject: SD Days", "estimate")].tolist() == ["", "5.92"]
    assert frame.loc[("model", "Groups: Subject", "estimate")].tolist() == ["18", "18"]


def test_terms_of_one_factor_share_rows(fits: dict[str, Any]) -> None:
    """lme4 names the second term of `(Days || Subject)` Subject.1, and prints 25.05, 5.99 and 25.57."""
    apart = jaxlmm.lmer("Reaction ~ Days + (Days || Subject)", jaxlmm.load_dataset("sleepstudy"))
    random = jaxlmm.table(apart, fits["slopes"]).frame.loc["random"].droplevel("statistic")
    assert random.index.tolist() == [
        "Subject: SD Intercept",
        "Subject: SD Days",
        "Subject: correlation Intercept, Days",
        "Residual SD",
    ]
    assert random["(1)"].tolist() == ["25.05", "5.99", "", "25.57"]


@pytest.mark.parametrize("statistic", ["conf_int", "p_value", "none"])
def test_statistics(fits: dict[str, Any], statistic: str) -> None:
    frame = jaxlmm.table(*fits.values(), statistic=statistic).frame
    assert list(frame.columns) == ["(1)", "(2)"]
    fixed = frame.loc["fixed"]
    if statistic == "none":
        assert set(fixed.index.get_level_values("statistic")) == {"estimate"}
        return
    cell = fixed.loc[("Days", statistic), "(2)"]
    if statistic == "p_value":
        assert cell == "(<0.001)"
    else:
        low, high = fits["slopes"].conf_int().loc["Days"]
        assert cell == f"[{low:.3f}, {high:.3f}]"


def test_every_form_holds_every_cell(fits: dict[str, Any]) -> None:
    table = jaxlmm.table(**fits)
    cells = [cell for cell in table.frame.to_numpy().ravel() if cell]
    for text in (str(table), table.to_html(), table.to_latex(), table.to_markdown()):
        for cell in cells:
            assert cell in text
    # A header and a note beside the rows; a rule below the header and between the three parts.
    assert table.to_latex().count("\\\\") == len(table.frame) + 2
    assert table.to_latex().count("\\midrule") == 3
    assert table.to_html().count("border-top") == 2 * 3
    assert table.to_html().count("<tr>") == len(table.frame) + 1
    assert table._repr_html_() == table.to_html()
    assert not re.search(r"color|background", table.to_html())


def test_names_that_a_form_would_read(fits: dict[str, Any]) -> None:
    """Bars end a cell in Markdown, stars are italics; angle brackets a tag in HTML; underscores mathematics in LaTeX, and a
    bracket after the end of a row is its argument."""
    table = jaxlmm.table(fits["slopes"], labels={"Days": "<days|all_of>", "Intercept": "[a*b] $x$"})
    assert r"\<days\|all\_of\>" in table.to_markdown()
    assert r"[a\*b] \$x\$" in table.to_markdown()
    assert "&lt;days|all_of&gt;" in table.to_html()
    assert r"all\_of" in table.to_latex()
    assert "{}[a*b]" in table.to_latex()


@pytest.mark.parametrize("statistic", ["std_error", "conf_int"])
def test_every_form_says_what_stands_below(fits: dict[str, Any], statistic: str) -> None:
    table = jaxlmm.table(**fits, statistic=statistic, level=0.9)
    assert table.note.startswith("90 % conf" if statistic == "conf_int" else "standard errors")
    assert table.note.replace("%", r"\%") in table.to_latex()
    for text in (str(table), table.to_html(), table.to_markdown()):
        assert table.note in text


def test_responses_of_different_sizes(fits: dict[str, Any]) -> None:
    """Each response has its own decimals, and its name: numbers of one say nothing about another's."""
    sleep = jaxlmm.load_dataset("sleepstudy")
    sleep = sleep.assign(big=1e8 * sleep["Reaction"], tiny=1e-8 * sleep["Reaction"])
    other = [jaxlmm.lmer(f"{name} ~ Days + (Days | Subject)", sleep) for name in ("big", "tiny")]
    frame = jaxlmm.table(fits["slopes"], *other).frame
    assert frame.loc[("fixed", "Days", "estimate")].tolist() == ["10.47", "1.047e+09", "1.047e-07"]
    assert frame.loc[("random", "Residual SD", "estimate")].tolist() == ["25.59", "2.559e+09", "2.559e-07"]
    assert frame.loc[("model", "Response", "estimate")].tolist() == ["Reaction", "big", "tiny"]
    assert "Response" not in jaxlmm.table(**fits).frame.index.get_level_values("term")


def test_what_is_refused(fits: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="no fit was given"):
        jaxlmm.table()
    with pytest.raises(DataError, match="statistic='stars' is not known"):
        jaxlmm.table(fits["slopes"], statistic="stars")
    with pytest.raises(DataError, match="a table is of fits"):
        jaxlmm.table(fits["slopes"].params)
    with pytest.raises(DataError, match=r"write jaxlmm\.table\(\*\*fits\)"):
        jaxlmm.table(fits)
    with pytest.raises(DataError, match="give that one a name, too"):
        jaxlmm.table(fits["slopes"], **{"(1)": fits["intercepts"]})
    with pytest.raises(DataError, match="which is no row of this table"):
        jaxlmm.table(fits["slopes"], labels={"days": "x"})


def test_maketables_reads_a_fit(fits: dict[str, Any]) -> None:
    extractors = pytest.importorskip("maketables.extractors")
    fit = fits["slopes"]
    for own in (extractors.get_extractor(fit), extractors.PluginExtractor()):
        table = own.coef_table(fit)
        assert table.loc["Days", "b"] == pytest.approx(10.46729, abs=5e-6)
        assert table.loc["Days", "se"] == pytest.approx(1.545790, abs=5e-6)
        assert own.depvar(fit) == "Reaction"
        assert own.stat(fit, "N") == 180
        assert own.stat(fit, "aic") == pytest.approx(1755.6283, abs=5e-5)
        assert own.stat(fit, "r2") is None
