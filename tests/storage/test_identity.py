"""Descriptions of the parts of a run: the same in every process, and another one for what computes something else."""

import dataclasses
import functools
import json
import os
import pathlib
import subprocess
import sys
import types
from typing import NamedTuple

import numpy as np
import pytest

import tinyebm as te
from tinyebm.storage.identity import content, difference


def module(source):
    """What a file with this source defines."""
    made = types.ModuleType("made")
    exec(compile(source, "made.py", "exec"), made.__dict__)
    return made


SAME = {  # source -> the same in other words
    "a comment": ("def part(x):\n    return 2 * x", "def part(x):  # twice\n    '''Twice.'''\n\n    return (2 * x)"),
    "another class": ("class A: pass\ndef part(x): return x", "def part(x): return x\nclass B: pass"),
}
OTHER = {  # source with a gap ¤, and two ways to fill it, which compute different things
    "a number": ("def part(x): return ¤ * x", "2", "3"),
    "an operation": ("part = lambda x: x ¤ 2", "+", "-"),
    "a name": ("import numpy as np\ndef part(x): return np.¤(x)", "sin", "cos"),
    "a default": ("def part(x, c=¤): return c * x", "1", "2"),
    "a keyword's default": ('def part(x, *, c=¤): return c * x', '1', '2'),
    "a global": ("C = ¤\ndef part(x): return C * x", "1", "2"),
    "a list": ("C = [1, ¤]\ndef part(x): return C[0] * x", "2", "3"),
    'a dict': ("C = {'a': ¤}\ndef part(x): return C['a'] * x", '1', '2'),
    "an array's last number": ("import numpy as np\nC = np.r_[np.zeros(9999), ¤]\ndef part(x): return C * x", "1", "2"),
    "a function it calls": ("def g(x): return ¤\ndef part(x): return g(x)", "x", "2 * x"),
    "a function within": ("def part(x):\n    def g(y): return ¤\n    return g(x)", "y", "2 * y"),
    "a global of a function within": ("C = ¤\ndef part(x): return (lambda y: C * y)(x)", "1", "2"),
    "a closure": ("def f(c): return lambda x: c * x\npart = f(¤)", "1", "2"),
    "an attribute": ("class A:\n    def __init__(self, c): self.c = c\npart = A(¤)", "1", "2"),
    'a slot': ("class A:\n    __slots__ = ('c',)\npart = A()\npart.c = ¤", '1', '2'),
    "a method": ("class A:\n    def step(self, x): return ¤\npart = A()", "x", "-x"),
    "a method of a base": ("class B:\n    def step(self, x): return ¤\nclass A(B): pass\npart = A()", "x", "-x"),
    "a static method": ("class A:\n    @staticmethod\n    def step(x): return ¤\npart = A()", "x", "-x"),
    "a property": ("class A:\n    @property\n    def c(self): return ¤\npart = A()", "1", "2"),
    "a class variable": ("class A:\n    c = ¤\npart = A()", "1", "2"),
    "a bound method": ("class A:\n    def __init__(self, c): self.c = c\n    def step(self): pass\npart = A(¤).step", "1", "2"),
    "a partial": ("import functools\ndef f(c, x): return c * x\npart = functools.partial(f, ¤)", "1", "2"),
    "a cached function": ("import functools\n@functools.lru_cache\ndef part(x): return ¤", "x", "-x"),
    "the class": ("class ¤()", "A: pass\npart = A", "B: pass\npart = B"),
    "an optimiser": ("import tinyebm as te\npart = te.¤(0.1)", "adam", "sgd"),
    "its rate": ("import tinyebm as te\npart = te.adam(0.¤)", "1", "2"),
    "its schedule": ("import tinyebm as te\npart = te.sgd(lambda i: 0.¤)", "1", "2"),
    "a kernel's option": ('import tinyebm as te\npart = te.ULA(0.¤)', '1', '1, temperature=2'),
    "a population of one name": ("import tinyebm as te\npart = te.Normal([0.0], [[¤.0]])", "1", "2"),
    "a file's name": ("import pathlib\npart = pathlib.Path('¤')", 'a', 'b'),
    "a state of a generator": ("import numpy as np\npart = np.random.default_rng(¤)", "0", "1"),
}


