"""The summary of a fit, as text and as HTML.

What a reader of lme4's summary looks for stands in the order in which they look for it: the model, the rows and
groups, the criterion, the random effects with variances, standard deviations and correlations, the coefficients,
and then, one line each, how the fit was computed and what should be known about it.
"""

from __future__ import annotations

import html
from dataclasses import dataclass

import numpy as np
import pandas as pd
from tabulate import tabulate

from jaxlmm.covariance import covarying
from jaxlmm.inference import Method
from jaxlmm.report.components import terms
from jaxlmm.report.numbers import aligned, left_said, p_value, significant
from jaxlmm.report.record import Fitted
from jaxlmm.report.rows import scaled_residuals
from jaxlmm.report.tidy import coefficients


@dataclass(frozen=True)
class Summary:
    """A summary that prints as text and shows as HTML in a notebook.

    Attributes
    ----------
    title : str
        What was fitted and how.
    facts : tuple of (str, str)
        Labelled facts: formula, rows, groups, criterion.
    random, fixed : pandas.DataFrame
        The two tables, formatted.
    fixed_title : str
        Names the reference distribution.
    notes : tuple of str
        Plan, convergence, and what should be known.
    """

    title: str
    facts: tuple[tuple[str, str], ...]
    random: pd.DataFrame
    fixed: pd.DataFrame
    fixed_title: str
    notes: tuple[str, ...]

    def __str__(self) -> str:
        width = max(len(label) for label, _ in self.facts)
        lines = [self.title, ""]
        lines += [f"{label + ':':<{width + 1}} {value}" for label, value in self.facts]
        lines += ["", "Random effects", _text(self.random), "", self.fixed_title, _text(self.fixed), ""]
        return "\n".join([*lines, *self.notes])

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th style='text-align:left'>{html.escape(label)}</th>"
            f"<td style='text-align:left'>{html.escape(value)}</td></tr>"
            for label, value in self.facts
        )
        parts = [
            f"<p><b>{html.escape(self.title)}</b></p>",
            f"<table>{rows}</table>",
            "<p><b>Random effects</b></p>",
            _html(self.random, 2),
            f"<p><b>{html.escape(self.fixed_title)}</b></p>",
            _html(self.fixed, 1),
            *(f"<p style='margin:0'>{html.escape(note)}</p>" for note in self.notes),
        ]
        return f"<div>{''.join(parts)}</div>"


def summarize(fitted: Fitted, method: Method) -> Summary:
    """Everything that the summary shows."""
    fit, frame = fitted.fit, fitted.frame
    kind = "REML" if fit.reml else "maximum likelihood"
    log_likelihood, k = fitted.log_likelihood(), fitted.n_parameters
    aic, bic = -2 * log_likelihood + 2 * k, -2 * log_likelihood + np.log(fitted.n_obs) * k
    groups = ", ".join(f"{f.grouping.name} {f.grouping.n_levels:,}" for f in fitted.factors)
    facts = [
        ("Formula", " ".join(frame.formula.source.split())),
        ("Rows", f"{fitted.n_obs:,}{_dropped_rows(fitted)}"),
        ("Groups", groups),
        *_given(fitted),
        ("REML criterion" if fit.reml else "Deviance", f"{fit.objective:.4f}"),
        ("logLik, AIC, BIC", f"{log_likelihood:.4f}, {aic:.4f}, {bic:.4f}"),
    ]
    if frame.design.n_obs:  # a loaded model may have no rows
        facts.append(("Scaled residuals", f"{_residual_quartiles(fitted)}  (min, quartiles, max)"))
    return Summary(
        f"Linear mixed model fitted by {kind}",
        tuple(facts),
        _random_table(fitted),
        _fixed_table(fitted, method),
        f"Fixed effects ({_distribution(method)})",
        tuple(notes(fitted)),
    )


def _given(fitted: Fitted) -> list[tuple[str, str]]:
    """Weights and offsets that were used: the column's name, or that they were given as values."""
    facts = []
    for label, name in (("Weights", "weights"), ("Offset", "offset")):
        value = fitted.frame.arguments[name]
        said = [] if value is None else [value if isinstance(value, str) else "values given"]
        if name == "offset":
            said = [*(f"offset({text})" for text in fitted.frame.formula.offsets), *said]
        if said:
            facts.append((label, " + ".join(said)))
    return facts


def _residual_quartiles(fitted: Fitted) -> str:
    return ", ".join(f"{q:.3f}" for q in np.quantile(scaled_residuals(fitted), [0, 0.25, 0.5, 0.75, 1]))


