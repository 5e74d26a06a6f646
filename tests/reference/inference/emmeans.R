# Estimated marginal means, contrasts, trends and joint tests by emmeans.
source(file.path(dirname(sub("^--file=", "", grep("^--file=", commandArgs(FALSE), value = TRUE)[1])), "common.R"))
suppressMessages(library(emmeans))
emm_options(lmerTest.limit = 1e6, pbkrtest.limit = 1e6, msg.interaction = FALSE, msg.nesting = FALSE)

# joint_tests() rounds df2 to 2 and F to 3 places: the same function without rounding.
local({
  e <- new.env(parent = asNamespace("emmeans")); e$round <- function(x, ...) x
  f <- get("test.emmGrid", asNamespace("emmeans")); environment(f) <- e
  suppressWarnings(assignInNamespace("test.emmGrid", f, "emmeans"))
})

machines <- read_data("machines"); oats <- read_data("oats"); cake <- read_data("cake")
chickweight <- read_data("chickweight")
oats$nitro_f <- factor(oats$nitro)
dropped <- c(1, 2, 7, 30, 31, 32, 33, 100)
cake_unbalanced <- cake[-dropped, ]
ddfs <- c("satterthwaite", "kenward-roger", "asymptotic")

j_tests <- function(...) {
  d <- tab(joint_tests(..., showconf = FALSE))
  names(d)[match(c("model term", "F.ratio", "p.value"), names(d))] <- c("term", "F", "p")
  d
}
# One naming for all: estimate, SE, df (null = infinite), lower, upper, t (or z), p.
norm <- function(s) {
  d <- as.data.frame(s); class(d) <- "data.frame"
  est <- attr(s, "estName"); if (is.null(est)) est <- intersect(c("emmean", "estimate", "response", "ratio"), names(d))[1]
  names(d)[names(d) == est] <- "estimate"
  names(d) <- sub("^(lower|asymp)\\.(CL|LCL)$", "lower", names(d))
  names(d) <- sub("^(upper|asymp)\\.(CL|UCL)$", "upper", names(d))
  names(d) <- sub("^[tz]\\.ratio$", "t", names(d)); names(d) <- sub("^p\\.value$", "p", names(d))
  tab(d)
}
s_means <- function(e, ...) norm(summary(e, infer = c(TRUE, TRUE), adjust = "none", ...))
# One table: adjust = none in full, then one p (and one interval) column per adjustment.
s_con <- function(cn, adjusts, cis = adjusts, ...) {
  d <- norm(summary(cn, infer = c(TRUE, TRUE), adjust = "none", ...))
  names(d)[names(d) == "p"] <- "p_none"
  names(d)[names(d) %in% c("lower", "upper")] <- c("lower_none", "upper_none")
  for (a in setdiff(adjusts, "none")) {
    z <- norm(summary(cn, infer = c(FALSE, TRUE), adjust = a, ...))
    stopifnot(isTRUE(all.equal(z$estimate, d$estimate)))
    d[[paste0("p_", a)]] <- z$p
    if (a %in% cis) {
      z <- norm(confint(cn, adjust = a, ...))
      d[[paste0("lower_", a)]] <- z$lower; d[[paste0("upper_", a)]] <- z$upper
    }
  }
  d
}
contrasts_of <- function(e, poly = FALSE, ...) {
  r <- list(
    pairwise = s_con(pairs(e), c("none", "tukey", "holm", "bonferroni", "sidak"), c("tukey", "bonferroni"), ...),
    revpairwise = s_con(contrast(e, "revpairwise"), c("none", "tukey"), "tukey", ...),
    eff = s_con(contrast(e, "eff"), c("none", "holm", "bonferroni", "fdr"), "bonferroni", ...),
    trt.vs.ctrl = s_con(contrast(e, "trt.vs.ctrl"), c("none", "dunnettx"), "dunnettx", ...))
  if (poly) r$poly <- s_con(contrast(e, "poly"), "none", ...)
  r
}
linfct <- function(e) list(cols = I(colnames(e@linfct)), values = unname(e@linfct))

