"""The one tree of exceptions that jaxlmm raises for input it cannot use.

Every message says what was found, where, and what to write instead. All of them are `ValueError`s too, so
that code written for other libraries keeps working.
"""


class JaxlmmError(ValueError):
    """Base of every error that jaxlmm raises on purpose."""


class FormulaError(JaxlmmError):
    """The formula cannot be read, or says two things that contradict each other.

    Parameters
    ----------
    message : str
        What was found and what to write instead.
    formula : str, optional
        The formula as the user typed it; it is quoted below the message.
    position : int, optional
        Index into `formula` of the culprit; a caret is printed under it.
    """

    def __init__(self, message: str, formula: str | None = None, position: int | None = None):
        self.formula = formula
        self.position = position
        if formula is not None:
            message = f"{message}\n{_quote(formula, position)}"
        super().__init__(message)


class DataError(JaxlmmError):
    """A column, a row or an array of the data cannot be used as it is."""


class DesignError(JaxlmmError):
    """The model that the formula and the data define together cannot be fitted."""


class ConvergenceError(JaxlmmError):
    """The optimizer could not certify a minimum."""


class SavedModelError(JaxlmmError):
    """A file is not a model that this version of jaxlmm wrote."""


def _quote(formula: str, position: int | None) -> str:
    """Quote the line of `formula` that holds `position`, with a caret under it."""
    if position is None or not 0 <= position <= len(formula):
        return "    " + formula.strip().replace("\n", "\n    ")
    start = formula.rfind("\n", 0, position) + 1
    end = formula.find("\n", position)
    line = formula[start : len(formula) if end < 0 else end]
    return f"    {line}\n    {' ' * (position - start)}^"
