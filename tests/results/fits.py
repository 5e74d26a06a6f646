"""The fits that these tests ask questions of, each made once, and what lme4 said about them."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

import jaxlmm
from jaxlmm import MixedModelResults
from tests.reference.loader import case, data

REFERENCE = 1e-4
"""Relative tolerance against lme4's numbers: its theta is good to 3e-5 here (see test_reference.py)."""

ROUNDING = 1e-10
"""Relative tolerance of two ways to compute one number in float64 with condition numbers up to 1e4."""


@cache
def fit(case_id: str) -> MixedModelResults:
    """The fit of a reference case."""
    known = case(case_id)
    return jaxlmm.lmer(known["formula"], table(case_id), reml=known["REML"], contrasts=known["contrasts"])


@cache
def fitted(formula: str, dataset: str, **arguments: Any) -> MixedModelResults:
    """The fit of any other formula."""
    return jaxlmm.lmer(formula, data(dataset), **arguments)


def table(case_id: str) -> pd.DataFrame:
    """The data of a reference case."""
    return data(case(case_id)["data"])


def numbers(by_name: dict[str, float] | list[float]) -> np.ndarray:
    """Values of a dict; R writes a list where there is one."""
    return np.array(list(by_name.values() if isinstance(by_name, dict) else by_name))


@dataclass(frozen=True)
class Block:
    """One grouping factor of a model, read off the data by hand.

    labels (n,): the level of each row; z (n, k); sigma (k, k): lme4's covariance of the effects.
    """

    name: str
    labels: pd.Series
    z: np.ndarray
    sigma: np.ndarray


CASES = ["sleep_max", "machines_nested", "penicillin"]
"""One grouping factor with slopes, two nested, two crossed."""


def model_columns(case_id: str, frame: pd.DataFrame) -> tuple[np.ndarray, list[Block]]:
    """Fixed-effects columns and grouping factors of the three cases, for any rows."""
    one = np.ones((len(frame), 1))
    covariance = covariances(case_id)
    if case_id == "sleep_max":
        x = np.column_stack([one, frame["Days"]])
        return x, [Block("Subject", frame["Subject"], x, covariance["Subject"])]
    if case_id == "machines_nested":
        both = frame["Machine"] + ":" + frame["Worker"]
        x = np.column_stack([one, frame["Machine"] == "B", frame["Machine"] == "C"])
        return x, [
            Block("Machine:Worker", both, one, covariance["Machine:Worker"]),
            Block("Worker", frame["Worker"], one, covariance["Worker"]),
        ]
    return one, [Block(name, frame[name], one, covariance[name]) for name in ("plate", "sample")]


def covariances(case_id: str) -> dict[str, np.ndarray]:
    """lme4's covariance matrix of each grouping factor's effects, for one term per factor."""
    answer = {}
    rows = pd.DataFrame(case(case_id)["varcorr"])
    for name in dict.fromkeys(rows["grp"][rows["grp"] != "Residual"]):
        own = rows[rows["grp"] == name]
        diagonal = own[own["var2"].isna()]
        sigma = np.diag(diagonal["vcov"].to_numpy(float))
        where = {effect: i for i, effect in enumerate(diagonal["var1"])}
        for row in own[own["var2"].notna()].itertuples():
            i, j = where[row.var1], where[row.var2]
            sigma[i, j] = sigma[j, i] = row.vcov
        answer[name] = sigma
    return answer


