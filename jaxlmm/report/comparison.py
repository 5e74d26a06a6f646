"""Several fits side by side, as a paper has them: coefficients, random effects, and what is said of the whole model.

`tabulate` sets the table in text, HTML, LaTeX and Markdown; here is what stands in it. Called by `jaxlmm.table`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from tabulate import SEPARATING_LINE, tabulate

from jaxlmm.errors import DataError
from jaxlmm.report.numbers import left_said

STATISTICS = {
    "std_error": "standard errors in parentheses",
    "conf_int": "confidence intervals in brackets",
    "p_value": "p-values in parentheses",
    "none": "",
}
"""What may stand below a coefficient."""

WHOLE = {
    "nobs": "Rows",
    "log_lik": "Log-likelihood",
    "aic": "AIC",
    "bic": "BIC",
    "reml": "Fitted by",
}
"""What of `glance` is shown."""

RESIDUAL = "Residual SD"
"""The last row of the random part."""

DIGITS = 3
"""Digits of a standard error."""

APART = 3
"""Decimals by which cells of one row may differ before each is written with its own."""

LONG = 1e7
"""Numbers from here on, and such with more than `FINE` decimals, are written with a power of ten."""

FINE = 6

RULED = ("simple", "latex_booktabs")
"""Forms in which tabulate draws a rule between rows."""


@dataclass(frozen=True)
class Comparison:
    """A table of several fits, which prints as text and shows as HTML in a notebook; made by `jaxlmm.table`.

    Attributes
    ----------
    frame : pandas.DataFrame
        The cells as text: rows part ("fixed", "random", "model"), term, statistic; one column per fit. A row "Response" is
        there where the fits are of different ones.
    note : str
        What stands in parentheses.

    Examples
    --------
    >>> import jaxlmm
    >>> fit = jaxlmm.lmer("Yield ~ 1 + (1 | Batch)", jaxlmm.load_dataset("dyestuff"))
    >>> print(jaxlmm.table(fit).to_markdown().splitlines()[2])
    | Intercept           | 1527.5 |
    """

    frame: pd.DataFrame
    note: str

    def to_text(self) -> str:
        """For a terminal."""
        return "\n".join([self._set("simple"), *([self.note] if self.note else [])])

    def to_html(self) -> str:
        """For a page; colours and fonts are the page's, so that it suits light and dark ones."""
        caption = f"<p style='margin:0'><small>{self.note}</small></p>" if self.note else ""
        return f"<div>{self._set('html')}{caption}</div>"

    def to_latex(self) -> str:
        """A tabular with booktabs' rules (`\\usepackage{booktabs}`), the note in its last row."""
        lines = re.sub(r"(?m)^(\s*)\[", r"\1{}[", self._set("latex_booktabs")).splitlines()
        if self.note:
            note = self.note.replace("%", r"\%")
            lines.insert(-1, rf"\multicolumn{{{len(self.frame.columns) + 1}}}{{l}}{{\footnotesize {note}}} \\")
        return "\n".join(lines)

    def to_markdown(self) -> str:
        """A pipe table, as GitHub and Quarto read it, and the note below."""
        return "\n".join([self._set("pipe", _plain_in_markdown), *(["", self.note] if self.note else [])])

    def __str__(self) -> str:
        return self.to_text()

    def __repr__(self) -> str:
        return self.to_text()

    def _repr_html_(self) -> str:
        return self.to_html()

    def _set(self, form: str, written: Callable[[str], str] = str) -> str:
        """All cells, set by tabulate as they are, with a rule between the parts where the form has one."""
        parts, terms, statistics = (self.frame.index.get_level_values(i) for i in range(3))
        labels = [written(str(term)) if own == "estimate" else "" for term, own in zip(terms, statistics, strict=True)]
        rows = [[label, *cells] for label, cells in zip(labels, self.frame.to_numpy().tolist(), strict=True)]
        header = ["", *(written(str(name)) for name in self.frame.columns)]
        align = ["left", *["right"] * (len(header) - 1)]
        begins = [i for i in range(1, len(parts)) if parts[i] != parts[i - 1]]
        if form in RULED:
            for i in reversed(begins):
                rows.insert(i, SEPARATING_LINE)
        text = str(tabulate(rows, header, tablefmt=form, disable_numparse=True, colalign=align))
        if form != "html":
            return text
        head, *body = left_said(text).split("<tr>")
        for i in begins:
            body[i + 1] = re.sub('style="', 'style="border-top: 1px solid; ', body[i + 1])
        return "<tr>".join([head, *body])


