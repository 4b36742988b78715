"""Comparing an answer with the truth."""

import numpy as np


def near(truth, tolerance):
    """A check of a number (or array): within the tolerance of truth(), absolutely."""
    def judge(answer):
        value = np.asarray(answer, dtype=float)
        wanted = np.asarray(truth(), dtype=float)
        if value.shape != wanted.shape:
            return f"the answer has shape {value.shape}, wanted {wanted.shape}"
        return None if np.abs(value - wanted).max() <= tolerance else "not yet: the value is another"

    return judge
