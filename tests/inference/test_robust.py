"""Cluster-robust covariances against clubSandwich: `tests/reference/inference/robust.json`.

Covariances are exact but for theta, degrees of freedom too; with prior weights the reference itself is good to 1e-6.
"""

from typing import Any

import numpy as np
import pytest

from jaxlmm import DataError, DesignError
from tests.inference.models import column, fitted, numbers, table

CASES = numbers("robust")["cases"]
EXACT = 1e-5


def cluster_of(case: str) -> Any:
    """What `cluster=` is told."""
    known = CASES[case]
    if case == "sleepstudy_coarser":
        subjects = table(known["fit"])["Subject"]
        return (subjects.map({name: i for i, name in enumerate(sorted(subjects.unique()))}) // 3).to_numpy()
    return known["cluster"]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("kind", ["CR0", "CR1", "CR2"])
def test_against_clubsandwich(case: str, kind: str) -> None:
    known, fit = CASES[case]["types"][kind], fitted(CASES[case]["fit"])
    theirs = np.array(known["vcov"], dtype=float)
    sizes = np.sqrt(np.outer(theirs.diagonal(), theirs.diagonal()))
    ours = fit.cov_robust(kind, cluster_of(case)).to_numpy()
    np.testing.assert_allclose(ours / sizes, theirs / sizes, atol=EXACT)
    tests, rows = fit.robust(kind, cluster_of(case)), known["coef_test"]
    np.testing.assert_allclose(tests["std_error"], column(rows, "SE"), rtol=EXACT)
    np.testing.assert_allclose(tests["statistic"], column(rows, "tstat"), rtol=EXACT)
    np.testing.assert_allclose(tests["df"], column(rows, "df_Satt"), rtol=1e-4)
    np.testing.assert_allclose(tests["p_value"], column(rows, "p_Satt"), rtol=1e-2, atol=1e-12)


def test_the_coarsest_factor_is_the_usual_cluster() -> None:
    fit = fitted(CASES["pastes_nested"]["fit"])
    np.testing.assert_array_equal(fit.cov_robust(), fit.cov_robust("CR2", "batch"))
    labels = table(CASES["pastes_nested"]["fit"])["batch"]
    np.testing.assert_allclose(fit.cov_robust("CR2", labels), fit.cov_robust("CR2", "batch"), rtol=1e-12)


@pytest.mark.parametrize(
    ("question", "error", "words"),
    [
        (lambda f: f.robust("CR5"), DesignError, "'CR2'"),
        (lambda f: f.robust(cluster="cask:batch"), DesignError, "'batch'"),
        (lambda f: f.robust(cluster="plate"), DataError, "cask:batch"),
        (lambda f: f.robust(cluster=np.arange(3)), DataError, "60 rows"),
        (lambda f: f.robust(cluster=np.zeros(60)), DesignError, "one cluster"),
        (lambda f: f.robust(cluster=np.where(np.arange(60) < 1, np.nan, 1.0)), DataError, "missing"),
    ],
)
def test_clusters_that_are_none(question: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        question(fitted(CASES["pastes_nested"]["fit"]))
