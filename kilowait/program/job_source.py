"""The record of a job's source: its schema, content hash and JSON form."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Self

import msgspec

from kilowait.core.errors import SourceError
from kilowait.program import limits
from kilowait.program.source import content_hash, text_of

if TYPE_CHECKING:
    from kilowait.program.reach import Reached

SCHEMA = 1
"""Version of the schema: of the JSON form, of what belongs to a source, and of the text it is read as. Part of the
content hash, so that what was stored under an older version is never taken for the new one."""


@dataclass(frozen=True, kw_only=True)
class JobSource:
    """A script with arguments, or several files with an entrypoint and arguments.

    `files` maps relative POSIX paths to bytes that are UTF-8 text, `entrypoint` is one of them, `arguments` are what
    follows it on the command line, as words. `environment` are the variables it sees, None where one is secret, and
    `folder` is where it starts, relative to the files' root. Equal records have equal content hashes; the order of
    files, times and permissions count for nothing. Raises SourceError, naming the file or argument, above any of
    `limits`, for a path that is not relative and plain, and for what is no text.
    """

    files: Mapping[str, bytes]
    entrypoint: str
    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str | None] = field(default_factory=dict)
    folder: str = "."

    def __post_init__(self) -> None:
        check_paths(self.files)
        check_arguments(self.arguments)
        if self.folder != ".":
            check_path(self.folder)
        if self.entrypoint not in self.files:
            raise SourceError(f"entrypoint {self.entrypoint}: not among the files {', '.join(sorted(self.files))}")
        if len(self.files) > limits.MAX_FILES:
            raise SourceError(f"{self.entrypoint}: {len(self.files)} files of source; the limit is {limits.MAX_FILES}")
        total = sum(map(len, self.files.values()))
        if total > limits.MAX_TOTAL_BYTES:
            raise SourceError(
                f"{self.entrypoint}: {total:,} bytes in all files; the limit is {limits.MAX_TOTAL_BYTES:,}"
            )
        for path, data in self.files.items():
            text_of(path, data, max_bytes=limits.MAX_FILE_BYTES)
        if not self.files[self.entrypoint].decode("utf-8-sig").strip():
            raise SourceError(f"{self.entrypoint}: the file is empty; nothing to predict from")

    @classmethod
    def of(cls, reached: "Reached", entrypoint: str, arguments: Sequence[str]) -> Self:
        """The record of what the entrypoint reaches; it keeps `reached` and need not find it again; raises as that."""
        source = cls(files=reached.files, entrypoint=entrypoint, arguments=tuple(arguments))
        if not reached.data:  # where the data is not there, a name may mean another file
            vars(source)["reached"] = reached
        return source

    @cached_property
    def reached(self) -> "Reached":
        """Its files in the order in which the entrypoint reaches them, and the options that it declares."""
        from kilowait.program.reach import reach  # which knows what a record may hold from here
        from kilowait.program.tree import Tree

        return reach(Tree.of(self.files), self.entrypoint, self.arguments)

    def __getstate__(self) -> dict[str, Any]:
        """Without what follows from the rest: a record is sent between processes."""
        return {part.name: getattr(self, part.name) for part in fields(self)}

    @property
    def content_hash(self) -> str:
        """SHA-256 over schema, entrypoint, arguments and files; of one file without arguments that of its bytes.

        What is hashed otherwise begins with a NUL byte, which no file of a source has: the two never meet.
        """
        surroundings = [[dict(sorted(self.environment.items())), self.folder]] if self._surrounded else []
        if len(self.files) == 1 and not self.arguments and not surroundings:
            return content_hash(self.files[self.entrypoint])
        hashes = {path: content_hash(data) for path, data in self.files.items()}
        record = [SCHEMA, self.entrypoint, self.arguments, hashes, *surroundings]
        return content_hash(b"\0" + json.dumps(record, sort_keys=True).encode())

    @property
    def _surrounded(self) -> bool:
        """Whether anything was said about where it runs; nothing said leaves the hash that it always had."""
        return bool(self.environment) or self.folder != "."

    def within(self, environment: Mapping[str, str | None], folder: str = ".") -> Self:
        """The same program with these variables, started in this folder."""
        source = replace(self, environment=environment, folder=folder)
        if "reached" in vars(self):
            vars(source)["reached"] = self.reached
        return source

    def to_json(self) -> str:
        """The record as one JSON object: schema, entrypoint, arguments, files (path to text), content_hash.

        With environment and folder where they were given.
        """
        files = {path: data.decode() for path, data in sorted(self.files.items())}
        form = _Form(
            schema=SCHEMA,
            entrypoint=self.entrypoint,
            arguments=self.arguments,
            files=files,
            content_hash=self.content_hash,
            environment=dict(self.environment),
            folder=self.folder,
        )
        return msgspec.json.encode(form).decode()

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """The inverse of `to_json`; raises SourceError for another schema, a damaged record, or one above a limit."""
        try:
            form = msgspec.json.decode(text, type=_Form)
            files = {path: content.encode() for path, content in form.files.items()}
        except (msgspec.MsgspecError, UnicodeError) as error:
            raise SourceError(f"no job source as JSON: {error}") from error
        if form.schema != SCHEMA:
            raise SourceError(f"a job source of schema {form.schema}; this kilowait reads schema {SCHEMA}")
        source = cls(
            files=files,
            entrypoint=form.entrypoint,
            arguments=form.arguments,
            environment=form.environment,
            folder=form.folder,
        )
        if source.content_hash != form.content_hash:
            raise SourceError(f"content_hash {form.content_hash!r} is not that of the files: {source.content_hash}")
        return source


class _Form(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The JSON form."""

    schema: int
    entrypoint: str
    arguments: tuple[str, ...]
    files: dict[str, str]
    content_hash: str
    environment: dict[str, str | None] = {}
    folder: str = "."