@pytest.mark.parametrize("case", SAME)
def test_other_words_are_the_same(case):
    """Catches an identity that a comment changes."""
    one, other = (content(module(source).part) for source in SAME[case])
    assert difference(one, other, "part") is None


@pytest.mark.parametrize("case", OTHER)
def test_what_computes_something_else_is_another(case):
    """Catches what a description leaves out."""
    source, *fillings = OTHER[case]
    one, other = (json.loads(json.dumps(content(module(source.replace("¤", filling)).part))) for filling in fillings)
    where, there, here = difference(one, other, "part")
    assert where.startswith("part") and there != here


def test_names_do_not_hide_what_they_stand_for():
    """Catches an energy described by its repr, which a class may write as it likes."""
    silent = "class A:\n    def __init__(self, c): self.c = c\n    def __repr__(self): return 'A()'\npart = A({})"
    assert difference(*(content(module(silent.format(c)).part) for c in (1, 2)), "energy") == ("energy.c", "1", "2")


class Point(NamedTuple):
    x: float


@dataclasses.dataclass(frozen=True)
class Counted:
    """An energy that counts its calls."""

    scale: float
    calls: list = dataclasses.field(default_factory=list, compare=False)

    @functools.cached_property
    def table(self):
        return np.zeros(3)

    def __call__(self, theta, x):
        self.calls.append(1)
        return self.scale * te.ops.sum(x * x, axis=1) * self.table.sum()


class Remembering:
    """An object with something that it computes once."""

    @functools.cached_property
    def table(self):
        return np.zeros(3)


def test_what_use_leaves_behind_does_not_count():
    """Fields that a comparison leaves out, and what is computed once.  Catches a run that cannot be resumed in its own process."""
    used, parts = (Counted(1.0), Remembering()), (Counted(1.0), Remembering())
    used[0](None, np.zeros((1, 1)))
    assert used[1].table is used[1].table
    assert difference(content(used), content(parts), "parts") is None


def test_a_part_of_itself():
    """Catches a description without end."""
    ring = Remembering()
    ring.self, ring.list = ring, [ring]
    assert json.dumps(content(ring)) and content([ring, ring])[1]["kind"] == "part"


def test_functions_that_call_each_other_are_described_once():
    """A chain of forty, each with two calls of the next.  Catches a description of 2^40 parts."""
    source = "\n".join(f"def f{i}(x): return f{i + 1}(x) + f{i + 1}(-x)" for i in range(40)) + "\ndef f40(x): return x\npart = f0"
    assert len(json.dumps(content(module(source).part))) < 20_000


PARTS = """
import functools, json, sys
from typing import NamedTuple
import numpy as np
import tinyebm as te
from tinyebm.storage.identity import content

SCALE, NAMES = np.arange(100.0), {"b", "a", "c"}

class Theta(NamedTuple):
    w: float

class Energy:
    def __init__(self):
        self.lock, self.names = __import__("threading").Lock(), NAMES
    def __call__(self, theta, x):
        return theta["w"] * te.ops.sum(x * x, axis=1) + SCALE[0] + ("w" in {"w", "v", "u"})

class Kernel:
    def step(self, p, x, rng):
        return te.ULA(0.1).step(p, x, rng)

parts = [Energy(), Energy, Kernel(), Theta(1.0), lambda theta, x: theta, functools.partial(print, 1), np.exp, len,
         te.ShortRun(lambda step: te.ULA(0.1 / step), 3), te.adam(1e-3),
         te.datasets.load("two_moons"), te.datasets.load("faithful"), te.MLP((2, 8, 1)), te.Bits(3), object(), NAMES]
print(json.dumps(content(parts)))
"""


def test_another_process_describes_the_same(tmp_path):
    """With other addresses, and sets in another order.  Catches an address in a description."""
    script, found = tmp_path / "parts.py", set()
    script.write_text(PARTS)
    root = str(pathlib.Path(te.__file__).parent.parent)
    for seed in "123":
        environment = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": root}
        run = subprocess.run([sys.executable, str(script)], env=environment, capture_output=True, text=True, check=True)
        found.add(run.stdout)
    assert len(found) == 1 and " at 0x" not in found.pop()
