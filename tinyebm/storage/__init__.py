"""Files: a file appears whole or not at all, a damaged one is refused, and nothing is ever
unpickled.

Read `files` (whole files), `checkpoint` (a tree of arrays with notes), `models` (a density with the
names of its parts), `origin` (what a model remembers of its data, and other data in its units).
"""
