# Shared by every script here: data, tight fits, JSON. Sourced, not run.
Sys.setenv(OMP_NUM_THREADS = "1", OPENBLAS_NUM_THREADS = "1")
suppressMessages({library(lme4); library(lmerTest); library(jsonlite)})

here <- local({
  a <- grep("^--file=", commandArgs(FALSE), value = TRUE)
  if (length(a)) dirname(normalizePath(sub("^--file=", "", a[1]))) else getwd()
})
as_factor <- c("Subject", "s", "d", "dept", "studage", "lectage", "Worker",
               "replicate", "temperature", "Chick", "Diet", "lea", "school",
               "schoolid", "childid", "subj", "item")
read_data <- function(name) {
  p <- file.path(here, "..", "data", paste0(name, ".csv"))
  if (!file.exists(p)) p <- paste0(p, ".gz")
  d <- read.csv(p, stringsAsFactors = TRUE)
  for (v in intersect(as_factor, names(d))) d[[v]] <- factor(d[[v]])
  d
}

# An optimizer for lmer: bobyqa to rhoend 1e-10, then safeguarded Newton steps
# with Richardson derivatives on the free parameters. Theta is then good to 1e-7
# or better, where a derivative-free method alone leaves about 1e-6.
tight_opt <- function(fn, par, lower = -Inf, upper = Inf, control = list()) {
  lower <- rep_len(lower, length(par)); upper <- rep_len(upper, length(par))
  o <- minqa::bobyqa(par, fn, lower, upper,
                     control = list(rhobeg = 0.05 * max(1, abs(par)), rhoend = 1e-10, maxfun = 1e6))
  o2 <- minqa::bobyqa(o$par, fn, lower, upper,
                      control = list(rhobeg = 1e-3, rhoend = 1e-10, maxfun = 1e6))
  if (o2$fval <= o$fval) o <- o2
  x <- as.numeric(o$par); f <- as.numeric(fn(x))
  free <- which(x - lower > 1e-4 & upper - x > 1e-4)
  sub <- function(z) { y <- x; y[free] <- z; as.numeric(fn(y)) }
  if (length(free)) for (it in 1:3) {
    g <- tryCatch(numDeriv::grad(sub, x[free]), error = function(e) NULL)
    H <- tryCatch(numDeriv::hessian(sub, x[free]), error = function(e) NULL)
    if (is.null(g) || is.null(H) || any(!is.finite(H))) break
    step <- tryCatch(-solve(H, g), error = function(e) NULL)
    if (is.null(step) || max(abs(step)) > 1e-3 ||
        min(eigen(H, symmetric = TRUE, only.values = TRUE)$values) <= 0) break
    z <- x[free] + step
    fz <- if (any(z < lower[free] | z > upper[free])) Inf else sub(z)
    if (fz > f + 1e-10 * max(1, abs(f))) break
    x[free] <- z; f <- fz
    if (max(abs(step)) < 1e-9) break
  }
  f <- as.numeric(fn(x))          # leaves the model environment at x
  list(par = x, fval = f, conv = 0L, convergence = 0L, message = "tight_opt", feval = NA_integer_)
}
ctl <- lmerControl(optimizer = "tight_opt", calc.derivs = FALSE, restart_edge = FALSE,
                   boundary.tol = 0, check.conv.singular = "ignore")

# formula, data and weights by NAME, so that update(), ranova(), emmeans() find them.
fit <- function(formula, data, REML = TRUE, weights = NULL, contrasts = NULL, pkg = "lmerTest") {
  f <- if (is.character(formula)) as.formula(formula, env = globalenv()) else formula
  environment(f) <- globalenv()
  a <- list(formula = f, data = as.name(data), REML = REML, control = quote(ctl))
  if (!is.null(weights)) a$weights <- as.name(weights)
  if (!is.null(contrasts)) a$contrasts <- contrasts
  eval(as.call(c(if (pkg == "lmerTest") quote(lmerTest::lmer) else quote(lme4::lmer), a)), globalenv())
}

named <- function(x) as.list(x)                 # a named vector becomes an object
vec <- function(x) I(unname(as.numeric(x)))     # stays an array, also of length 1
mat <- function(M) {M <- as.matrix(M); list(rows = I(rownames(M)), cols = I(colnames(M)), values = unname(M))}
tab <- function(x, rownm = NULL) {              # a table becomes an array of row objects
  d <- as.data.frame(x)
  class(d) <- "data.frame"
  for (v in names(d)) if (is.factor(d[[v]])) d[[v]] <- as.character(d[[v]])
  if (!is.null(rownm)) {d <- cbind(setNames(data.frame(rownames(d), stringsAsFactors = FALSE), rownm), d)}
  rownames(d) <- NULL
  d
}
# What the Python side needs to see that it stands at the same optimum.
describe <- function(m, data, weights = NULL, contrasts = NULL, note = NULL) {
  V <- as.matrix(vcov(m))
  f <- paste(trimws(deparse(formula(m), width.cutoff = 500)), collapse = " ")
  r <- list(formula = f, data = data, REML = isREML(m), weights = weights, contrasts = contrasts,
            n = nobs(m), p = length(fixef(m)), theta = vec(getME(m, "theta")),
            theta_names = I(names(getME(m, "theta"))), sigma = sigma(m), beta = named(fixef(m)),
            se = named(setNames(sqrt(diag(V)), names(fixef(m)))), vcov = unname(V),
            objective = unname(if (isREML(m)) lme4::REMLcrit(m) else getME(m, "devcomp")$cmp[["dev"]]),
            loglik = as.numeric(logLik(m)), singular = isSingular(m), note = note)
  r[!vapply(r, is.null, NA)]
}
save_json <- function(x, name, pkgs = character(), note = NULL) {
  pk <- c("lme4", "lmerTest", "jsonlite", pkgs)
  meta <- list(script = paste0(name, ".R"), R = as.character(getRversion()),
               packages = as.list(vapply(pk, function(p) as.character(packageVersion(p)), "")), note = note)
  p <- file.path(here, paste0(name, ".json"))
  # digits = I(15): 15 significant digits (15 alone means decimal places and loses small p-values)
  write_json(c(list(meta = meta[!vapply(meta, is.null, NA)]), x), p, digits = I(15), auto_unbox = TRUE,
             na = "null", null = "null", dataframe = "rows", matrix = "rowmajor", factor = "string")
  cat(name, ".json: ", round(file.size(p) / 1024), " KB\n", sep = "")
}
