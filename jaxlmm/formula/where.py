"""A place in the user's formula, carried along so that every message can put a caret under its culprit.

Used by every other module of `jaxlmm.formula`; only `quote` is for others.
"""

from __future__ import annotations

import keyword
from dataclasses import dataclass

from jaxlmm.errors import FormulaError


@dataclass(frozen=True)
class Where:
    """The formula as the user typed it, and the index at which the part under inspection starts."""

    formula: str
    start: int | None = None

    def at(self, start: int | None) -> Where:
        """Return the same formula with another index."""
        return Where(self.formula, start)

    def error(self, message: str, culprit: str = "") -> FormulaError:
        """Return (not raise) the error; the caret goes to the first `culprit` at or after `start`."""
        position = self.start
        if culprit and position is not None:
            found = self.formula.find(culprit, position)
            position = found if found >= 0 else position
        return FormulaError(message, self.formula, position)


def quote(name: str) -> str:
    """Return a column name as it is written in a formula, inside a call or not: in backticks unless it is a plain name."""
    return name if name.isidentifier() and not keyword.iskeyword(name) else f"`{name}`"
