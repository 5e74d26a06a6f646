"""Numbers as a reader wants them: no digit that means nothing, none missing."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np


def significant(values: Iterable[float], digits: int = 4) -> list[str]:
    """Each number with at least `digits` significant digits, all with the same number of decimals if that stays short."""
    numbers = np.asarray(list(values), dtype=float)
    sizes = np.abs(numbers[np.isfinite(numbers) & (numbers != 0)])
    if not sizes.size:
        return [f"{v:g}" for v in numbers]
    decimals = digits - 1 - int(np.floor(np.log10(sizes.min())))
    if decimals > 8 or sizes.max() >= 1e9:
        return [f"{v:.{digits}g}" for v in numbers]
    return [f"{v:.{max(decimals, 0)}f}" for v in numbers]


def aligned(values: Iterable[float], errors: Iterable[float]) -> list[str]:
    """Estimates with as many decimals as their standard errors have to four digits."""
    numbers, sizes = np.asarray(list(values), dtype=float), np.asarray(list(errors), dtype=float)
    sizes = sizes[np.isfinite(sizes) & (sizes > 0)]
    if not sizes.size:
        return significant(numbers)
    decimals = 3 - int(np.floor(np.log10(sizes.min())))
    if decimals > 8 or np.abs(numbers[np.isfinite(numbers)]).max(initial=0.0) >= 1e9:
        return [f"{v:.5g}" for v in numbers]
    return [f"{v:.{max(decimals, 0)}f}" for v in numbers]


def p_value(value: float) -> str:
    """A p-value with three digits."""
    if not np.isfinite(value):
        return "nan"
    return "<1e-16" if value < 1e-16 else f"{value:.3g}"


def left_said(table: str) -> str:
    """tabulate's HTML, whose left cells say nothing and which a notebook would set right, with the side of every cell."""
    return table.replace("<td>", '<td style="text-align: left;">').replace("<th>", '<th style="text-align: left;">')
