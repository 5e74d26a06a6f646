# Reference numbers for many responses fitted by one model: Rscript make.R, in this folder.
suppressMessages({library(lme4); library(lmerTest); library(limma)})
set.seed(20261124)

# Seventeen digits: every double comes back as it was.
out <- function(d, name) {
  for (v in names(d)) if (is.double(d[[v]])) d[[v]] <- ifelse(is.na(d[[v]]), NA, sprintf("%.17g", d[[v]]))
  write.csv(d, paste0(name, ".csv"), row.names = FALSE, quote = which(names(d) %in% c("response", "term", "donor", "disease", "message")))
}

# The design
sizes <- c(9, 13, 7, 12, 10, 8, 11, 13, 7, 9, 12, 10)
n <- sum(sizes)
donor <- factor(rep(sprintf("d%02d", 1:12), sizes))
d <- data.frame(donor, disease = factor(sample(c("none", "early", "late"), n, TRUE, c(0.45, 0.3, 0.25)), levels = c("none", "early", "late")),
                age = round(runif(n, 25, 75), 1), time = round(unlist(lapply(sizes, function(k) sort(runif(k, 0, 4)))), 2))
out(d, "data")

# Responses: sd of intercepts and of slopes, relative to the residual's, run through 5 x 4 pairs; scales from 0.01 to 1000.
R <- 50
names_g <- sprintf("g%02d", 1:R)
scales <- 10^seq(-2, 3, length.out = R)
sd0 <- c(0, 0.3, 0.7, 1.5, 0)[1 + (1:R - 1) %% 5]
sd1 <- c(0.4, 0, 0.15, 0.8)[1 + (1:R - 1) %% 4]
Y <- sapply(1:R, function(j) {
  r <- runif(1, -0.7, 0.7)
  z0 <- rnorm(12); z1 <- r * z0 + sqrt(1 - r^2) * rnorm(12)
  mean <- 4 + rnorm(1, 0, 0.5) * (d$disease == "early") + rnorm(1, 0, 0.7) * (d$disease == "late") + 0.02 * d$age + 0.2 * d$time
  scales[j] * (mean + sd0[j] * z0[d$donor] + sd1[j] * z1[d$donor] * d$time + rnorm(n))
})
Y <- as.data.frame(Y); names(Y) <- names_g
out(Y, "responses")
W <- as.data.frame(matrix(pmin(pmax(exp(rnorm(n * R, 0, 0.7)), 0.1), 5), n)); names(W) <- names_g
clipped <- which(as.matrix(W) %in% c(0.1, 5))          # every cell has its own weight
W <- as.matrix(W); W[clipped] <- runif(length(clipped), 0.1, 5); W <- as.data.frame(W)
out(W, "weights")
M <- Y
M[sample(n, 6), 21:30] <- NA
M[sample(n, 10), 31:40] <- NA
for (j in 41:50) M[sample(n, 3), j] <- NA
out(M, "missing")
E <- sapply(1:R, function(j) 3 + 0.01 * d$age + (j %in% c(3, 11, 19, 27, 35, 43)) * (d$disease == "late") +
              rnorm(12, 0, 0.4)[d$donor] + rnorm(n, 0, sqrt(6 * 0.5 / rchisq(1, 6))))
E <- as.data.frame(E); names(E) <- sprintf("h%02d", 1:R)
out(E, "expression")

# The minimum: bobyqa and nlminb, each from several starts, restarted at the best; then lmerTest there. One start is not enough:
# bobyqa stops at an intercept's standard deviation of zero where the criterion is not least.
# No further steps in the last fit, so that a standard deviation of zero is zero.
control <- lmerControl(optimizer = NULL, calc.derivs = FALSE, check.conv.grad = "ignore", check.conv.singular = "ignore",
                       check.conv.hess = "ignore")
starts <- list(intercept = list(1, 0.1, 2), slope = list(c(1, 0, 1), c(0.1, 0, 0.1), c(1, 0.3, 0.5), c(0.8, -0.4, 0.1), c(0.02, 0.3, 0.1)))
formulas <- list(intercept = y ~ disease + age + (1 | donor), slope = y ~ disease + age + time + (1 + time | donor))
quiet <- function(e) suppressMessages(suppressWarnings(e))
minimum <- function(formula, own, model) {
  parsed <- quiet(lFormula(formula, own, weights = w, REML = TRUE))
  criterion <- do.call(mkLmerDevfun, parsed)
  lower <- environment(criterion)$lower
  bobyqa <- function(theta, rhobeg) {
    o <- quiet(minqa::bobyqa(theta, criterion, lower = lower, control = list(rhobeg = rhobeg, rhoend = 1e-10, maxfun = 1e5)))
    list(theta = o$par, value = o$fval)
  }
  found <- lapply(starts[[model]], bobyqa, rhobeg = 0.02)
  for (i in if (model == "slope") 1:24 else 1:6) {
    theta <- c(exp(runif(1, -3, 1)), if (model == "slope") c(runif(1, -1, 1), exp(runif(1, -4, 0.5))))
    o <- quiet(nlminb(theta, criterion, lower = lower, control = list(rel.tol = 1e-14, eval.max = 1000, iter.max = 500)))
    found <- c(found, list(list(theta = o$par, value = o$objective)))
  }
  best <- found[[which.min(sapply(found, `[[`, "value"))]]
  reached <- sapply(found, `[[`, "value")
  for (rhobeg in c(0.05, 1e-3)) {
    again <- bobyqa(best$theta, rhobeg); reached <- c(reached, again$value)
    if (again$value < best$value) best <- again
  }
  o <- quiet(nlminb(best$theta, criterion, lower = lower, control = list(rel.tol = 1e-15, x.tol = 1e-12, eval.max = 2000, iter.max = 1000)))
  reached <- c(reached, o$objective)
  if (o$objective < best$value) best <- list(theta = o$par, value = o$objective)
  for (k in which(lower == 0 & best$theta < 0.01)) {                     # a variance that is zero is zero exactly
    theta <- replace(best$theta, k, 0)
    value <- criterion(theta)
    if (value <= best$value + 1e-9) best <- list(theta = theta, value = min(value, best$value))
  }
  best$reached <- reached
  best
}

