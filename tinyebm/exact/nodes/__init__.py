"""Where the nodes of a quadrature go; skip this on a first reading.

`scans` says how narrow a peak can be and still be seen, `peaks` finds peaks, `window` places the
trapezoidal rule on R^d around them, `adapt` halves the boxes of a bounded space until their parts
agree.
"""
