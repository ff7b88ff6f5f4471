"""What packages a job asks for, read from its requirements and checked: names, versions, markers and hashes alone.

Where packages are from is the operator's to say, and no code of a package runs while an environment is built. So
options, URLs, paths and editable projects are refused.
"""

import re
import subprocess
import tempfile
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

from kilowait.core.errors import InputError

from .uv_program import uv_environment, uv_program

PLAIN, PROJECT, LOCK = "requirements.txt", "pyproject.toml", "uv.lock"
READ_AS = (PLAIN, PROJECT, LOCK)
MOST_PACKAGES = 2000
MOST_CHARACTERS = 2000
"""Of a requirement without its hashes: reading one takes longer than its length grows."""
EXPORT_S = 60.0
HASH = "--hash="
HASHED = re.compile(r"--hash=[a-z0-9]+:[0-9a-fA-F]+")
PINNED = re.compile(r"={2,3}[^*,]+")


def asked_packages(files: Mapping[str, str]) -> tuple[str, ...]:
    """The requirements that `files` (text by name, of `READ_AS`) state, a line each, sorted: a lock before a project,
    a project before plain lines.

    Raises InputError for what is not only names, versions, markers and hashes, and where none of the files is there.
    """
    if LOCK in files:
        if PROJECT not in files:
            raise InputError(f"requirements: {LOCK} is there without its {PROJECT}; give both")
        lines = _exported(files[PROJECT], files[LOCK])
    elif PROJECT in files and PLAIN not in files:
        lines = _of_project(files[PROJECT])
    elif PLAIN in files:
        lines = files[PLAIN]
    else:
        raise InputError(f"requirements: give one of {', '.join(READ_AS)}")
    stated = set(_logical_lines(lines))
    if not 0 < len(stated) <= MOST_PACKAGES:
        raise InputError(f"requirements: {len(stated):,} packages; ask for 1 to {MOST_PACKAGES:,}")
    return tuple(sorted({_checked(line) for line in stated}))


def _logical_lines(text: str) -> Iterator[str]:
    """Requirements without comments; one that goes on behind a backslash is one."""
    for line in text.replace("\\\r\n", " ").replace("\\\n", " ").splitlines():
        bare = line.partition(" #")[0].strip()
        if bare and not bare.startswith("#"):
            yield bare


def _checked(line: str) -> str:
    words = line.split()
    hashes = sorted(word for word in words if word.startswith(HASH))
    rest = " ".join(word for word in words if not word.startswith(HASH))
    if rest.startswith("-"):
        whose = "and where packages are from is the operator's to say; leave it out"
        raise InputError(f"requirements: {line[:100]!r} is an option, {whose}")
    if len(rest) > MOST_CHARACTERS:
        raise InputError(f"requirements: {line[:100]!r} has {len(rest):,} characters; the limit is {MOST_CHARACTERS:,}")
    try:
        requirement = Requirement(rest)
    except (InvalidRequirement, RecursionError):
        raise InputError(f"requirements: {line[:100]!r} is no package of an index; write it as in torch>=2.6") from None
    if requirement.url is not None:
        raise InputError(f"requirements: {line[:100]!r} names a place; ask for the package by its version")
    _check_hashes(line, hashes, str(requirement.specifier))
    return " ".join([str(requirement), *hashes])


def _check_hashes(line: str, hashes: Sequence[str], version: str) -> None:
    """Raises InputError for hashes that uv would pass over: of any version, or none at all."""
    if hashes and not PINNED.fullmatch(version):
        raise InputError(f"requirements: {line[:100]!r} has hashes and no single version; write it as in torch==2.6.0")
    if bad := next((word for word in hashes if not HASHED.fullmatch(word)), None):
        raise InputError(f"requirements: {bad[:100]!r} is no hash; write it as in --hash=sha256:0123abcd")


def _of_project(text: str) -> str:
    """The dependencies that a project states; one whose build must be asked for them states none."""
    try:
        project = tomllib.loads(text).get("project", {})
    except (tomllib.TOMLDecodeError, AttributeError, RecursionError) as error:
        raise InputError(f"requirements: {PROJECT} cannot be read: {error}; correct it") from None
    dependencies = project.get("dependencies") if isinstance(project, dict) else None
    if not isinstance(dependencies, list) or not all(isinstance(one, str) for one in dependencies):
        raise InputError(f"requirements: {PROJECT} states no dependencies under [project]; list them there")
    return "\n".join(one.replace("\n", " ") for one in dependencies)


def _exported(project: str, lock: str) -> str:
    """What a lock holds, as requirements with hashes: by uv itself, which reads no network and builds nothing."""
    with tempfile.TemporaryDirectory(prefix="kilowait-lock-") as folder:
        for name, text in ((PROJECT, project), (LOCK, lock)):
            Path(folder, name).write_text(text)
        words = (
            "--frozen",
            "--offline",
            "--no-config",
            "--no-dev",
            "--no-emit-project",
            "--no-header",
            "--no-annotate",
        )
        command = [uv_program(), "export", "--quiet", *words, "--format=requirements-txt", "--no-python-downloads"]
        try:
            done = subprocess.run(
                command, cwd=folder, capture_output=True, text=True, timeout=EXPORT_S, check=False,
                env=uv_environment(Path(folder, "cache")),
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise InputError(f"requirements: {LOCK} was not read in {EXPORT_S:g} s; give {PLAIN}") from None
    if done.returncode:
        said = " ".join(done.stderr.split())[-300:]
        raise InputError(f"requirements: {LOCK} cannot be read: {said}; make it anew with: uv lock")
    return done.stdout
