"""Benchmarks are run by hand: `python tests/benchmarks/peers.py`.  Only the tests of that command belong to the suite."""

collect_ignore_glob = ["[!t]*.py"]
