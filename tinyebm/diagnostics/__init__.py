"""Diagnostics of models and of chains: numbers with errors.

divergences  kl, total_variation, fisher_divergence of two densities, by quadrature
mmd          the maximum mean discrepancy of two samples or distributions
detection    auroc: can a model tell its data from others?
chains       split_rhat, effective_sample_size, autocorrelation: have chains converged?
ais          log Z in any dimension by annealing, from below and from above
paths        the densities between a base and p that annealing passes through

Each function returns an Estimate: a number with its standard error, or with the error of its
quadrature.  The functions of `chains` return numbers without an error.  A new function takes
densities, rows or chains, and its docstring says what its error is.
"""
