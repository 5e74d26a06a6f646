# Profile likelihoods and profile intervals by lme4, every point checked by a second minimisation.
source(file.path(dirname(sub("^--file=", "", grep("^--file=", commandArgs(FALSE), value = TRUE)[1])), "common.R"))
for (d in c("sleepstudy", "dyestuff", "penicillin", "pastes")) assign(d, read_data(d))

# The smallest ML deviance with parameter k held at v: from several starts, with sdcor parameters.
least <- function(dd, opt, k, v, nvp, ml, starts = list()) {
  if (k <= nvp) {
    free <- setdiff(seq_len(nvp), k); nm <- names(opt)[free]
    cor <- free %in% attr(dd, "cor"); lo <- ifelse(cor, -1, 0); up <- ifelse(cor, 1, Inf)
    f <- function(x) {p <- numeric(nvp); p[k] <- v; p[free] <- x; r <- dd(p); if (is.finite(r)) r else 1e10}
    if (!length(free)) return(list(fval = f(numeric()), par = numeric()))
    s <- c(list(opt[free]), starts, list(ifelse(cor, 0, opt[free] * 1.3), ifelse(cor, 0.5, opt[free] * 0.7)))
    best <- NULL
    for (x in s) {
      x <- pmin(pmax(x, lo + 1e-3), ifelse(cor, 1 - 1e-3, Inf))
      o <- tryCatch(tight_opt(f, x, lo, up), error = function(e) NULL)
      if (!is.null(o) && (is.null(best) || o$fval < best$fval)) best <- o
    }
    best
  } else {                                      # a coefficient: refit without its column, offset instead
    X <- getME(ml, "X"); j <- k - nvp
    rest <- X[, -j, drop = FALSE]
    fr <- model.frame(ml); fr$off <- X[, j] * v; fr$resp <- getME(ml, "y")
    bars <- paste0("(", vapply(findbars(formula(ml)), function(b) paste(deparse(b), collapse = ""), ""), ")", collapse = " + ")
    lhs <- if (ncol(rest)) {fr$rest <- rest; "0 + rest"} else "0"
    assign("fr_", fr, globalenv())
    th <- ml@lower
    g <- suppressMessages(lmer(as.formula(paste("resp ~", lhs, "+", bars)), data = fr_, offset = off, REML = FALSE,
                               control = lmerControl(optimizer = "tight_opt", calc.derivs = FALSE, boundary.tol = 0,
                                                     check.rankX = "ignore", check.conv.singular = "ignore", restart_edge = FALSE)))
    list(fval = getME(g, "devcomp")$cmp[["dev"]], par = NULL)
  }
}
one <- function(f, data) suppressWarnings({   # NaN from infeasible trial points
  m <- fit(f, data, pkg = "lme4"); ml <- fit(f, data, REML = FALSE, pkg = "lme4")
  # lme4 profiles the ML fit of a REML model; the tight ML fit is handed over directly.
  p <- suppressWarnings(profile(ml, optimizer = "tight_opt", devtol = 1e-7))
  d <- as.data.frame(p); class(d) <- "data.frame"
  pars <- setdiff(names(d), c(".zeta", ".par", ".focal")); d$.par <- as.character(d$.par)
  value <- mapply(function(r, k) d[r, k], seq_len(nrow(d)), d$.par)

  dd <- lme4:::devfun2(ml, useSc = TRUE, signames = TRUE,
    transfuns = list(from.chol = lme4:::Cv_to_Sv, to.chol = lme4:::Sv_to_Cv, to.sd = identity), prefix = c("sd", "cor"))
  opt <- attr(dd, "optimum"); base <- attr(dd, "basedev"); nvp <- length(opt) - length(fixef(ml))
  tn <- lme4:::devfun2(ml, useSc = TRUE, signames = FALSE,
    transfuns = list(from.chol = lme4:::Cv_to_Sv, to.chol = lme4:::Sv_to_Cv, to.sd = identity), prefix = c("sd", "cor"))
  attr(dd, "cor") <- grep("^cor_", names(attr(tn, "optimum")))
  zeta_at <- function(k, v, starts = list()) sign(v - opt[k]) * sqrt(max(0, least(dd, opt, k, v, nvp, ml, starts)$fval - base))
  second <- numeric(nrow(d))
  for (r in seq_len(nrow(d))) {
    k <- match(d$.par[r], pars)
    st <- if (k <= nvp) list(as.numeric(d[r, pars[setdiff(seq_len(nvp), k)]])) else list()
    second[r] <- if (d$.zeta[r] == 0) 0 else zeta_at(k, value[r], st)
  }
  bad <- abs(second - d$.zeta) > 1e-6
  cat(data, ": points", nrow(d), ", off by more than 1e-6:", sum(bad),
      if (any(bad)) paste0(d$.par[bad], "=", signif(value[bad], 4), " zeta ", signif(d$.zeta[bad], 5), " against ", signif(second[bad], 5), collapse = "; "), "\n")
  ci <- function(l) {x <- suppressWarnings(confint(p, level = l)); setNames(lapply(seq_len(nrow(x)), function(i) I(unname(x[i, ]))), rownames(x))}
  exact <- function(l) {
    z <- qnorm(0.5 + l / 2); s <- ci(l)
    sapply(pars, function(nm) {
      k <- match(nm, pars); lb <- if (k > nvp) -Inf else if (k %in% attr(dd, "cor")) -1 else 0
      end <- function(side, guess) {
        if (side < 0 && guess <= lb) {stopifnot(zeta_at(k, lb) > -z); return(lb)}
        w <- 0.02 * abs(guess - opt[k]); g <- function(v) zeta_at(k, v) - side * z
        uniroot(g, c(guess - w, guess + w), extendInt = "upX", tol = 1e-9)$root
      }
      I(unname(c(end(-1, s[[nm]][1]), end(1, s[[nm]][2]))))
    }, simplify = FALSE)
  }
  e95 <- exact(0.95); e80 <- exact(0.80)
  stopifnot(max(abs(unlist(e95) - unlist(ci(0.95))) / abs(opt[rep(pars, each = 2)])) < 2e-3,
            max(abs(unlist(e80) - unlist(ci(0.80))) / abs(opt[rep(pars, each = 2)])) < 2e-3)
  list(fit = describe(m, data), fit_ml = describe(ml, data), parameters = I(pars), optimum = named(opt),
       profile = data.frame(par = d$.par, value = value, zeta = second, zeta_lme4 = d$.zeta)[!bad, ],
       all = unname(as.matrix(d[!bad, pars])), dropped = sum(bad),
       confint_95 = e95, confint_80 = e80, confint_95_lme4 = ci(0.95), confint_80_lme4 = ci(0.80))
})
cases <- list(
  sleepstudy = one("Reaction ~ Days + (Days | Subject)", "sleepstudy"),
  sleepstudy_diagonal = one("Reaction ~ Days + (Days || Subject)", "sleepstudy"),
  dyestuff = one("Yield ~ 1 + (1 | Batch)", "dyestuff"),
  penicillin = one("diameter ~ 1 + (1 | plate) + (1 | sample)", "penicillin"),
  pastes = one("strength ~ 1 + (1 | batch/cask)", "pastes"))
for (k in names(cases)) rownames(cases[[k]]$profile) <- NULL
save_json(list(cases = cases), "profile",
  note = "The profiled criterion is the ML deviance, also for a REML fit; optimum is the ML one. Parameters: .sig01 ... (standard deviations and correlations in lme4's order), .sigma, then the coefficients. profile: par held at value, zeta the signed root of the deviance difference (from a second, multi-start minimisation; zeta_lme4 is profile()'s own); all: every parameter at that point, columns as in parameters. confint_*: roots of zeta found exactly; confint_*_lme4: lme4's spline through the points.")
