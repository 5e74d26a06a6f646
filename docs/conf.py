"""Sphinx: `sphinx-build -W docs build/docs`. Code cells of pages are run; notebooks keep the outputs that they hold."""

import re
import shutil
from pathlib import Path
from typing import Any

import jaxlmm

HERE = Path(__file__).parent

project = "jaxlmm"
author = "The jaxlmm developers"
copyright = "2026, The jaxlmm developers"
version = release = jaxlmm.__version__

extensions = [
    "myst_nb",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx_copybutton",
    "sphinx_design",
]
exclude_patterns = ["_build", "**.ipynb_checkpoints"]
templates_path = ["_templates"]

html_theme = "furo"
html_title = "jaxlmm"
html_static_path = ["_static"]
html_css_files = ["wide.css"]
html_theme_options = {"navigation_with_keys": True}

myst_enable_extensions = ["colon_fence", "dollarmath", "amsmath", "deflist"]
myst_heading_anchors = 3
nb_execution_mode = "cache"
nb_execution_excludepatterns = ["notebooks/*"]
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_merge_streams = True

autosummary_generate = True
autodoc_typehints = "none"
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
numpydoc_xref_param_type = False
nitpicky = False

# Notebooks live with their jupytext pairs beside this folder; Sphinx reads what is below its own.
(HERE / "notebooks").mkdir(exist_ok=True)
for notebook in (HERE.parent / "notebooks").glob("*.ipynb"):
    shutil.copyfile(notebook, HERE / "notebooks" / notebook.name)


def _notebooks_beside(_app: object, _page: str, source: list[str]) -> None:
    """Pages link to `../notebooks`, where a reader of the repository finds them; Sphinx has copies in its own folder."""
    source[0] = re.sub(r"\]\(\.\./((?:\.\./)*notebooks/)", r"](\1", source[0])


def setup(app: Any) -> None:
    """What Sphinx calls."""
    app.connect("source-read", _notebooks_beside)
