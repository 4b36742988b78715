"""The same functions, fast: NumPy's calls recorded once, simplified, and repeated tile by tile.

Nothing here changes a result beyond rounding, and no formula stands here.  Read `door` alone to
follow the formulas of the package: it is the only file that other rooms import, and shows what
each of its functions computes.  Inside `with te.plain():` nothing else of this room runs.

To read on, in this order: `trace` records a function, `graph` simplifies the record, `instructions`
(with `values`) makes instructions of it, `program` runs them in buffers of its own.  `plans`
compiles functions and keeps them (with `names` and `mode`); `tiles` and `steps` run them on tiles of
rows, with threads (`blas`) and normal numbers (`normals`).
"""
