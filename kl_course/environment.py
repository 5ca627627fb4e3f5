"""Whether the course will run here, and the remedy if not."""

import os
import platform
import tomllib
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from pathlib import Path

KERAS_MEMORY = 1.2e9  # bytes: the budget of a lesson with Keras
# These open and run notebooks, which something does already; Colab does it with its own.
FRONT_END = {"ipykernel", "jupyterlab", "nbclient"}


def check_environment():
    """Print what would keep the lessons from running in this kernel, each with its remedy.

    What the course needs is read from the installed metadata: what `pip install` was asked for.
    """
    problems = [
        wrong_python(platform.python_version(), metadata("kl_course")["Requires-Python"]),
        wrong_version(Path.cwd().parent / "pyproject.toml"),
        missing_packages(requires("kl_course"), Path.cwd().parent / "constraints.txt"),
        little_memory(),
    ]
    print("\n\n".join(filter(None, problems)) or "Everything is here.")


def wrong_python(python, supported):
    """Return a problem if the course does not support this version of Python."""
    from packaging.specifiers import SpecifierSet

    if python in SpecifierSet(supported, prereleases=True):
        return ""
    return (
        f"This kernel runs Python {python}; the course needs {supported}.\n"
        "Remedy: make a new environment with such a Python, as the README says."
    )


def wrong_version(project):
    """Return a problem if the notebook lies in a copy of the course of another version."""
    text = project.read_text(encoding="utf-8") if project.exists() else ""
    ours = tomllib.loads(text).get("project", {})
    if ours.get("name") != "kl_course" or ours["version"] == version("kl_course"):
        return ""
    return (
        f"This notebook is of version {ours['version']} of the course, but its kernel uses "
        f"version {version('kl_course')}, from {Path(__file__).parent}.\n"
        "Remedy: open the notebook with make lab in its own folder, "
        "or choose another environment under Kernel → Change Kernel."
    )


def missing_packages(requirements, constraints):
    """Return a problem if an installed package does not meet a requirement of the course."""
    from packaging.requirements import Requirement

    extras = [{"extra": name} for name in ("course", "nn")]
    missing = []
    for requirement in map(Requirement, requirements):
        marker = requirement.marker
        needed = marker is None or any(marker.evaluate(extra) for extra in extras)
        if needed and requirement.name not in FRONT_END and not _is_met(requirement):
            missing.append(f'"{requirement.name}{requirement.specifier}"')
    if not missing:
        return ""
    versions = f"-c ../{constraints.name} " if constraints.exists() else ""
    return (
        f"Missing or too old: {', '.join(missing)}.\n"
        "Remedy: run this in a new cell, then choose Kernel → Restart Kernel.\n"
        f"%pip install {versions}{' '.join(missing)}"
    )


def _is_met(requirement):
    try:
        return requirement.specifier.contains(version(requirement.name), prereleases=True)
    except PackageNotFoundError:
        return False


def little_memory():
    """Return a problem if a lesson with Keras might not fit into the memory that is left."""
    try:
        import psutil
    except ModuleNotFoundError:
        return ""  # missing_packages names it
    free = psutil.virtual_memory().available
    limit = os.environ.get("MEM_LIMIT", "")
    if limit.isdecimal():  # JupyterHub's, and so Binder's; psutil sees the whole machine
        free = min(free, int(limit))
    if free >= KERAS_MEMORY:
        return ""
    return (
        f"{free / 1e9:.1f} GB of memory are left; a lesson with Keras takes up to "
        f"{KERAS_MEMORY / 1e9:.1f} GB. Other lessons need less.\n"
        "Remedy: close other programs, and choose Kernel → Shut Down All Kernels from time to time."
    )
