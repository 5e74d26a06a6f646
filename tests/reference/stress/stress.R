# lme4 on the designs of make_stress.py: the best of two optimizers with tight tolerances, each from three starts.
# Rscript stress.R FOLDER OUT.json
suppressMessages({library(lme4); library(jsonlite)})
arguments <- commandArgs(trailingOnly = TRUE)
settings <- lmerControl(calc.derivs = FALSE, check.conv.singular = "ignore", check.scaleX = "ignore",
                        check.nobs.vs.nRE = "ignore", check.conv.grad = "ignore", check.conv.hess = "ignore")
optimizers <- list(
  list("nloptwrap", list(algorithm = "NLOPT_LN_BOBYQA", ftol_abs = 1e-14, xtol_abs = 1e-12, ftol_rel = 1e-15,
                         maxeval = 20000)),
  list("bobyqa", list(rhoend = 1e-9, maxfun = 20000)))
answers <- list()
for (design in fromJSON(file.path(arguments[1], "designs.json"), simplifyVector = FALSE)) {
  table <- read.csv(gzfile(file.path(arguments[1], design$file)), stringsAsFactors = TRUE)
  table$ww <- if (is.null(design$weights)) rep(1, nrow(table)) else table[[design$weights]]
  best <- NULL
  for (optimizer in optimizers) for (size in c(NA, 0.1, 10)) {
    control <- settings
    control$optimizer <- optimizer[[1]]
    control$optCtrl <- optimizer[[2]]
    fit <- tryCatch(suppressWarnings(suppressMessages({
      if (is.na(size)) lmer(as.formula(design$formula), table, REML = design$reml, weights = ww, control = control)
      else {
        parsed <- lFormula(as.formula(design$formula), table, REML = design$reml, weights = ww, control = control)
        lmer(as.formula(design$formula), table, REML = design$reml, weights = ww, control = control,
             start = size * parsed$reTrms$theta)
      }})), error = function(e) NULL)
    if (is.null(fit)) next
    objective <- if (design$reml) REMLcrit(fit) else deviance(fit)
    if (is.null(best) || objective < best$objective)
      best <- list(name = design$name, objective = objective, theta = as.list(getME(fit, "theta")),
                   beta = as.list(unname(fixef(fit))), se = as.list(unname(sqrt(diag(as.matrix(vcov(fit)))))),
                   sigma = sigma(fit), singular = isSingular(fit))
  }
  answers[[length(answers) + 1]] <- best
  cat(design$name, best$objective, "\n")
}
write(toJSON(answers, digits = 16, auto_unbox = TRUE, pretty = 1), arguments[2])