def check_paths(paths: Iterable[str]) -> None:
    """Raises SourceError for the first path that is not relative and plain, or is a file and a folder at once."""
    distinct = set(paths)
    for path in distinct:
        check_path(path)
        folder = next((str(p) for p in PurePosixPath(path).parents if str(p) in distinct), None)
        if folder is not None:
            raise SourceError(f"{folder}: a file and the folder of {path}; rename one")


def check_path(path: str) -> None:
    """Raises SourceError unless `path` is relative, POSIX, normal, without control characters and short enough."""
    shown = path if path.isprintable() else repr(path)
    if len(path) > limits.MAX_PATH_CHARACTERS:
        raise SourceError(
            f"{shown[:60]}...: a path of {len(path)} characters; the limit is {limits.MAX_PATH_CHARACTERS}"
        )
    if ".." in path.split("/"):
        raise SourceError(f"{shown}: leads out of its folder (..); paths are relative to it and stay inside")
    if path.startswith("/") or path[1:2] == ":":
        raise SourceError(f"{shown}: an absolute path; paths are relative to the job's folder")
    if not path or path != str(PurePosixPath(path)) or path == "." or "\\" in path or not path.isprintable():
        raise SourceError(f"{path!r}: not a plain relative path with / between folders")
    longest = max(path.split("/"), key=lambda part: len(part.encode()))
    if (length := len(longest.encode())) > limits.MAX_PART_BYTES:
        raise SourceError(f"{longest[:60]}...: a name of {length} bytes, above {limits.MAX_PART_BYTES}; rename it")


def check_arguments(arguments: Iterable[str]) -> None:
    """Raises SourceError for too many or too long arguments, and for what no command line can carry."""
    arguments = tuple(arguments)
    if len(arguments) > limits.MAX_ARGUMENTS:
        raise SourceError(f"{len(arguments)} arguments; the limit is {limits.MAX_ARGUMENTS}")
    for number, argument in enumerate(arguments, start=1):
        if len(argument) > limits.MAX_ARGUMENT_CHARACTERS:
            raise SourceError(
                f"argument {number}: {len(argument):,} characters; the limit is {limits.MAX_ARGUMENT_CHARACTERS:,}"
            )
        if "\0" in argument or argument.encode(errors="replace").decode() != argument:  # NUL or a lone surrogate
            raise SourceError(f"argument {number} {argument!r}: no text that a command line can carry")
