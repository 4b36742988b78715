"""What a model, or a chain, is worth: numbers with errors.

`divergences` (KL, total variation, Fisher), `mmd`, `detection` (AUROC), `chains` (split R-hat,
effective sample size), `ais` (log Z by annealing, from both sides) with its `paths`.
"""
