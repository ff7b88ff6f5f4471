"""How Sphinx builds the site: `make docs`. Nothing is fetched: no network, no web font, no script from elsewhere."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "_ext"), str(HERE.parent)]

import kilowait  # noqa: E402 - the checkout's, found by the line above

project = "kilowait"
author = "the kilowait authors"
copyright = "the kilowait authors, Apache-2.0"  # noqa: A001 - Sphinx's name for it
version = release = kilowait.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "reference_pages", "result_tables"]
exclude_patterns = ["_ext", "_build"]
source_suffix = {".md": "markdown"}

myst_enable_extensions = ["colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 3

nitpicky = True
# Types of other projects and of modules that are internal have no page here.
nitpick_ignore_regex = [(r"py:.*", r"(?!kilowait\.[A-Za-z_]+$).*")]
suppress_warnings = ["config.cache"]

autodoc_typehints = "signature"
autodoc_member_order = "bysource"

html_theme = "furo"
html_title = "kilowait"
html_static_path = []
html_show_sphinx = False
html_copy_source = False
