"""Sphinx configuration of the site: the notebooks as committed, nothing is executed."""

import json
import shutil
from pathlib import Path

from sphinx.errors import ConfigError
from sphinx.util import logging

DOCS = Path(__file__).resolve().parent
MATHJAX = DOCS / "node_modules" / "mathjax" / "es5" / "tex-svg-full.js"
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
WIDGET_STATE = "application/vnd.jupyter.widget-state+json"

project = "Entropy, KL divergence and neural networks"
language = "en"
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinxcontrib.bibtex",
]
exclude_patterns = ["node_modules"]

bibtex_bibfiles = ["references.bib"]
nb_execution_mode = "off"
# Of a table in HTML, for JupyterLab, and in Markdown, the latter: its links lead to pages.
nb_mime_priority_overrides = [("html", "text/markdown", 1)]
nb_output_stderr = "warn"
nb_code_prompt_show = "Show the code"
nb_code_prompt_hide = "Hide the code"
myst_enable_extensions = ["amsmath", "dollarmath"]
myst_heading_anchors = 3
# A complete local MathJax: the other bundles load rarer TeX commands one by one from a server.
mathjax_path = MATHJAX.name

html_theme = "sphinx_book_theme"
html_title = project
html_static_path = ["_static", str(MATHJAX)]
html_css_files = ["course.css"]
html_show_copyright = False
html_context = {"default_mode": "auto"}  # unset, the theme reports an error on the first visit
html_theme_options = {
    "footer_content_items": [],
    "navbar_persistent": [],  # the search field stands in the sidebar
    "show_toc_level": 2,
    "use_fullscreen_button": False,
}


def setup(app):
    if not MATHJAX.exists():
        raise ConfigError(f"{MATHJAX} is missing: run `python docs/fetch_assets.py` first")
    copy_notebooks()
    app.connect("source-read", show_explorers_as_pictures)


def copy_notebooks():
    """Bring the notebooks under the source directory, where Sphinx looks for pages."""
    copies = DOCS / "notebooks"
    shutil.rmtree(copies, ignore_errors=True)
    shutil.copytree(
        DOCS.parent / "notebooks", copies, ignore=shutil.ignore_patterns(".ipynb_checkpoints")
    )


def show_explorers_as_pictures(app, docname, source):
    """Replace widgets by the HTML that they hold: a slider does nothing without a kernel."""
    if app.env.doc2path(docname).suffix != ".ipynb":
        return
    notebook = json.loads(source[0])
    state = notebook["metadata"].pop("widgets", {}).get(WIDGET_STATE, {}).get("state", {})
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []):
            view = output.get("data", {}).get(WIDGET_VIEW)
            if view is None:
                continue
            html = "".join(html_values(view["model_id"], state))
            if not html:
                logging.getLogger(__name__).warning(
                    "the widget of cell %s holds no HTML that could be shown without a kernel",
                    cell["id"],
                    location=docname,
                )
            output["data"] = {"text/html": html}
    source[0] = json.dumps(notebook)


def html_values(model_id, state):
    """Yield the values of the HTML widgets in the tree of widgets under one model."""
    model = state.get(model_id, {"model_name": None, "state": {}})
    if model["model_name"] == "HTMLModel":
        yield model["state"]["value"]
    for child in model["state"].get("children", []):
        yield from html_values(child.removeprefix("IPY_MODEL_"), state)