def _plain_in_markdown(text: str) -> str:
    """With nothing that ends a cell, or makes italics, mathematics or a tag."""
    return re.sub(r"([\\|*_`$<>])", r"\\\1", text)


def compared(fits: Mapping[str, Any], statistic: str, level: float, labels: Mapping[str, str] | None) -> Comparison:
    """The table of some fits by name.

    Raises
    ------
    DataError
        When the statistic is not known, or a label is of no row.
    """
    if not isinstance(statistic, str) or statistic not in STATISTICS:
        raise DataError(f"statistic={statistic!r} is not known; write " + ", ".join(map(repr, STATISTICS)))
    fixed = pd.concat({name: fit.tidy("fixed", level=level).set_index("term") for name, fit in fits.items()})
    random = pd.concat({name: _by_label(fit.tidy("ran_pars"), fit.n_groups.index) for name, fit in fits.items()})
    responses = [str(fit.endog_names) for fit in fits.values()]
    rows: dict[tuple[str, str, str], list[str]] = {}
    for part, table in (("fixed", fixed), ("random", random)):
        for term in _in_order(table) if part == "random" else dict.fromkeys(table.index.get_level_values(1)):
            own = table.xs(term, level=1).reindex(list(fits))
            decimals = _decimals(own, responses)
            rows[part, term, "estimate"] = [_number(v, d) for v, d in zip(own["estimate"], decimals, strict=True)]
            if part == "fixed" and statistic != "none":
                cells = zip((row for _, row in own.iterrows()), decimals, strict=True)
                rows[part, term, statistic] = [_below(row, statistic, d) for row, d in cells]
    if len(set(responses)) > 1:
        rows["model", "Response", "estimate"] = responses
    for key, label in WHOLE.items():
        rows["model", label, "estimate"] = [_whole(key, fit.glance()[key].iloc[0]) for fit in fits.values()]
    for group in dict.fromkeys(name for fit in fits.values() for name in fit.n_groups.index):
        counts = [f"{fit.n_groups[group]:,}" if group in fit.n_groups else "" for fit in fits.values()]
        rows["model", f"Groups: {group}", "estimate"] = counts
    index = pd.MultiIndex.from_tuples(list(rows), names=["part", "term", "statistic"])
    frame = pd.DataFrame(list(rows.values()), index=index, columns=list(fits))
    if labels:
        unknown = [label for label in labels if label not in set(index.get_level_values("term"))]
        if unknown:
            known = ", ".join(map(repr, dict.fromkeys(index.get_level_values("term"))))
            raise DataError(f"labels= names {unknown[0]!r}, which is no row of this table; its rows are {known}")
        frame = frame.rename(index=dict(labels), level="term")
    note = STATISTICS[statistic]
    return Comparison(frame, f"{100 * level:.3g} % {note}" if statistic == "conf_int" else note)


def coefficient_table(tidy: pd.DataFrame) -> pd.DataFrame:
    """Fixed effects as maketables reads them: b, se, t, p, ci95l, ci95u by coefficient."""
    names = {
        "estimate": "b",
        "std_error": "se",
        "statistic": "t",
        "p_value": "p",
        "conf_low": "ci95l",
        "conf_high": "ci95u",
    }
    return tidy.set_index("term").rename_axis("Coefficient")[list(names)].rename(columns=names).astype(float)


