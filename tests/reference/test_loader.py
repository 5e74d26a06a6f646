"""The reference copied here is whole: every case finds its table, with the rows it counts."""

import numpy as np
import pytest

from tests.reference.loader import ABSENT, case, cases, data, kb07_cases, nist, nist_cases, students_cases


def test_counts():
    assert len(cases()) == 35
    assert len(nist_cases()) == 11
    assert [c["row"] for c in students_cases()] == [3, 4, 4, 5, 5, 6, 7, 5]
    assert case("row3_intercepts")["data"] == "students"


@pytest.mark.parametrize("name", sorted({c["data"] for c in [*cases(), *students_cases()]}))
def test_tables_have_the_rows_of_their_cases(name):
    table = data(name)
    for reference in [*cases(), *students_cases()]:
        if reference["data"] == name:
            assert len(table) == reference["n"]
    assert not table.isna().any().any()


def test_kb07_is_read_in_place():
    reference = kb07_cases()
    if reference is None:
        pytest.skip(ABSENT)
    assert {c["n"] for c in reference} == {len(data("kb07"))}


@pytest.mark.parametrize("expected", nist_cases(), ids=lambda c: c["id"])
def test_nist_tables_are_balanced_and_have_the_certified_mean(expected):
    table = nist(expected["id"])
    sizes = table.groupby("treatment").size()
    assert (len(table), len(sizes)) == (expected["n"], expected["groups"])
    assert (sizes == expected["n"] // expected["groups"]).all()
    np.testing.assert_allclose(table["y"].mean(), float(expected["mean"]), rtol=1e-14)
