"""The check of the environment at the start of notebook 00, and its remedies."""

from pathlib import Path
from types import SimpleNamespace

import nbformat
import psutil
import pytest

import notebooks
from kl_course import environment

NOWHERE = Path("no-such-folder") / "constraints.txt"
ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def memory(monkeypatch):
    """Let a test set the memory that is left; at first it is plenty."""

    def leave(available):
        monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=available))

    leave(8e9)
    monkeypatch.delenv("MEM_LIMIT", raising=False)
    return leave


def test_all_is_here(capsys, memory):
    environment.check_environment()
    assert capsys.readouterr().out == "Everything is here.\n"


def project(folder, name, version):
    path = folder / "pyproject.toml"
    path.write_text(f'[project]\nname = "{name}"\nversion = "{version}"\n')
    return path


def test_all_problems_are_printed(capsys, memory, monkeypatch, tmp_path):
    memory(0.5e9)
    project(tmp_path, "kl_course", "99.1")
    tmp_path.joinpath("notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    monkeypatch.setattr(environment, "requires", lambda name: ["numpy>=99"])
    monkeypatch.setattr(environment.platform, "python_version", lambda: "3.10.2")
    environment.check_environment()
    python, copy, packages, free = capsys.readouterr().out.split("\n\n")
    assert "Python 3.10.2" in python
    assert "version 99.1" in copy
    assert "numpy" in packages
    assert "memory" in free


# Python


@pytest.mark.parametrize("python", ["3.11.0", "3.13.9", "3.12.0rc1"])
def test_a_supported_python_is_no_problem(python):
    assert environment.wrong_python(python, "<3.14,>=3.11") == ""


@pytest.mark.parametrize("python", ["3.10.14", "3.14.0"])
def test_another_python_is_named_with_those_supported(python):
    problem = environment.wrong_python(python, "<3.14,>=3.11")
    assert python in problem
    assert "<3.14,>=3.11" in problem


# The kernel


def test_this_copy_of_the_course_is_that_of_the_kernel():
    assert environment.wrong_version(ROOT / "pyproject.toml") == ""


def test_a_notebook_of_another_version_is_told_of_its_kernel(tmp_path):
    problem = environment.wrong_version(project(tmp_path, "kl_course", "99.1"))
    assert "version 99.1 of the course" in problem
    assert str(ROOT / "kl_course") in problem
    assert "Change Kernel" in problem


def test_a_notebook_outside_a_copy_of_the_course_has_no_version(tmp_path):
    assert environment.wrong_version(tmp_path / "pyproject.toml") == ""
    assert environment.wrong_version(project(tmp_path, "other", "99.1")) == ""
    tmp_path.joinpath("pyproject.toml").write_text("[tool.other]")
    assert environment.wrong_version(tmp_path / "pyproject.toml") == ""


# Packages


def test_what_is_missing_or_too_old_is_named():
    wanted = [
        "numpy>=1.0",
        "numpy>=99",
        "no-such-package>=2 ; extra == 'course'",
        "no-such-package>=3 ; extra == 'nn'",
        "no-such-package>=4 ; extra == 'docs'",
        "kl_course[nn] ; extra == 'course'",
    ]
    problem = environment.missing_packages(wanted, NOWHERE).splitlines()
    assert problem[0] == (
        'Missing or too old: "numpy>=99", "no-such-package>=2", "no-such-package>=3".'
    )
    assert problem[-1] == ('%pip install "numpy>=99" "no-such-package>=2" "no-such-package>=3"')


def test_the_remedy_keeps_to_the_constraints_above_the_notebooks():
    command = environment.missing_packages(["numpy>=99"], ROOT / "constraints.txt").splitlines()[-1]
    assert command == '%pip install -c ../constraints.txt "numpy>=99"'


def test_nothing_is_missing():
    assert environment.missing_packages(["numpy>=1.0"], NOWHERE) == ""


def test_what_only_opens_and_runs_notebooks_is_not_asked_for():
    wanted = [f"{name}>=99" for name in environment.FRONT_END]
    assert environment.missing_packages(wanted, NOWHERE) == ""
    lessons = [nbformat.read(path, as_version=4) for path in (ROOT / "notebooks").glob("*.ipynb")]
    imported = {name.partition(".")[0] for lesson in lessons for name in notebooks.imported(lesson)}
    assert "numpy" in imported
    assert not environment.FRONT_END & imported


# Memory


def test_little_memory_is_told(memory):
    memory(environment.KERAS_MEMORY)
    assert environment.little_memory() == ""
    memory(0.94e9)
    assert environment.little_memory().startswith("0.9 GB of memory are left")


def test_the_limit_of_a_server_counts(memory, monkeypatch):
    monkeypatch.setenv("MEM_LIMIT", "1000000000")  # as JupyterHub sets it, in bytes
    assert environment.little_memory().startswith("1.0 GB of memory are left")
    memory(0.5e9)
    assert environment.little_memory().startswith("0.5 GB of memory are left")
    memory(8e9)
    monkeypatch.setenv("MEM_LIMIT", str(2 * 1024**3))  # Binder's
    assert environment.little_memory() == ""
    monkeypatch.setenv("MEM_LIMIT", "1G")  # not JupyterHub's
    assert environment.little_memory() == ""


def test_memory_is_compared_with_the_budget_of_a_notebook_with_keras():
    assert notebooks.KERAS_BUDGET.megabytes * 1e6 == environment.KERAS_MEMORY