warnings_seen <- checks <- NULL
run <- function(model, case, Y, W) {
  fits <- lanes <- NULL
  for (g in names(Y)) {
    keep <- !is.na(Y[[g]])
    own <<- d[keep, ]; own$y <<- Y[[g]][keep]
    own$w <<- if (is.null(W)) rep(1, nrow(own)) else W[[g]][keep]
    best <- minimum(formulas[[model]], own, model)
    log <- character()
    m <- withCallingHandlers(
      lmerTest::lmer(formulas[[model]], own, weights = w, start = best$theta, control = control),
      warning = function(e) { log <<- c(log, conditionMessage(e)); invokeRestart("muffleWarning") },
      message = function(e) { log <<- c(log, conditionMessage(e)); invokeRestart("muffleMessage") })
    test <- function(part) tryCatch(quiet(part), error = function(e) { log <<- c(log, conditionMessage(e)); NULL })
    b <- fixef(m); se <- sqrt(diag(as.matrix(vcov(m))))
    table <- test(coef(summary(m, ddf = "Satterthwaite")))
    if (is.null(table) || ncol(table) < 5) table <- cbind(b, se, NA, b / se, NA)
    L <- setNames(numeric(length(b)), names(b)); L[c("diseaselate", "diseaseearly")] <- c(1, -1)
    one <- test(contest1D(m, unname(L), ddf = "Satterthwaite"))
    e <- sum(L * b); s <- sqrt(c(L %*% as.matrix(vcov(m)) %*% L))
    one <- if (is.null(one)) c(e, s, NA, e / s, NA) else unlist(one)
    both <- unname(rbind(as.matrix(table), one))
    fits <- rbind(fits, data.frame(response = g, term = c(names(b), "late-early"), estimate = both[, 1], std_error = both[, 2],
                                   df = both[, 3], statistic = both[, 4], p_value = both[, 5]))
    v <- as.data.frame(VarCorr(m)); v <- v[v$grp == "donor", ]
    sd <- v$sdcor[is.na(v$var2)]; cor <- v$sdcor[!is.na(v$var2)]
    lanes <- rbind(lanes, data.frame(response = g, REMLcrit = REMLcrit(m), sigma = sigma(m), sd_intercept = sd[1],
      sd_time = if (model == "slope") sd[2] else NA_real_, correlation = if (model == "slope" && is.finite(cor)) cor else NA_real_,
      singular = as.integer(isSingular(m)), nobs = as.integer(nobs(m)), var_residual = sigma(m)^2, var_donor = sd[1]^2))
    if (length(log)) warnings_seen <<- rbind(warnings_seen, data.frame(model, case, response = g, message = trimws(gsub("[\n\"]", " ", unique(log)))))
    checks <<- rbind(checks, data.frame(model, case, response = g, above = REMLcrit(m) - min(best$reached),
      starts_range = diff(range(best$reached[seq_along(starts[[model]])])), reached_it = sum(best$reached < min(best$reached) + 1e-8)))
  }
  out(fits, paste("fits", model, case, sep = "_"))
  out(lanes, paste("lanes", model, case, sep = "_"))
  cat(model, case, "singular", sum(lanes$singular), "df NA", sum(!is.finite(fits$df)), "time", proc.time()[3], "\n")
  list(fits = fits, lanes = lanes)
}
for (model in c("intercept", "slope")) {
  run(model, "plain", Y, NULL); run(model, "weights", Y, W); run(model, "missing", M, NULL)
}
x <- run("intercept", "expression", E, NULL)
out(checks, "minimum")
if (!is.null(warnings_seen)) out(warnings_seen, "lmertest_messages")

# limma
p <- c("(Intercept)", "diseaseearly", "diseaselate", "age")
wide <- function(v) { a <- sapply(p, function(t) x$fits[x$fits$term == t, v]); rownames(a) <- names(E); a }
fit <- new("MArrayLM", list(coefficients = wide("estimate"), stdev.unscaled = wide("std_error") / x$lanes$sigma, sigma = x$lanes$sigma,
                            df.residual = x$lanes$nobs - 4, Amean = colMeans(E)))
fit <- eBayes(fit)
top <- topTable(fit, coef = "diseaselate", number = Inf, sort.by = "none")
out(data.frame(response = rownames(top), top[, c("logFC", "AveExpr", "t", "P.Value", "adj.P.Val", "B")]), "limma_top_table")
out(data.frame(df.prior = fit$df.prior, s2.prior = fit$s2.prior, var.prior = fit$var.prior[match("diseaselate", p)]), "limma_prior")
out(data.frame(response = names(E), s2.post = fit$s2.post, df.total = fit$df.total), "limma_posterior")
print(c(fit$df.prior, fit$s2.prior, fit$var.prior))
