"""What lme4, R and statsmodels call things, and what to write here instead.

One table per call for arguments, one for the functions and attributes of a fit. A name that stands in one of them gets
an error of ours that says what to write; any other unknown name gets Python's usual error. Called by `api` and by the
results themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from jaxlmm.errors import DataError

_GENERALIZED = "generalized models are not available; leave it out to fit a linear mixed model"

NOT_IN_LMER = {
    "reml": "write reml=False for maximum likelihood, reml=True for REML",
    "family": _GENERALIZED,
    "subset": "pass the rows themselves: data[mask]",
    "method": 'write reml=True for "REML" or reml=False for "ML"; the optimizer has no alternative',
    "start": "write control=jaxlmm.Control(start=...); the certified minimum does not depend on the start",
    "plan": "write control=jaxlmm.Control(plan=...)",
    "chunk_rows": "write control=jaxlmm.Control(chunk_rows=...)",
    "progress": "write control=jaxlmm.Control(progress=True)",
    "max_iterations": "write control=jaxlmm.Control(max_iterations=...)",
    "maxiter": "write control=jaxlmm.Control(max_iterations=...)",
    "verbose": "the fit prints nothing; its certificate says how it ended",
    "devfunonly": "the objective as a function is not available",
    "random": "write the random effects into the formula: y ~ x + (x | g)",
    "correlation": "correlated residuals are not available",
    "groups": 'write (1 | g) into the formula, or use jaxlmm.mixedlm(formula, data, groups="g")',
    "re_formula": 'write (x | g) into the formula, or use jaxlmm.mixedlm(formula, data, groups="g", re_formula="~x")',
    "vc_formula": "write the bars into the formula, or use jaxlmm.mixedlm(formula, data, groups=..., vc_formula=...)",
    "missing": "write na_action='drop' or na_action='raise'",
    "na_action": "write na_action='drop' or na_action='raise'",
}
"""Arguments of lme4's and nlme's calls, and of statsmodels' mixedlm, that `lmer` does not have."""

NOT_IN_PREDICT = {
    "re_form": "write random=True for all random effects (NULL), random=False for none (NA, ~0), or random=['school']",
    "reform": "write random=True for all random effects (NULL), random=False for none (NA, ~0), or random=['school']",
    "re_formula": "write random=True for all random effects, random=False for none, or random=['school']",
    "allow_new_levels": "write allow_new_levels=True",
    "se_fit": "write interval='confidence' for limits; half their width over 1.96 is the standard error",
    "alpha": "write level=1 - alpha, such as level=0.95 for alpha=0.05",
    "conf_level": "write level=0.95",
    "type": "a linear mixed model has one scale; leave it out",
    "exog": "write newdata=, a table with the columns of the formula",
    "data": "write newdata=",
    "transform": "leave it out: newdata is always read through the formula",
    "newparams": "predictions from other parameters are not available",
    "na_action": "leave it out: a row of newdata with a missing value is an error; drop it first",
}
"""Arguments of lme4's and statsmodels' predict that ours does not have."""

NOT_IN_SIMULATE = {
    "nsim": "write n=",
    "random_state": "write seed=",
    "re_form": "the random effects are always drawn anew, as by re.form=NA in lme4; leave it out",
    "use_u": "the random effects are always drawn anew, as by use.u=FALSE in lme4; leave it out",
    "newdata": "responses are drawn for the rows of the fit only; leave it out",
    "newparams": "simulation from other parameters is not available",
    "family": _GENERALIZED,
}
"""Arguments of lme4's simulate that ours does not have."""

NOT_IN_BOOTSTRAP = {
    "nsim": "write n=",
    "fun": "write statistic=, a function of a table of replicates; the coefficients and variances are always there",
    "type": "write kind='parametric', 'residual' or 'cases'",
    "use_u": "the random effects are always drawn anew, as by use.u=FALSE in lme4; leave it out",
    "re_form": "the random effects are always drawn anew; leave it out",
    "parallel": "replicates are fitted together; leave it out",
    "ncpus": "replicates are fitted together; leave it out",
    "random_state": "write seed=",
}
"""Arguments of lme4's bootMer that `bootstrap` does not have."""

NOT_IN_CONF_INT = {
    "alpha": "write level=1 - alpha, such as level=0.95 for alpha=0.05",
    "conf_level": "write level=0.95",
    "parm": "take the rows that you want from the answer: conf_int().loc[['x']]",
    "cols": "take the rows that you want from the answer: conf_int().loc[['x']]",
    "nsim": "write n=",
    "boot_type": "for other bootstrap intervals write fit.bootstrap(n).conf_int(method)",
}
"""Arguments of R's confint and of statsmodels' conf_int that ours does not have."""

NOT_IN_ANOVA = {
    "test": "the tests are F tests; leave it out",
    "typ": "write type=",
    "model2": "to compare fits write jaxlmm.anova(m1, m2)",
}
"""Arguments of R's and statsmodels' anova that the table of one fit does not have."""

