"""Experiments: one model trained by many methods, judged exactly.

Read `compare`; `setups` chooses the network, the kernel and the methods, `judging` asks for the
exact numbers, `report` and `figures` show them.  `replicas` repeats an experiment over seeds,
`sweeps` runs any function over settings and seeds.
"""
