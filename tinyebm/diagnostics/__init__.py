"""How good is a model, or a chain?  Numbers with errors.

divergences  kl, total_variation, fisher_divergence: two densities, by quadrature
mmd          the maximum mean discrepancy: two samples or distributions
detection    auroc: can a model tell its data from others?
chains       split_rhat, effective_sample_size, autocorrelation: have chains converged?
ais          log Z in any dimension by annealing, from both sides; along a path of `paths`

Each is a function that returns an Estimate: a number with its standard error, or with the error of
its quadrature (those of `chains` have none).  A new one takes densities, rows or chains, and says
what its error is.
"""