def _by_label(table: pd.DataFrame, factors: pd.Index) -> pd.DataFrame:
    """Standard deviations and correlations with names for a reader: "Subject: SD Days".

    The second term of a factor has lme4's name, "Subject.1". It goes by its factor's, so that fits with `|` and with `||`
    share rows, unless two rows would have one name.
    """
    kinds, names = zip(*(str(term).split("__", 1) for term in table["term"]), strict=True)
    given = [str(group) for group in table["group"]]
    groups = [g if g in factors or g == "Residual" else g.rsplit(".", 1)[0] for g in given]
    if len(set(zip(groups, kinds, names, strict=True))) < len(groups):
        groups = given
    labels = [
        RESIDUAL if g == "Residual" else f"{g}: SD {n}" if kind == "sd" else f"{g}: correlation {n.replace('.', ', ')}"
        for g, kind, n in zip(groups, kinds, names, strict=True)
    ]
    return table.assign(term=labels, group=groups, kind=kinds).set_index("term")


def _in_order(random: pd.DataFrame) -> list[str]:
    """Rows of the random part: factor by factor as they come, standard deviations before correlations, the residual last."""
    once = random[~random.index.get_level_values(1).duplicated()]
    came = {group: i for i, group in enumerate(dict.fromkeys(once["group"]))}
    keys = [(g == "Residual", came[g], kind != "sd") for g, kind in zip(once["group"], once["kind"], strict=True)]
    return [once.index[i][1] for i in sorted(range(len(keys)), key=keys.__getitem__)]


def _decimals(own: pd.DataFrame, responses: list[str]) -> list[int]:
    """So many that the smallest standard error of the row, or else number, of the same response has three digits."""
    wanted = np.array([_own_decimals(row) for _, row in own.iterrows()])
    answer = []
    for response, mine in zip(responses, wanted, strict=True):
        alike = wanted[np.array(responses) == response]
        most = np.nanmax(alike) if np.isfinite(alike).any() else float(DIGITS)
        answer.append(int(mine if most - mine > APART else most))
    return answer


def _own_decimals(row: pd.Series) -> float:
    """Decimals that three digits take; NaN where there is no number."""
    for column in ("std_error", "estimate"):
        size = abs(float(row[column]))
        if np.isfinite(size) and size > 0:
            return float(max(DIGITS - 1 - np.floor(np.log10(size)), 0.0))
    return np.nan


def _number(value: float, decimals: int) -> str:
    if not np.isfinite(value):
        return ""
    if abs(value) >= LONG or decimals > FINE:
        return f"{value:.{DIGITS + 1}g}"
    return f"{value:.{decimals}f}"


def _below(row: pd.Series, statistic: str, decimals: int) -> str:
    """What stands below an estimate; nothing where there is none."""
    if not np.isfinite(row["estimate"]):
        return ""
    if statistic == "std_error":
        return f"({_number(row['std_error'], decimals)})"
    if statistic == "p_value":
        return "(<0.001)" if row["p_value"] < 0.001 else f"({row['p_value']:.3f})"
    return f"[{_number(row['conf_low'], decimals)}, {_number(row['conf_high'], decimals)}]"


def _whole(key: str, value: Any) -> str:
    if key == "reml":
        return "REML" if value else "ML"
    return f"{int(value):,}" if key == "nobs" else f"{value:.1f}"


def names_of(fits: Sequence[Any], named: Mapping[str, Any]) -> dict[str, Any]:
    """Fits by their names: "(1)", "(2)", ... for those without.

    Raises
    ------
    DataError
        When there is none, or something is no fit.
    """
    models = {f"({i + 1})": fit for i, fit in enumerate(fits)}
    for name in models:
        if name in named:
            raise DataError(
                f"{name!r} names a fit, and is the name of the fit in that place; give that one a name, too"
            )
    models |= named
    if not models:
        raise DataError("no fit was given; write jaxlmm.table(fit1, fit2) or jaxlmm.table(first=fit1, second=fit2)")
    for name, fit in models.items():
        if not hasattr(fit, "glance"):
            example = "**fits" if isinstance(fit, Mapping) else "fit1, fit2"
            raise DataError(
                f"{name} is of type {type(fit).__name__}, and a table is of fits; write jaxlmm.table({example})"
            )
    return models
