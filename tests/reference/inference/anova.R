# Likelihood-ratio tables, ranova, anova types I-III with both ddf, contests, Kenward-Roger pieces.
source(file.path(dirname(sub("^--file=", "", grep("^--file=", commandArgs(FALSE), value = TRUE)[1])), "common.R"))
suppressMessages(library(pbkrtest))

for (d in c("sleepstudy", "penicillin", "pastes", "orthodont", "machines", "oats", "cake", "chickweight")) assign(d, read_data(d))
oats$nitro_f <- factor(oats$nitro)
cake_unbalanced <- cake[-c(1, 2, 7, 30, 31, 32, 33, 100), ]
un <- "cake without rows 1, 2, 7, 30, 31, 32, 33, 100 (counted from 1)"
clean <- function(d, key = "term") {
  d <- tab(d, key)
  names(d) <- sub("^Pr\\(>.*\\)$", "p", names(d)); names(d) <- sub(" value$", "", names(d)); names(d) <- gsub(" ", "", names(d))
  names(d)[names(d) == "logLik"] <- "loglik"
  d
}
src <- function(data) if (data == "cake_unbalanced") list("cake", un) else list(data, NULL)
desc <- function(m, data, ...) describe(m, src(data)[[1]], note = src(data)[[2]], ...)
d1 <- function(f, data, ...) desc(fit(f, data, ...), data, ...)

# (a) likelihood ratio tables
lrt <- function(data, formulas, refit) {
  ms <- lapply(formulas, fit, data = data, pkg = "lme4")
  names(ms) <- paste0("m", seq_along(ms)); list2env(ms, globalenv())
  t <- suppressMessages(eval(parse(text = sprintf("anova(%s, refit = %s)", paste(names(ms), collapse = ", "), refit)), globalenv()))
  fits <- lapply(formulas, function(f) desc(fit(f, data, REML = !refit, pkg = "lme4"), data))
  dev <- sort(vapply(fits, function(x) -2 * x$loglik, 0), decreasing = TRUE)
  stopifnot(max(abs(sort(t$deviance, decreasing = TRUE) - dev)) < 1e-6)
  list(formulas = I(formulas), data = data, refit = refit, table = clean(t, "model"),
       fits = fits, fits_are = if (refit) "ML" else "REML")
}
sl <- c("Reaction ~ Days + (1 | Subject)", "Reaction ~ Days + (Days || Subject)", "Reaction ~ Days + (Days | Subject)")
sf <- c("Reaction ~ 1 + (Days | Subject)", "Reaction ~ Days + (Days | Subject)", "Reaction ~ Days + I(Days^2) + (Days | Subject)")
pe <- c("diameter ~ 1 + (1 | sample)", "diameter ~ 1 + (1 | plate) + (1 | sample)")
lrts <- list(sleepstudy_two = lrt("sleepstudy", sl[c(1, 3)], TRUE), sleepstudy_three = lrt("sleepstudy", sl, TRUE),
             sleepstudy_fixed_three = lrt("sleepstudy", sf, TRUE), penicillin_two = lrt("penicillin", pe, TRUE),
             sleepstudy_reml_two = lrt("sleepstudy", sl[c(1, 3)], FALSE), sleepstudy_reml_three = lrt("sleepstudy", sl, FALSE),
             penicillin_reml_two = lrt("penicillin", pe, FALSE))

# (b) ranova
ran <- function(f, data, REML = TRUE) {
  m <- fit(f, data, REML)
  one <- function(reduce) { t <- suppressWarnings(ranova(m, reduce.terms = reduce)); clean(t, "dropped") }
  list(fit = desc(m, data), reduce_true = one(TRUE), reduce_false = one(FALSE))
}
ranovas <- list(
  sleepstudy = ran("Reaction ~ Days + (Days | Subject)", "sleepstudy"),
  sleepstudy_ml = ran("Reaction ~ Days + (Days | Subject)", "sleepstudy", FALSE),
  sleepstudy_diagonal = ran("Reaction ~ Days + (Days || Subject)", "sleepstudy"),
  penicillin = ran("diameter ~ 1 + (1 | plate) + (1 | sample)", "penicillin"),
  pastes = ran("strength ~ 1 + (1 | batch/cask)", "pastes"),
  orthodont = ran("distance ~ age * Sex + (age | Subject)", "orthodont"),
  machines = ran("score ~ Machine + (Machine | Worker)", "machines"))

# (c) types I, II, III with Satterthwaite and Kenward-Roger, three codings
av <- function(f, data, factors) {
  one <- function(coding) {
    cn <- if (coding == "contr.treatment") NULL else setNames(as.list(rep(coding, length(factors))), factors)
    m <- fit(f, data, contrasts = cn)
    r <- list(fit = desc(m, data, contrasts = cn))
    for (type in c("I", "II", "III")) for (ddf in c("Satterthwaite", "Kenward-Roger"))
      r[[ddf]][[type]] <- clean(anova(m, type = type, ddf = ddf))
    r
  }
  sapply(c("contr.treatment", "contr.sum", "contr.helmert"), one, simplify = FALSE)
}
types <- list(
  cake = av("angle ~ recipe * temperature + (1 | recipe:replicate)", "cake", c("recipe", "temperature")),
  cake_unbalanced = av("angle ~ recipe * temperature + (1 | recipe:replicate)", "cake_unbalanced", c("recipe", "temperature")),
  cake_unbalanced_covariate = av("angle ~ recipe * temp + (1 | recipe:replicate)", "cake_unbalanced", "recipe"),
  oats_factor = av("yield ~ nitro_f * Variety + (1 | Block/Variety)", "oats", c("nitro_f", "Variety")),
  oats_covariate = av("yield ~ nitro * Variety + (1 | Block/Variety)", "oats", "Variety"),
  machines_nested = av("score ~ Machine + (1 | Worker/Machine)", "machines", "Machine"),
  machines_max = av("score ~ Machine + (Machine | Worker)", "machines", "Machine"),
  chickweight = av("weight ~ Time * Diet + (Time | Chick)", "chickweight", "Diet"))

