"""What a learner costs, as `make test-hub` measures it, and how many a server carries."""

import json
import shutil
from pathlib import Path

from pages import machine, with_section

from notebooks import KERAS_BUDGET

ROOT = Path(__file__).resolve().parents[2]
FOUND = ROOT / "build" / "hub.json"
PUBLISHED = ROOT / "docs" / "_static" / "hub.json"
PAGE = ROOT / "docs" / "server.md"
MARKS = ["<!-- results: make test-hub ARGS=--publish -->\n", "<!-- end of the results -->\n"]

GIGABYTES = (4, 8, 16, 32, 64)
RESERVE = 1000  # MB for the system, the hub and its proxy


def summarise(measured, learners, notebook, hub_bytes, environment):
    """Return what is published of a measurement: figures for one learner where that makes sense."""
    start, run = measured["start"], measured["run"]
    versions = {}
    for package in ("jupyterhub", "jupyterlab"):
        [info] = environment.glob(f"lib/python3.*/site-packages/{package}-*.dist-info")
        versions[package] = info.name.removesuffix(".dist-info").partition("-")[2]
    return {
        "machine": machine() | versions,
        "learners": learners,
        "notebook": notebook,
        "seconds": {step: round(found["seconds"], 1) for step, found in measured.items()},
        "processor seconds": {
            "start": round(start["used"] / learners, 1),
            "run": round((run["used"] - start["used"]) / learners, 1),
        },
        "megabytes": {
            "hub": round(hub_bytes / 1e6),
            "server": round(start["memory"] / learners / 1e6),
            "lesson": round(run["memory"] / learners / 1e6),
        },
    }


def section(found):
    """Return the tables of docs/server.md."""
    on, seconds, used, memory = (
        found[part] for part in ("machine", "seconds", "processor seconds", "megabytes")
    )
    per_learner = megabytes_per_learner(found)
    lines = [
        f"{found['learners']} learners at the same time, on {on['cores']} cores "
        f"({on['system']}, JupyterHub {on['jupyterhub']}, JupyterLab {on['jupyterlab']}):",
        "",
        "| step | seconds until the last was done | processor seconds per learner |",
        "| --- | --: | --: |",
        f"| log in | {seconds['log in']} | |",
        f"| start a server | {seconds['start']} | {used['start']} |",
        f"| run all of notebook {found['notebook'][:2]} | {seconds['run']} | {used['run']} |",
        "",
        "| memory | MB |",
        "| --- | --: |",
        f"| the hub and its proxy | {memory['hub']} |",
        f"| a learner's server | {memory['server']} |",
        f"| a learner's server, and the kernel of notebook {found['notebook'][:2]} "
        f"| {memory['lesson']} |",
        "",
        f"| memory of the machine | learners, NumPy lesson ({per_learner['NumPy']} MB each) "
        f"| learners, Keras lesson ({per_learner['Keras']} MB each) |",
        "| --: | --: | --: |",
    ]
    for size in GIGABYTES:
        row = [learners(1000 * size, per_learner[lesson]) for lesson in ("NumPy", "Keras")]
        lines.append(f"| {size} GB | {row[0]} | {row[1]} |")
    return "\n".join(lines) + "\n"


def megabytes_per_learner(found):
    """Return what a learner takes: with NumPy as measured, with Keras as budgeted."""
    memory = found["megabytes"]
    return {"NumPy": memory["lesson"], "Keras": memory["server"] + int(KERAS_BUDGET.megabytes)}


def learners(megabytes, per_learner):
    """Return how many learners a machine carries."""
    return int((megabytes - RESERVE) // per_learner)


def published(found):
    """Return the text of the page with the tables of a measurement."""
    return with_section(PAGE.read_text(encoding="utf-8"), MARKS, f"\n{section(found)}\n")


def publish():
    """Renew the page from the last measurement."""
    shutil.copy(FOUND, PUBLISHED)
    PAGE.write_text(published(json.loads(PUBLISHED.read_text())), encoding="utf-8")
