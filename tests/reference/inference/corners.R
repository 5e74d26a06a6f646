# Corners where packages disagree: unbalanced factors with several degrees of freedom and unequal ddf, a redundant covariate,
# an empty cell, a column far from zero, weights of marginal means. Writes corners.json; data: corners.csv (150 invented rows).
source(file.path(local({a <- grep("^--file=", commandArgs(FALSE), value = TRUE); dirname(normalizePath(sub("^--file=", "", a[1])))}), "common.R"))
suppressMessages(library(emmeans))
emm_options(lmerTest.limit = 1e4, pbkrtest.limit = 1e4)
d <- read.csv(file.path(here, "corners.csv"), stringsAsFactors = TRUE)
d$g <- factor(d$g); d$z <- 2 * d$x; d$day <- 1.7e6 + seq_len(nrow(d)) - 1
d$w <- ifelse(d$A == "a", 2, 1); d$yy <- d$y + 20
empty <- d[!(d$A == "a" & d$B == "u"), ]
lm4 <- function(f, data = "d", ...) {
  a <- list(formula = as.formula(f, env = globalenv()), data = as.name(data), control = quote(ctl), ...)
  eval(as.call(c(quote(lmerTest::lmer), a)), globalenv())
}
flat <- function(x, rownm = NULL) { t <- tab(x, rownm); for (v in names(t)) if (is.numeric(t[[v]])) t[[v]][!is.finite(t[[v]])] <- NA; t }
anovas <- lapply(setNames(nm = c("y ~ A + B + x + (x | g)", "y ~ A * B + x + (x | g)", "y ~ A * x + B + (x | g)", "y ~ A * B * x + (x | g)", "y ~ A + B + x + z + (1 | g)")), function(f) {
  m <- suppressMessages(lm4(f))
  lapply(setNames(nm = c("I", "II", "III")), function(k) {
    t <- flat(as.data.frame(anova(m, type = k)), "term"); names(t) <- c("term", "SumSq", "MeanSq", "NumDF", "DenDF", "F", "p"); t })
})
means <- function(m, ...) flat(as.data.frame(emmeans(m, ..., lmer.df = "satterthwaite")))
m <- suppressMessages(lm4("y ~ A + B + x + z + (1 | g)")); m2 <- suppressMessages(lm4("y ~ A * B + x + (1 | g)", "empty"))
m4 <- lm4("y ~ A * B + x + offset(0.3 * x) + (1 | g)", weights = quote(w)); m3 <- lm4("log(yy + 5) ~ A + B + (1 | g)"); d$since <- d$day - 1.7e6; m5 <- lm4("y ~ A + since + (1 | g)") # the same model as with day, which costs lme4 its digits
r <- list(meta = list(made_by = "corners.R", versions = sapply(c("lme4", "lmerTest", "emmeans"), function(p) as.character(packageVersion(p)))),
  anova = anovas,
  empty_cell = list(means = means(m2, ~ A * B), joint = flat(as.data.frame(joint_tests(m2, lmer.df = "satterthwaite"))),
    trend = flat(as.data.frame(emtrends(m2, ~ A, "x", lmer.df = "satterthwaite")))),
  redundant = list(means = means(m, ~ A), trend = flat(as.data.frame(emtrends(m, ~ A, "x", lmer.df = "satterthwaite"))),
    joint = flat(as.data.frame(joint_tests(emmeans(m, ~ A * B, lmer.df = "satterthwaite"))))),
  proportional = list(all = means(m4, ~ A, weights = "proportional"), two = means(m4, ~ A, weights = "proportional", at = list(B = c("u", "v"))),
    one = means(m4, ~ A, weights = "proportional", at = list(B = "u")), covariate = means(m4, ~ A, weights = "proportional", at = list(x = c(1, 2)))),
  response = list(means = means(m3, ~ A, type = "response")),
  far = list(means = means(m5, ~ A), pairs = flat(as.data.frame(pairs(emmeans(m5, ~ A, lmer.df = "satterthwaite"))))))
write(toJSON(r, digits = NA, auto_unbox = TRUE, na = "null", pretty = TRUE), file.path(here, "corners.json"))
