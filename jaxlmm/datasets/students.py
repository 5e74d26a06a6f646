"""The article's table: pupils in classrooms in schools in provinces, tested several times as they grow.

Everything is drawn from the raw 64-bit stream of NumPy's PCG64, the part of `numpy.random` whose output is
promised to stay the same (NEP 19), and turned into integers, uniforms and normals here; so the same seed
gives the same table on every platform and NumPy version.
"""

import math
from statistics import NormalDist
from string import ascii_uppercase

import numpy as np
import pandas as pd

from jaxlmm.datasets.classics import Classic, Factor
from jaxlmm.errors import DataError

INTERCEPT = 20.0  # of a girl at age 0, points
AGE = 4.0
MALE = -1.5
# Per grouping factor: SD of the intercept (at age 0), SD of the age slope, their correlation.
PROVINCE = (6.0, 1.2, 0.1)
SCHOOL = (6.0, 1.0, -0.2)
CLASSROOM = (6.0, 0.9, -0.3)
STREAM = 6.0  # SD of what the label A, B, ... of a classroom adds: schools stream their pupils
STUDENT = 3.0
RESIDUAL = 3.0

STUDENTS = Classic(
    "Test scores of pupils in classrooms in schools in provinces, several tests per pupil",
    "simulated; jaxlmm.datasets.students states the model and its true values.",
    {
        "student_id": Factor("pupil", ()),
        "classroom": Factor("classroom, a globally unique label", ()),
        "classroom_label": Factor("classroom within its school; the labels A, B, ... repeat across schools", ()),
        "school": Factor("school, a globally unique label", ()),
        "province": Factor("province", ()),
        "age": "age at the test, years",
        "sex": Factor("sex of the pupil", ("F", "M")),
        "test_score": "score of the test, points",
    },
)


def students(
    seed: int = 11,
    *,
    n_provinces: int = 12,
    schools: tuple[int, int] = (3, 5),
    classrooms: tuple[int, int] = (2, 4),
    pupils: tuple[int, int] = (8, 14),
    tests: tuple[int, int] = (2, 3),
) -> pd.DataFrame:
    r"""Generate the table of pupils, classrooms, schools and provinces.

    Pupil :math:`i` of sex :math:`m_i` (1 for M), in classroom c with label l, school s and province p, scores
    at age :math:`a` on a test

    .. math::

        y = 20 + 4 a - 1.5 m_i
            + (b_p + d_p a) + (b_s + d_s a) + (b_c + d_c a) + t_l + u_i + \varepsilon

    with :math:`t_l \sim N(0, 6^2)` (schools stream their pupils into A, B, ...), :math:`u_i \sim N(0, 3^2)`,
    :math:`\varepsilon \sim N(0, 3^2)` and correlated normal pairs of an intercept (at age 0) and a slope
    (points per year):

    ========= ============ ======== ===========
    group     SD intercept SD slope correlation
    ========= ============ ======== ===========
    province  6            1.2       0.1
    school    6            1.0      -0.2
    classroom 6            0.9      -0.3
    ========= ============ ======== ===========

    Parameters
    ----------
    seed : int, default 11
        Seed of PCG64. With the default, every formula of the article has its REML optimum in the interior.
    n_provinces : int, default 12
    schools, classrooms, pupils, tests : (int, int)
        Fewest and most schools in a province, classrooms in a school, pupils in a classroom, and tests of a
        pupil. Every number of the range is equally likely, but for tests: three pupils in four take the most,
        and only the others draw a number.

    Returns
    -------
    pandas.DataFrame
        One row per test, ordered by province, school, classroom, pupil and age. Columns student_id,
        classroom (globally unique), classroom_label (A, B, ..., repeats across schools), school, province,
        age (years, two decimals; pupils of one classroom start within a year of each other and are tested
        about once a year), sex ("F" or "M"), test_score (points, two decimals). The labels and sex are
        categorical.

    Raises
    ------
    DataError
        When the seed or a size is not a whole number that makes sense, a range is not (fewest, most), or a
        school may have more than 26 classrooms.

    Examples
    --------
    >>> from jaxlmm.datasets import students
    >>> table = students()
    >>> table["province"].nunique(), table["school"].nunique()
    (12, 45)
    >>> list(table.columns)
    ['student_id', 'classroom', 'classroom_label', 'school', 'province', 'age', 'sex', 'test_score']
    """
    if not isinstance(seed, int) or seed < 0:
        raise DataError(f"students: seed={seed!r} is not a whole number, zero or above.")
    _check_sizes(n_provinces, schools=schools, classrooms=classrooms, pupils=pupils, tests=tests)
    draws = _Draws(seed)

    # Who sits where: each line hands every parent its children, as an index from child to parent.
    province_of_school = np.repeat(np.arange(n_provinces), draws.integers(*schools, n_provinces))
    n_schools = len(province_of_school)
    per_school = draws.integers(*classrooms, n_schools)
    school_of_classroom = np.repeat(np.arange(n_schools), per_school)
    label_of_classroom = np.concatenate([np.arange(k) for k in per_school])
    n_classrooms = len(school_of_classroom)
    classroom_of_pupil = np.repeat(np.arange(n_classrooms), draws.integers(*pupils, n_classrooms))
    n_pupils = len(classroom_of_pupil)
    full = draws.uniform(n_pupils) < 0.75
    per_pupil = np.where(full, tests[1], draws.integers(*tests, n_pupils))

    pupil = np.repeat(np.arange(n_pupils), per_pupil)
    classroom = classroom_of_pupil[pupil]
    school = school_of_classroom[classroom]
    province = province_of_school[school]
    occasion = np.concatenate([np.arange(k) for k in per_pupil])

    # A classroom's pupils start at its grade's age; grades start at 6, 7 or 8 years.
    grade = draws.integers(6, 8, n_classrooms)
    start = grade[classroom_of_pupil] + draws.uniform(n_pupils)
    age = np.round(start[pupil] + occasion + 0.3 * (draws.uniform(len(pupil)) - 0.5), 2)
    male = draws.uniform(n_pupils) < 0.5

    score = INTERCEPT + AGE * age + MALE * male[pupil]
    for index, size, spread in (
        (province, n_provinces, PROVINCE),
        (school, n_schools, SCHOOL),
        (classroom, n_classrooms, CLASSROOM),
    ):
        intercept, slope = draws.pairs(size, *spread)
        score = score + intercept[index] + slope[index] * age
    label = label_of_classroom[classroom]
    score = score + STREAM * draws.normal(classrooms[1])[label]
    score = score + STUDENT * draws.normal(n_pupils)[pupil] + RESIDUAL * draws.normal(len(pupil))
    return pd.DataFrame(
        {
            "student_id": _labels("I", pupil, n_pupils),
            "classroom": _labels("C", classroom, n_classrooms),
            "classroom_label": pd.Categorical.from_codes(label, categories=list(ascii_uppercase[: label.max() + 1])),
            "school": _labels("S", school, n_schools),
            "province": _labels("P", province, n_provinces),
            "age": age,
            "sex": pd.Categorical(np.where(male[pupil], "M", "F").tolist(), categories=["F", "M"]),
            "test_score": np.round(score, 2),
        }
    )


