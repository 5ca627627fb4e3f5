"""The sdist and the wheel: what they hold, and how `make test-wheel` tests them."""

import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email import message_from_bytes
from pathlib import Path, PurePosixPath
from types import SimpleNamespace

import archives
import pytest

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(scope="module")
def project():
    """Return the names of the files of the project, those of git and CI apart."""
    try:
        names = archives.files()
    except (FileNotFoundError, subprocess.CalledProcessError):
        if os.environ.get("CI") == "true":
            raise
        pytest.skip("needs git, and the project to be a clone")
    return {name for name in names if not any(p.startswith(".") for p in PurePosixPath(name).parts)}


@pytest.fixture(scope="module")
def built(project, tmp_path_factory):
    return archives.build(tmp_path_factory.mktemp("archives"))


@pytest.fixture(scope="module")
def sdist(built):
    with tarfile.open(built[0]) as archive:
        return {member.name.partition("/")[2] for member in archive if member.isfile()}


@pytest.fixture(scope="module")
def wheel(built):
    with zipfile.ZipFile(built[1]) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_sdist_is_the_whole_project(sdist, project):
    metadata = {
        name for name in sdist if re.match(r"PKG-INFO|setup\.cfg|kl_course\.egg-info", name)
    }
    assert {name for name in sdist - metadata if "/." not in name} == project


def test_wheel_is_the_package_with_its_data_and_nothing_else(wheel, project):
    package = {name for name in project if name.startswith("kl_course/")}
    assert {"kl_course/kl.mplstyle", "kl_course/data/alice.txt"} < package
    assert {name for name in wheel if ".dist-info/" not in name} == package


def test_wheel_says_what_it_needs_and_under_which_licences(wheel):
    (name,) = [name for name in wheel if name.endswith(".dist-info/METADATA")]
    metadata = message_from_bytes(wheel[name])
    needed = metadata.get_all("Requires-Dist")
    assert [line for line in needed if "extra ==" not in line] == ["numpy>=2.1"]
    assert metadata.get_all("Provides-Extra") == list(PROJECT["optional-dependencies"])
    assert metadata["Requires-Python"] == "<3.14,>=3.11"
    assert metadata["License-Expression"] == PROJECT["license"]
    licences = set(metadata.get_all("License-File"))
    assert "LICENSE" in licences
    assert {f"kl_course/data/LICENSE-{name}" for name in ("Apache-2.0", "MPL-2.0")} < licences
    for licence in licences:
        assert (
            wheel[name.replace("METADATA", f"licenses/{licence}")] == (ROOT / licence).read_bytes()
        )


# make test-wheel


def test_each_module_has_its_test_among_those_that_are_run():
    modules = {path.stem.strip("_") for path in (ROOT / "kl_course").glob("*.py")} | {"exercises"}
    tests = {path.stem.removeprefix("test_") for path in (ROOT / "tests").glob("test_*.py")}
    assert modules & tests - {"environment"} <= set(archives.UNIT_TESTS) <= tests


def test_what_is_run_needs_the_package_alone():
    for name in archives.UNIT_TESTS:
        text = (ROOT / "tests" / f"test_{name}.py").read_text(encoding="utf-8")
        assert not re.search(r"__file__|\.gates|^import (course|notebooks)", text, flags=re.M), name


def test_an_environment_with_more_than_numpy_is_not_empty():
    command = [sys.executable, "-I", "-c", archives.ALONE]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 1
    assert "expected: NumPy alone" in result.stderr


@pytest.fixture
def runs(monkeypatch, tmp_path):
    """Replace building and installing; return what is run. The tests fail with the sdist."""
    commands = []
    unpacked = tmp_path / "unpacked"
    (unpacked / "kl_course").mkdir(parents=True)

    def run(command, cwd):
        commands.append(command)
        assert cwd == unpacked
        assert not (cwd / "kl_course").exists(), "the tests would import it"
        return SimpleNamespace(returncode=int(command[0] == "python of a.tar.gz"))

    monkeypatch.setattr(archives, "build", lambda _: (Path("a.tar.gz"), Path("a.whl"), unpacked))
    monkeypatch.setattr(archives, "install", lambda archive, venv: f"python of {archive}")
    monkeypatch.setattr(subprocess, "run", run)
    return commands


def test_both_are_tested_and_one_failure_is_a_failure(runs):
    assert archives.test(["-k", "entropy"]) == 1
    assert [command[0] for command in runs] == ["python of a.tar.gz", "python of a.whl"]
    for command in runs:
        assert "tests/test_discrete.py" in command
        assert command[-2:] == ["-k", "entropy"]
    assert ["tests/nn" in command for command in runs] == [False, True]