# specs: list(name = list(spec, at, weights, poly, contrasts))
emm_case <- function(m, specs, joint_by = list(), extra = NULL, data, note = NULL) {
  out <- list(fit = describe(m, data, note = note), means = list(), joint_tests = list())
  for (nm in names(specs)) {
    s <- specs[[nm]]; w <- if (is.null(s$weights)) "equal" else s$weights
    o <- list(spec = paste(deparse(s$spec)), weights = w, at = s$at)
    for (d in ddfs) {
      rg <- ref_grid(m, lmer.df = d, at = s$at)
      e <- emmeans(rg, s$spec, weights = w)
      if (is.null(o$linfct)) o$linfct <- linfct(e)
      r <- list(emmeans = s_means(e))
      if (!isFALSE(s$contrasts)) r$contrasts <- contrasts_of(e, isTRUE(s$poly))
      if (!is.null(s$response)) {
        r$response <- list(emmeans = s_means(e, type = "response"),
                           contrasts = contrasts_of(e, type = "response"),
                           regrid_emmeans = s_means(regrid(e)),
                           regrid_pairwise = s_con(pairs(regrid(e)), c("none", "tukey", "holm")))
      }
      o$ddf[[d]] <- r
    }
    out$means[[nm]] <- o[!vapply(o, is.null, NA)]
  }
  for (d in ddfs) {
    out$joint_tests[[d]] <- j_tests(m, lmer.df = d)
    for (b in joint_by) out[["joint_tests_by"]][[b]][[d]] <- j_tests(m, by = b, lmer.df = d)
  }
  if (!is.null(extra)) out <- c(out, extra(m))
  out
}
trends <- function(spec, var, at = NULL) function(m) {
  r <- list(spec = paste(deparse(spec)), var = var, ddf = list())
  for (d in ddfs) {
    e <- emtrends(m, spec, var = var, lmer.df = d, at = at)
    if (is.null(r$linfct)) r$linfct <- linfct(e)
    r$ddf[[d]] <- list(emtrends = s_means(e), contrasts = contrasts_of(e))
  }
  list(emtrends = r)
}

cases <- list()
m <- fit("score ~ Machine + (1 | Worker) + (1 | Worker:Machine)", "machines")
cases$machines <- emm_case(m, list(Machine = list(spec = ~ Machine)), data = "machines")

m <- fit("yield ~ nitro * Variety + (1 | Block/Variety)", "oats")
cases$oats <- emm_case(m, data = "oats", list(
  Variety = list(spec = ~ Variety),
  Variety_by_nitro = list(spec = ~ Variety | nitro, at = list(nitro = c(0, 0.2, 0.6)))),
  extra = trends(~ Variety, "nitro"))

m <- fit("yield ~ nitro_f * Variety + (1 | Block/Variety)", "oats")
cases$oats_factor <- emm_case(m, data = "oats", note = "nitro_f = factor(nitro), levels 0, 0.2, 0.4, 0.6", list(
  nitro_f = list(spec = ~ nitro_f, poly = TRUE), Variety = list(spec = ~ Variety),
  nitro_f_by_Variety = list(spec = ~ nitro_f | Variety, poly = TRUE),
  Variety_by_nitro_f = list(spec = ~ Variety | nitro_f),
  cells = list(spec = ~ nitro_f * Variety, contrasts = FALSE)),
  joint_by = c("Variety", "nitro_f"),
  extra = function(m) {
    r <- list()
    for (d in ddfs) {
      e <- emmeans(m, ~ nitro_f * Variety, lmer.df = d)
      r[[d]] <- list(poly_pairwise = s_con(contrast(e, interaction = c("poly", "pairwise")), c("none", "holm")),
                     pairwise = s_con(contrast(e, interaction = "pairwise"), c("none", "holm")),
                     cells_pairwise_tukey = norm(summary(pairs(e), infer = c(TRUE, TRUE), adjust = "tukey")))
    }
    list(interaction_contrasts = r)
  })

