"""The tables are the published ones, and the generated one has the structure that the article needs."""

import doctest
import hashlib
import importlib

import numpy as np
import pandas as pd
import pytest

from jaxlmm.datasets import dataset_names, describe_dataset, load_dataset, students
from jaxlmm.datasets.classics import CLASSICS, Factor
from jaxlmm.errors import DataError
from tests.reference.loader import data

# Rows, then column: levels of a factor, or (smallest, largest) of a number; from the publications and from
# the help pages of R's lme4, nlme and datasets.
PUBLISHED = {
    "cake": (270, {"replicate": 15, "recipe": 3, "temperature": 6, "angle": (18, 63), "temp": (175, 225)}),
    "chickweight": (578, {"weight": (35, 373), "Time": (0, 21), "Chick": 50, "Diet": 4}),
    "dyestuff": (30, {"Batch": 6, "Yield": (1440, 1635)}),
    "dyestuff2": (30, {"Batch": 6, "Yield": (-0.892, 13.434)}),
    "insteval": (
        73_421,
        {"s": 2972, "d": 1128, "studage": 4, "lectage": 6, "service": 2, "dept": 14, "y": (1, 5)},
    ),
    "machines": (54, {"Worker": 6, "Machine": 3, "score": (43.0, 72.1)}),
    "oats": (72, {"Block": 6, "Variety": 3, "nitro": (0.0, 0.6), "yield": (53, 174)}),
    "orthodont": (108, {"distance": (16.5, 31.5), "age": (8, 14), "Subject": 27, "Sex": 2}),
    "pastes": (60, {"strength": (54.2, 66.0), "batch": 10, "cask": 3, "sample": 30}),
    "penicillin": (144, {"diameter": (18, 27), "plate": 24, "sample": 6}),
    "sleepstudy": (180, {"Reaction": (194.3322, 466.3535), "Days": (0, 9), "Subject": 18}),
}

# Cells of the published designs: factors, number of distinct combinations, rows in each.
DESIGNS = [
    ("cake", ["recipe", "replicate"], 45, 6),
    ("dyestuff", ["Batch"], 6, 5),
    ("dyestuff2", ["Batch"], 6, 5),
    ("machines", ["Worker", "Machine"], 18, 3),
    ("oats", ["Block", "Variety"], 18, 4),
    ("orthodont", ["Subject"], 27, 4),
    ("pastes", ["batch", "cask"], 30, 2),
    ("penicillin", ["plate", "sample"], 144, 1),
    ("sleepstudy", ["Subject"], 18, 10),
]

# sha256 of the default table as CSV. If it changes, rerun tests/reference/students (README there).
STUDENTS_SHA256 = "56a8d7244ac009357ba299d1cce8d90b47d18726bfd2f1331bf11c8541cb11a3"


def test_every_published_table_is_checked():
    assert set(PUBLISHED) == set(CLASSICS)
    assert dataset_names() == sorted([*PUBLISHED, "students"])


@pytest.mark.parametrize("name", PUBLISHED)
def test_classic_table_is_the_published_one(name):
    n_rows, columns = PUBLISHED[name]
    table = load_dataset(name)
    assert len(table) == n_rows
    assert list(table.columns) == list(columns)
    assert not table.isna().any().any()
    for column, expected in columns.items():
        if isinstance(expected, tuple):
            assert pd.api.types.is_numeric_dtype(table[column])
            assert (table[column].min(), table[column].max()) == expected, column
        else:
            assert isinstance(table[column].dtype, pd.CategoricalDtype)
            assert not table[column].cat.ordered
            assert len(table[column].cat.categories) == table[column].nunique() == expected, column


@pytest.mark.parametrize(("name", "factors", "n_cells", "per_cell"), DESIGNS)
def test_design_is_balanced_as_published(name, factors, n_cells, per_cell):
    cells = load_dataset(name).groupby(factors, observed=True).size()
    assert len(cells) == n_cells
    assert (cells == per_cell).all()


@pytest.mark.parametrize("name", PUBLISHED)
def test_classic_table_is_what_the_reference_fits_read(name):
    """Row by row the table of tests/reference, whose numbers R made; labels compared as text."""
    table, reference = load_dataset(name), data(name)
    for column in table:
        assert table[column].astype(str).tolist() == reference[column].astype(str).tolist(), column


def test_first_level_is_rs_where_it_is_the_reference_level():
    assert load_dataset("orthodont")["Sex"].cat.categories[0] == "Male"
    assert load_dataset("oats")["Variety"].cat.categories[0] == "Golden Rain"
    assert load_dataset("cake")["temperature"].cat.categories.tolist() == [
        "175",
        "185",
        "195",
        "205",
        "215",
        "225",
    ]
    assert load_dataset("chickweight")["Chick"].cat.categories.tolist() == [str(i) for i in range(1, 51)]


