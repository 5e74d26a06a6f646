# Hat values, residuals, Cook's distances, rePCA, leave-one-group-out refits, R2 and ICC.
source(file.path(dirname(sub("^--file=", "", grep("^--file=", commandArgs(FALSE), value = TRUE)[1])), "common.R"))
suppressMessages({library(performance); library(insight)})

for (d in c("sleepstudy", "penicillin", "pastes", "orthodont", "chickweight", "oats")) assign(d, read_data(d))
oats$nitro_f <- factor(oats$nitro)

points_of <- function(m) list(
  hatvalues = vec(hatvalues(m)), cooks_distance = vec(cooks.distance(m)),
  residuals = vec(residuals(m)), residuals_pearson = vec(residuals(m, type = "pearson")),
  residuals_pearson_scaled = vec(residuals(m, type = "pearson", scaled = TRUE)),
  residuals_studentized = vec(rstudent(m)))
pca_of <- function(m) lapply(rePCA(m), function(p) list(sdev = vec(p$sdev), rotation = unname(p$rotation)))

# lme4's influence() with tight refits: the same object, so that its own dfbeta(), dfbetas() and
# cooks.distance() work on it. lme4's own (looser) run is compared.
vc_of <- function(m) c(sigma(m)^2, unlist(lapply(VarCorr(m), function(V) V[lower.tri(V, diag = TRUE)]), use.names = FALSE))
leave_out <- function(m, data, group, full = TRUE) {
  d <- get(data); if (group == ".case") d[[".case"]] <- factor(rownames(d), levels = rownames(d))
  lev <- as.character(unique(d[[group]])); ms <- list()
  for (l in lev) {
    assign("left_data", d[as.character(d[[group]]) != l, ], globalenv())
    ms[[l]] <- suppressWarnings(update(m, data = left_data))
  }
  b <- t(sapply(ms, fixef)); if (length(fixef(m)) == 1) b <- t(b)
  dimnames(b) <- list(lev, names(fixef(m)))
  Vs <- lapply(ms, function(x) as.matrix(vcov(x)))
  inf <- list(fixef(m), b, vc_of(m), t(sapply(ms, vc_of)), as.matrix(vcov(m)), Vs, group, lev, rep(TRUE, length(lev)), NA)
  names(inf) <- c("fixed.effects", paste0("fixed.effects[-", group, "]"), "var.cov.comps", paste0("var.cov.comps[-", group, "]"),
                  "vcov", paste0("vcov[-", group, "]"), "groups", "deleted", "converged", "function.evals")
  class(inf) <- "influence.merMod"
  if (full) {
    own <- influence(m, groups = group, maxfun = 1e5)
    cat(data, group, ": largest difference to lme4's influence(), in SE:",
        signif(max(abs(sweep(own[[2]] - b, 2, sqrt(diag(inf$vcov)), "/"))), 2), "\n")
  }
  db <- dfbeta(inf); p <- ncol(b); n <- nrow(b); Vi <- solve(inf$vcov)
  plain <- unname(rowSums((db %*% Vi) * db)) / p
  cd <- unname(cooks.distance(inf))
  stopifnot(max(abs(cd - plain * (n - p) / n)) < 1e-10)
  r <- list(group = group, levels = I(lev), beta = unname(b), sigma = vec(sapply(ms, sigma)),
            theta = unname(t(matrix(sapply(ms, function(x) getME(x, "theta")), ncol = n))),
            objective = vec(sapply(ms, function(x) if (isREML(x)) REMLcrit(x) else deviance(x))),
            dfbeta = unname(db), cooks_distance = cd, cooks_distance_plain = plain)
  if (full) {r$dfbetas <- unname(db) / matrix(t(sapply(Vs, function(V) sqrt(diag(V)))), n, p); r$vcov <- unname(lapply(Vs, unname)); r$varcomp <- unname(inf[[4]]); r$varcomp_full <- unname(inf[[3]])}
  r
}
case <- function(f, data, groups, REML = TRUE) {
  m <- fit(f, data, REML, pkg = "lme4")
  list(fit = describe(m, data), points = points_of(m), rePCA = pca_of(m),
       influence = sapply(groups, function(g) leave_out(m, data, g, g != ".case"), simplify = FALSE))
}
cases <- list(
  sleepstudy = case("Reaction ~ Days + (Days | Subject)", "sleepstudy", c("Subject", ".case")),
  sleepstudy_ml = case("Reaction ~ Days + (Days | Subject)", "sleepstudy", "Subject", REML = FALSE),
  penicillin = case("diameter ~ 1 + (1 | plate) + (1 | sample)", "penicillin", c("plate", "sample")),
  pastes = case("strength ~ 1 + (1 | batch/cask)", "pastes", c("batch", "sample")),
  orthodont = case("distance ~ age * Sex + (age | Subject)", "orthodont", "Subject"))