def notes(fitted: Fitted) -> list[str]:
    """The plan, convergence, and everything a user should know about this fit; one line each."""
    certificate = fitted.fit.certificate
    lines = [f"Plan: {fitted.model.plan.describe()}."]
    if certificate.converged:
        lines.append(
            f"Converged in {certificate.iterations} iterations: one more step would lower the objective by "
            f"{max(certificate.predicted_decrease, 0.0):.1g}."
        )
    else:
        lines.append(
            f"NOT CONVERGED after {certificate.iterations} iterations ({certificate.status}): one more step would lower "
            f"the objective by {certificate.predicted_decrease:.2g}; do not use these numbers."
        )
    error = fitted.fit.monte_carlo
    if error is not None and error.probes:
        lines.append(
            f"The log-determinant is estimated from {error.probes} probes and {error.directions} exact directions. With "
            f"other probes the criterion would differ by {error.objective:.1g} (standard deviation), theta by at most "
            f"{error.error:.1g} standard errors, standard errors by {error.bse.max(initial=0.0):.1g} of themselves."
        )
    for f, t, n in certificate.singular:
        factor = fitted.factors[f]
        term = factor.terms[t]
        size = term.structure.size
        what = (
            "variance is zero" if size == 1 else f"covariance is singular ({n} of {size} directions without variance)"
        )
        lines.append(f"Singular: the estimated {what} for {term.source}; this is a minimum on the boundary.")
    for s, t in certificate.flat:
        a, b = (fitted.factors[i].grouping.name for i in (s, t))
        lines.append(
            f"Not identified: {a} and {b} divide the rows alike, so only the sum of their variances is estimated, not its "
            "split; drop one of the two."
        )
    if fitted.dropped:
        lines.append(f"Redundant fixed effects without a coefficient: {', '.join(fitted.dropped)}.")
    lines += [notice[0].upper() + notice[1:] + "." for notice in fitted.frame.notices]
    return lines


def _dropped_rows(fitted: Fitted) -> str:
    rows = fitted.frame.rows
    if not rows.n_dropped:
        return ""
    counts = ", ".join(f"{name.removesuffix('=')} {count:,}" for name, count in rows.missing.items())
    return f" ({rows.n_dropped:,} more left out for missing values: {counts})"


def _distribution(method: Method) -> str:
    names = {"normal": "normal reference distribution", "residual": "t distribution, n - p degrees of freedom"}
    if method.ddf in names:
        return names[method.ddf]
    usual = method == Method.of(method.ddf)
    more = "" if usual else f", {method.information} information"
    return f"t distribution, {method.ddf.title()} degrees of freedom{more}"


def _random_table(fitted: Fitted) -> pd.DataFrame:
    """Group, effect, variance, standard deviation and correlations with the effects above."""
    rows, sigma = [], fitted.fit.sigma
    widest = max((t.structure.size for t in terms(fitted) if covarying(t.structure).any()), default=1)
    for term in terms(fitted):
        covariance = sigma**2 * term.lambda_ @ term.lambda_.T
        sd = np.sqrt(np.diagonal(covariance))
        for i, name in enumerate(term.names):
            free = covarying(term.structure)[i, :i]
            correlations = [
                "" if not free[j] else f"{covariance[i, j] / (sd[i] * sd[j]):.2f}" if sd[i] * sd[j] > 0 else "nan"
                for j in range(i if free.any() else 0)
            ]
            rows.append(
                (term.group if i == 0 else "", name, covariance[i, i], sd[i], *_padded(correlations, widest - 1))
            )
    rows.append(("Residual", "", sigma**2, sigma, *_padded([], widest - 1)))
    names = ["Group", "Effect", "Variance", "Std.Dev.", *(["Corr"] + [""] * (widest - 2))[: widest - 1]]
    table = pd.DataFrame(rows, columns=range(len(names)))
    table[2], table[3] = significant(table[2]), significant(table[3])
    return table.set_axis(names, axis=1)


def _fixed_table(fitted: Fitted, method: Method) -> pd.DataFrame:
    table = coefficients(fitted, method)
    letter = "z" if method.ddf == "normal" else "t"
    columns = {"Estimate": aligned(table["estimate"], table["std_error"])}
    columns["Std. Error"] = significant(table["std_error"])
    if method.ddf != "normal":
        columns["df"] = [f"{v:.1f}" for v in table["df"]]
    columns[f"{letter} value"] = [f"{v:.3f}" for v in table["statistic"]]
    columns[f"Pr(>|{letter}|)"] = [p_value(v) for v in table["p_value"]]
    columns["[0.025"] = aligned(table["conf_low"], table["std_error"])
    columns["0.975]"] = aligned(table["conf_high"], table["std_error"])
    return pd.DataFrame(columns, index=table.index).rename_axis(None).reset_index(names="")


def _padded(values: list[str], size: int) -> list[str]:
    return [*values, *[""] * (size - len(values))]


def _text(table: pd.DataFrame) -> str:
    """Left-aligned words, right-aligned numbers."""
    if not len(table):
        return "(none)"
    words = [0, 1] if table.columns[0] == "Group" else [0]
    formatted = table.set_axis(range(table.shape[1]), axis=1).astype(str)
    columns = []
    for j in formatted:
        cells = [str(table.columns[j]), *formatted[j]]
        width = max(map(len, cells))
        columns.append([cell.ljust(width) if j in words else cell.rjust(width) for cell in cells])
    return "\n".join("  ".join(row).rstrip() for row in zip(*columns, strict=True))


def _html(table: pd.DataFrame, labels: int) -> str:
    """As HTML: the first columns are labels, the others numbers to be read by their right ends; colours are the page's."""
    align = ["left"] * labels + ["right"] * (table.shape[1] - labels)
    rows = table.astype(str).to_numpy().tolist()
    return left_said(str(tabulate(rows, list(table.columns), tablefmt="html", disable_numparse=True, colalign=align)))
