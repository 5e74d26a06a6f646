# Asymptotic covariance of (coefficients, variance parameters). merDeriv is not in Debian, so this is
# the dense formula written out, checked against numDeriv on the dense criterion.
source(file.path(dirname(sub("^--file=", "", grep("^--file=", commandArgs(FALSE), value = TRUE)[1])), "common.R"))
for (d in c("sleepstudy", "dyestuff", "penicillin", "pastes", "orthodont")) assign(d, read_data(d))

one <- function(f, data, REML) {
  m <- fit(f, data, REML)
  X <- getME(m, "X"); Z <- as.matrix(getME(m, "Z")); y <- getME(m, "y"); b <- fixef(m); n <- nobs(m); p <- ncol(X)
  # one derivative matrix per entry of each covariance's lower triangle (theta's order), then sigma^2
  Gp <- getME(m, "Gp"); cn <- m@cnms; D <- list(); val <- c(); nm <- c(); J <- list(); sdn <- c(); sdv <- c()
  for (t in seq_along(cn)) {
    k <- length(cn[[t]]); idx <- (Gp[t] + 1):Gp[t + 1]; Zt <- Z[, idx, drop = FALSE]; nl <- length(idx) / k
    T <- getME(m, "Tlist")[[t]]; S <- sigma(m)^2 * T %*% t(T); s <- sqrt(diag(S)); R <- S / outer(s, s)
    ent <- which(lower.tri(S, diag = TRUE), arr.ind = TRUE)
    for (r in seq_len(nrow(ent))) {
      i <- ent[r, 1]; j <- ent[r, 2]
      E <- matrix(0, k, k); E[i, j] <- E[j, i] <- 1
      D[[length(D) + 1]] <- Zt %*% kronecker(diag(nl), E) %*% t(Zt); val <- c(val, S[i, j])
      nm <- c(nm, if (i == j) paste0("var_", cn[[t]][i], "|", names(cn)[t]) else paste0("cov_", cn[[t]][i], ".", cn[[t]][j], "|", names(cn)[t]))
      sdn <- c(sdn, if (i == j) paste0("sd_", cn[[t]][i], "|", names(cn)[t]) else paste0("cor_", cn[[t]][i], ".", cn[[t]][j], "|", names(cn)[t]))
      sdv <- c(sdv, if (i == j) s[i] else R[i, j])
    }
    Jt <- matrix(0, nrow(ent), nrow(ent))       # d(var, cov) / d(sd, cor)
    at <- function(i) which(ent[, 1] == i & ent[, 2] == i)
    for (r in seq_len(nrow(ent))) {
      i <- ent[r, 1]; j <- ent[r, 2]
      if (i == j) Jt[r, r] <- 2 * s[i] else {Jt[r, r] <- s[i] * s[j]; Jt[r, at(i)] <- R[i, j] * s[j]; Jt[r, at(j)] <- R[i, j] * s[i]}
    }
    J[[t]] <- Jt
  }
  D[[length(D) + 1]] <- diag(n); val <- c(val, sigma(m)^2); nm <- c(nm, "var_residual"); sdn <- c(sdn, "sd_residual"); sdv <- c(sdv, sigma(m))
  J[[length(J) + 1]] <- matrix(2 * sigma(m)); J <- as.matrix(Matrix::bdiag(J)); q <- length(D)

  V <- Reduce(`+`, Map(`*`, D, val)); Vi <- chol2inv(chol(V)); XVX <- t(X) %*% Vi %*% X
  P <- Vi - Vi %*% X %*% solve(XVX, t(X) %*% Vi); e <- as.numeric(y - X %*% b); Ve <- Vi %*% e
  A <- if (REML) P else Vi; AD <- lapply(D, function(d) A %*% d)
  ex <- ob <- matrix(0, q, q); cr <- matrix(0, p, q)
  for (i in 1:q) {
    cr[, i] <- t(X) %*% Vi %*% D[[i]] %*% Ve
    for (j in 1:q) {
      ex[i, j] <- 0.5 * sum(AD[[i]] * t(AD[[j]]))
      ob[i, j] <- -ex[i, j] + sum((D[[i]] %*% Ve) * (A %*% (D[[j]] %*% Ve)))
    }
  }
  # check: numDeriv on the dense criterion (ML: of beta and variances; REML: of variances alone)
  crit <- function(v, bb = NULL) {
    V <- Reduce(`+`, Map(`*`, D, v)); C <- chol(V); h <- 2 * sum(log(diag(C))); Xi <- backsolve(C, X, transpose = TRUE); yi <- backsolve(C, y, transpose = TRUE)
    if (REML) h <- h + c(determinant(crossprod(Xi))$modulus)
    if (is.null(bb)) bb <- qr.coef(qr(Xi), yi)
    0.5 * (h + sum((yi - Xi %*% bb)^2))
  }
  sc <- abs(val); sc[sc < 1e-3 * max(val)] <- max(1e-3 * max(val), 1e-6); scale <- sc
  if (REML) {
    H <- numDeriv::hessian(function(u) crit(u * scale), val / scale) / outer(scale, scale); W <- ob
  } else {
    bs <- sqrt(diag(solve(XVX)))
    H <- numDeriv::hessian(function(u) crit(u[-(1:p)] * scale, u[1:p] * bs), c(b / bs, val / scale)) / outer(c(bs, scale), c(bs, scale))
    W <- rbind(cbind(XVX, cr), cbind(t(cr), ob))
  }
  z <- sqrt(abs(diag(W))); rel <- max(abs(H - W) / outer(z, z)); cat(data, if (REML) "REML" else "ML", ": largest scaled difference to numDeriv", signif(rel, 2), "\n")
  stopifnot(rel < 1e-4)
  full <- function(B, cross) {
    a <- solve(rbind(cbind(XVX, cross), cbind(t(cross), B))); k <- rbind(cbind(diag(p), matrix(0, p, q)), cbind(matrix(0, q, p), solve(J)))
    list(var = unname(a), sd = unname(k %*% a %*% t(k)))
  }
  r <- list(fit = describe(m, data), names_var = I(c(names(b), nm)), names_sd = I(c(names(b), sdn)), values_var = vec(val), values_sd = vec(sdv),
            expected = full(ex, 0 * cr), observed = full(ob, cr), information_expected = unname(ex), information_observed = unname(ob), cross_observed = cr)
  if (REML) r$lmerTest_vcov_theta_sigma <- unname(m@vcov_varpar)
  r
}
fs <- list(sleepstudy = "Reaction ~ Days + (Days | Subject)", dyestuff = "Yield ~ 1 + (1 | Batch)",
           penicillin = "diameter ~ 1 + (1 | plate) + (1 | sample)", pastes = "strength ~ 1 + (1 | batch/cask)",
           orthodont = "distance ~ age * Sex + (age | Subject)")
cases <- list()
for (k in names(fs)) for (R in c(TRUE, FALSE)) cases[[paste0(k, if (R) "_reml" else "_ml")]] <- one(fs[[k]], k, R)
save_json(list(cases = cases), "varcov", "numDeriv",
  note = "Not made by merDeriv (not installable). expected / observed: covariance of (beta, variance parameters) = inverse information, as merDeriv defines it: beta block X'V^-1X; variance block with V^-1 (ML) or P (REML); cross block 0 (expected) or X'V^-1 dV V^-1 e (observed). var: variances and covariances; sd: the same through the full Jacobian to standard deviations and correlations. Variance parameters are in the order of names_var. lmerTest_vcov_theta_sigma: lmerTest's numerical covariance of (theta, sigma).")
