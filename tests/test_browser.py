"""The notebooks in JupyterLab, in a real Chromium (`make test-browser`).

CHROMIUM names the browser if it is not on the PATH. Screenshots: build/screenshots.
"""

import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time

import nbformat
import pytest
from playwright.sync_api import expect

from .browsing import NOTEBOOKS, ROOT, SCREENSHOTS, save_screenshots

pytestmark = pytest.mark.browser

CLAIMS = next(path for path in NOTEBOOKS if path.name.startswith("12_"))

# By notebook and exercise: a wrong answer, and words of the hint that it earns.
# The right answer is the notebook's own solution, whose name ends in `_solution`.
WRONG_ANSWERS = {
    "00_start_here": {"0.1": ("bits = lambda nats: nats * np.log(2)", "times ln 2")},
    "01_entropy": {
        "1.1": ("entropy_bits = lambda p: -np.sum(p[p > 0] * np.log(p[p > 0]))", "in nats")
    },
    "02_kl_divergence": {
        "2.1": ("kl_bits = lambda p, q: np.sum(np.log2(p / q))", "with equal weight")
    },
    "03_geometry_of_kl": {
        "3.2": ("kl_merged = lambda p, q, labels: kl_divergence(p, q)", "does not use the labels")
    },
    "04_gaussian_closed_forms": {
        "4.1": (
            "kl_normal = lambda m, s, n, t: np.log(t / s) + (s**2 + (m - n) ** 2) / (2 * t**2)",
            "even equal distributions differ",
        )
    },
    "05_estimating_and_projecting": {
        "5.2": (
            "k3_estimate = lambda log_p, log_q: np.mean(log_p - log_q)",
            "The control variate is missing",
        )
    },
    "11_kl_and_policies": {
        "11.1": (
            "best_policy_near = lambda reference, reward, beta: softmax(reward / beta)",
            "the reference plays no part",
        )
    },
    "06_kl_as_a_loss": {
        "6.1": (
            "gradient_by_logits = lambda p, z, t: p - np.exp(z / t) / np.exp(z / t).sum()",
            "opposite sign",
        )
    },
    "07_kl_regularization": {
        "7.2": (
            "smooth_labels = lambda labels, classes, eps: (1 - eps) * np.eye(classes)[labels]",
            "to nobody",
        )
    },
    "08_variational_inference": {
        "8.2": ("mean_field_variances = np.diag", "These minimise the KL of the posterior from Q")
    },
    "10_self_supervision": {
        "10.1": ("mean_teacher = lambda weights, decay: weights.mean(axis=0)", "the plain mean")
    },
    "09_distillation": {
        "9.1": ("soften = lambda p, temperature: p / temperature", "divides the probabilities"),
    },
    "12_claims_on_trial": {
        "12.1": (
            "fitted_kl = lambda x, y: abs(np.nansum(np.sort(x) * np.log(np.sort(x) / np.sort(y))))",
            "points of the samples as probabilities",
        )
    },
}


