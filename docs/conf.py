"""Sphinx configuration of the site: the notebooks as committed, nothing is executed."""

import json
import os
import re
import shutil
from pathlib import Path

from sphinx.errors import ConfigError
from sphinx.util import logging

DOCS = Path(__file__).resolve().parent
REPOSITORY = os.environ.get("COURSE_REPOSITORY")  # its public address, if it has one
PLACEHOLDER = "OWNER/NAME"  # stands for the repository in the pages
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
html_js_files = ["print.js"]
html_domain_indices = False  # a list of our two modules helps nobody
html_show_copyright = False
html_context = {"default_mode": "auto"}  # unset, the theme reports an error on the first visit
html_theme_options = {
    "footer_content_items": [],
    "max_navbar_depth": 1,  # the theme's buttons that unfold the rest have no names
    "navbar_persistent": [],  # the search field stands in the sidebar
    "show_toc_level": 2,
    "use_fullscreen_button": False,
}
if REPOSITORY:  # a link that leads nowhere is worse than none
    html_theme_options |= {
        "repository_url": REPOSITORY,
        "repository_branch": "main",
        "launch_buttons": {
            "notebook_interface": "jupyterlab",
            "binderhub_url": "https://mybinder.org",
            "colab_url": "https://colab.research.google.com",
        },
    }
    tags.add("launch")  # noqa: F821 (Sphinx puts `tags` here)


def setup(app):
    if REPOSITORY and not re.fullmatch(r"https://github\.com/[\w-]+/[\w.-]+(?<!\.git)", REPOSITORY):
        raise ConfigError(
            f"COURSE_REPOSITORY is {REPOSITORY!r}; expected https://github.com/{PLACEHOLDER}, "
            "without a slash or .git at its end"
        )
    if not MATHJAX.exists():
        raise ConfigError(f"{MATHJAX} is missing: run `python docs/fetch_assets.py` first")
    copy_notebooks()
    app.connect("source-read", adapt_notebook)
    app.connect("html-page-context", adapt_page)


def copy_notebooks():
    """Bring the notebooks under the source directory, where Sphinx looks for pages."""
    copies = DOCS / "notebooks"
    shutil.rmtree(copies, ignore_errors=True)
    shutil.copytree(
        DOCS.parent / "notebooks", copies, ignore=shutil.ignore_patterns(".ipynb_checkpoints")
    )


def adapt_notebook(app, docname, source):
    """Show widgets as pictures, and let the button above a solution say what it shows."""
    if app.env.doc2path(docname).suffix != ".ipynb":
        return
    notebook = json.loads(source[0])
    show_explorers_as_pictures(notebook, docname)
    for cell in notebook["cells"]:
        if "solution" in cell["metadata"].get("tags", []):
            prompts = {"code_prompt_show": "Show the solution"}
            prompts["code_prompt_hide"] = "Hide the solution"
            cell["metadata"].setdefault("mystnb", {}).update(prompts)
    source[0] = json.dumps(notebook)


def show_explorers_as_pictures(notebook, docname):
    """Replace widgets by the HTML that they hold: a slider does nothing without a kernel."""
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


def html_values(model_id, state):
    """Yield the values of the HTML widgets in the tree of widgets under one model."""
    model = state.get(model_id, {"model_name": None, "state": {}})
    if model["model_name"] == "HTMLModel":
        yield model["state"]["value"]
    for child in model["state"].get("children", []):
        yield from html_values(child.removeprefix("IPY_MODEL_"), state)


def adapt_page(app, pagename, templatename, context, doctree):
    """Name the repository, and let each fold be called by the text that it shows.

    MyST-NB labels all folds alike, and a screen reader reads the label instead of the text.
    """
    body = context.get("body", "")
    context["body"] = body.replace('<summary aria-label="Toggle hidden content">', "<summary>")
    if REPOSITORY:
        name = REPOSITORY.removeprefix("https://github.com/")
        context["body"] = context["body"].replace(PLACEHOLDER, name)
