"""Files: each appears whole or not at all, a damaged one is refused, and nothing is unpickled.

Read `files` (how a file is written), `checkpoint` (a tree of arrays with notes), `models` (a
Density with its energy and space), `origin` (the units and rows of the data of a model).

A new energy or space can be saved once its class stands in the lists at the top of `models`.
"""