NOT_IN_COMPARE = {
    "test": "the tests are likelihood-ratio tests; leave it out",
    "type": "for F tests of one fit's terms write fit.anova(type=...)",
    "ddf": "for F tests of one fit's terms write fit.anova(ddf=...)",
    "model_names": "the table is labelled by formulas; leave it out",
}
"""Arguments of R's anova that the comparison of fits does not have."""

NOT_IN_CONTRAST = {
    "l": "write the combinations as the first argument",
    "rhs": "combinations are tested against zero",
    "adjust": "p-values are not adjusted here; those of marginal means are: fit.emmeans(...).contrast(adjust=...)",
    "method": "for contrasts of marginal means write fit.emmeans(...).contrast(method)",
}
"""Arguments of lmerTest's contest and of emmeans' contrast that ours does not have."""

NOT_IN_EMMEANS = {
    "mode": "write ddf=",
    "lmer_df": "write ddf=",
    "cov_reduce": "write at={...} with the values of covariates",
    "transform": "write type='response'",
    "regrid": "write type='response'",
    "adjust": "write it in pairs(adjust=) or contrast(adjust=)",
    "data": "the grid is made from the rows of the fit; leave it out",
    "newdata": "write at={...}",
    "level_": "write level=",
    "conf_level": "write level=",
}
"""Arguments of R's emmeans that ours does not have."""

NOT_IN_REFIT = {
    "newresp": "write refit(y)",
    "reml": "write update(reml=False) to fit by the other criterion",
    "data": "write update(data=...) to fit the same model to other data",
    "newdata": "write update(data=...) to fit the same model to other data",
    "formula": "write update(formula)",
}
"""Arguments of lme4's refit that ours does not have."""

NOT_IN_UPDATE = {
    "reml": "write reml=False for maximum likelihood, reml=True for REML",
    "family": _GENERALIZED,
    "subset": "pass the rows themselves: update(data=data[mask])",
    "control": "call jaxlmm.lmer again with the new control",
    "evaluate": "the model is always fitted; leave it out",
}
"""Arguments of R's update that ours does not have."""

NOT_IN_FIT_MANY = {
    "exprobj": "write responses=, rows by responses (transpose it: rows are observations)",
    "y": "write responses=",
    "exog": "write responses=",
    "coef": "write tests=",
    "l": "write tests=, a dict of linear combinations of coefficients by name",
    "bpparam": "nothing is to be set: responses are fitted together",
    "n_jobs": "nothing is to be set: responses are fitted together",
    "reml": "write reml=False for maximum likelihood, reml=True for REML",
    "family": _GENERALIZED,
    "subset": "pass the rows themselves: data[mask] and responses[mask]",
}
"""Arguments of dream's and others' calls that `fit_many` does not have."""

PLANNED = {
    "drop1": "write fit.anova(type=2), or jaxlmm.anova(fit, fit.update('. ~ . - x'))",
    "bootmer": "write fit.bootstrap(n, seed)",
    "dotplot": "write jaxlmm.plot.caterpillar(fit)",
    "plot_ranef": "write jaxlmm.plot.caterpillar(fit)",
    "plot_model": "write jaxlmm.plot.coefficients(fit)",
    "to_latex": "write jaxlmm.table(fit).to_latex()",
    "as_latex": "write jaxlmm.table(fit).to_latex()",
    "to_html": "write jaxlmm.table(fit).to_html()",
    "to_markdown": "write jaxlmm.table(fit).to_markdown()",
    "modelsummary": "write jaxlmm.table(fit1, fit2)",
    "stargazer": "write jaxlmm.table(fit1, fit2)",
    "lrtest": "write jaxlmm.anova(fit1, fit2)",
    "compare": "write jaxlmm.anova(fit1, fit2), or jaxlmm.table(fit1, fit2)",
    "compare_lr_test": "write jaxlmm.anova(fit1, fit2)",
    "glht": "write fit.contrast(tests), or fit.emmeans(specs).pairs()",
    "tukey": "write fit.emmeans(specs).pairs()",
    "pairs": "write fit.emmeans(specs).pairs()",
    "step": "terms are not chosen automatically; compare models that you have reasons for by jaxlmm.anova(fit1, fit2)",
    "lmlist": "for the estimates of each level alone write jaxlmm.plot.data.shrinkage(fit)",
    "standardize": "write scale(x) in the formula",
    "qqmath": "write jaxlmm.plot.ranef_qq(fit), or jaxlmm.plot.resid_qq(fit) for the residuals",
    "glmer": "generalized models are not available",
    "nlmer": "nonlinear models are not available",
    "glm": "generalized models are not available",
}
"""What is not here, and what is."""