class _Draws:
    """Uniforms, integers and normals from the raw stream of PCG64."""

    def __init__(self, seed: int):
        self.bits = np.random.PCG64(seed)

    def uniform(self, size: int) -> np.ndarray:
        """Strictly between 0 and 1: the top 52 bits, at the middle of their interval."""
        return ((self.bits.random_raw(size) >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52

    def integers(self, low: int, high: int, size: int) -> np.ndarray:
        """Uniform on low, ..., high."""
        return low + np.floor(self.uniform(size) * (high - low + 1)).astype(np.int64)

    def normal(self, size: int) -> np.ndarray:
        """Standard normal, by inversion."""
        return np.array([NormalDist().inv_cdf(u) for u in self.uniform(size)])

    def pairs(self, size: int, sd_first: float, sd_second: float, correlation: float):
        """Two normal variables with these standard deviations and this correlation."""
        first, second = self.normal(size), self.normal(size)
        second = correlation * first + math.sqrt(1.0 - correlation**2) * second
        return sd_first * first, sd_second * second


def _labels(prefix: str, index: np.ndarray, size: int) -> pd.Categorical:
    """Labels such as S07, wide enough that alphabetical and numerical order agree."""
    width = len(str(size))
    return pd.Categorical.from_codes(index, categories=[f"{prefix}{i + 1:0{width}d}" for i in range(size)])


def _check_sizes(n_provinces: int, **ranges: tuple[int, int]) -> None:
    if not isinstance(n_provinces, int) or n_provinces < 1:
        raise DataError(f"students: n_provinces={n_provinces!r} is not a whole number above zero.")
    for name, span in ranges.items():
        whole = isinstance(span, tuple) and len(span) == 2 and all(isinstance(v, int) for v in span)
        if not whole or not 1 <= span[0] <= span[1]:
            raise DataError(f"students: {name}={span!r} is not a range (fewest, most) of whole numbers above zero.")
    if ranges["classrooms"][1] > 26:
        raise DataError("students: a school can have at most 26 classrooms, one for each letter.")
