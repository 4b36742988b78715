"""Fast replay: the NumPy calls of a function are recorded once, simplified, and repeated by tiles.

This folder changes results by rounding only, and it contains no formulas of models.  To follow
those formulas, read only `door`: it shows what each of its functions computes, and other folders
import no other file of this one.  Inside `with te.plain():` nothing is recorded or repeated.

Then read in this order.  `trace` records a function, `graph` simplifies the record, `instructions`
(with `values`) turns it into instructions, and `program` runs them in buffers.  `plans` compiles
functions and keeps them (with `names` and `mode`).  `tiles` and `steps` run them on tiles of rows,
with threads (`blas`) and normal random numbers (`normals`).
"""
