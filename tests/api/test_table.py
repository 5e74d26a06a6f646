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
    assert table.to_latex().count("\\\\") == len(table.frame) + 1
    assert table.to_html().count("<tr>") == len(table.frame) + 1
    assert table._repr_html_() == table.to_html()
    assert not re.search(r"color|background", table.to_html())


def test_names_that_a_form_would_read(fits: dict[str, Any]) -> None:
    """Bars end a cell in Markdown, angle brackets a tag in HTML, underscores mathematics in LaTeX."""
    table = jaxlmm.table(fits["slopes"], labels={"Days": "<days|all_of>"})
    assert r"<days\|all_of>" in table.to_markdown()
    assert "&lt;days|all_of&gt;" in table.to_html()
    assert r"all\_of" in table.to_latex()


def test_what_is_refused(fits: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="no fit was given"):
        jaxlmm.table()
    with pytest.raises(DataError, match="statistic='stars' is not known"):
        jaxlmm.table(fits["slopes"], statistic="stars")
    with pytest.raises(DataError, match="a table is of fits"):
        jaxlmm.table(fits["slopes"].params)
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