@pytest.mark.parametrize("name", [*PUBLISHED, "students"])
def test_description_names_source_and_columns(name):
    text = describe_dataset(name)
    assert "Source:" in text
    for column in load_dataset(name):
        assert f"\n  {column} " in text
    assert max(map(len, text.splitlines())) <= 100


def test_described_levels_are_in_the_file():
    for name, classic in CLASSICS.items():
        reference = data(name)
        for column, about in classic.columns.items():
            if isinstance(about, Factor) and about.levels:
                assert set(about.levels) == set(reference[column].astype(str)), (name, column)


def test_a_caller_cannot_spoil_the_next_ones_copy():
    table = load_dataset("sleepstudy")
    table.loc[0, "Reaction"] = -1.0
    assert load_dataset("sleepstudy").loc[0, "Reaction"] == 249.56


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("sleepstudi", {}, ["'sleepstudi'", "Did you mean 'sleepstudy'?", "orthodont"]),
        ("zzz", {}, ["'zzz'", "The names are: cake,"]),
        (7, {}, ["7", "The names are"]),
        ("oats", {"seed": 1}, ["'oats'", "seed", "'students'"]),
        ("students", {"sede": 1}, ["sede", "seed, n_provinces"]),
        ("students", {"seed": -1}, ["seed=-1"]),
        ("students", {"n_provinces": 0}, ["n_provinces=0"]),
        ("students", {"schools": (5, 3)}, ["schools=(5, 3)", "fewest, most"]),
        ("students", {"tests": 3}, ["tests=3"]),
        ("students", {"classrooms": (2, 30)}, ["26"]),
    ],
)
def test_bad_request_is_answered_with_what_to_write(name, options, says):
    with pytest.raises(DataError) as error:
        load_dataset(name, **options)
    for words in says:
        assert words in str(error.value)
    with pytest.raises(DataError, match="The names are"):
        describe_dataset("nothing like it")


def test_capitals_do_not_matter():
    pd.testing.assert_frame_equal(load_dataset("Dyestuff"), load_dataset("dyestuff"))


def test_students_has_the_articles_columns():
    table = load_dataset("students")
    names = "student_id classroom classroom_label school province age sex test_score"
    assert list(table.columns) == names.split()
    assert 3000 <= len(table) <= 5000
    assert table["sex"].cat.categories.tolist() == ["F", "M"]
    for column in ("age", "test_score"):
        assert table[column].dtype == np.float64
        np.testing.assert_array_equal(table[column], table[column].round(2))


def _nested(table, inner, outer):
    """Each level of `inner` lies in exactly one level of `outer`."""
    return (table.groupby(inner, observed=True)[outer].nunique() == 1).all()


@pytest.mark.parametrize(
    ("inner", "outer"),
    [("student_id", "classroom"), ("classroom", "school"), ("school", "province"), ("student_id", "sex")],
)
def test_students_nesting(inner, outer):
    assert _nested(load_dataset("students"), inner, outer)


def test_students_groups():
    table = load_dataset("students")
    assert table["province"].nunique() >= 10
    assert not _nested(table, "classroom_label", "school")
    pairs = table[["school", "classroom_label"]].drop_duplicates()
    assert len(pairs) == table["classroom"].nunique() > table["classroom_label"].nunique()
    tests = table.groupby("student_id", observed=True)["age"].agg(["size", "nunique"])
    assert set(tests["size"]) == {2, 3}
    assert (tests["size"] == tests["nunique"]).all()
    for column in table.select_dtypes("category"):
        assert len(table[column].cat.categories) == table[column].nunique(), column
        assert table[column].cat.categories.tolist() == sorted(table[column].cat.categories), column


def test_students_is_the_same_table_everywhere():
    pd.testing.assert_frame_equal(load_dataset("students"), students())
    text = load_dataset("students").to_csv(index=False, lineterminator="\n")
    assert hashlib.sha256(text.encode()).hexdigest() == STUDENTS_SHA256
    assert not students(seed=1).equals(students(seed=2))


def test_students_follows_its_stated_model():
    """Within a pupil only age and noise move: the pooled slope of differences is near 4 points a year."""
    table = students(seed=3, n_provinces=200)
    by_pupil = table.groupby("student_id", observed=True)
    age = table["age"] - by_pupil["age"].transform("mean")
    score = table["test_score"] - by_pupil["test_score"].transform("mean")
    assert abs((age * score).sum() / (age**2).sum() - 4.0) < 0.4


def test_students_sizes_can_be_chosen():
    table = load_dataset(
        "students", seed=1, n_provinces=2, schools=(3, 3), classrooms=(1, 1), pupils=(4, 4), tests=(2, 2)
    )
    assert len(table) == 2 * 3 * 1 * 4 * 2
    assert table["classroom_label"].cat.categories.tolist() == ["A"]


@pytest.mark.parametrize("module", ["load", "students"])
def test_examples_in_docstrings_run(module):
    outcome = doctest.testmod(importlib.import_module(f"jaxlmm.datasets.{module}"))
    assert outcome.attempted > 0
    assert outcome.failed == 0
