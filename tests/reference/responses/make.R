# Reference numbers for fit_many, the cases bootstrap and BCa intervals: Rscript make.R BOOTMER_FOLDER, in this folder.
suppressMessages({library(lme4); library(lmerTest); library(limma); library(boot)})
bootmer <- commandArgs(TRUE)[1]
set.seed(20261123)
out <- function(d, name, digits = 12) {
  for (v in names(d)) if (is.numeric(d[[v]])) d[[v]] <- signif(d[[v]], digits)
  write.csv(d, paste0(name, ".csv"), row.names = FALSE)
}
# Data are read back, so that R fits the same digits that the tests read.
round_trip <- function(d, name) { out(d, name, 9); read.csv(paste0(name, ".csv"), stringsAsFactors = TRUE) }

sizes <- c(7, 8, 13, 9, 10, 12, 11, 7, 10, 9, 13, 11)
n <- sum(sizes)
donor <- rep(sprintf("d%02d", 1:12), sizes)
d <- data.frame(donor, disease = sample(c("none", "early", "late"), n, TRUE), age = round(rnorm(n, 50, 9), 1),
                time = round(runif(n, 0, 4), 2))
d <- round_trip(d, "data")
d$disease <- relevel(d$disease, "none")
Z <- model.matrix(~ 0 + donor, d)
R <- 30
simulate_one <- function(j) {
  scale <- 10^seq(-2, 3, length.out = R)[j]
  s0 <- c(0, 0.4, 1)[1 + j %% 3]; s1 <- c(0, 0.3)[1 + j %% 2]
  y <- 3 + 0.5 * (d$disease == "late") * (j %% 4 == 0) + 0.02 * d$age + Z %*% rnorm(12, 0, s0) +
    d$time * (Z %*% rnorm(12, 0, s1)) + rnorm(n)
  scale * y
}
Y <- sapply(1:R, simulate_one); colnames(Y) <- sprintf("g%02d", 1:R)
Y <- round_trip(as.data.frame(Y), "responses")
W <- as.data.frame(matrix(pmin(pmax(exp(rnorm(n * R, 0, 0.6)), 0.1), 5), n)); names(W) <- names(Y)
W <- round_trip(W, "weights")
M <- Y
M[c(2, 9, 30, 31, 77, 101), 11:20] <- NA
for (j in 21:30) M[sample(n, 3), j] <- NA
M <- round_trip(M, "missing")

control <- lmerControl(optimizer = "bobyqa", calc.derivs = FALSE,
                       optCtrl = list(rhobeg = 0.02, rhoend = 1e-11, maxfun = 1e5),
                       check.conv.singular = "ignore")
best <- function(formula, d, w) {
  fits <- list()
  k <- if (grepl("time", deparse(formula[[3]])[1])) 3 else 1
  for (s in list(NULL, if (k == 3) c(0.1, 0, 0.1) else 0.1, if (k == 3) c(1, 0.3, 0.5) else 2)) {
    environment(formula) <- environment()
    f <- suppressMessages(suppressWarnings(lmer(formula, d, weights = w, start = s, control = control)))
    fits <- c(fits, f)
  }
  fits[[which.min(sapply(fits, REMLcrit))]]
}
contrast <- c(0, -1, 1)
run <- function(model, case, Y, W) {
  formula <- if (model == "slope") y ~ disease + age + time + (1 + time | donor) else y ~ disease + age + (1 | donor)
  coefficients <- lanes <- NULL
  for (g in names(Y)) {
    keep <- !is.na(Y[[g]])
    own <- d[keep, ]; own$y <- Y[[g]][keep]
    w <- if (is.null(W)) rep(1, nrow(own)) else W[[g]][keep]
    m <- best(formula, own, w)
    test <- as_lmerModLmerTest(m)
    table <- coef(summary(test, ddf = "Satterthwaite"))
    L <- c(0, -1, 1, rep(0, nrow(table) - 3)); if (rownames(table)[2] == "diseaselate") L <- -L
    one <- contest1D(test, L, ddf = "Satterthwaite")
    rows <- data.frame(response = g, term = c(rownames(table), "late-early"),
                       estimate = c(table[, 1], one[[1]]), std_error = c(table[, 2], one[[2]]),
                       df = c(table[, 3], one[[3]]), statistic = c(table[, 4], one[[4]]), p_value = c(table[, 5], one[[5]]))
    v <- as.data.frame(VarCorr(m))
    sd <- v$sdcor[is.na(v$var2) & v$grp == "donor"]
    lanes <- rbind(lanes, data.frame(response = g, objective = REMLcrit(m), sigma = sigma(m), sd_intercept = sd[1],
                                     sd_time = if (length(sd) > 1) sd[2] else NA, singular = as.numeric(isSingular(m)), nobs = nrow(own)))
    coefficients <- rbind(coefficients, rows)
  }
  out(coefficients, paste("fits", model, case, sep = "_"))
  out(lanes, paste("lanes", model, case, sep = "_"))
  list(coefficients, lanes)
}
for (model in c("intercept", "slope")) {
  run(model, "plain", Y, NULL); run(model, "weights", Y, W); run(model, "missing", M, NULL)
}

