"""Which programs are run here: Python files. What another interpreter is for is refused before it holds a GPU."""

import json
from pathlib import PurePosixPath

from kilowait.core.errors import SourceError

SHELL = (".sh", ".bash", ".zsh", ".ksh", ".csh", ".fish")
NOTEBOOK = ".ipynb"
MARK = "\ufeff"
"""A byte order mark, which Python reads over."""


def check_runnable(name: str, text: str) -> None:
    """Raises SourceError for a shell script, a notebook, or what its first line gives to another interpreter."""
    suffix, text = PurePosixPath(name).suffix.lower(), text.removeprefix(MARK)
    if suffix == NOTEBOOK or _is_notebook(text):
        raise SourceError(
            f"{name}: a notebook, which is not run as a job; make a Python file of it: jupyter nbconvert --to script"
        )
    first_line = text.split("\n", 1)[0]
    if suffix in SHELL or (first_line.startswith("#!") and "python" not in first_line):
        raise SourceError(
            f"{name}: a script for a shell, and jobs are Python; submit the file that it starts, with its arguments"
        )


def _is_notebook(text: str) -> bool:
    if not text.lstrip().startswith("{"):
        return False
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(document, dict) and {"cells", "nbformat"} <= document.keys()
