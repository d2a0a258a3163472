"""How Sphinx builds these pages: `make docs`."""

import importlib.util
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
import slide  # noqa: E402

project, author, copyright = "slide", "the slide developers", "the slide developers"
version = release = slide.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "numpydoc"]
exclude_patterns = ["_build"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = f"slide {release}"
html_static_path = ["_static"]
html_css_files = ["wide.css"]
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings say it
autosummary_generate = False
numpydoc_show_class_members = False  # autodoc lists them
autodoc_mock_imports = [name for name in ("torch", "sklearn") if importlib.util.find_spec(name) is None]
nitpicky = False
