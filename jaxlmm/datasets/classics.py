"""What is known of each classic table: its source, what its columns mean, how levels are ordered.

A column is a number, described in words with its unit, or a `Factor` with its levels in order. The order is
R's wherever it decides a coefficient (the first level is the reference under treatment contrasts). Where R's
nlme orders the levels of a grouping factor by the response (Worker, Block, Subject, Chick), the natural order
of the labels stands here instead: no fitted number depends on it.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Factor:
    """A categorical column: what it is, and its levels in order; without levels, the numbers of the file in their order."""

    about: str
    levels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Classic:
    """One table of the literature; `columns` are in the order of the file."""

    title: str
    source: str
    columns: dict[str, str | Factor]


def _letters(text: str) -> tuple[str, ...]:
    return tuple(text)


def _numbers(first: int, last: int, prefix: str = "", width: int = 1) -> tuple[str, ...]:
    return tuple(f"{prefix}{i:0{width}d}" for i in range(first, last + 1))


CLASSICS: dict[str, Classic] = {
    "cake": Classic(
        "Breakage angle of chocolate cakes, 3 recipes baked at 6 temperatures in 15 replicates",
        "Cook, F. E. (1938), Chocolate cake: I. Optimum baking temperature, Master's thesis, Iowa State "
        "College; in Cochran, W. G. and Cox, G. M. (1957), Experimental Designs, 2nd ed., Wiley, p. 300.",
        {
            "replicate": Factor("replication of the experiment; recipe within it is one mix", _numbers(1, 15)),
            "recipe": Factor("recipe of the mix", _letters("ABC")),
            "temperature": Factor(
                "baking temperature, degrees Fahrenheit, as a factor (ordered in R, plain here: ask for "
                "polynomial contrasts where you want them)",
                tuple(str(t) for t in range(175, 226, 10)),
            ),
            "angle": "angle at which the cake broke, degrees",
            "temp": "baking temperature as a number, degrees Fahrenheit",
        },
    ),
    "chickweight": Classic(
        "Body weight of 50 chicks on 4 diets, from birth to day 21",
        "Crowder, M. and Hand, D. (1990), Analysis of Repeated Measures, Chapman and Hall, example 5.3.",
        {
            "weight": "body weight, grams",
            "Time": "days since birth",
            "Chick": Factor("chick", _numbers(1, 50)),
            "Diet": Factor("experimental diet", _numbers(1, 4)),
        },
    ),
    "dyestuff": Classic(
        "Yield of dyestuff from 5 preparations of each of 6 batches of an intermediate product",
        "Davies, O. L. and Goldsmith, P. L. (1972), Statistical Methods in Research and Production, 4th ed., "
        "Oliver and Boyd, section 6.4.",
        {
            "Batch": Factor("batch of the intermediate product", _letters("ABCDEF")),
            "Yield": "yield of dyestuff, grams of standard colour",
        },
    ),
    "dyestuff2": Classic(
        "A simulated table of dyestuff's shape whose batches differ less than chance: the fit is singular",
        "Box, G. E. P. and Tiao, G. C. (1973), Bayesian Inference in Statistical Analysis, Addison-Wesley, "
        "section 5.1.2.",
        {"Batch": Factor("batch", _letters("ABCDEF")), "Yield": "simulated yield, no unit"},
    ),
    "insteval": Classic(
        "Marks that 2,972 students gave to the lectures of 1,128 lecturers at ETH Zurich, 73,421 in all",
        "Evaluation forms of ETH Zurich, anonymous and subsampled, as in R's lme4: Bates, D., Maechler, M., Bolker, B. "
        "and Walker, S. (2015), Fitting linear mixed-effects models using lme4, Journal of Statistical Software 67(1).",
        {
            "s": Factor("student", _numbers(1, 2972)),
            "d": Factor("lecturer"),
            "studage": Factor("age of the student in semesters of study (ordered in R, plain here)", tuple("2468")),
            "lectage": Factor(
                "age of the lecture: semesters since it was given, 1 the latest (ordered in R, plain here)",
                _numbers(1, 6),
            ),
            "service": Factor("whether the lecture is held for another department (1)", tuple("01")),
            "dept": Factor("department of the lecture", (*_numbers(1, 12), "14", "15")),
            "y": "mark, 1 (poor) to 5 (very good)",
        },
    ),
    "machines": Classic(
        "Productivity of 6 workers on 3 brands of machine, each pair tried 3 times",
        "Milliken, G. A. and Johnson, D. E. (1992), Analysis of Messy Data, Volume I: Designed Experiments, "
        "Chapman and Hall, p. 285; as in R's nlme.",
        {
            "Worker": Factor("worker", _numbers(1, 6)),
            "Machine": Factor("brand of machine", _letters("ABC")),
            "score": "productivity score of number and quality of parts made",
        },
    ),
    "oats": Classic(
        "Split-plot trial of oats: 3 varieties on whole plots, 4 nitrogen levels on subplots, 6 blocks",
        "Yates, F. (1935), Complex experiments, Journal of the Royal Statistical Society Supplement 2, "
        "181-247; as in R's nlme.",
        {
            "Block": Factor("block", ("I", "II", "III", "IV", "V", "VI")),
            "Variety": Factor("variety of oats", ("Golden Rain", "Marvellous", "Victory")),
            "nitro": "nitrogen manure, hundredweight per acre",
            "yield": "yield of the subplot, quarter-pounds per 1/80 acre",
        },
    ),
    "orthodont": Classic(
        "Growth of the jaw of 16 boys and 11 girls, measured at ages 8, 10, 12 and 14",
        "Potthoff, R. F. and Roy, S. N. (1964), A generalized multivariate analysis of variance model useful "
        "especially for growth curve problems, Biometrika 51, 313-326; as in R's nlme.",
        {
            "distance": "distance from the pituitary to the pterygomaxillary fissure, millimetres",
            "age": "age, years",
            "Subject": Factor(
                "child: M01 to M16 boys, F01 to F11 girls", _numbers(1, 16, "M", 2) + _numbers(1, 11, "F", 2)
            ),
            "Sex": Factor("sex of the child", ("Male", "Female")),
        },
    ),
    "pastes": Classic(
        "Strength of a chemical paste: 10 delivery batches, 3 casks of each, 2 assays of each cask",
        "Davies, O. L. and Goldsmith, P. L. (1972), Statistical Methods in Research and Production, 4th ed., "
        "Oliver and Boyd, section 6.5.",
        {
            "strength": "strength of the paste",
            "batch": Factor("delivery batch", _letters("ABCDEFGHIJ")),
            "cask": Factor("cask within the batch; the labels repeat across batches", _letters("abc")),
            "sample": Factor(
                "batch and cask together, a unique label",
                tuple(f"{batch}:{cask}" for batch in "ABCDEFGHIJ" for cask in "abc"),
            ),
        },
    ),
    "penicillin": Classic(
        "Growth inhibition by 6 samples of penicillin, each tried on all 24 plates",
        "Davies, O. L. and Goldsmith, P. L. (1972), Statistical Methods in Research and Production, 4th ed., "
        "Oliver and Boyd, section 6.6.",
        {
            "diameter": "diameter of the zone of inhibition, millimetres",
            "plate": Factor("assay plate", _letters("abcdefghijklmnopqrstuvwx")),
            "sample": Factor("penicillin sample", _letters("ABCDEF")),
        },
    ),
    "sleepstudy": Classic(
        "Reaction times of 18 long-distance drivers allowed 3 hours of sleep a night, over 10 days",
        "Belenky, G. et al. (2003), Patterns of performance degradation and restoration during sleep "
        "restriction and subsequent recovery: a sleep dose-response study, Journal of Sleep Research 12, "
        "1-12.",
        {
            "Reaction": "average reaction time of the day's tests, milliseconds",
            "Days": "day of the study, 0 to 9; days 0 and 1 were training, day 2 the baseline",
            "Subject": Factor(
                "subject number",
                (*_numbers(308, 310), *_numbers(330, 335), "337", *_numbers(349, 352), *_numbers(369, 372)),
            ),
        },
    ),
}
