"""Z and what follows from it, each with its error: the first page of the package in one folder.

Read `partition` (log Z), `normalised` (log_prob, expectations, entropy), `likelihood` and
`gradient` (what maximum likelihood needs), `sampling` (independent draws).  `structure` knows where
a sum over hidden units or a formula replaces quadrature, `sums` adds up in blocks, `means`
integrates functions that jump.  `nodes/` decides where the nodes go.
"""
