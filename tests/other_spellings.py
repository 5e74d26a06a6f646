"""Rows of `tests/test_bad_input.py`: calls with the names that lme4, R and statsmodels give to arguments."""

import jaxlmm
from jaxlmm import DataError, FormulaError
from tests.bad_input import MODEL, Row, after, fit, new, table


def built(id: str, *words: str, **arguments) -> Row:
    """A mixedlm that must be refused."""
    return Row(id, lambda: jaxlmm.mixedlm("y ~ x", table(), groups="g", **arguments), DataError, words)


# fmt: off
SPELLINGS = [
    fit("lmer, REML", MODEL, DataError, "'REML'", "reml=False", REML=False),
    fit("lmer, plan", MODEL, DataError, "'plan'", "control=jaxlmm.Control(plan=...)", plan="krylov"),
    fit("lmer, family", MODEL, DataError, "'family'", "not available", family="binomial"),
    fit("lmer, subset", MODEL, DataError, "'subset'", "data[mask]", subset="x > 1"),
    fit("lmer, method", MODEL, DataError, "'method'", "reml=False", method="ML"),
    fit("lmer, na.action", MODEL, DataError, "'na.action'", "na_action='drop'", **{"na.action": "na.omit"}),
    fit("lmer, groups", MODEL, DataError, "'groups'", "(1 | g)", "mixedlm", groups="g"),
    fit("lmer, random", MODEL, DataError, "'random'", "(x | g)", random="~1|g"),
    built("mixedlm, REML", "'REML'", ".fit(reml=False)", REML=False),
    built("mixedlm, reml", "'reml'", ".fit(reml=False)", reml=False),
    built("mixedlm, family", "'family'", "not available", family="binomial"),
    Row("MixedLM.fit, REML", lambda: jaxlmm.mixedlm("y ~ x", table(), groups="g").fit(REML=False), DataError,
        ("'REML'", "reml=False")),
    after("predict, re_form", lambda m: m.predict(re_form=None), DataError, "'re_form'", "random=False"),
    after("predict, re.form", lambda m: m.predict(**{"re.form": None}), DataError, "'re.form'", "random=True"),
    after("predict, allow.new.levels", lambda m: m.predict(**{"allow.new.levels": True}), DataError, "allow_new_levels=True"),
    after("predict, se_fit", lambda m: m.predict(new(), se_fit=True), DataError, "'se_fit'", "interval="),
    after("predict, alpha", lambda m: m.predict(new(), alpha=0.1), DataError, "'alpha'", "level=1 - alpha"),
    after("predict, random None", lambda m: m.predict(new(), random=None), DataError, "random=None", "random=False"),
    after("simulate, nsim", lambda m: m.simulate(nsim=2), DataError, "'nsim'", "n="),
    after("simulate, use.u", lambda m: m.simulate(**{"use.u": True}), DataError, "'use.u'", "drawn anew"),
    after("conf_int, alpha", lambda m: m.conf_int(alpha=0.1), DataError, "'alpha'", "level=1 - alpha"),
    after("conf_int, parm", lambda m: m.conf_int(parm="x"), DataError, "'parm'", ".loc"),
    after("conf_int, a number", lambda m: m.conf_int(0.9), DataError, "conf_int(level=0.9)"),
    after("refit, newresp", lambda m: m.refit(newresp=table().y), DataError, "'newresp'", "refit(y)"),
    after("refit, nothing", lambda m: m.refit(), DataError, "refit(y)"),
    after("update, REML", lambda m: m.update(REML=False), DataError, "'REML'", "reml=False"),
    after("update, subset", lambda m: m.update(subset="x > 1"), DataError, "'subset'", "data[mask]"),
]

MESSAGES = [
    fit("cbind, no fit_many", "cbind(y, z) ~ x + (1 | g)", FormulaError, "cbind", "Binomial models", "not available"),
    Row("formula and data swapped", lambda: jaxlmm.lmer(table(), MODEL), DataError, ("lmer(formula, data)",)),
    fit("data set's name as data", MODEL, DataError, "jaxlmm.load_dataset('sleepstudy')", data=lambda f: "sleepstudy"),
    fit("whole call", "lmer(y ~ x + (1|g), data=d)", FormulaError, 'jaxlmm.lmer("y ~ x + (1|g)", data)'),
    fit("whole call, assigned", "m <- lme4::lmer(formula = log(y) ~ x + (1|g))", FormulaError,
        'jaxlmm.lmer("log(y) ~ x + (1|g)", data)'),
    fit("reciprocal response", "1/y ~ x + (1 | g)", FormulaError, "I(1/y)"),
    fit("scaled reciprocal response", "-1000/y ~ x + (1 | g)", FormulaError, "I(-1000/y)"),
    fit("decimal times a response", "2.5 * log(y) ~ x + (1 | g)", FormulaError, "I(2.5 * log(y))"),
    fit("response of numbers as text", MODEL, DataError, "'y'", "pandas.to_numeric(data['y'])",
        data=lambda f: f.assign(y=f.y.astype(str))),
    fit("response yes and no", MODEL, DataError, "logistic models are not available", "(data['y'] == 'yes')",
        data=lambda f: f.assign(y=["yes", "no"] * (len(f) // 2))),
    after("predict, no grouping column", lambda m: m.predict(new(g=None)), DataError, "newdata", "'g'", "random=False"),
    after("predict, no covariate", lambda m: m.predict(new(x=None)), DataError, "not a column of newdata"),
    after("predict, numbers for text", lambda m: m.predict(new(g=[3])), DataError, "'g' = 3,",
        "newdata['g'] = newdata['g'].astype(str)"),
    after("predict, single values", lambda m: m.predict({"x": 1.0, "a": "mid", "g": "g03"}), DataError,
        "newdata is a dict of single values", "'x': [1.0]"),
    after("predict, number for a factor, how", lambda m: m.predict(new(a=[2])), DataError, "newdata['a'].astype(str)"),
    after("predict, text for a number, how", lambda m: m.predict(new(x=["1"])), DataError, "pandas.to_numeric(newdata['x'])"),
]
# fmt: on
