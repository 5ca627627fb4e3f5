"""Importing kl_course.nn: Keras on the backend chosen, and no lines from native code."""

import json
import os
import subprocess
import sys

from .backend import BACKEND

IMPORT = """
import os, sys
before = dict(os.environ)
from kl_course import nn
assert dict(os.environ) == before
os.write(2, b"stderr works")
import json, keras
print(json.dumps([keras.backend.backend(), "tensorflow" in sys.modules]))
"""


def run(code, **settings):
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | settings)


def test_import_is_quiet_and_leaves_the_process_as_it_was():
    result = run(IMPORT, KERAS_BACKEND=BACKEND)
    assert result.stderr == "stderr works"
    assert json.loads(result.stdout) == [BACKEND, BACKEND == "tensorflow"]


WITHOUT_KERAS = """
import sys

class Hidden:
    def find_spec(name, path=None, target=None):
        if name == "keras":
            raise ModuleNotFoundError("No module named 'keras'", name=name)

sys.meta_path.insert(0, Hidden)
import kl_course.nn
"""


def test_without_keras_the_remedy_is_named():
    result = run(WITHOUT_KERAS)
    assert "there is no keras: pip install 'kl_course[nn]'" in result.stderr
