# Exact restricted likelihood ratio tests of one variance by RLRsim, 200 000 draws.
source(file.path(dirname(sub("^--file=", "", grep("^--file=", commandArgs(FALSE), value = TRUE)[1])), "common.R"))
suppressMessages(library(RLRsim))

for (d in c("dyestuff", "dyestuff2", "sleepstudy", "pastes", "penicillin", "orthodont")) assign(d, read_data(d))
set.seed(20)                       # invented: 10 unequal groups, a covariate, variance 0.15 beside 1
sizes <- c(3, 4, 5, 6, 7, 3, 4, 5, 6, 7)
weak <- data.frame(g = factor(rep(sprintf("g%02d", 1:10), sizes)))
weak$x <- round(seq_len(nrow(weak)) %% 7 / 2, 1)
weak$y <- round(2 + 0.5 * weak$x + rep(rnorm(10, sd = sqrt(0.15)), sizes) + rnorm(nrow(weak)), 3)

nsim <- 200000; seed <- 1
probs <- c(0.5, 0.75, 0.9, 0.95, 0.99, 0.999)
one <- function(data, m, mA = NULL, m0 = NULL) {
  F <- lapply(Filter(Negate(is.null), list(m = m, mA = mA, m0 = m0)), fit, data = data, pkg = "lme4")
  list2env(F, globalenv())         # exactRLRT calls anova(mA, m0), which wants names
  r <- if (is.null(mA)) exactRLRT(F$m, seed = seed, nsim = nsim) else exactRLRT(F$m, F$mA, F$m0, seed = seed, nsim = nsim)
  s <- r$sample
  if (is.null(s)) {                # the statistic is 0: RLRsim does not simulate, so ask for the draws
    d <- extract.lmerModDesign(F$m)
    s <- RLRTSim(d$X, as.matrix(d$Z), qr(d$X), chol(cov2cor(d$Vr)), seed = seed, nsim = nsim)
  }
  # Rounding leaves 1e-13 where the statistic is 0; RLRsim answers p = 1 for an exact 0.
  zero <- r$statistic < 1e-8
  if (zero) {r$statistic <- 0; r$p.value <- 1}
  q <- quantile(s, probs, names = FALSE)
  list(kind = if (is.null(mA)) "one variance, no other" else "one of two variances (the other only in the statistic)",
       models = lapply(F, function(x) describe(x, data)), statistic = unname(r$statistic), p_value = unname(r$p.value),
       p_se = sqrt(r$p.value * (1 - r$p.value) / nsim), nsim = nsim, seed = seed, prob_zero = mean(s < 1e-10),
       null_mean = mean(s), quantile_probs = probs, quantiles = q)
}
cases <- list(
  dyestuff = one("dyestuff", "Yield ~ 1 + (1 | Batch)"),
  dyestuff2 = one("dyestuff2", "Yield ~ 1 + (1 | Batch)"),
  sleepstudy = one("sleepstudy", "Reaction ~ Days + (1 | Subject)"),
  pastes_sample = one("pastes", "strength ~ 1 + (1 | sample)"),
  pastes_batch_alone = one("pastes", "strength ~ 1 + (1 | batch)"),
  orthodont = one("orthodont", "distance ~ age * Sex + (1 | Subject)"),
  weak = one("weak", "y ~ x + (1 | g)"),
  pastes_batch = one("pastes", "strength ~ 1 + (1 | batch)", "strength ~ 1 + (1 | batch) + (1 | sample)", "strength ~ 1 + (1 | sample)"),
  penicillin_plate = one("penicillin", "diameter ~ 1 + (1 | plate)", "diameter ~ 1 + (1 | plate) + (1 | sample)", "diameter ~ 1 + (1 | sample)"),
  sleepstudy_slope = one("sleepstudy", "Reaction ~ Days + (0 + Days | Subject)", "Reaction ~ Days + (1 | Subject) + (0 + Days | Subject)", "Reaction ~ Days + (1 | Subject)"),
  orthodont_slope = one("orthodont", "distance ~ age * Sex + (0 + age | Subject)", "distance ~ age * Sex + (1 | Subject) + (0 + age | Subject)", "distance ~ age * Sex + (1 | Subject)"))
save_json(list(weak_data = as.list(weak), cases = cases), "rlrt", "RLRsim",
  note = "p_se and the quantiles carry the Monte-Carlo error of nsim draws. prob_zero is the mass of the null distribution at zero (draws below 1e-10).")
