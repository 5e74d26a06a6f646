# Cases bootstrap, jackknife by subject and BCa limits of sleepstudy: Rscript make_resample.R, in this folder.
suppressMessages({library(lme4); library(boot)})
set.seed(20261125)
out <- function(d, name) {
  for (v in names(d)) if (is.double(d[[v]])) d[[v]] <- ifelse(is.na(d[[v]]), NA, sprintf("%.17g", d[[v]]))
  write.csv(d, paste0(name, ".csv"), row.names = FALSE, quote = which(names(d) %in% c("parameter", "subject")))
}
formula <- Reaction ~ Days + (Days | Subject)
control <- function(rhobeg, rhoend) lmerControl(optimizer = "bobyqa", calc.derivs = FALSE, check.conv.singular = "ignore",
                                                optCtrl = list(rhobeg = rhobeg, rhoend = rhoend, maxfun = 1e5))
quiet <- function(e) suppressMessages(suppressWarnings(e))
s <- sleepstudy; subjects <- levels(s$Subject); m <- length(subjects)
rows <- split(seq_len(nrow(s)), s$Subject)
as_bootmer <- function(f) {
  v <- as.data.frame(VarCorr(f)); c(fixef(f), v$sdcor, singular = as.numeric(isSingular(f)))
}
columns <- names(read.csv("sleepstudy.csv", check.names = FALSE))

# Whole subjects drawn with replacement; every copy is a new level. From one start, bobyqa stops at an intercept's standard
# deviation of zero in 74 of 2000 draws whose least criterion is elsewhere: so several starts, the best restarted.
starts <- list(c(1, 0, 1), c(0.9, 0.02, 0.2), c(0.5, 0.15, 0.15), c(0.5, -0.15, 0.15), c(1.3, 0.2, 0.05), c(0.2, 0.1, 0.3), c(1, -0.1, 0.02))
draws <- lapply(1:2000, function(i) sample(m, replace = TRUE))
cases <- t(sapply(draws, function(drawn) {
  own <- s[unlist(rows[drawn]), ]
  own$Subject <- factor(rep(seq_along(drawn), lengths(rows[drawn])))
  parsed <- lFormula(formula, own)
  criterion <- do.call(mkLmerDevfun, parsed)
  found <- lapply(starts, function(theta) quiet(nlminb(theta, criterion, lower = c(0, -Inf, 0), control = list(rel.tol = 1e-13))))
  best <- found[[which.min(sapply(found, `[[`, "objective"))]]$par
  o <- quiet(minqa::bobyqa(best, criterion, lower = c(0, -Inf, 0), control = list(rhobeg = 1e-3, rhoend = 1e-9, maxfun = 1e5)))
  criterion(o$par)
  as_bootmer(mkMerMod(environment(criterion), list(par = o$par, fval = o$fval, conv = 0, message = ""), parsed$reTrms, parsed$fr))
}))
colnames(cases) <- columns
cases <- as.data.frame(signif(cases, 9), check.names = FALSE)
cases$singular <- as.integer(cases$singular)
out(cases, "sleepstudy_cases_2000")

# Five estimates of a tight fit, the best of several starts
five <- function(d) {
  fits <- lapply(list(c(1, 0, 1), c(0.9, 0.02, 0.2), c(1, 0.3, 0.5)), function(s0) quiet(lmer(formula, d, start = s0, control = control(0.02, 1e-10))))
  f <- fits[[which.min(sapply(fits, REMLcrit))]]
  f <- quiet(lmer(formula, d, start = getME(f, "theta"), control = control(1e-4, 1e-10)))
  v <- as.data.frame(VarCorr(f))
  c(fixef(f), sd.intercept = v$sdcor[1], sd.days = v$sdcor[2], sd.residual = v$sdcor[4], REMLcrit = REMLcrit(f),
    excess = REMLcrit(f) - min(sapply(fits, REMLcrit)))
}
whole <- five(s)
left_out <- t(sapply(subjects, function(g) five(droplevels(s[s$Subject != g, ]))))
print(whole, digits = 15); print(range(left_out[, "excess"]))
out(data.frame(subject = subjects, left_out[, 1:6], check.names = FALSE), "sleepstudy_jackknife_17")

# BCa of the parametric replicates
b <- as.matrix(read.csv("sleepstudy.csv", check.names = FALSE)[, c(1, 2, 3, 4, 6)])
limits <- NULL
for (j in 1:5) {
  L <- (m - 1) * (mean(left_out[, j]) - left_out[, j])
  object <- structure(list(t0 = whole[[j]], t = b[, j, drop = FALSE], R = nrow(b), data = s, sim = "parametric", stype = "i",
                           call = quote(boot(s, NULL, 2000)), strata = rep(1, m), weights = rep(1 / m, m)), class = "boot")
  ci <- boot.ci(object, conf = c(0.95, 0.9), type = "bca", L = L)$bca
  limits <- rbind(limits, data.frame(parameter = names(whole)[j], level = ci[, 1], lower = ci[, 4], upper = ci[, 5], estimate = whole[[j]],
                                     acceleration = sum(L^3) / (6 * sum(L^2)^1.5)))
}
limits$level <- as.character(limits$level)
out(limits, "sleepstudy_bca_17")
print(limits, digits = 12)
