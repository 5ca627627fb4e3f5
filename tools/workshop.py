"""Pack the course for a class: build/workshop/kl_course_workshop.zip.

It holds the learners' edition of the notebooks, the wheel of kl_course, what pip and conda need to
install it, and a handout. The same files give the same bytes, on one system with one setuptools.
"""

import argparse
import os
import re
import shutil
import tempfile
import zipfile
from pathlib import Path

import nbformat
from archives import build_one
from markdown_it import MarkdownIt
from nbconvert.preprocessors import ClearOutputPreprocessor, TagRemovePreprocessor

ROOT = Path(__file__).resolve().parents[1]
NAME = "kl_course_workshop"
TARGET = ROOT / "build" / "workshop" / f"{NAME}.zip"
FIRST_DAY = "315532800"  # 1 January 1980 in Unix time: no zip, and so no wheel, can be older

README = """\
Entropy, KL divergence and neural networks: the workshop

  handout.html      one page to read first, or to print
  notebooks         the lessons; begin with 00_start_here.ipynb
  LICENSE           what you may do with all this
  the other files   are for the installation

Install it once, with Python 3.11, 3.12 or 3.13. That takes a network, a few minutes and 3 GB on
disk; afterwards the course works offline. Open a terminal in this folder.

Linux and macOS:

  python3 -m venv .venv
  .venv/bin/pip install -r requirements.txt
  .venv/bin/jupyter lab notebooks/00_start_here.ipynb

Windows:

  python -m venv .venv
  .venv\\Scripts\\pip install -r requirements.txt
  .venv\\Scripts\\jupyter lab notebooks\\00_start_here.ipynb

With conda, on any of them:

  conda env create -f environment.yml
  conda activate kl_course
  jupyter lab notebooks/00_start_here.ipynb
"""

HANDOUT = """\
<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
@page {{ size: A4; margin: 14mm 16mm }}
body {{ font: 10pt/1.4 sans-serif; max-width: 178mm; margin: auto; padding: 1em; color: #111 }}
h1 {{ font-size: 15pt; margin: 0 0 6pt }}
h2 {{ font-size: 11.5pt; margin: 9pt 0 3pt }}
p, ul, ol, pre, table {{ margin: 3pt 0 }}
table {{ border-collapse: collapse }}
th, td {{ border: 1px solid #767676; padding: 1pt 5pt; text-align: left; vertical-align: top }}
code {{ font-size: 9pt }}
pre {{ background: #f2f2f2; padding: 4pt 6pt; white-space: pre-wrap }}
@media print {{ body {{ padding: 0 }} a {{ color: inherit }} }}
</style>
<main>
{body}</main>
</html>
"""


def learners_edition(notebook):
    """Return a notebook without its solutions and without any output.

    A lesson asks for a prediction before each experiment; a stored result would answer it.
    """
    notebook, _ = TagRemovePreprocessor(remove_cell_tags={"solution"}).preprocess(notebook, {})
    notebook, _ = ClearOutputPreprocessor().preprocess(notebook, {})
    notebook.metadata.pop("widgets", None)  # their state holds results, too
    return notebook


def build_wheel(folder):
    """Build the wheel of kl_course into a folder, offline; return its path.

    It is built from a copy, where no file of an earlier build can slip in, with the permissions
    and dates that make its bytes reproducible.
    """
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch)
        caches = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "kl_course", copy / "kl_course", ignore=caches)
        for name in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / name, copy)
        for path in copy.rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)
        dated = os.environ | {"SOURCE_DATE_EPOCH": FIRST_DAY}
        return build_one("wheel", copy, Path(folder), "*.whl", env=dated, umask=0o022)


def handout(text):
    """Return the handout, written in Markdown, as a page of HTML that needs nothing else."""
    title = re.search("^# (.+)$", text, flags=re.M)[1]
    body = MarkdownIt("commonmark").enable("table").render(text)
    return HANDOUT.format(title=title, body=body)


def contents():
    """Return what the zip holds: the bytes of each file by its name."""
    with tempfile.TemporaryDirectory() as folder:
        wheel = build_wheel(folder)
        files = {wheel.name: wheel.read_bytes()}
    environment = (ROOT / "environment.yml").read_text(encoding="utf-8")
    texts = {
        "README.txt": README,
        "environment.yml": environment.replace("-e .[course,test]", f"./{wheel.name}[course]"),
        "handout.html": handout((ROOT / "docs" / "handout.md").read_text(encoding="utf-8")),
        "requirements.txt": f"-c constraints.txt\n./{wheel.name}[course]\n",
    }
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        notebook = learners_edition(nbformat.read(path, as_version=4))
        texts[f"notebooks/{path.name}"] = nbformat.writes(notebook) + "\n"
    for name in ("LICENSE", "constraints.txt", "notebooks/claims.toml"):
        texts[name] = (ROOT / name).read_text(encoding="utf-8")
    return files | {name: text.encode() for name, text in texts.items()}


def pack(files, path):
    """Write a zip with one folder; the same files always give the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name in sorted(files):
            member = zipfile.ZipInfo(f"{NAME}/{name}")  # dated 1 January 1980
            member.create_system = 3  # Unix, on every system
            member.external_attr = 0o644 << 16
            archive.writestr(member, files[name], compress_type=zipfile.ZIP_DEFLATED)


def main():
    """Pack the course for a class."""
    argparse.ArgumentParser(prog="course.py workshop", description=main.__doc__).parse_args()
    pack(contents(), TARGET)
    print(f"{TARGET} ({TARGET.stat().st_size / 1e6:.1f} MB): hand it out, README.txt says the rest")


if __name__ == "__main__":
    main()
