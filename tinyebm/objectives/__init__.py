"""Objectives: `gradient(p, x, rng, state=None) -> Step`, what `fit` descends, for data rows x (n,
d).

A Step holds the gradient (a tree like theta), the metrics to record, and the state of the next
call, if there is one. Read `step`, `likelihood` (exact), `contrastive` (sampled); then
`exact_contrastive` and `neglected_term`, which have no Monte Carlo; `score_matching`,
`noise_contrastive` and `pseudolikelihood` do without Z.
"""
