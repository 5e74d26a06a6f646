"""The one tree of exceptions that jaxlmm raises for input it cannot use.

Every message says what was found, where, and what to write instead. All of them are `ValueError`s too, so
that code written for other libraries keeps working.
"""

import re
import sys
from pathlib import Path

PACKAGE = str(Path(__file__).parent)


class JaxlmmError(ValueError):
    """Base of every error that jaxlmm raises on purpose.

    Parameters
    ----------
    message : str
        What was found and what to write instead.
    formula : str, optional
        The formula as the user typed it; it is quoted below the message.
    position : int, optional
        Index into `formula` of the culprit; a caret is printed under it.
    culprit : str or tuple of str
        Where the formula is not at hand: the part of it that is at fault, in one spelling or several, see `located`.
    """

    def __init__(
        self,
        message: str,
        formula: str | None = None,
        position: int | None = None,
        culprit: str | tuple[str, ...] = (),
    ):
        self.formula = formula
        self.position = position
        self.culprit = (culprit,) if isinstance(culprit, str) else culprit
        if formula is not None:
            message = f"{message}\n{_quote(formula, position)}"
        ValueError.__init__(self, message)


class FormulaError(JaxlmmError):
    """The formula cannot be read, or says two things that contradict each other."""


class DataError(JaxlmmError):
    """A column, a row or an array of the data cannot be used as it is."""


class DesignError(JaxlmmError):
    """The model that the formula and the data define together cannot be fitted."""


class ConvergenceError(JaxlmmError):
    """The optimizer could not certify a minimum."""


class ConvergenceWarning(UserWarning):
    """A fit ended without a certified minimum; its `certificate` and `summary()` say how."""


class SavedModelError(JaxlmmError):
    """A file is not a model that this version of jaxlmm wrote."""


def callers_level() -> int:
    """The `stacklevel` at which a warning points to the line that called the package; for the function that warns."""
    level, caller = 1, sys._getframe(1)
    while caller.f_back is not None and caller.f_code.co_filename.startswith(PACKAGE):
        level, caller = level + 1, caller.f_back
    return level


def located(error: JaxlmmError, formula: str) -> JaxlmmError:
    """Quote the formula in an error about a part of it, with a caret under the first place where that part stands.

    Parameters
    ----------
    error : JaxlmmError
        Changed in place, unless it has no culprit or quotes a formula already.
    formula : str
        The formula as the user typed it.

    Returns
    -------
    JaxlmmError
        The same error.
    """
    if error.formula is None and error.culprit:
        found = (_find(formula, spelling) for spelling in error.culprit)
        error.formula, error.position = formula, next((place for place in found if place is not None), None)
        error.args = (f"{error}\n{_quote(formula, error.position)}",)
    return error


def _find(formula: str, part: str) -> int | None:
    """Where a part of a formula stands in it, whatever its blanks and whichever sign of a power."""
    pattern = r"\s*".join(re.escape(character) for character in part if not character.isspace())
    pattern = pattern.replace(r"\*\s*\*", r"(?:\*\*|\^)")
    before = r"(?<![\w.])" if re.match(r"\w", part) else ""
    after = r"(?![\w.])" if re.search(r"\w\Z", part) else ""
    found = re.search(before + pattern + after, formula)
    return found.start() if found and part else None


def _quote(formula: str, position: int | None) -> str:
    """Quote the line of `formula` that holds `position`, with a caret under it."""
    if position is None or not 0 <= position <= len(formula):
        return "    " + formula.strip().replace("\n", "\n    ")
    start = formula.rfind("\n", 0, position) + 1
    end = formula.find("\n", position)
    line = formula[start : len(formula) if end < 0 else end]
    return f"    {line}\n    {' ' * (position - start)}^"
