"""Planted faults by rooms of the package, each with the tests that must see it; `mutation.py` plants and runs them.

The traps that energy-based models have fallen into elsewhere, with green tests, are among them.
"""

import importlib
import pkgutil

MUTANTS = [
    mutant
    for module in pkgutil.iter_modules(__path__)
    for mutant in importlib.import_module(f"{__name__}.{module.name}").MUTANTS
]
