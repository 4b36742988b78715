"""What is right, for every exercise: computed when it is asked for, by another road than the exercise suggests if there is one.

A check takes an answer and returns None, or what is wrong with it.
"""

from course import checks01, checks02, checks03, checks04, checks05, checks06, checks07

CHECKS = {exercise: check for notebook in (checks01, checks02, checks03, checks04, checks05, checks06, checks07)
          for exercise, check in notebook.CHECKS.items()}  # fmt: skip