# (d) contests, adjusted covariances, KRmodcomp
con <- function(f, data, Ls) {
  m <- fit(f, data); out <- list(fit = desc(m, data), vcovAdj = unname(as.matrix(vcovAdj(m))), contests = list())
  for (nm in names(Ls)) {
    L <- rbind(Ls[[nm]]); o <- list(L = unname(L))
    for (ddf in c("Satterthwaite", "Kenward-Roger")) {
      o[[ddf]] <- list(contestMD = clean(contestMD(m, L, ddf = ddf))[1, -1],
                       contest1D = clean(do.call(rbind, lapply(seq_len(nrow(L)), function(i)
                         contest1D(m, L[i, ], ddf = ddf, confint = TRUE))))[, -1])
      names(o[[ddf]]$contest1D) <- c("estimate", "SE", "df", "t", "lower", "upper", "p")
    }
    out$contests[[nm]] <- o
  }
  out
}
E <- function(p, i) {r <- rep(0, p); r[i] <- 1; r}
contests <- list(
  sleepstudy = con("Reaction ~ Days + (Days | Subject)", "sleepstudy",
    list(both = diag(2), Days = c(0, 1), at_day_3 = c(1, 3))),
  machines = con("score ~ Machine + (Machine | Worker)", "machines",
    list(Machine = rbind(c(0, 1, 0), c(0, 0, 1)), redundant = rbind(c(0, 1, 0), c(0, 0, 1), c(0, 1, -1)), mean_A = c(1, 0, 0))),
  cake_unbalanced = con("angle ~ recipe + temperature + (1 | recipe:replicate)", "cake_unbalanced",
    list(recipe = rbind(E(8, 2), E(8, 3)), temperature = t(sapply(4:8, function(i) E(8, i))), mixed = rbind(E(8, 2) - E(8, 3), E(8, 1) + E(8, 5), E(8, 8) - E(8, 4)))),
  oats = con("yield ~ nitro * Variety + (1 | Block/Variety)", "oats",
    list(interaction = rbind(E(6, 5), E(6, 6)), Variety_at_0.3 = rbind(E(6, 3) + 0.3 * E(6, 5), E(6, 4) + 0.3 * E(6, 6)))),
  orthodont = con("distance ~ age * Sex + (age | Subject)", "orthodont",
    list(Sex = rbind(E(4, 3), E(4, 4)), all = diag(4))),
  chickweight = con("weight ~ Time * Diet + (Time | Chick)", "chickweight",
    list(interaction = t(sapply(6:8, function(i) E(8, i))), Diet_at_10 = t(sapply(3:5, function(i) E(8, i) + 10 * E(8, i + 3))))))

kr <- function(data, large, small) {
  ms <- list(lg = fit(large, data, pkg = "lme4"), sm = fit(small, data, pkg = "lme4")); list2env(ms, globalenv())
  k <- KRmodcomp(lg, sm)
  t <- k$test; names(t)[names(t) == "p.value"] <- "p"
  list(large = large, small = small, fit = desc(ms$lg, data), Ftest = as.list(t["Ftest", ]), FtestU = as.list(t["FtestU", ]))
}
krs <- list(
  sleepstudy = kr("sleepstudy", "Reaction ~ Days + (Days | Subject)", "Reaction ~ 1 + (Days | Subject)"),
  cake_unbalanced = kr("cake_unbalanced", "angle ~ recipe * temperature + (1 | recipe:replicate)", "angle ~ recipe + temperature + (1 | recipe:replicate)"),
  oats = kr("oats", "yield ~ nitro + Variety + (1 | Block/Variety)", "yield ~ nitro + (1 | Block/Variety)"),
  orthodont = kr("orthodont", "distance ~ age * Sex + (age | Subject)", "distance ~ age + (age | Subject)"),
  chickweight = kr("chickweight", "weight ~ Time * Diet + (Time | Chick)", "weight ~ Time + (Time | Chick)"))

save_json(list(lrt = lrts, ranova = ranovas, anova = types, contests = contests, KRmodcomp = krs), "anova", "pbkrtest",
  note = "anova: case > coding > {fit, Satterthwaite / Kenward-Roger > I / II / III}. contestMD: SumSq, MeanSq, NumDF, DenDF, F, p. vcovAdj is the Kenward-Roger covariance, fit$vcov the plain one. lrt refit = TRUE: the models are given as REML fits and compared as ML ones; fits holds what is compared.")
