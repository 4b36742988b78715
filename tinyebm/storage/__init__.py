"""Files: each is written completely or not at all, a damaged one is refused, pickle is not used.

Read `files` (how a file is written), `checkpoint` (a tree of arrays with notes), `identity` (what
tells two runs apart), `models` (a Density with its energy and space), `origin` (the units and rows
of the data of a model).

To save a new energy or space, add its class to the lists at the top of `models`.
"""
