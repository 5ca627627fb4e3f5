"""Build the sdist and the wheel of kl_course, and test each as those get it who install it."""

import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BUILD = """
import sys
from setuptools import build_meta
getattr(build_meta, sys.argv[1])(sys.argv[2])
"""
ALONE = """
from importlib.metadata import distributions
names = {distribution.name for distribution in distributions()}
assert names == {"kl_course", "numpy"}, f"installed: {names}; expected: NumPy alone"
import kl_course
assert kl_course.kl_divergence([0.5, 0.5], [0.25, 0.75]) > 0
"""
# The other tests are about notebooks, tools and pages, or read the sources.
UNIT_TESTS = ["accurate", "datasets", "discrete", "estimators", "exercises", "gaussian", "import"]
UNIT_TESTS += ["keras_rows", "validation"]


def files():
    """Return the names of the files of the project: those that git knows, or would add."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout
    return [name for name in names.split("\0") if ROOT.joinpath(name).is_file()]


def copy_project(copy):
    """Copy the files of the project into a folder."""
    for name in files():
        copy.joinpath(name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, copy / name)


def build(folder):
    """Build the sdist from a copy of the project, and from what it holds the wheel, offline.

    Return the paths of both, and of the unpacked sdist. A copy, because setuptools takes in what
    earlier builds have left behind.
    """
    copy = folder / "copy"
    copy_project(copy)
    sdist = build_one("sdist", copy, folder, "*.tar.gz")
    shutil.unpack_archive(sdist, folder, filter="data")
    unpacked = folder / sdist.name.removesuffix(".tar.gz")
    return sdist, build_one("wheel", unpacked, folder, "*.whl"), unpacked


def build_one(kind, source, folder, pattern, **options):
    """Build one archive with the installed setuptools; return its path."""
    command = [sys.executable, "-c", BUILD, f"build_{kind}", folder]
    subprocess.run(command, cwd=source, stdout=subprocess.DEVNULL, check=True, **options)
    (archive,) = folder.glob(pattern)
    return archive


def install(archive, venv):
    """Install an archive in an empty environment; return the environment's Python.

    NumPy must be all that it brings. Then the environment may import what this one has, except
    its kl_course: the tests need pytest, Keras and others, and to install them again takes minutes.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    python = venv / Path(sys.executable).relative_to(sys.prefix)
    pip = [sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check"]
    constraints = ROOT / "constraints.txt"
    subprocess.run([*pip, "install", "--quiet", "-c", constraints, archive], check=True)
    subprocess.run([python, "-I", "-c", ALONE], check=True)
    (packages,) = venv.rglob("site-packages")
    borrowed = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    packages.joinpath("borrowed.pth").write_text("\n".join(borrowed), encoding="utf-8")
    return python


def test(arguments):
    """Run the unit tests with the installed sdist, then with the installed wheel.

    Both install the same files, so the tests of kl_course.nn, which take longest, run once.
    """
    with tempfile.TemporaryDirectory() as scratch:
        sdist, wheel, unpacked = build(Path(scratch))
        shutil.rmtree(unpacked / "kl_course")  # so that the tests import the installed one
        core = [f"tests/test_{name}.py" for name in UNIT_TESTS]
        status = 0
        for archive, tests in ((sdist, core), (wheel, ["tests/nn", *core])):
            print(f"{archive.name}:", flush=True)
            python = install(archive, Path(scratch, f"environment{archive.suffix}"))
            pytest = [python, "-m", "pytest", "-q", "-n", "2", "--dist", "loadfile"]
            status = (
                subprocess.run([*pytest, *tests, *arguments], cwd=unpacked).returncode or status
            )
    return status
