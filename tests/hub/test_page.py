"""docs/server.md and its settings, without running them: they agree with what was measured."""

import ast
import json
import re
import tomllib

import pytest
import yaml
from course import supported_python

from notebooks import KERAS_BUDGET

from . import hub, report

FOUND = json.loads(report.PUBLISHED.read_text())
TEXT = report.PAGE.read_text(encoding="utf-8")
SETTINGS = report.PAGE.with_suffix("")  # docs/server
TLJH = yaml.safe_load((SETTINGS / "tljh.yaml").read_text())
VALUES = yaml.safe_load((SETTINGS / "values.yaml").read_text())
DOCKERFILE = (SETTINGS / "Dockerfile").read_text()
GIBIBYTE = 2**30  # JupyterHub's G


def megabytes(amount):
    return float(amount.removesuffix("G")) * GIBIBYTE / 1e6


def test_the_tables_are_those_of_the_measurement():
    assert report.published(FOUND) == TEXT, "run make test-hub ARGS=--publish"


def test_the_text_names_the_numbers_of_the_formula():
    assert f"The reserve is {report.RESERVE} MB" in TEXT
    assert f"{KERAS_BUDGET.megabytes:g} MB, the budget of a Keras notebook" in TEXT
    assert FOUND["megabytes"]["hub"] < report.RESERVE / 2  # the system takes the rest


def test_a_summary_is_per_learner(tmp_path):
    for name in ("jupyterhub-6.1.1", "jupyterlab-4.6.6"):
        (tmp_path / f"lib/python3.11/site-packages/{name}.dist-info").mkdir(parents=True)
    measured = {
        "log in": {"seconds": 1.04, "used": 0, "memory": 0},
        "start": {"seconds": 20, "used": 12, "memory": 600e6},
        "run": {"seconds": 30, "used": 20, "memory": 1000e6},
    }
    found = report.summarise(measured, 4, "02_kl_divergence.ipynb", 170e6, tmp_path)
    assert found["machine"]["jupyterhub"] == "6.1.1"
    assert found["seconds"] == {"log in": 1.0, "start": 20, "run": 30}
    assert found["processor seconds"] == {"start": 3, "run": 2}
    assert found["megabytes"] == {"hub": 170, "server": 150, "lesson": 250}
    assert report.megabytes_per_learner(found)["NumPy"] == 250


@pytest.mark.parametrize(("memory", "carried"), [(1000, 0), (1999, 3), (2000, 4), (2249, 4)])
def test_formula(memory, carried):
    assert report.learners(memory, 250) == carried


def test_a_server_of_a_size_carries_as_many_as_the_table_says():
    each = report.megabytes_per_learner(FOUND)
    for size, *row in re.findall(r"^\| (\d+) GB \| (\d+) \| (\d+) \|$", TEXT, flags=re.M):
        for number, lesson in zip(map(int, row), ("NumPy", "Keras"), strict=True):
            assert number * each[lesson] + report.RESERVE <= int(size) * 1000
            assert (number + 1) * each[lesson] + report.RESERVE > int(size) * 1000
    assert each["Keras"] == FOUND["megabytes"]["server"] + KERAS_BUDGET.megabytes


def test_limits_leave_room_for_a_keras_lesson():
    need = report.megabytes_per_learner(FOUND)["Keras"]
    memory = VALUES["singleuser"]["memory"]
    assert need < megabytes(memory["guarantee"]) < megabytes(memory["limit"])
    assert TLJH["limits"]["memory"] == memory["limit"]
    assert megabytes(memory["limit"]) < need + KERAS_BUDGET.megabytes  # not for two
    assert f"The limit of {memory['limit']} per learner" in TEXT
    assert TLJH["limits"]["cpu"] == VALUES["singleuser"]["cpu"]["limit"]


def test_only_named_users_get_in_and_with_a_password():
    cluster = VALUES["hub"]["config"]
    assert cluster["JupyterHub"]["authenticator_class"].endswith("FirstUseAuthenticator")
    assert cluster["FirstUseAuthenticator"]["create_users"] is False
    assert cluster["Authenticator"]["allowed_users"] == TLJH["users"]["allowed"]
    assert cluster["Authenticator"]["admin_users"] == TLJH["users"]["admin"]
    assert VALUES["proxy"]["service"]["type"] == "ClusterIP"  # not open to the world
    assert not re.search(r"allow_all|dummy|LoadBalancer", json.dumps([TLJH, VALUES]), flags=re.I)


def test_the_plain_hub_listens_on_loopback_and_asks_for_passwords():
    values = settings(hub.CONFIG.read_text())
    assert values["JupyterHub.bind_url"].startswith("http://127.0.0.1:")
    assert values["JupyterHub.authenticator_class"] == "pam"
    assert values["Spawner.args"] == ["--KernelManager.transport=ipc"]
    assert f"c.Spawner.args = {json.dumps(values['Spawner.args'])}" in TEXT  # on the server, too
    groups = values["PAMAuthenticator.allowed_groups"]
    assert {f"groupadd {group}" for group in groups} <= set(TEXT.splitlines())


def test_the_proxy_is_the_one_that_is_tested():
    package = json.loads((hub.PROXY.parents[1] / "package.json").read_text())
    [(name, version)] = package["dependencies"].items()
    assert f"npm install --global {name}@{version}\n" in TEXT


def settings(config):
    """Return the settings of a configuration file that are literals."""
    found = {}
    for node in ast.parse(config).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Attribute):
            try:
                value = ast.literal_eval(node.value)
            except ValueError:
                continue
            found[ast.unparse(node.targets[0]).removeprefix("c.")] = value
    return found


def test_the_image_can_be_built_from_the_project():
    copied = [line.split()[1:-1] for line in re.findall(r"^COPY .*", DOCKERFILE, flags=re.M)]
    assert all((hub.ROOT / name).exists() for line in copied for name in line)
    project = tomllib.loads((hub.ROOT / "pyproject.toml").read_text())["project"]
    needed = {"constraints.txt", "pyproject.toml", "kl_course", "notebooks", project["readme"]}
    assert needed <= {name for line in copied for name in line}
    assert 'pip install --no-cache-dir -c constraints.txt ".[course]"' in DOCKERFILE
    assert int(re.search(r"^FROM python:3\.(\d+)", DOCKERFILE, flags=re.M)[1]) in supported_python()


def test_the_image_runs_as_the_user_whose_home_the_chart_mounts():
    user = re.findall(r"^USER (\w+)$", DOCKERFILE, flags=re.M)[-1]
    assert user == "jovyan"
    assert f"--uid 1000 --gid users {user}" in DOCKERFILE
    assert DOCKERFILE.index("USER") > DOCKERFILE.rindex("RUN")
    assert VALUES["singleuser"]["cmd"] in DOCKERFILE
    hook = " ".join(VALUES["singleuser"]["lifecycleHooks"]["postStart"]["exec"]["command"])
    workdir = re.search(r"^WORKDIR (.*)$", DOCKERFILE, flags=re.M)[1]
    assert f"cp -rn {workdir}/notebooks " in hook  # -n: never over a learner's work