# limma: moderation and log-odds of mixed-model estimates on n - p degrees of freedom.
E <- sapply(1:40, function(j) 2 + (j <= 4) * (d$disease == "late") + Z %*% rnorm(12, 0, 0.4) + rnorm(n, 0, sqrt(0.5 * 6 / rchisq(1, 6))))
colnames(E) <- sprintf("h%02d", 1:40)
E <- round_trip(as.data.frame(E), "expression")
found <- run("intercept", "expression", E, NULL)
late <- found[[1]][found[[1]]$term == "diseaselate", ]
fit <- new("MArrayLM", list(coefficients = matrix(late$estimate, dimnames = list(late$response, "diseaselate")),
                            stdev.unscaled = matrix(late$std_error / found[[2]]$sigma, dimnames = list(late$response, "diseaselate")),
                            sigma = found[[2]]$sigma, df.residual = rep(n - 4, 40), Amean = colMeans(E)))
fit <- eBayes(fit)
top <- topTable(fit, coef = 1, number = Inf, sort.by = "none")
out(data.frame(response = rownames(top), top), "limma")
out(data.frame(df_prior = fit$df.prior, s2_prior = fit$s2.prior, var_prior = fit$var.prior[1]), "limma_prior")

# sleepstudy: whole subjects resampled, and BCa limits of bootMer's replicates.
statistics <- function(m) {
  v <- as.data.frame(VarCorr(m)); sd <- v$sdcor[is.na(v$var2)]
  c(fixef(m), sd.intercept = sd[1], sd.days = sd[2], sd.residual = sd[3])
}
s <- sleepstudy; subjects <- levels(s$Subject)
replicate_cases <- function(i) {
  drawn <- sample(subjects, replace = TRUE)
  own <- do.call(rbind, lapply(seq_along(drawn), function(j) transform(s[s$Subject == drawn[j], ], Subject = paste0("c", j))))
  m <- suppressMessages(suppressWarnings(lmer(Reaction ~ Days + (Days | Subject), own, control = lmerControl(calc.derivs = FALSE))))
  c(statistics(m), singular = as.numeric(isSingular(m)))
}
out(as.data.frame(t(sapply(1:1500, replicate_cases))), file.path("..", "bootmer", "sleepstudy_cases"), 7)
formula <- Reaction ~ Days + (Days | Subject)
all <- statistics(lmer(formula, s, control = control))
left_out <- t(sapply(subjects, function(g) {
  m <- lmer(formula, droplevels(s[s$Subject != g, ]), control = control); c(statistics(m), objective = REMLcrit(m))
}))
out(data.frame(subject = subjects, left_out), file.path("..", "bootmer", "sleepstudy_jackknife"))
b <- read.csv(file.path(bootmer, "sleepstudy.csv"))[, c(1, 2, 3, 4, 6)]
limits <- NULL
for (j in 1:5) for (level in c(0.95, 0.9)) {
  L <- 17 * (mean(left_out[, j]) - left_out[, j])
  object <- list(t0 = all[j], t = as.matrix(b[, j]), R = nrow(b), data = s, seed = 1, statistic = NULL, sim = "parametric", call = NULL,
                 stype = "i", strata = rep(1, 18), weights = rep(1 / 18, 18))
  class(object) <- "boot"
  ci <- boot.ci(object, conf = level, type = "bca", L = L)$bca
  limits <- rbind(limits, data.frame(parameter = names(all)[j], level, lower = ci[4], upper = ci[5], estimate = all[[j]]))
}
out(limits, file.path("..", "bootmer", "sleepstudy_bca"))
