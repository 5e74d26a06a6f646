# Parametric bootstrap replicates by lme4's bootMer: Rscript make.R DATA_FOLDER
suppressMessages(library(lme4))
folder <- commandArgs(TRUE)[1]
statistics <- function(m) {
  v <- as.data.frame(VarCorr(m))
  v <- v[is.na(v$var2) | v$grp != "Residual", ]
  values <- c(fixef(m), v$sdcor, singular = as.numeric(isSingular(m)))
  names(values) <- c(names(fixef(m)), paste0(ifelse(is.na(v$var2), "sd", "cor"), ".", v$grp, ".", v$var1, ".", v$var2), "singular")
  values
}
run <- function(name, formula, factors) {
  d <- read.csv(file.path(folder, paste0(name, ".csv")))
  for (f in factors) d[[f]] <- factor(d[[f]])
  m <- lmer(formula, d)
  b <- suppressMessages(suppressWarnings(bootMer(m, statistics, nsim = 2000, seed = 1)))
  write.csv(signif(b$t, 7), paste0(name, ".csv"), row.names = FALSE)
}
run("sleepstudy", Reaction ~ Days + (Days | Subject), "Subject")
run("penicillin", diameter ~ 1 + (1 | plate) + (1 | sample), c("plate", "sample"))
