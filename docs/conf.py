"""How Sphinx builds the manual; ``scripts/docs`` runs it."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

# The compiled classes have no annotations that Sphinx can read.
os.environ.setdefault("FASTTRACE_IMPL", "python")

from fasttrace import __version__

project = "fasttrace"
author = "the fasttrace authors"
copyright = "2026, the fasttrace authors"  # noqa: A001 - Sphinx's name
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build", "reference"]

myst_heading_anchors = 3
# A short name in an annotation (`Rule`) may be that of several classes.
suppress_warnings = ["ref.python"]

nitpicky = True
nitpick_ignore_regex = [
    # What annotations name and the manual does not describe: typing's, other packages', and the core's inner types.
    (r"py:.*", r"(?!fasttrace).*"),
    (r"py:.*", r"fasttrace\._core\..*"),
    (r"py:.*", r"fasttrace\.\w+\.\w+\.\w+.*"),
]
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
python_use_unqualified_type_names = True

# Quotes in commands are to be copied as they are.
smartquotes = False

html_theme = "furo"
html_title = f"fasttrace {version}"
html_theme_options = {"navigation_with_keys": True}
html_static_path = ["_static"]
html_css_files = ["wide.css"]
html_copy_source = False
html_show_sourcelink = False


def _without_the_module(app: Sphinx, what: str, name: str, found: Any, options: Any, lines: list[str]) -> None:
    """The core's docstrings begin with the module that holds the class, which is nobody's business here."""
    if lines:
        lines[0] = re.sub(r"^Module ``\w+``\. ", "", lines[0])


def setup(app: Sphinx) -> None:
    """What Sphinx calls first."""
    app.connect("autodoc-process-docstring", _without_the_module)
