"""`CrossProducts`: what a fit needs of rows, wherever they are, as named sums: saved, added, subtracted and fitted."""

from __future__ import annotations

import copy
import os

import numpy as np
import pandas as pd

from jaxlmm.design import Learnt
from jaxlmm.errors import DataError
from jaxlmm.pls import CrossProducts as Sums
from jaxlmm.pls import placed, without
from jaxlmm.precision import double
from jaxlmm.results.processes import over_processes
from jaxlmm.results.remaining import remaining
from jaxlmm.results.saving_sums import read_sums, save_sums


class CrossProducts:
    """Sums over rows that were read and not kept: of the products of all columns of a model, in all and by level.

    Made by `jaxlmm.cross_products`; not meant to be constructed by hand. Sums of other rows are added with `+`, those of rows
    that are among them subtracted with `-`, and `jaxlmm.lmer_from` fits them: exactly the model of all the rows, wherever
    they are (for one random intercept see Luo et al. 2022, Nature Communications 13, 1678). Nothing in it changes.

    Parameters
    ----------
    learnt : Learnt
        Names, levels and counts.
    sums : pls.CrossProducts
        Over raw columns.

    Examples
    --------
    >>> import jaxlmm
    >>> sleepstudy = jaxlmm.load_dataset("sleepstudy")
    >>> model = "Reaction ~ Days + (Days | Subject)"
    >>> first, rest = (jaxlmm.cross_products(model, part) for part in (sleepstudy[:70], sleepstudy[70:]))
    >>> first + rest
    <CrossProducts: 'Reaction ~ Days + (Days | Subject)', 180 rows, 18 Subject>
    >>> round(jaxlmm.lmer_from(first + rest).objective, 4)
    1743.6283
    """

    def __init__(self, learnt: Learnt, sums: Sums):
        self._learnt, self._sums = learnt, sums

    @property
    def formula(self) -> str:
        """The formula as the user typed it."""
        return self._learnt.formula.source

    @property
    def nobs(self) -> int:
        """Number of complete rows; of aggregated ones the number of raw rows."""
        return self._sums.n_obs

    @property
    def n_dropped(self) -> int:
        """Number of rows left out for missing values."""
        return self._learnt.n_data - self._learnt.n_used

    @property
    def n_groups(self) -> dict[str, int]:
        """Number of levels of each grouping factor."""
        counts = [self._rows(f) for f in range(len(self._sums.factors))]
        return {":".join(group): int((own > 0).sum()) for group, own in zip(self._learnt.groups, counts, strict=True)}

    def levels(self, group: str) -> pd.Series:
        """Number of rows of each level of a grouping factor.

        Parameters
        ----------
        group : str
            As in `n_groups`.

        Returns
        -------
        pandas.Series

        Raises
        ------
        DataError
            When there is no such factor.

        Examples
        --------
        >>> import jaxlmm
        >>> sums = jaxlmm.cross_products("Yield ~ 1 + (1 | Batch)", jaxlmm.load_dataset("dyestuff"))
        >>> sums.levels("Batch").to_dict()
        {'A': 5, 'B': 5, 'C': 5, 'D': 5, 'E': 5, 'F': 5}
        """
        names = [":".join(own) for own in self._learnt.groups]
        if group not in names:
            raise DataError(f"{group!r} is no grouping factor of this model; those are: {', '.join(map(repr, names))}")
        f = names.index(group)
        own = self._learnt.groups[f]
        count = self._learnt.n_levels(own)
        parts = self._learnt.combinations[own].parts(count)
        values = [self._learnt.dictionaries[name].values for name in own]
        labels = [[known[i] for i in part.tolist()] for known, part in zip(values, parts, strict=True)]
        index = pd.Index(labels[0] if len(own) == 1 else [":".join(map(str, row)) for row in zip(*labels, strict=True)])
        rows = self._rows(f)
        return pd.Series(rows.astype(np.int64), index=index.rename(group), name="rows")[rows > 0].sort_index()

    def __add__(self, other: CrossProducts) -> CrossProducts:
        if not isinstance(other, CrossProducts):
            return NotImplemented
        learnt = copy.deepcopy(self._learnt)
        there = learnt.absorb(other._learnt)
        here = [np.arange(len(self._learnt.random[group])) for group in self._learnt.groups]
        sizes = [(len(learnt.random[group]), learnt.n_levels(group)) for group in learnt.groups]
        levels = [np.arange(self._learnt.n_levels(group)) for group in learnt.groups]
        n_fixed = len(learnt.fixed)
        mine = placed(self._sums, np.arange(len(self._learnt.fixed)), here, levels, sizes, n_fixed)
        theirs = placed(other._sums, there.fixed, there.random, there.levels, sizes, n_fixed)
        return CrossProducts(learnt, mine.merge(theirs))

    def __radd__(self, other: object) -> CrossProducts:
        # sum() begins with 0.
        return self if other == 0 else NotImplemented

    def __sub__(self, other: CrossProducts) -> CrossProducts:
        if not isinstance(other, CrossProducts):
            return NotImplemented
        learnt = copy.deepcopy(self._learnt)
        sizes = [(len(learnt.random[group]), learnt.n_levels(group)) for group in learnt.groups]
        n_fixed = len(learnt.fixed)
        there = learnt.absorb(other._learnt)
        if [(len(learnt.random[g]), learnt.n_levels(g)) for g in learnt.groups] != sizes or len(
            learnt.fixed
        ) != n_fixed:
            raise DataError(
                "the sums to be taken out have levels that the others do not have: they are not all among them"
            )
        theirs = placed(other._sums, there.fixed, there.random, there.levels, sizes, n_fixed)
        left = without(self._sums, theirs)
        learnt.n_data = self._learnt.n_data - other._learnt.n_data
        learnt.n_used = self._learnt.n_used - other._learnt.n_used
        learnt.missing = {
            name: count - other._learnt.missing.get(name, 0) for name, count in self._learnt.missing.items()
        }
        learnt.response, learnt.less = self._learnt.response, True
        return CrossProducts(*remaining(learnt, left, self._sums))

    @double
    def over_processes(self) -> CrossProducts:
        """The sums of all processes of `jax.distributed`, each of which has read rows of its own; every process gets them.

        Returns
        -------
        CrossProducts
            Of all rows; with a single process, of its own.

        Raises
        ------
        DataError
            When the processes have summed different models, or columns of different types.

        Examples
        --------
        >>> import jaxlmm
        >>> sums = jaxlmm.cross_products("Yield ~ 1 + (1 | Batch)", jaxlmm.load_dataset("dyestuff"))
        >>> sums.over_processes().nobs
        30
        """
        return CrossProducts(*over_processes(self._learnt, self._sums))

    def save(self, path: str | os.PathLike[str], min_rows: int = 5) -> None:
        """Write the sums to one file, which `jaxlmm.load_cross_products` reads: npz with JSON inside, no pickle, no rows.

        Parameters
        ----------
        path : path
            File to write; one that is there is replaced only once the new one is whole.
        min_rows : int
            Refuse sums in which a group, or two groups that meet, have fewer rows than this, for those could tell of persons;
            1 lets everything through.

        Raises
        ------
        DataError
            When a group is too small.
        SavedModelError
            When the file cannot be written.

        Examples
        --------
        >>> import jaxlmm, os, tempfile
        >>> sums = jaxlmm.cross_products("Yield ~ 1 + (1 | Batch)", jaxlmm.load_dataset("dyestuff"))
        >>> path = os.path.join(tempfile.mkdtemp(), "site.npz")
        >>> sums.save(path)
        >>> jaxlmm.load_cross_products(path).nobs
        30
        """
        self._check_rows(min_rows)
        save_sums(self._learnt, self._sums, path)

    def __repr__(self) -> str:
        groups = ", ".join(f"{count:,} {name}" for name, count in self.n_groups.items())
        return f"<CrossProducts: {self.formula.strip()!r}, {self.nobs:,} rows, {groups}>"

    def _rows(self, f: int) -> np.ndarray:
        rows = self._sums.factors[f].rows
        assert rows is not None
        return rows

    def _cells(self) -> dict[str, np.ndarray]:
        """Rows of each cell of the factors of the fixed effects; with weights or counts its sums are of other things."""
        if self._learnt.arguments.weights is not None or self._learnt.arguments.counts is not None:
            return {}
        rows = np.diagonal(self._sums.ff)[1:-1] * self._sums.frame.scale[1:-1] ** 2
        found: dict[str, list[float]] = {}
        for column, count in zip(self._learnt.fixed.columns, rows.tolist(), strict=True):
            if column.spot.factors and not column.spot.numbers:
                found.setdefault(":".join(column.spot.factors), []).append(count)
        return {f"{name} (fixed effects)": np.round(own) for name, own in found.items()}

    def _check_rows(self, min_rows: int) -> None:
        """Refuse groups of few rows."""
        if not isinstance(min_rows, int) or min_rows < 1:
            raise DataError(f"min_rows={min_rows!r} is no number of rows; write a whole number, 1 or more")
        names = [":".join(group) for group in self._learnt.groups]
        counts = {name: self._rows(f) for f, name in enumerate(names)}
        for (s, t), pair in self._sums.pairs.items():
            if pair.rows is not None:
                counts[f"{names[s]} and {names[t]} together"] = pair.rows
        counts |= self._cells()
        for name, rows in counts.items():
            few = int(((rows > 0) & (rows < min_rows)).sum())
            if few:
                raise DataError(
                    f"{few:,} of {int((rows > 0).sum()):,} groups of {name} have fewer than min_rows={min_rows} "
                    "rows, so their sums "
                    "could tell of persons; join small groups, or write save(path, min_rows=1) if these sums may "
                    "leave the place"
                )


def load_cross_products(path: str | os.PathLike[str], trusted: bool = False) -> CrossProducts:
    """Read sums that `CrossProducts.save` wrote.

    Parameters
    ----------
    path : path
        File to read.
    trusted : bool
        Whether a formula that was summed with `trusted=True` may be used again. Such a file can run any code.

    Returns
    -------
    CrossProducts

    Raises
    ------
    SavedModelError
        When the file is absent, damaged, or holds no sums that this version can read.

    Examples
    --------
    >>> import jaxlmm, os, tempfile
    >>> sums = jaxlmm.cross_products("Yield ~ 1 + (1 | Batch)", jaxlmm.load_dataset("dyestuff"))
    >>> path = os.path.join(tempfile.mkdtemp(), "site.npz")
    >>> sums.save(path)
    >>> jaxlmm.lmer_from(jaxlmm.load_cross_products(path)).params.round(1)
    Intercept    1527.5
    dtype: float64
    """
    return CrossProducts(*read_sums(path, trusted))
