"""Tests of tools/course.py and tools/notebooks.py."""

import os
import re
import subprocess
import sys
import tomllib
from contextlib import nullcontext
from importlib.metadata import version
from pathlib import Path

import course
import nbformat
import pytest
import yaml
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

import notebooks

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module", autouse=True)
def isolated():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MPLBACKEND", "agg")  # as a user might have it
        patch.setenv("KERAS_BACKEND", "jax")
        patch.setenv("KERAS_HOME", "the user's")
        with course.isolated():
            yield


def write(path, *sources):
    cells = [new_markdown_cell("# Title"), *map(new_code_cell, sources)]
    nbformat.write(new_notebook(cells=cells), path)
    return path


# Executing

OFFLINE = """
import socket

def refused(call, *arguments):
    try:
        call(*arguments)
    except RuntimeError as error:
        return "the course runs offline" in str(error)

outside = ("192.0.2.1", 9)
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
assert refused(socket.create_connection, outside)
assert refused(udp.connect, outside)
assert refused(udp.sendto, b"", outside)
assert refused(socket.getaddrinfo, "example.org", 80)
assert refused(socket.gethostbyname, "example.org")
"""

LOOPBACK = """
with socket.create_server(("127.0.0.1", 0)) as server:
    socket.create_connection(("localhost", server.getsockname()[1])).close()
socket.getaddrinfo(None, 80)
left, right = socket.socketpair()
left.sendall(b"x")
assert right.recv(1) == b"x"
"""

SETTINGS = """
import os
import matplotlib.pyplot as plt
assert os.environ["KERAS_BACKEND"] == "tensorflow"
assert os.environ["KERAS_HOME"] != "the user's"
assert "inline" in plt.get_backend()
assert not get_ipython().history_manager.enabled
assert "is_loopback" not in globals()
"""


def test_course_reports_a_failing_cell_and_runs_the_other_notebooks(tmp_path, capsys):
    bad = write(tmp_path / "bad.ipynb", "a = 1", "assert a == 2, 'a is one'", "raise KeyError")
    good = write(tmp_path / "good.ipynb", OFFLINE, LOOPBACK, SETTINGS)
    stored = bad.read_bytes(), good.read_bytes()

    status = notebooks.course([str(bad), str(good)])

    printed = capsys.readouterr().out
    assert "bad.ipynb, cell 3 (id " in printed
    assert "    assert a == 2, 'a is one'\n" in printed
    assert "AssertionError: a is one" in printed
    assert "KeyError" not in printed
    assert "good.ipynb" not in printed  # otherwise this shows which of its cells failed
    assert "\x1b" not in printed
    assert status == 1
    rows = {line.split()[0]: line.split() for line in printed.splitlines()[:4]}
    assert rows["bad"][3:] == ["1", "FAILED"]
    assert rows["good"][3] == "11"
    assert 30 < float(rows["good"][2]) < 2000
    assert (bad.read_bytes(), good.read_bytes()) == stored


# Refreshing

WIDGETS = """
import ipywidgets as widgets
slider = widgets.IntSlider(description="n")
page = widgets.HTML("<b>0</b>")
box = widgets.VBox([slider, page])
box
"""

FIGURE = """
import matplotlib.pyplot as plt
from IPython.display import display
figure, axes = plt.subplots()
axes.plot([1, 2])
display(figure, metadata={"image/png": {"alt": "A rising line."}})
plt.close(figure)
"""

PROGRESS = """
from time import sleep
from tqdm.auto import tqdm
for _ in tqdm(range(3)):
    sleep(0.1)
"""


@pytest.fixture(scope="module")
def refreshed(tmp_path_factory):
    path = write(tmp_path_factory.mktemp("lessons") / "demo.ipynb", WIDGETS, FIGURE, PROGRESS)
    assert notebooks.refresh([str(path)]) == 0
    return path


def test_refresh_twice_leaves_the_file_as_it_is(refreshed, capsys):
    once = refreshed.read_bytes()
    assert notebooks.refresh([str(refreshed)]) == 0
    assert refreshed.read_bytes() == once
    assert capsys.readouterr().out == "demo.ipynb: same text outputs\n"