m <- fit("Reaction ~ Days + (Days | Subject)", "sleepstudy", weights = "w", pkg = "lme4")
cases$sleepstudy_weights <- list(fit = describe(m, "sleepstudy", weights = "w"), points = points_of(m), rePCA = pca_of(m))

# Nakagawa's R2 with Johnson's mean random-effect variance over the rows. insight 0.19.0 forgets the
# slope of a (x || g) term; there the same formula is worked out here, and source says so.
r2 <- function(f, data, REML = TRUE) {
  m <- fit(f, data, REML, pkg = "lme4")
  r <- suppressWarnings(r2_nakagawa(m, tolerance = 0)); i <- suppressWarnings(icc(m, tolerance = 0))
  v <- suppressWarnings(get_variance(m, tolerance = 0))
  vf <- var(as.numeric(getME(m, "X") %*% fixef(m)))
  vr <- sum((getME(m, "Z") %*% getME(m, "Lambda"))^2) * sigma(m)^2 / nobs(m); ve <- sigma(m)^2
  mine <- c(vf / (vf + vr + ve), (vf + vr) / (vf + vr + ve), vr / (vr + ve), vr / (vf + vr + ve), vf, vr, ve)
  theirs <- unname(c(r$R2_marginal, r$R2_conditional, i$ICC_adjusted, i$ICC_unadjusted, v$var.fixed, v$var.random, v$var.residual))
  if (!grepl("||", f, fixed = TRUE)) stopifnot(max(abs(mine - theirs)) < 1e-8 * max(1, vf, vr)) else theirs <- mine
  names(theirs) <- c("R2_marginal", "R2_conditional", "icc_adjusted", "icc_unadjusted", "var_fixed", "var_random", "var_residual")
  c(list(fit = describe(m, data), source = if (grepl("||", f, fixed = TRUE)) "formula" else "performance"), named(theirs))
}
r2s <- list(
  sleepstudy = r2("Reaction ~ Days + (Days | Subject)", "sleepstudy"),
  sleepstudy_intercept = r2("Reaction ~ Days + (1 | Subject)", "sleepstudy"),
  sleepstudy_diagonal = r2("Reaction ~ Days + (Days || Subject)", "sleepstudy"),
  sleepstudy_ml = r2("Reaction ~ Days + (Days | Subject)", "sleepstudy", FALSE),
  penicillin = r2("diameter ~ 1 + (1 | plate) + (1 | sample)", "penicillin"),
  pastes = r2("strength ~ 1 + (1 | batch/cask)", "pastes"),
  chickweight = r2("weight ~ Time * Diet + (Time | Chick)", "chickweight"),
  oats_interaction = r2("yield ~ nitro_f * Variety + (1 | Block/Variety)", "oats"),
  orthodont = r2("distance ~ age * Sex + (age | Subject)", "orthodont"))

save_json(list(cases = cases, r2 = r2s), "diagnostics", c("performance", "insight"),
  note = "points in row order of the data. influence: dfbeta = beta without the group minus beta; dfbetas divides by the SE of the refit; cooks_distance is lme4 1.1-31's for influence objects, db' V^-1 db (n - p) / (n p) with n the number of groups left out; cooks_distance_plain is db' V^-1 db / p. varcomp: sigma^2, then the lower triangles of the covariances. residuals_studentized = rstudent() = residual / (sigma sqrt(1 - h)).")
