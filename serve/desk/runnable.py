"""Which programs are run here: Python files, and scripts of bash where that is asked for.

What another interpreter is for is refused before it holds a GPU.
"""

import json
from pathlib import PurePosixPath

from kilowait.core.errors import SourceError
from kilowait.core.submission import BASH, PYTHON, Launcher
from kilowait.program.launch.followed import is_script

SHELL = (".sh", ".bash", ".zsh", ".ksh", ".csh", ".fish")
NOTEBOOK = ".ipynb"
MARK = "\ufeff"
"""A byte order mark, which Python reads over."""


def check_runnable(name: str, text: str, launcher: Launcher = PYTHON) -> None:
    """Raises SourceError for a shell script, a notebook, or what its first line gives to another interpreter.

    With the launcher bash, for what is none of its scripts.
    """
    suffix, text = PurePosixPath(name).suffix.lower(), text.removeprefix(MARK)
    if suffix == NOTEBOOK or _is_notebook(text):
        raise SourceError(
            f"{name}: a notebook, which is not run as a job; make a Python file of it: jupyter nbconvert --to script"
        )
    first_line = text.split("\n", 1)[0]
    if launcher == BASH:
        if not is_script(name, text):
            raise SourceError(f"{name}: no script for a shell, by its name or first line; give no launcher for Python")
        return
    if suffix in SHELL or (first_line.startswith("#!") and "python" not in first_line):
        raise SourceError(
            f"{name}: a script for a shell, and jobs are Python; submit the file that it starts, with its arguments, "
            "or let bash run it (launcher bash)"
        )


def _is_notebook(text: str) -> bool:
    if not text.lstrip().startswith("{"):
        return False
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(document, dict) and {"cells", "nbformat"} <= document.keys()
