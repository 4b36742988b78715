"""The same functions, fast: NumPy's calls written down once, simplified, and made again tile by
tile.

Nothing here changes a number beyond rounding, and no formula stands here: every room above runs
without this one, only slower.  Its doors are `tiles` (values and derivatives at many rows),
`chains` (many steps of a Langevin chain) and `plans.remembering` (programs that live as long as a
fit).  Behind them: `trace` writes a function down, `graph` simplifies it, `instructions`, `values`
and `program` run it in buffers of its own, `blas` and `normals` use the cores, `names` and `plans`
know whether a program is still that of its function.
"""
