"""Comparing an answer with the truth.  A check takes an answer; it returns None, or says what is wrong with it."""

import numpy as np


def number(answer):
    """The one number that an answer is, alone or in a list or array of length one."""
    if answer is None:
        raise ValueError("None came back: is a return missing?")
    value = np.asarray(answer) if not callable(answer) else None
    if value is None or value.size != 1 or value.dtype.kind not in "ifu":
        raise ValueError(f"one real number is wanted, not {answer!r}")
    return float(value.reshape(()))


def function(answer):
    """The function that an answer is, with one number (or an array) as its result."""
    if not callable(answer):
        raise ValueError("a function is wanted (def ...: return ...), not the result of one")
    return answer


def near(truth, tolerance=0.0, relative=0.0, slips=()):
    """A check of a number: it is truth(), within a tolerance or a fraction of it.

    `slips` are pairs of a function, for the number that a known mistake gives, and of what to say to who made it.
    """
    def judge(answer):
        value, wanted = number(answer), float(truth())
        close = lambda a: abs(value - a) <= tolerance + relative * abs(a)
        if close(wanted):
            return None
        for mistaken, said in slips:
            if close(float(mistaken())):
                return said
        return f"not yet: {value:.6g} is not the value"

    return judge


def choice(truth, choices):
    """A check of one choice among some, whatever its case: truth(), which is looked for when it is asked."""
    def judge(answer):
        said = str(answer).strip().lower()
        if said not in map(str.lower, map(str, choices)):
            return f"answer with one of {', '.join(map(repr, choices))}"
        return None if said == str(truth()).lower() else f"not {said}"

    return judge