@pytest.fixture(scope="module")
def lab_url(tmp_path_factory):
    """Start a JupyterLab on loopback, with a copy of the notebooks and nobody's own settings."""
    home = tmp_path_factory.mktemp("jupyter")
    shutil.copytree(ROOT / "notebooks", home / "work" / "notebooks")
    write_settings(home / "config")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token = secrets.token_hex(16)
    command = [
        *(sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1", f"--port={port}"),
        *("--ServerApp.port_retries=0", f"--IdentityProvider.token={token}"),
        *(f"--ServerApp.root_dir={home / 'work'}", "--LabApp.expose_app_in_browser=True"),
        "--allow-root",
    ]
    private = {
        "JUPYTER_CONFIG_DIR": home / "config",
        "JUPYTER_DATA_DIR": home / "data",
        "JUPYTER_RUNTIME_DIR": home / "runtime",
        "IPYTHONDIR": home / "ipython",
    }
    environment = os.environ | {name: str(path) for name, path in private.items()}
    with (home / "log").open("w") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        wait_for_server(server, port, home / "log")
        yield f"http://127.0.0.1:{port}/lab/tree/notebooks/{{}}?token={token}&reset"
    finally:
        server.terminate()  # the server stops its kernels first
        try:
            server.wait(timeout=20)
        except subprocess.TimeoutExpired:
            server.kill()


def write_settings(config):
    settings = {
        # Render every cell, also those out of view.
        "notebook-extension/tracker": {"windowingMode": "none"},
        # Neither fetch news nor ask whether to.
        "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    }
    for name, values in settings.items():
        path = config / "lab" / "user-settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(values))


def wait_for_server(server, port, log, seconds=60):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and server.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.2)
        else:
            return
    pytest.fail(f"JupyterLab did not start:\n{log.read_text()}")


class OpenNotebook:
    """A notebook open in JupyterLab, driven through the application's own commands."""

    def __init__(self, page, path, url):
        self.page = page
        self.name = path.stem
        self.stored = nbformat.read(path, as_version=4)
        page.goto(url.format(path.name))
        page.wait_for_function(
            "() => window.jupyterapp?.shell.currentWidget?.context?.isReady", timeout=60_000
        )
        self.call("await panel.sessionContext.ready")

    def call(self, script, argument=None):
        """Run JavaScript that knows the application, the panel and its notebook."""
        names = "app = window.jupyterapp, panel = app.shell.currentWidget, notebook = panel.content"
        return self.page.evaluate(f"async argument => {{ const {names}; {script} }}", argument)

    def run_all(self):
        return self.call("return await app.commands.execute('notebook:run-all-cells')")

    def run_cell(self, index, source=None):
        """Run one cell, with a new source if given; return its outputs as one text."""
        self.call(
            """const [index, source] = argument;
            notebook.activeCellIndex = index;
            if (source !== null) notebook.activeCell.model.sharedModel.setSource(source);
            await app.commands.execute('notebook:run-cell')""",
            [index, source],
        )
        return json.dumps(self.cells()[index]["outputs"])

    def cells(self):
        return self.call("return notebook.model.toJSON().cells")

    def code_cells(self):
        return [cell for cell in self.cells() if cell["cell_type"] == "code"]

    def close(self):
        self.call("await panel.sessionContext.shutdown()")
        self.page.close()


@pytest.fixture(scope="module", params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request, new_page, lab_url):
    notebook = OpenNotebook(new_page(), request.param, lab_url)
    notebook.ran_clean = notebook.run_all()
    yield notebook
    notebook.close()


def test_all_cells_run(notebook):
    save_screenshots(notebook.page, ".jp-WindowedPanel-outer", notebook.name)
    outputs = [output for cell in notebook.code_cells() for output in cell["outputs"]]
    assert not [output for output in outputs if output["output_type"] == "error"]
    assert not [output for output in outputs if output.get("name") == "stderr"]
    assert notebook.ran_clean
    counts = [cell["execution_count"] for cell in notebook.code_cells()]
    assert counts == list(range(1, len(counts) + 1))


def test_sliders_move_their_picture(notebook):
    sliders = notebook.page.locator(".noUi-handle")
    models = widget_models(notebook.stored)
    expect(sliders).to_have_count(sum(m["model_name"].endswith("SliderModel") for m in models))
    for explorer in notebook.page.locator(".jp-OutputArea", has=sliders).all():
        picture = explorer.locator("img")
        for handle in explorer.locator(".noUi-handle").all():
            shown, said = picture.get_attribute("src"), picture.get_attribute("alt")
            assert shown.startswith("data:image/png;base64,")
            assert said
            for _ in range(5):
                handle.press("ArrowRight")
            expect(picture).not_to_have_attribute("src", shown)
            expect(picture).not_to_have_attribute("alt", said)


def test_exercise_answers(notebook):
    exercises = exercise_cells(notebook.cells())
    answers = WRONG_ANSWERS.get(notebook.name, {})
    assert bool(answers) == bool(exercises), "WRONG_ANSWERS needs one for each notebook"
    for exercise, (wrong, hint) in answers.items():
        stub, check, solution = exercises[exercise]
        notebook.run_cell(stub)
        assert "not attempted" in notebook.run_cell(check)
        notebook.run_cell(stub, wrong)
        report = notebook.run_cell(check)
        assert "failed" in report
        assert hint in report
        save_report(notebook, check, f"{exercise}-wrong")
        notebook.run_cell(stub, notebook.cells()[solution]["source"].replace("_solution", ""))
        assert "passed" in notebook.run_cell(check)
        save_report(notebook, check, f"{exercise}-right")


def widget_models(stored):
    saved = stored.metadata.get("widgets", {}).values()
    return [model for widgets in saved for model in widgets["state"].values()]


def exercise_cells(cells):
    """Return {exercise: [stub, check, solution]} as positions; the stub is tagged `exercise`."""
    found = {}
    stub = None
    for index, cell in enumerate(cells):
        if "exercise" in cell["metadata"].get("tags", []):
            stub = index
        elif cell["cell_type"] == "code":
            for exercise in re.findall(r"""\bcheck\(["']([\d.]+)["']""", cell["source"]):
                found.setdefault(exercise, [stub]).append(index)
    return found


def save_report(notebook, index, name):
    cell = notebook.page.locator(".jp-Notebook .jp-Cell").nth(index)
    cell.screenshot(path=SCREENSHOTS / f"{notebook.name}-exercise-{name}.png")


def test_table_of_claims_leads_to_cells(new_page, lab_url):
    """JupyterLab opens the notebook at its start; once it is open, a click leads to the cell."""
    notebook = OpenNotebook(new_page(), CLAIMS, lab_url)
    link = notebook.page.locator('.jp-OutputArea a[href*="02_kl"]').first
    target = link.get_attribute("href").rpartition("cell-id=")[2]
    table = notebook.call("return panel.id")
    wait = """() => {
        const panel = window.jupyterapp.shell.currentWidget;
        return panel.context?.path.includes('/02_') && panel.context.isReady;
    }"""
    for _ in range(2):
        notebook.call("app.shell.activateById(argument)", table)
        link.click()
        notebook.page.wait_for_function(wait, timeout=30_000)
    notebook.page.wait_for_function(
        """id => {
            const cells = window.jupyterapp.shell.currentWidget.content.widgets;
            const box = cells.find(cell => cell.model.id === id).node.getBoundingClientRect();
            return box.bottom > 0 && box.top < window.innerHeight;
        }""",
        arg=target,
        timeout=30_000,
    )
    notebook.close()
