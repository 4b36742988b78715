"""Tools that all other folders use; none of them needs an energy.

Read `kinds` first.  It holds the types in signatures: what an energy, a space, a kernel, an
objective and a distribution must have.  Then read

estimate   a number with its error
errors     the errors and warnings of the package
checks     refusals of wrong arguments, each in one line
tree       nested parameters: flatten, map, compare
backend    NumPy or CuPy, and random generators by seed and step
progress   a progress bar

A check that two folders need belongs in `checks`: a function `require_...` that raises a
ValueError, whose message says what is required and what was given.
"""
