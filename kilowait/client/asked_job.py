"""A file or a folder of this machine as a job that the service is asked for."""

import base64
import io
import zipfile
from pathlib import Path
from typing import Any

from kilowait.core.errors import InputError, SourceError
from kilowait.core.submission import BASH, check_environment
from kilowait.program.source import check_lines, read_source

SKIPPED = {"__pycache__", ".git", ".venv", "node_modules"}
"""Folders that are never sent with a job."""

BASH_SCRIPTS = (".sh", ".bash")
"""Endings of the names of what bash runs where no launcher is named."""


PROJECT_FILES = ("pyproject.toml", "uv.lock")


def job_of(path: Path | str, entrypoint: str | None = None, **fields: Any) -> dict[str, Any]:
    """A file, or a folder with its entrypoint, as the service takes a job; raises InputError and SourceError.

    Fields that are None are left out.
    """
    path = Path(path)
    check_environment(fields.get("environment") or {})
    given_fields = {name: value for name, value in fields.items() if value is not None}
    if (entrypoint or path.name).endswith(BASH_SCRIPTS):
        given_fields.setdefault("launcher", BASH)
    if not path.is_dir():
        if entrypoint is not None:
            raise InputError(f"--entrypoint {entrypoint}: {path} is one file; give the folder that holds the program")
        text = read_source(path).text
        check_lines(str(path), text)
        return {"source": text, "entrypoint": path.name, **given_fields}
    if entrypoint is None:
        raise InputError(f"{path} is a folder: say which of its files is run, with --entrypoint FILE")
    if not (path / entrypoint).is_file():
        raise InputError(f"--entrypoint {entrypoint}: no such file in {path}")
    return {"archive": base64.b64encode(_zipped(path)).decode(), "entrypoint": entrypoint, **given_fields}


def requirements_of(path: Path | str) -> dict[str, str]:
    """The texts of a file of requirements, by the names that the service knows: a lock with its project, a project with
    its lock where it has one; raises InputError for one that cannot be read."""
    path = Path(path)
    if path.suffix in (".yml", ".yaml"):
        remedy = "ask for one of the operator's by --software, or give requirements.txt"
        raise InputError(f"--requirements {path}: environments of conda are not built; {remedy}")
    names = PROJECT_FILES if path.name in PROJECT_FILES else (path.name,)
    found = [path.with_name(name) for name in names if name == path.name or path.with_name(name).exists()]
    try:
        texts = {file.name: file.read_text() for file in found}
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--requirements {path}: cannot be read ({error}); name a file of text") from None
    return texts if path.name in PROJECT_FILES else {"requirements.txt": texts[path.name]}


def _zipped(folder: Path) -> bytes:
    """The files of a folder as a zip, hidden ones and caches left out; raises SourceError for one that is no text."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as packed:
        for file in sorted(folder.rglob("*")):
            name = file.relative_to(folder)
            if not file.is_file() or any(part in SKIPPED or part.startswith(".") for part in name.parts):
                continue
            try:
                packed.writestr(name.as_posix(), file.read_bytes().decode())
            except (OSError, UnicodeDecodeError) as error:
                raise SourceError(f"{file}: only UTF-8 text is sent with a job ({error}); move it elsewhere") from error
    return buffer.getvalue()