class Henderson:
    """The mixed-model equations, dense (McCulloch & Searle 2001, section 9.2).

    C = [X'X, X'Z; Z'X, Z'Z + sigma**2 I (x) Sigma^-1] / sigma**2; the solution is (beta, b), and C^-1 is the
    covariance matrix of (beta_hat - beta, b_hat - b). Shares nothing with the package but lme4's parameters.
    """

    def __init__(self, case_id: str):
        frame, self.case_id = table(case_id), case_id
        self.sigma2 = case(case_id)["sigma"] ** 2
        x, blocks = model_columns(case_id, frame)
        self.levels = [sorted(set(block.labels)) for block in blocks]
        columns = np.hstack([x, *self._random(blocks, range(len(blocks)))])
        penalty = np.zeros((columns.shape[1], columns.shape[1]))
        begin = x.shape[1]
        for block, levels in zip(blocks, self.levels, strict=True):
            size = len(levels) * block.z.shape[1]
            inverse = np.kron(np.eye(len(levels)), np.linalg.inv(block.sigma))
            penalty[begin : begin + size, begin : begin + size] = inverse
            begin += size
        y = frame[case(case_id)["formula"].split(" ~ ", maxsplit=1)[0]].to_numpy(float)
        self.inverse = np.linalg.inv(columns.T @ columns / self.sigma2 + penalty)
        self.solution = self.inverse @ columns.T @ y / self.sigma2

    def predict(self, frame: pd.DataFrame, included: list[str], interval: str) -> tuple[np.ndarray, np.ndarray]:
        """Predictions (r,) and their variances (r,), with the modes of the factors that are included.

        A level that the fit has not seen has mode zero and adds z'Sigma z; a new response also adds z'Sigma z of the
        factors that are not included, and sigma**2.
        """
        x, blocks = model_columns(self.case_id, frame)
        chosen = [i for i, block in enumerate(blocks) if block.name in included]
        rows = np.hstack([x, *self._random(blocks, chosen)])
        variance = np.einsum("ri,ij,rj->r", rows, self.inverse, rows)
        for i, (block, levels) in enumerate(zip(blocks, self.levels, strict=True)):
            new = ~block.labels.isin(levels).to_numpy()
            drawn = new if i in chosen else np.full(len(rows), interval == "prediction")
            variance = variance + drawn * np.einsum("ri,ij,rj->r", block.z, block.sigma, block.z)
        return rows @ self.solution, variance + (self.sigma2 if interval == "prediction" else 0.0)

    def _random(self, blocks: list[Block], chosen: Any) -> list[np.ndarray]:
        """Dense Z of each factor; zero where it is not chosen or the level is not known."""
        parts = []
        for i, (block, levels) in enumerate(zip(blocks, self.levels, strict=True)):
            k = block.z.shape[1]
            part = np.zeros((len(block.z), len(levels) * k))
            for row, label in enumerate(block.labels):
                if i in chosen and label in levels:
                    at = levels.index(label) * k
                    part[row, at : at + k] = block.z[row]
            parts.append(part)
        return parts


def marginal_covariance(case_id: str) -> np.ndarray:
    """Var(y) (n, n): rows share z_i' Sigma z_j for each factor whose level they share."""
    frame = table(case_id)
    total = case(case_id)["sigma"] ** 2 * np.eye(len(frame))
    for block in model_columns(case_id, frame)[1]:
        labels = block.labels.to_numpy()
        total = total + (labels[:, None] == labels[None, :]) * (block.z @ block.sigma @ block.z.T)
    return total


def leaves(value: Any) -> list[Any]:
    """Every array, column and scalar inside an answer."""
    if isinstance(value, pd.DataFrame):
        return [value[name] for name in value]
    if isinstance(value, dict):
        return [leaf for part in value.values() for leaf in leaves(part)]
    if isinstance(value, list | tuple):
        return [leaf for part in value for leaf in leaves(part)]
    return [value]


NUMERIC = {
    **{name: lambda f, name=name: getattr(f, name) for name in ("params", "fe_params", "bse", "bse_fe", "tvalues")},
    **{name: lambda f, name=name: getattr(f, name) for name in ("pvalues", "theta", "fittedvalues", "resid")},
    **{name: lambda f, name=name: getattr(f, name) for name in ("random_effects", "cov_re", "vcomp")},
    "conf_int": lambda f: f.conf_int(),
    "cov_params": lambda f: f.cov_params(),
    "ranef": lambda f: f.ranef(),
    "coef": lambda f: f.coef(),
    "rePCA": lambda f: f.rePCA(),
    "predict": lambda f: f.predict(),
    "predict interval": lambda f: f.predict(interval="confidence"),
    "simulate": lambda f: f.simulate(2),
}
MIXED = {
    "varcorr": lambda f: f.varcorr,
    "ranef condvar": lambda f: f.ranef(condvar=True),
    "tidy": lambda f: f.tidy(),
    "tidy ran_pars": lambda f: f.tidy("ran_pars"),
    "tidy ran_vals": lambda f: f.tidy("ran_vals"),
    "tidy all": lambda f: f.tidy("all"),
    "glance": lambda f: f.glance(),
    "augment": lambda f: f.augment(),
}
