"""Benchmarks are run by hand: `python tests/benchmarks/peers.py`."""

collect_ignore_glob = ["*.py"]