FUNCTIONS = {
    "fixef": "params",
    "varcorr": "varcorr",
    "vcov": "cov_params()",
    "loglik": "llf",
    "aic": "aic",
    "bic": "bic",
    "deviance": "objective",
    "remlcrit": "objective",
    "residuals": "resid",
    "resid": "resid",
    "fitted": "fittedvalues",
    "fitted_values": "fittedvalues",
    "issingular": "is_singular",
    "confint": "conf_int()",
    "coefficients": "params",
    "coefs": "params",
    "nobs": "nobs",
    "ngrps": "n_groups",
    "df_residual": "df_resid",
    "getme": "theta, params or ranef()",
    "ranef": "ranef()",
    "coef": "coef()",
    "predict": "predict()",
    "simulate": "simulate()",
    "refit": "refit(y)",
    "update": "update(formula)",
    "summary": "summary()",
    "tidy": "tidy()",
    "glance": "glance()",
    "augment": "augment()",
    "fixed_effects": "params",
    "loglikelihood": "llf",
    "std_errors": "bse",
    "ranova": "ranova()",
    "rand": "ranova()",
    "exactrlrt": "exact_rlrt()",
    "emmeans": "emmeans(specs)",
    "lsmeans": "emmeans(specs)",
    "ls_means": "emmeans(specs)",
    "emtrends": "emtrends(specs, var)",
    "contest": "contrast(tests, joint=True)",
    "contest1d": "contrast(tests)",
    "contestmd": "contrast(tests, joint=True)",
    "profile": "profile()",
    "hatvalues": "diagnostics()",
    "rstandard": "diagnostics()",
    "cooks_distance": "diagnostics(), or influence(group).cooks_distance",
    "dfbeta": "influence(group).dfbetas",
    "influence": "influence(group)",
    "get_influence": "influence(group)",
    "r_squaredglmm": "r_squared()",
    "r2": "r_squared()",
    "rsquared": "r_squared()",
    "icc": "icc()",
    "vcovcr": "cov_robust(kind)",
    "coef_test": "robust(kind)",
    "t_test": "contrast(tests)",
    "f_test": "contrast(tests, joint=True)",
    "wald_test": "contrast(tests, joint=True)",
    "vcovadj": "cov_params(), of a fit with ddf='kenward-roger'",
    "repca": "rePCA()",
    "p_values": "pvalues",
    "pvalue": "pvalues",
    "std_error": "bse",
    "random_effect": "ranef()",
    "varcomp": "varcorr",
    "sigma2": "sigma**2",
}
"""Functions of lme4 and attributes of other packages' results: the member of a fit that answers."""

CALLS = {
    "lme": "jaxlmm.lmer",
    "lmm": "jaxlmm.lmer",
    "lmercontrol": "jaxlmm.Control",
    "mixedmodel": "jaxlmm.mixedlm",
    "mixed_lm": "jaxlmm.mixedlm",
    "read": "jaxlmm.load",
    "data": "jaxlmm.load_dataset",
    "read_csv": "pandas.read_csv",
    "mixed": "jaxlmm.mixedlm",
    "datasets": "jaxlmm.load_dataset",
}
"""Other packages' names of what the module itself has."""


def refuse(names: Iterable[str], known: Mapping[str, str], where: str) -> None:
    """Refuse arguments that a call does not have; does nothing when there are none.

    Parameters
    ----------
    names : iterable of str
        Arguments as the user typed them, `re.form` and `REML` among them.
    known : mapping
        What to write instead, by name in lower case with underscores.
    where : str
        The call, "predict()".

    Raises
    ------
    DataError
        For a name of another package's.
    TypeError
        For any other name, as Python does.

    Examples
    --------
    >>> refuse([], NOT_IN_LMER, "lmer()")
    >>> refuse(["REML"], NOT_IN_LMER, "lmer()")
    Traceback (most recent call last):
    jaxlmm.errors.DataError: lmer() has no argument 'REML': write reml=False for maximum likelihood, reml=True for REML
    """
    for name in names:
        raise refusal(name, known, where) or TypeError(f"{where} got an unexpected keyword argument {name!r}")


def refusal(name: str, known: Mapping[str, str], where: str) -> DataError | None:
    """The error for an argument of another package's, None for a name that is not known at all."""
    advice = known.get(_key(name))
    return None if advice is None else DataError(f"{where} has no argument {name!r}: {advice}")


def not_here(name: str, owner: str) -> AttributeError:
    """The error for an attribute that a fit, or the module, does not have.

    Parameters
    ----------
    name : str
        As the user typed it.
    owner : str
        "jaxlmm" for the module, else the name of a class.

    Returns
    -------
    AttributeError
        With our spelling, where it is known.

    Examples
    --------
    >>> print(not_here("fixef", "jaxlmm"))
    jaxlmm has no 'fixef': for a fit made by jaxlmm.lmer, write fit.params
    """
    key, module = _key(name), owner == "jaxlmm"
    start = f"{owner} has no {name!r}"
    if key in PLANNED:
        return AttributeError(f"{start}: {PLANNED[key]}")
    if module and key in CALLS:
        return AttributeError(f"{start}: write {CALLS[key]}")
    member = FUNCTIONS.get(key)
    if member is None:
        kind = "module 'jaxlmm'" if module else f"{owner!r} object"
        return AttributeError(f"{kind} has no attribute {name!r}")
    of_a_fit = "for a fit made by jaxlmm.lmer, " if module else ""
    return AttributeError(f"{start}: {of_a_fit}write fit.{member}")


def _key(name: str) -> str:
    return name.replace(".", "_").casefold()
