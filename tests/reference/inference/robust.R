# Cluster-robust covariances and their small-sample tests by clubSandwich.
source(file.path(dirname(sub("^--file=", "", grep("^--file=", commandArgs(FALSE), value = TRUE)[1])), "common.R"))
suppressMessages({library(clubSandwich); library(nlme)})

sleepstudy <- read_data("sleepstudy"); orthodont <- read_data("orthodont"); pastes <- read_data("pastes")
chickweight <- read_data("chickweight"); egsingle <- read_data("egsingle")
schools <- levels(droplevels(egsingle$schoolid))[1:20]
egsingle20 <- droplevels(egsingle[egsingle$schoolid %in% schools, ])

one <- function(m, cluster, wald = list(), types = c("CR0", "CR1", "CR1S", "CR2", "CR3")) {
  p <- length(fixef(m)); out <- list()
  for (ty in types) {
    V <- vcovCR(m, cluster = cluster, type = ty)
    ct <- as.data.frame(coef_test(m, vcov = V, test = "Satterthwaite"))
    ci <- as.data.frame(conf_int(m, vcov = V, level = 0.95, test = "Satterthwaite"))
    o <- list(vcov = matrix(as.numeric(V), p, p),
              coef_test = data.frame(coef = names(fixef(m)), beta = ct$beta, SE = ct$SE, tstat = ct$tstat,
                                     df_Satt = ct$df_Satt, p_Satt = ct$p_Satt, lower = ci$CI_L, upper = ci$CI_U))
    for (nm in names(wald)) {
      w <- Wald_test(m, constraints = constrain_zero(wald[[nm]], coefs = fixef(m)), vcov = V, test = "HTZ")
      o$Wald_HTZ[[nm]] <- list(Fstat = w$Fstat, delta = w$delta, df_num = w$df_num, df_denom = w$df_denom, p_val = w$p_val)
    }
    out[[ty]] <- o
  }
  list(wald_zero = lapply(wald, function(i) I(names(fixef(m))[i])), types = out)
}
case <- function(m, data, cluster, cluster_name, wald = list(), note = NULL, weights = NULL)
  c(list(fit = describe(m, data, note = note, weights = weights), cluster = cluster_name,
         n_clusters = length(unique(cluster))), one(m, cluster, wald))

cases <- list()
m <- fit("Reaction ~ Days + (Days | Subject)", "sleepstudy", pkg = "lme4")
cases$sleepstudy <- case(m, "sleepstudy", sleepstudy$Subject, "Subject", list(Days = 2, both = 1:2))

# A cluster coarser than the grouping factor: subjects in threes, in order of level.
groups3 <- (as.integer(sleepstudy$Subject) - 1) %/% 3
cases$sleepstudy_coarser <- case(m, "sleepstudy", groups3, "subject_index_div_3", list(Days = 2),
  note = "cluster = (0-based index of Subject among its sorted levels) div 3, so 6 clusters of 3 subjects")
cases$sleepstudy_coarser$cluster_of_subject <- as.list(tapply(groups3, sleepstudy$Subject, `[`, 1))

m <- fit("Reaction ~ Days + (Days | Subject)", "sleepstudy", REML = FALSE, pkg = "lme4")
cases$sleepstudy_ml <- case(m, "sleepstudy", sleepstudy$Subject, "Subject", list(Days = 2))

m <- fit("distance ~ age * Sex + (age | Subject)", "orthodont", pkg = "lme4")
cases$orthodont <- case(m, "orthodont", orthodont$Subject, "Subject", list(Sex_and_interaction = 3:4, interaction = 4))

m <- fit("strength ~ cask + (1 | batch/cask)", "pastes", pkg = "lme4")
cases$pastes_nested <- case(m, "pastes", pastes$batch, "batch", list(cask = 2:3))

m <- fit("weight ~ Time * Diet + (Time | Chick)", "chickweight", pkg = "lme4")
cases$chickweight <- case(m, "chickweight", chickweight$Chick, "Chick", list(Diet = 3:5, Time_Diet = 6:8))

m <- fit("math ~ year + (1 | schoolid/childid)", "egsingle20", pkg = "lme4")
cases$egsingle20_nested <- case(m, "egsingle", egsingle20$schoolid, "schoolid", list(year = 2),
  note = "only the rows of the first 20 schoolid in sorted order, listed in schools")
cases$egsingle20_nested$schools <- I(schools)

# Prior weights. clubSandwich refuses lmer fits with weights, so two of its methods are replaced:
# the working covariance gets diag(1 / w) instead of the identity. Everything else is its own code.
# (Multiplying the rows by sqrt(w) instead gives the same CR0, CR1, CR3 but another CR2.)
sleepstudy$w2 <- 0.5 + ((seq_len(nrow(sleepstudy)) - 1) %% 4) / 2
sleepw <- transform(sleepstudy, v = 1 / w2)
local({
  ns <- asNamespace("clubSandwich")
  tv <- function(obj, cluster = get_outer_group(obj)) {
    ZL <- Matrix::tcrossprod(lme4::getME(obj, "Z"), lme4::getME(obj, "Lambdat"))
    V <- as.matrix(Matrix::tcrossprod(ZL)) + diag(1 / weights(obj))
    lapply(split(seq_along(cluster), cluster), function(i) V[i, i, drop = FALSE])
  }
  vc <- get("vcovCR.lmerMod", ns)
  body(vc) <- as.call(Filter(function(e) !grepl("prior weights", paste(deparse(e), collapse = " ")), as.list(body(vc))))
  environment(tv) <- ns
  put <- function(generic, f) {
    nm <- paste0(generic, ".lmerMod"); unlockBinding(nm, ns); assign(nm, f, ns)
    registerS3method(generic, "lmerMod", f, envir = ns)
  }
  put("targetVariance", tv); put("vcovCR", vc)
})
mw <- fit("Reaction ~ Days + (Days | Subject)", "sleepstudy", weights = "w2", pkg = "lme4")
o <- one(mw, sleepstudy$Subject, list(Days = 2))
ml <- lme(Reaction ~ Days, random = ~ Days | Subject, weights = varFixed(~ v), data = sleepw,
          control = lmeControl(tolerance = 1e-12, msTol = 1e-12, opt = "nlminb"))
for (ty in names(o$types)) {                     # the same from nlme, which clubSandwich takes with weights
  d <- max(abs(as.matrix(vcovCR(ml, type = ty)) / o$types[[ty]]$vcov - 1))
  cat("weights,", ty, ": largest relative difference to nlme", signif(d, 2), "\n"); stopifnot(d < 1e-5)
}
cases$sleepstudy_weights <- c(list(
  fit = describe(mw, "sleepstudy", weights = "w2", note = "w2 = 0.5 + ((i - 1) mod 4) / 2 for row i counted from 1"),
  weights_first8 = sleepstudy$w2[1:8], cluster = "Subject", n_clusters = 18L), o)

save_json(list(cases = cases), "robust", c("clubSandwich", "nlme"),
  note = "vcov in the order of fit$beta; df_Satt, p_Satt, lower, upper (95 %) from the Satterthwaite test; Wald_HTZ: all coefficients in wald_zero are zero. Working model: the fitted covariance, inverse_var = TRUE.")