def test_refresh_stores_what_readers_and_gates_need(refreshed):
    text = refreshed.read_text(encoding="utf-8")
    notebook = nbformat.reads(text, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == [1, 2, 3]
    assert text.startswith('{\n "cells"')
    assert text.endswith("}\n")
    assert "version" not in notebook.metadata.language_info
    assert notebook.metadata.kernelspec.name == "python3"
    assert code[1].metadata.mystnb.image.alt == "A rising line."
    assert all("execution" not in cell.metadata for cell in code)


def test_refresh_renames_widgets_consistently(refreshed):
    notebook = nbformat.read(refreshed, as_version=4)
    state = notebook.metadata.widgets[notebooks.WIDGET_STATE]["state"]
    assert set(state) == {f"demo-{n}" for n in range(1, len(state) + 1)}
    view = notebook.cells[1].outputs[0].data[notebooks.WIDGET_VIEW]
    assert view["model_id"] == "demo-1"
    box = state["demo-1"]
    assert box["model_name"] == "VBoxModel"
    children = [child.removeprefix("IPY_MODEL_") for child in box["state"]["children"]]
    models = [state[child]["model_name"] for child in children]
    assert models == ["IntSliderModel", "HTMLModel"]
    bars = [m["state"]["value"] for m in state.values() if m["model_name"] == "HTMLModel"]
    assert "\N{FIGURE SPACE}3/3" in bars


def test_a_stale_alternative_text_is_removed_and_other_settings_stay():
    cell = new_code_cell("1", metadata={"mystnb": {"image": {"alt": "old", "width": "50%"}}})
    notebooks.copy_alt_text(cell)
    assert cell.metadata == {"mystnb": {"image": {"width": "50%"}}}
    cell = new_code_cell("1", metadata={"mystnb": {"image": {"alt": "old"}}})
    notebooks.copy_alt_text(cell)
    assert cell.metadata == {}


def test_a_failing_notebook_is_not_stored(tmp_path, capsys, monkeypatch):
    path = write(tmp_path / "bad.ipynb", "1 / 0")
    run = notebooks.Run(path, None, seconds=1.0, failure="bad.ipynb, cell 2 failed")
    monkeypatch.setattr(notebooks, "execute_all", lambda paths, jobs: [run])
    before = path.read_bytes()
    assert notebooks.refresh([str(path)]) == 1
    assert path.read_bytes() == before
    assert "cell 2 failed" in capsys.readouterr().out


def test_refresh_prints_the_text_that_changed(tmp_path, capsys):
    def with_outputs(text):
        cell = new_code_cell("p", id="entropy")
        cell.outputs = [nbformat.v4.new_output("stream", text=text)]
        return new_notebook(cells=[cell], metadata={"language_info": {"name": "python"}})

    path = tmp_path / "demo.ipynb"
    nbformat.write(with_outputs("H = 1.0\n"), path)
    notebooks.store(notebooks.Run(path, with_outputs("H = 2.0\n"), seconds=1.0))
    printed = capsys.readouterr().out.splitlines()
    assert {"-H = 1.0", "+H = 2.0", " [entropy]"} <= set(printed)


# Measuring


@pytest.mark.parametrize(
    ("source", "checks"),
    [
        ("assert True\nfor i in range(3):\n    assert i < 3", 2),
        ("check('1.1', f)\nexercises.check('1.2', f)", 2),
        ("%matplotlib inline\nassert True", 1),
        ("check = 1\nx = 'assert'  # assert", 0),
        ("def (", 0),
    ],
)
def test_checks_are_counted(source, checks):
    assert notebooks.count_checks(new_notebook(cells=[new_code_cell(source)])) == checks


@pytest.mark.parametrize(
    ("source", "budget"),
    [
        ("import numpy as np\nfrom kl_course import entropy", notebooks.NUMPY_BUDGET),
        ("import kerastuner_like", notebooks.NUMPY_BUDGET),
        ("import keras", notebooks.KERAS_BUDGET),
        ("from tensorflow.data import Dataset", notebooks.KERAS_BUDGET),
        ("from kl_course.nn import losses", notebooks.KERAS_BUDGET),
        ("from kl_course import nn", notebooks.KERAS_BUDGET),
    ],
)
def test_notebooks_with_keras_have_the_larger_budget(source, budget):
    assert notebooks.budget_of(new_notebook(cells=[new_code_cell(source)])) == budget


@pytest.mark.parametrize(
    ("seconds", "megabytes", "remark", "fails"),
    [
        (10, 300, "", False),
        (10.1, 100, "over budget", False),
        (1, 301, "over budget", False),
        (20, 600, "over budget", False),
        (20.1, 100, "more than twice", True),
        (1, 601, "more than twice", True),
    ],
)
def test_exceeding_the_budget_warns_and_doubling_it_fails(seconds, megabytes, remark, fails):
    text, failure = notebooks.verdict(seconds, megabytes, notebooks.NUMPY_BUDGET)
    assert text.startswith(remark)
    assert bool(text) == bool(remark)
    assert failure is fails


def test_report_fails_when_a_notebook_needs_twice_its_budget(capsys):
    run = notebooks.Run(Path("slow.ipynb"), new_notebook(), seconds=21.0, megabytes=100.0)
    assert notebooks.report([run], 21.0) == 1
    assert "more than twice the budget (10 s, 300 MB)" in capsys.readouterr().out
    run.seconds = 19.0
    assert notebooks.report([run], 19.0) == 0
    assert notebooks.report([run], 361.0) == 1


def test_an_unknown_notebook_is_named():
    with pytest.raises(SystemExit, match=r"no notebook .*99_none.ipynb.*names"):
        notebooks.course(["99_none"])


# The environment


@pytest.fixture
def venv(tmp_path, monkeypatch):
    """Point course.py to an empty project whose files define environments; return one to make."""
    for name in ("PYPROJECT", "CONSTRAINTS"):
        path = tmp_path / name
        path.write_text('requires-python = ">=3.11,<3.14"')
        monkeypatch.setattr(course, name, path)
    monkeypatch.setattr(course, "ROOT", tmp_path)
    return tmp_path / "venv"


def fake_run(commands, fail_at=""):
    def run(command, **_):
        commands.append([str(word) for word in command])
        if "venv" in command:
            python = course.python_of(Path(command[-1]))
            python.parent.mkdir(parents=True, exist_ok=True)
            python.touch()
        if fail_at and fail_at in command:
            raise subprocess.CalledProcessError(1, command)

    return run


def make(venv):
    course.make_environment(venv, "1 GB", "-e", ".[course]")


def test_the_environment_is_made_once_and_again_when_its_definition_changes(venv, monkeypatch):
    commands = []
    monkeypatch.setattr(subprocess, "run", fake_run(commands))
    assert not course.is_current(venv)
    make(venv)
    assert course.is_current(venv)
    assert "venv" in commands[0]
    assert commands[1][0] == str(course.python_of(venv))
    assert commands[1][-4:] == ["-c", str(course.CONSTRAINTS), "-e", ".[course]"]
    for path in (course.CONSTRAINTS, course.PYPROJECT):
        path.write_text(path.read_text() + "\n")
        assert not course.is_current(venv)
        make(venv)
        assert course.is_current(venv)
    assert len(commands) == 4  # a complete environment is updated, not made anew


def test_a_half_made_environment_is_not_current(venv, monkeypatch):
    monkeypatch.setattr(subprocess, "run", fake_run([]))
    make(venv)
    course.CONSTRAINTS.write_text("new")
    monkeypatch.setattr(subprocess, "run", fake_run([], fail_at="install"))
    with pytest.raises(subprocess.CalledProcessError):
        make(venv)
    assert course.python_of(venv).exists()
    assert not course.is_current(venv)
    commands = []
    monkeypatch.setattr(subprocess, "run", fake_run(commands))
    make(venv)
    assert "--clear" in commands[0]


@pytest.mark.parametrize("current", [(2, 7), (3, 10), (3, 14)])
def test_an_unsupported_python_is_told_what_to_do(venv, monkeypatch, current):
    monkeypatch.setattr(sys, "version_info", current)
    with pytest.raises(SystemExit, match=r"needs Python 3.11 to 3.13; .* make PYTHON=python3.12"):
        course.check_python()


def test_a_missing_venv_module_is_told_what_to_install(venv, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SystemExit, match=r"apt install python3.\d+-venv"):
        course.check_python()


def test_versions_that_differ_from_the_constraints_are_listed():
    pins = f"numpy=={version('numpy')}\nno-such-package==1\nscipy==0.1\npytest==0 ; os_name == 'x'"
    assert course.unpinned(pins) == [f"  scipy {version('scipy')} (constraints: ==0.1)"]


def test_outputs_are_compared_under_the_constraints_only(monkeypatch, capsys):
    calls = []
    monkeypatch.setattr(course, "run_module", lambda *arguments: calls.append(arguments) or 0)
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr(course, "unpinned", lambda _: [])
    course.test(["-k", "entropy"])
    assert "--nbval" in calls[0]
    assert calls[0][-2:] == ("-k", "entropy")
    monkeypatch.setattr(course, "unpinned", lambda _: ["  numpy 9"])
    course.test([])
    assert "--nbval-lax" in calls[1]
    assert "--nbval" not in calls[1]
    assert "Outputs are not compared" in capsys.readouterr().out
    monkeypatch.setenv("CI", "true")
    assert course.test([]) == 1
    assert len(calls) == 2


# The tests on the lowest versions


def test_the_lowest_versions_are_resolved_installed_and_run(venv, monkeypatch):
    commands, runs = [], []
    monkeypatch.setattr(subprocess, "run", fake_run(commands))
    monkeypatch.setattr(course, "LOWEST_VENV", venv.parent / "build" / "lowest")
    monkeypatch.setattr(course, "run", lambda *command: runs.append(command) or 0)
    monkeypatch.setattr(course, "isolated", nullcontext)
    assert course.test_lowest(["-k", "entropy"]) == 0
    _, resolution, tests = runs
    assert "lowest-direct" in resolution
    versions = resolution[-1]
    assert commands[-1][-4:] == ["-c", versions, "-e", ".[course,test]"]
    assert versions != str(course.CONSTRAINTS)
    assert tests[0] == course.python_of(course.LOWEST_VENV)
    assert tests[-2:] == ("-k", "entropy")
    assert "--nbval-lax" in tests
    course.test_lowest([])
    assert len(runs) == 4  # nothing is resolved a second time


# The tests on other backends


@pytest.fixture
def backends(monkeypatch):
    """Return what was run with which settings; tests fail on JAX."""
    runs = []

    def run(command, **_):
        settings = {name: os.environ[name] for name in ("KERAS_BACKEND", "KERAS_HOME")}
        runs.append((command[0], settings, command[1:]))
        failed = settings["KERAS_BACKEND"] == "jax"
        output = "....F\nassert 1 == 2\n1 failed\n" if failed else "....\n5 passed in 1 s\n"
        return subprocess.CompletedProcess(command, int(failed), output)

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(course, "is_current", lambda venv: True)
    return runs


def test_each_backend_runs_the_same_tests_in_its_environment(backends, capsys):
    assert course.test_backends(["-k", "value"]) == 1
    assert [settings["KERAS_BACKEND"] for _, settings, _ in backends] == list(course.BACKENDS)
    assert [python for python, _, _ in backends] == [
        course.python_of(venv) for venv in course.BACKENDS.values()
    ]
    commands = [command for _, _, command in backends]
    assert commands[0] == commands[1] == commands[2]
    assert commands[0][-3:] == ["tests/nn", "-k", "value"]
    assert not any(os.path.exists(settings["KERAS_HOME"]) for _, settings, _ in backends)
    printed = capsys.readouterr().out.splitlines()
    assert printed == [
        "tensorflow: 5 passed in 1 s",
        "jax: ....F",
        "assert 1 == 2",
        "1 failed",
        "torch: 5 passed in 1 s",
    ]


def test_the_environment_of_the_backends_is_made_once(backends, monkeypatch):
    made = []
    monkeypatch.setattr(course, "make_environment", lambda *arguments: made.append(arguments))
    course.test_backends([])
    assert made == []
    monkeypatch.setattr(course, "is_current", lambda venv: False)
    course.test_backends([])
    ((venv, _, *packages),) = made
    assert venv == course.BACKENDS["jax"] == course.BACKENDS["torch"] != course.VENV
    assert packages == ["keras", "-e", ".[backends,test]"]


# The files beside them


def test_environment_yml_is_in_step_with_pyproject():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    python, pip, section = environment["dependencies"]
    assert pip == "pip"
    assert python.removeprefix("python=") in SpecifierSet(project["requires-python"])
    constraints, course_itself = section["pip"]
    assert constraints == "-c constraints.txt"
    install = Requirement(course_itself.replace("-e .", project["name"]))
    assert {"course"} <= install.extras <= set(project["optional-dependencies"])


def test_make_offers_every_target():
    makefile = (ROOT / "Makefile").read_text().splitlines()
    (line,) = [line for line in makefile if line.startswith("TARGETS = ")]
    assert set(line.split()[2:]) == set(course.TARGETS)


def test_the_public_ci_runs_each_supported_python_and_targets_that_exist():
    text = (ROOT / ".github" / "workflows" / "test.yml").read_text()
    jobs = yaml.safe_load(text)["jobs"]
    pythons = jobs["test"]["strategy"]["matrix"]["python"]
    assert pythons == [f"3.{minor}" for minor in course.supported_python()]
    targets = re.findall(r"tools/course.py ([a-z-]+)", text)
    targets += jobs["beyond"]["strategy"]["matrix"]["target"]
    assert {"test", "course", "site", "test-lowest", "test-backends", "test-browser"} <= set(
        targets
    )
    assert set(targets) <= set(course.TARGETS)
    for job in jobs.values():
        caches = [step["with"]["cache"] for step in job["steps"] if "cache" in step.get("with", {})]
        assert all("github.event_name != 'schedule'" in cache for cache in caches)


def test_the_kernels_settings_stay_as_committed():
    files = [path.name for path in (ROOT / "tools" / "ipython").rglob("*") if path.is_file()]
    assert files == ["ipython_kernel_config.py"]


def test_constraints_hold_exact_versions_and_no_addresses():
    text = (ROOT / "constraints.txt").read_text()
    assert "://" not in text
    for pin in map(Requirement, text.splitlines()):
        assert [specifier.operator for specifier in pin.specifier] == ["=="], pin
