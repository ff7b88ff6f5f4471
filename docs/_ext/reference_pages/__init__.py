"""The generated part of docs/reference: pages that are written from the code when the site is built.

Each module has a function `page() -> str` that returns Markdown. Nothing here is kept in git: the parsers, the HTTP
routes, the registry of policies, the columns, the catalogue and the docstrings are what the pages say.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

from . import catalogue, column_tables, commands, http, policy_table, python_api, settings

PAGES: Mapping[str, Callable[[], str]] = {
    "commands": commands.page,
    "pipelines": commands.pipelines_page,
    "http": http.page,
    "policies": policy_table.page,
    "columns": column_tables.page,
    "gpus": catalogue.page,
    "python": python_api.page,
    "settings": settings.page,
}
"""File name in docs/reference, without its ending, and what writes it."""


def write_all(app: Sphinx) -> None:
    """Write every page that is not as it should be; Sphinx then reads only what changed."""
    folder = Path(app.srcdir) / "reference"
    for name, page in PAGES.items():
        path, text = folder / f"{name}.md", page()
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    """Write the pages before Sphinx looks for files."""
    app.connect("builder-inited", write_all, priority=1)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
