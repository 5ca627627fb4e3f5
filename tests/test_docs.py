"""The examples in the documentation: run where the library of their section is installed."""

import doctest
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "docs" / "libraries.md"
IMPORTS = {
    "NumPy": "numpy",
    "SciPy": "scipy",
    "PyTorch": "torch",
    "Keras": "keras",
    "TensorFlow Probability": "tensorflow_probability",
}
SECTIONS = {s.partition("\n")[0]: s for s in re.split(r"^## ", PAGE.read_text(), flags=re.M)[1:]}


def test_each_library_has_a_section():
    assert list(SECTIONS) == list(IMPORTS)


@pytest.mark.parametrize("library", IMPORTS)
def test_examples(library):
    pytest.importorskip(IMPORTS[library])
    names = {}
    run(SECTIONS["NumPy"], names)  # p and q
    assert run(SECTIONS[library], names) >= 4


def run(section, names):
    """Run the examples of a section; return how many there are."""
    example = doctest.DocTestParser().get_doctest(
        section.replace("```", ""), names, "docs", None, 0
    )
    report = []
    doctest.DocTestRunner().run(example, out=report.append, clear_globs=False)
    assert not report, "".join(report)
    names.update(example.globs)
    return len(example.examples)
