"""`jaxlmm.table`: several fits side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jaxlmm.precision import double
from jaxlmm.report.comparison import Comparison, compared, names_of


@double
def table(
    *fits: Any,
    statistic: str = "std_error",
    level: float = 0.95,
    labels: Mapping[str, str] | None = None,
    **named: Any,
) -> Comparison:
    """Several fits side by side, in text, HTML, LaTeX or Markdown.

    Parameters
    ----------
    *fits : MixedModelResults
        Fits, in columns "(1)", "(2)", ...
    statistic : {"std_error", "conf_int", "p_value", "none"}
        What stands below each coefficient; p-values and intervals by each fit's own degrees of freedom.
    level : float
        Of the intervals.
    labels : dict, optional
        Other names for rows.
    **named : MixedModelResults
        Fits with names of their own.

    Returns
    -------
    Comparison
        Prints as text, shows as HTML in a notebook; `to_latex()`, `to_markdown()`, `to_html()`, `frame`.

    Raises
    ------
    DataError
        When there is no fit, or an argument is not known.

    Examples
    --------
    >>> import jaxlmm
    >>> sleep = jaxlmm.load_dataset("sleepstudy")
    >>> slopes = jaxlmm.lmer("Reaction ~ Days + (Days | Subject)", sleep)
    >>> intercepts = jaxlmm.lmer("Reaction ~ Days + (1 | Subject)", sleep)
    >>> jaxlmm.table(intercepts=intercepts, slopes=slopes, labels={"Days": "days of deprivation"})
                                            intercepts    slopes
    ------------------------------------  ------------  --------
    Intercept                                   251.41    251.41
                                                (9.75)    (6.82)
    days of deprivation                         10.467    10.467
                                               (0.804)   (1.546)
    ------------------------------------  ------------  --------
    Subject: SD Intercept                        37.12     24.74
    Subject: SD Days                                       5.92
    Subject: correlation Intercept, Days                  0.066
    Residual SD                                 30.99     25.59
    ------------------------------------  ------------  --------
    Rows                                          180       180
    Log-likelihood                             -893.2    -871.8
    AIC                                        1794.5    1755.6
    BIC                                        1807.2    1774.8
    Fitted by                                    REML      REML
    Groups: Subject                                18        18
    standard errors in parentheses
    """
    return compared(names_of(fits, named), statistic, level, labels)
