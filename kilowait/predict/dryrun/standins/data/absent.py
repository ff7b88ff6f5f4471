"""Which files are data that may be stood in for, and how large they are taken to be.

A configuration, source code, or what the program itself would have written is not data: without it the job would stop.
"""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from kilowait.predict.dryrun.recorder import Recorder
from kilowait.predict.dryrun.standins import published_facts
from kilowait.predict.dryrun.standins.given_sizes import Given, given_for

TEXT = frozenset(
    [
        ".txt",
        ".text",
        ".csv",
        ".tsv",
        ".jsonl",
        ".ndjson",
        ".json",
        ".src",
        ".tgt",
        ".conll",
        ".tok",
        ".tokens",
        ".lst",
        ".raw",
    ]
)
TOKENS = frozenset([".bin", ".npy", ".npz", ".dat", ".idx", ".u16", ".memmap", ".mmap"])
IMAGES = frozenset([".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm"])
BINARY = frozenset(
    [
        ".pt",
        ".pth",
        ".ckpt",
        ".safetensors",
        ".pkl",
        ".pickle",
        ".h5",
        ".hdf5",
        ".parquet",
        ".arrow",
        ".feather",
        ".lmdb",
        ".tfrecord",
        ".mat",
        ".wav",
        ".flac",
        ".mp3",
        ".ogg",
        ".mp4",
        ".avi",
        ".gz",
        ".tgz",
        ".tar",
        ".zip",
        ".xz",
        ".bz2",
        ".zst",
        ".model",
        ".bpe",
    ]
)
DATA = TEXT | TOKENS | IMAGES | BINARY
_NOT_DATA = ("config", "requirements", "setup", "package", "settings", "params", "hparams", "args", "license", "readme")
_JSON_OF_DATA = ("data", "train", "val", "test", "dev", "annot", "caption", "instances", "sample", "dataset", "corpus")
DEFAULT_BYTES = 1_000_000
"""Of a text of which nothing is known."""
DEFAULT_TOKEN_BYTES = 20_000_000
DEFAULT_ROWS = 10_000
"""Of a table of which nothing is known."""
DEFAULT_IMAGES = 1_000
DEFAULT_IMAGE = (375, 500, 3)
"""Height, width and channels of an image of a set whose images vary, or of which nothing is known."""
DEFAULT_TEXT = 500
"""Letters of a text of which nothing is known."""


@dataclass(frozen=True)
class AbsentSize:
    """What a file is taken to hold: `facts` where the catalogue has them, `given` what the user said."""

    name: str
    facts: dict[str, Any] | None = None
    given: Given | None = None

    @property
    def is_known(self) -> bool:
        """Whether it is more than a default."""
        return self.facts is not None or self.given is not None


class Absent:
    """What is known of data that is not there, for one program whose files are in `folder`.

    `state_of` gives the tensors of a file of weights by their names, None where nothing is known of them.
    """

    def __init__(self, recorder: Recorder, folder: Path) -> None:
        self.recorder, self.folder = recorder, folder
        self.written: set[str] = set()
        self.extracted: set[str] = set()
        self.state_of: Callable[[Any], dict[str, Tensor] | None] = lambda _: None

    def size_of(self, path: Any) -> AbsentSize:
        """What a file that is not there is taken to be."""
        text = os.fspath(path)
        found = published_facts.data_file(str(text))
        given = given_for(self.recorder.assumed, text)
        return AbsentSize(self.shown(text), found[1] if found and given is None else None, given)

    def shown(self, path: Any) -> str:
        """A path as the user knows it."""
        text = str(os.fspath(path))
        for prefix in (f"{self.folder}/", "./"):
            text = text[len(prefix) :] if text.startswith(prefix) else text
        return text

    def is_data(self, path: Any) -> bool:
        """Whether a missing file of that name, asked for by the program, may be stood in for."""
        if not isinstance(path, (str, os.PathLike)) or isinstance(path, bytes):
            return False
        text = str(os.fspath(path))
        if text in self.written or _of_the_system(text):
            return False
        if given_for(self.recorder.assumed, text) is not None or published_facts.data_file(text) is not None:
            return True
        name, suffix = os.path.splitext(os.path.basename(text).lower())
        if suffix not in DATA or any(word in name for word in _NOT_DATA):
            return False
        return suffix != ".json" or any(word in text.lower() for word in _JSON_OF_DATA)

    def stands_in(self, path: Any) -> bool:
        """Whether a path is one of data, and nothing is there."""
        return isinstance(path, (str, os.PathLike)) and not os.path.lexists(path) and self.is_data(path)

    def is_known(self, path: Any) -> bool:
        """Whether the user or the catalogue says that it is there."""
        if not isinstance(path, (str, os.PathLike)):
            return False
        text = str(os.fspath(path))
        if _of_the_system(text) or text in self.written:
            return False
        return given_for(self.recorder.assumed, text) is not None or published_facts.data_file(text) is not None

    def make_folder_of(self, file: Any) -> None:
        """Make the folder that a file is written to, where it would be one of the program's: an empty one is not sent.

        An absolute one is none of them, nor is one outside the folder that the program starts in.
        """
        folder = os.path.dirname(file) if isinstance(file, (str, os.PathLike)) else ""
        text = os.fsdecode(folder)
        if not text or os.path.isabs(text) or ".." in text.split(os.sep) or os.path.lexists(text):
            return
        with suppress(OSError):
            os.makedirs(text)
            self.recorder.assume(f"the folder {text} is there, which the program writes to", "default")

    def said(self, size: AbsentSize, what: str) -> None:
        """Note how large a file was taken to be; a default makes the result a guess."""
        if size.given is not None:
            self.recorder.assume(f"{size.name} has {what} (given: {size.given.text})", "given")
        elif size.facts is not None:
            mark, how = published_facts.certainty(size.facts)
            self.recorder.assume(f"{size.name} has {what} ({mark})", how)
        else:
            self.default(f"{size.name} has {what}")

    def fitting(self, name: str) -> None:
        """Note that a checkpoint is taken to be the one that the program means: nothing in it was looked at."""
        self.recorder.assume(f"{name} is a checkpoint that fits what it is loaded into", "modelled")

    def default(self, line: str) -> None:
        """Nothing is known: the result is a guess, and says what to do."""
        self.recorder.assume(f"{line} (default; give it with --assume or --data)", "default")
        self.recorder.guess("sizes of data that is not there were assumed")


def _of_the_system(path: str) -> bool:
    return "-packages/" in path or path.startswith(
        ("/usr/", "/proc/", "/sys/", "/dev/", "/etc/", sys.prefix, sys.base_prefix)
    )


def fill_where_absent(
    made: Any, errors: tuple[type[BaseException], ...], fill: Callable[[Any, dict[str, Any]], None]
) -> None:
    """Let a class of data sets download nothing, and fill its object where one of `errors` says that files are absent.

    `fill` is given the object and all arguments of its constructor by name.
    """
    init = made.__init__
    signature = inspect.signature(init)

    def new_init(self: Any, *args: Any, **kwargs: Any) -> None:
        arguments = signature.bind(self, *args, **kwargs)
        if "download" in arguments.arguments:
            arguments.arguments["download"] = False
        try:
            init(*arguments.args, **arguments.kwargs)
        except errors:
            arguments.apply_defaults()
            fill(self, arguments.arguments)

    made.__init__ = new_init
