"""Binder and Colab, which no test can reach: the files of the project keep to their rules."""

import re
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import nbformat
import pytest
import yaml
from nbformat.v4 import new_code_cell, new_notebook
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import notebooks
from kl_course.environment import FRONT_END

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "elsewhere.md").read_text(encoding="utf-8")
ENVIRONMENT = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LESSONS = {
    path.stem: nbformat.read(path, as_version=4) for path in (ROOT / "notebooks").glob("*.ipynb")
}
BINDER_MEMORY = 2e9  # bytes, of a free session


def names(requirements):
    return {canonicalize_name(Requirement(line).name) for line in requirements}


# Binder: repo2docker takes the first of its build packs that finds its file, in this order


def build_pack(root):
    """Return which file repo2docker builds from, as of its version 2026.4.0."""
    folders = [name for name in ("binder", ".binder") if (root / name).is_dir()]
    folder = root / folders[0] if folders else root  # with it, the root is not looked at
    order = ["Dockerfile", "JuliaProject.toml", "Project.toml", "REQUIRE", "default.nix"]
    order += ["runtime.txt", "DESCRIPTION", "environment.yml", "environment.yaml", "Pipfile"]
    order += ["Pipfile.lock", "requirements.txt", "pyproject.toml", "setup.py"]
    found = [name for name in order if (folder / name).exists()]
    return str((folder / found[0]).relative_to(root)) if found else None


def test_binder_builds_from_environment_yml():
    assert build_pack(ROOT) == "environment.yml"
    others = [name for name in ("apt.txt", "postBuild", "start") if (ROOT / name).exists()]
    assert not others, "these would take part in the build, and nothing tests them"


@pytest.mark.parametrize("name", ["Dockerfile", "default.nix", "binder/README.md", ".binder/start"])
def test_what_keeps_binder_from_it_is_noticed(tmp_path, name):
    (tmp_path / "environment.yml").touch()
    (tmp_path / "pyproject.toml").touch()
    assert build_pack(tmp_path) == "environment.yml"
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).touch()
    assert build_pack(tmp_path) != "environment.yml"


def test_binder_copies_the_project_before_it_installs():
    """It does so for a local requirement only; else constraints.txt is not there yet."""
    (section,) = [part["pip"] for part in ENVIRONMENT["dependencies"] if isinstance(part, dict)]
    assert any(re.match(r"(-e|--editable)[ =]*\.", line) for line in section)
    for line in section:
        if line.startswith("-c "):
            assert (ROOT / line.removeprefix("-c ")).is_file()
    assert PROJECT["name"] == ENVIRONMENT["name"]
    assert set(ENVIRONMENT) <= {"name", "channels", "dependencies"}  # "prefix" is of one machine


def test_binder_knows_the_python_by_its_number():
    """It looks for a number after “python=”; without one it takes its own default."""
    (pin,) = [p for p in ENVIRONMENT["dependencies"] if str(p).startswith("python")]
    assert re.fullmatch(r"python=3\.\d+", pin)
    assert f"Python {pin.removeprefix('python=')}" in PAGE


def test_constraints_hold_for_binders_linux():
    pins = map(Requirement, (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines())
    settings = {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix"}
    settings |= {"platform_machine": "x86_64", "python_version": "3.11"}
    valid = [p.name for p in pins if p.marker is None or p.marker.evaluate(settings)]
    assert len(valid) == len(set(valid))
    course = PROJECT["optional-dependencies"]["course"] + PROJECT["optional-dependencies"]["nn"]
    assert names([*PROJECT["dependencies"], *course]) - {"kl-course"} <= set(valid)


@pytest.mark.parametrize("name", LESSONS)
def test_binder_finds_the_kernel_and_has_the_memory(name):
    assert LESSONS[name].metadata.kernelspec.name == "python3"
    assert notebooks.budget_of(LESSONS[name]).megabytes * 1e6 <= 0.75 * BINDER_MEMORY


def test_the_lessons_that_need_most_memory_are_named():
    keras = {int(n[:2]) for n, nb in LESSONS.items() if notebooks.budget_of(nb).megabytes > 1000}
    assert keras == {6, 7, 8, 9, 10, 12}
    assert "A lesson with Keras (06 to 10, and 12) may use 1.2 GB" in PAGE
    assert notebooks.KERAS_BUDGET.megabytes == 1200


# Colab


def colab_cell():
    (cell,) = re.findall(r"```text\n(.*?)```", PAGE, flags=re.S)
    return cell.splitlines()


def test_the_cell_for_colab_installs_what_exists():
    clone, change, install = colab_cell()
    folder = clone.split()[-1]
    assert change == f"%cd {folder}/notebooks"
    (extras,) = re.fullmatch(r'%pip install "\.\.(.*)"', install).groups()
    extras = Requirement(PROJECT["name"] + extras).extras
    assert extras == {"nn"} <= PROJECT["optional-dependencies"].keys()
    assert f"%cd /content/{folder}/notebooks" in PAGE  # after a restart


def test_the_kernel_of_colab_is_left_alone():
    installed = names([*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["nn"]])
    assert not installed & FRONT_END


def test_what_must_come_with_colab_is_listed():
    """What the lessons and the package import, apart from what the cell installs."""
    owners = packages_distributions()
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "kl_course").rglob("*.py")]
    package = new_notebook(cells=list(map(new_code_cell, sources)))
    imported = set().union(*map(notebooks.imported, [package, *LESSONS.values()]))
    modules = {name.partition(".")[0] for name in imported}
    needed = {canonicalize_name(owner) for name in modules for owner in owners.get(name, [])}
    installed = names([*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["nn"]])
    (listed,) = re.findall(r"comes with Colab: (.*?)\. ", PAGE, flags=re.S)
    assert needed - installed - {"kl-course"} == set(re.split(r",\s+", listed.lower()))


@pytest.mark.parametrize("service", ["mybinder.org", "colab.research.google.com"])
def test_links_lead_to_a_notebook_that_exists(service):
    (link,) = re.findall(rf"https://{re.escape(service)}\S+", PAGE)
    assert (ROOT / re.search(r"notebooks/\w+\.ipynb$", link)[0]).is_file()


def test_commands_for_conda_fit_the_environment():
    assert f"conda activate {ENVIRONMENT['name']}\n" in PAGE
    assert "conda env create -f environment.yml\n" in PAGE
