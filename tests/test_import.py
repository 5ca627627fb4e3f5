"""Importing the package loads NumPy and little else; kl_course.nn is for those who ask for it."""

import subprocess
import sys

NEW_MODULES = """
import sys, numpy
before = set(sys.modules)
import kl_course
print(*sorted(set(sys.modules) - before))
"""


def test_import_loads_numpy_alone():
    command = [sys.executable, "-c", NEW_MODULES]
    modules = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert "kl_course.discrete" in modules
    assert {name.split(".")[0] for name in modules} == {"kl_course"}
