"""Which extra of the package brings a library that is not installed: `pip install 'kilowait[predict]'` and its like.

The base install has what the client's commands, `simulate` and reading a program need. Every library outside of it that
this package imports is a row here.
"""

from collections.abc import Sequence
from importlib.util import find_spec
from typing import NamedTuple

from kilowait.core.errors import MissingExtra


class Library(NamedTuple):
    """What people call a library, and the smallest extra that brings it."""

    title: str
    extra: str


LIBRARIES = {
    "gguf": Library("gguf", "predict"),
    "safetensors": Library("safetensors", "predict"),
    "tokenizers": Library("tokenizers", "predict"),
    "torch": Library("PyTorch", "predict"),
    "transformers": Library("transformers", "predict"),
    "cryptography": Library("cryptography", "serve"),
    "fastapi": Library("FastAPI", "serve"),
    "prometheus_client": Library("prometheus-client", "serve"),
    "pyarrow": Library("PyArrow", "serve"),
    "pydantic": Library("pydantic", "serve"),
    "ray": Library("Ray", "serve"),
    "sqlalchemy": Library("SQLAlchemy", "serve"),
    "starlette": Library("Starlette", "serve"),
    "detect_secrets": Library("detect-secrets", "lab"),
    "matplotlib": Library("Matplotlib", "lab"),
    "optuna": Library("Optuna", "lab"),
    "pandas": Library("pandas", "lab"),
    "rich": Library("Rich", "lab"),
    "sklearn": Library("scikit-learn", "lab"),
    "tqdm": Library("tqdm", "lab"),
    "mcp": Library("the MCP SDK", "mcp"),
    "psycopg": Library("psycopg", "postgres"),
    "pynvml": Library("nvidia-ml-py", "gpu"),
}
"""By the name that is imported."""


def require(command: str, modules: Sequence[str], extra: str) -> None:
    """Raise MissingExtra for the first of the top-level `modules` that is not installed; nothing is imported."""
    for module in modules:
        if find_spec(module) is None:
            raise lacking(command, module, extra)


def lacking(command: str, module: str, extra: str | None = None) -> MissingExtra:
    """The error of a `command` that lacks `module`; `extra` is the one that brings all the command needs."""
    library = LIBRARIES[module]
    return MissingExtra(f"{command} needs {library.title}: pip install 'kilowait[{extra or library.extra}]'")


def explained(error: ModuleNotFoundError, command: str, extra: str | None = None) -> MissingExtra:
    """The MissingExtra that `error` comes to; raises `error` itself where no extra brings what is missing."""
    module = (error.name or "").partition(".")[0]
    if module not in LIBRARIES or find_spec(module) is not None:
        raise error
    return lacking(command, module, extra)
