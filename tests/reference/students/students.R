# The article's formulas on the `students` table, by lme4: Rscript students.R IN.csv OUT.json
#
# theta is polished from several starts (bobyqa, then a bounded quasi-Newton method to a relative tolerance of
# 1e-15) and the best objective is kept; every other number is read off at that theta.

suppressMessages({
  library(lme4)
  library(jsonlite)
})

args <- commandArgs(trailingOnly = TRUE)
students <- read.csv(args[1], stringsAsFactors = TRUE)

# id, row of the user story, random part
models <- list(
  list("row3_intercepts", 3, "(1 | classroom) + (1 | school) + (1 | province)"),
  list("row4_slope_classroom", 4, "(age | classroom) + (1 | school) + (1 | province)"),
  list("row4_slopes_all", 4, "(age | classroom) + (age | school) + (age | province)"),
  list("row5_nested_labels", 5, "(1 | school/classroom_label)"),
  list("row5_interaction_labels", 5, "(1 | classroom_label) + (1 | school:classroom_label)"),
  list("row6_student", 6, "(1 | classroom) + (1 | school) + (1 | province) + (1 | student_id)"),
  list("row7_diag", 7, paste(
    "(1 | classroom) + (0 + age | classroom) + (1 | school) + (0 + age | school)",
    "+ (1 | province) + (0 + age | province)"
  ))
)

polish <- function(devfun, start, lower) {
  tight <- list(xtol_rel = 1e-12, xtol_abs = 1e-12, ftol_rel = 1e-15, ftol_abs = 1e-12, maxeval = 2000)
  rough <- nloptwrap(start, devfun, lower = lower, upper = rep(Inf, length(start)), control = tight)
  nlminb(rough$par, devfun, lower = lower,
         control = list(rel.tol = 1e-15, x.tol = 1e-12, eval.max = 2000, iter.max = 500))
}

best_fit <- function(formula) {
  parsed <- lFormula(formula, students, REML = TRUE)
  devfun <- do.call(mkLmerDevfun, parsed)
  first <- parsed$reTrms$theta + 0 # a copy: devfun writes its argument into the original's memory
  lower <- parsed$reTrms$lower
  starts <- lapply(c(1, 0.3, 3), function(scale) first * scale)
  starts <- c(starts, list(first + ifelse(lower == 0, 0.2, -0.3)))
  runs <- lapply(starts, polish, devfun = devfun, lower = lower)
  objectives <- sapply(runs, function(run) run$objective)
  cat(deparse1(formula), "\n  objectives above the best:", signif(objectives - min(objectives), 3), "\n")
  best <- runs[[which.min(objectives)]]
  devfun(best$par)
  optimum <- list(par = best$par, fval = best$objective, conv = 0, message = "polished")
  mkMerMod(environment(devfun), optimum, parsed$reTrms, fr = parsed$fr)
}

record <- function(id, row, formula, m, note = "") {
  beta <- fixef(m)
  V <- as.matrix(vcov(m))
  list(
    id = id, row = row, data = "students", formula = deparse1(formula), REML = TRUE,
    weights = NULL, contrasts = NULL, note = note, n = nobs(m), p = length(beta),
    ngrps = as.list(ngrps(m)), objective = getME(m, "devcomp")$cmp[["REML"]],
    theta = unname(getME(m, "theta")), theta_names = names(getME(m, "theta")),
    beta = as.list(beta), se = as.list(setNames(sqrt(diag(V)), names(beta))), vcov = unname(V),
    sigma = sigma(m), loglik = as.numeric(logLik(m)), aic = AIC(m), bic = BIC(m),
    singular = isSingular(m), varcorr = as.data.frame(VarCorr(m)),
    fitted_head = unname(head(fitted(m), 8)), resid_ss = sum(resid(m)^2)
  )
}

fit_formula <- function(random) as.formula(paste("test_score ~ age + sex +", random))

cases <- lapply(models, function(model) {
  formula <- fit_formula(model[[3]])
  record(model[[1]], model[[2]], formula, best_fit(formula))
})

# One partition twice: the criterion depends on the sum of the two variances only, so the fit with one of the
# terms has its optimum. What belongs to a single term (theta, varcorr) and what counts parameters (aic, bic)
# is left out.
single <- best_fit(fit_formula("(1 | classroom)"))
twice <- fit_formula("(1 | classroom) + (1 | school:classroom)")
check <- do.call(mkLmerDevfun, lFormula(twice, students, REML = TRUE))
half <- getME(single, "theta") / sqrt(2)
stopifnot(abs(check(c(half, half)) - REMLcrit(single)) < 1e-6)
sum_case <- record("unique_labels_sum", 5, twice, single,
                   "only the sum of the two variances is identified; numbers of the fit with one term")
sum_case[c("theta", "theta_names", "varcorr", "aic", "bic")] <- list(NULL)
levels_twice <- nlevels(students$classroom)
sum_case$ngrps <- list(classroom = levels_twice, "school:classroom" = levels_twice)
sum_case$variance_sum <- VarCorr(single)$classroom[1, 1]

lines <- sapply(c(cases, list(sum_case)), toJSON, digits = 15, auto_unbox = TRUE, null = "null", na = "null")
writeLines(c("[", paste(lines, collapse = ",\n"), "]"), args[2])