cake_specs <- list(recipe = list(spec = ~ recipe), temperature = list(spec = ~ temperature, poly = TRUE),
                   recipe_by_temperature = list(spec = ~ recipe | temperature),
                   temperature_by_recipe = list(spec = ~ temperature | recipe, poly = TRUE))
m <- fit("angle ~ recipe * temperature + (1 | recipe:replicate)", "cake")
cases$cake <- emm_case(m, cake_specs, joint_by = "recipe", data = "cake")

# Unbalanced, additive and with the interaction, so that the weights matter.
m <- fit("angle ~ recipe * temperature + (1 | recipe:replicate)", "cake_unbalanced")
w_specs <- list()
for (w in c("equal", "proportional", "outer", "cells")) {
  w_specs[[paste0("recipe_", w)]] <- list(spec = ~ recipe, weights = w)
  w_specs[[paste0("temperature_", w)]] <- list(spec = ~ temperature, weights = w, contrasts = FALSE)
}
un <- "cake without rows 1, 2, 7, 30, 31, 32, 33, 100 (counted from 1)"
cases$cake_unbalanced <- emm_case(m, w_specs, data = "cake", note = un)
m <- fit("angle ~ recipe + temperature + (1 | recipe:replicate)", "cake_unbalanced")
cases$cake_unbalanced_additive <- emm_case(m, w_specs[c("recipe_equal", "recipe_proportional")], data = "cake", note = un)

chick_specs <- list(Diet = list(spec = ~ Diet), Diet_by_Time = list(spec = ~ Diet | Time, at = list(Time = c(5, 10))),
  Diet_at = list(spec = ~ Diet, at = list(Time = c(5, 10))),
  Diet_at_proportional = list(spec = ~ Diet, at = list(Time = c(5, 10)), weights = "proportional", contrasts = FALSE),
  Time_equal = list(spec = ~ Time, at = list(Time = c(5, 10)), contrasts = FALSE),
  Time_proportional = list(spec = ~ Time, at = list(Time = c(5, 10)), weights = "proportional", contrasts = FALSE))
m <- fit("weight ~ Time * Diet + (Time | Chick)", "chickweight")
cases$chickweight <- emm_case(m, chick_specs, data = "chickweight", extra = trends(~ Diet, "Time"))

m <- fit("log(weight) ~ Time * Diet + (Time | Chick)", "chickweight")
cases$chickweight_log <- emm_case(m, data = "chickweight", list(
  Diet = list(spec = ~ Diet, response = TRUE),
  Diet_by_Time = list(spec = ~ Diet | Time, at = list(Time = c(5, 10)), response = TRUE)),
  extra = function(m) {
    b <- list(); sg <- sqrt(sigma(m)^2 + 0.25)
    for (d in ddfs) {
      e <- emmeans(m, ~ Diet, lmer.df = d)
      b[[d]] <- norm(summary(e, type = "response", bias.adjust = TRUE, sigma = sg))
    }
    c(trends(~ Diet, "Time")(m), list(bias_adjusted = list(sigma = sg, note = "sigma = sqrt(sigma(fit)^2 + 0.25), invented", ddf = b)))
  })

save_json(list(cases = cases), "emmeans", c("emmeans", "pbkrtest"),
  note = "Rows: estimate, SE, df (null means infinite), t (z where df is null), p_ADJUST, lower_ADJUST, upper_ADJUST; 95 %. joint_tests (unrounded) use the default cov.reduce = meanint, covariates at their mean -1 and +1; df2 is emmeans own rule, the smallest of the one-row df over the rows of the orthonormal basis Q from the QR decomposition of the transposed contrast matrix, which is not the df of lmerTest or pbkrtest F tests.")
