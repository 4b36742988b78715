"""Tools that all other rooms use; none of them needs an energy.

Read `kinds` first: the types in signatures, what an energy, a space, a kernel, an objective and a
distribution must have.  Then

estimate   a number with its error
errors     the errors and warnings of the package
checks     refusals of wrong arguments, each in one line
tree       nested parameters: flatten, map, compare
backend    NumPy or CuPy, and random generators by seed and step
progress   a progress bar

A check that two rooms need goes to `checks`: a function `require_...` that raises ValueError, saying
what is wanted and what was given.
"""
