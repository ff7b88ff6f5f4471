"""Folders of images that are not there: class folders or files, as many as the catalogue, the user or a default says.

An image is called `class_number.jpg`, so that programs which read the class from the name find as many as there are.
"""

from __future__ import annotations

import fnmatch
import os
import re
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from torch.utils.data import Dataset

from kilowait.predict.dryrun.standins import published_facts
from kilowait.predict.dryrun.standins.data.absent import DEFAULT_IMAGE, DEFAULT_IMAGES, IMAGES, Absent
from kilowait.predict.dryrun.standins.given_sizes import given_for

_DATA_FOLDER = re.compile(
    r"(^|[/_.-])(data|datas?ets?|imgs?|images?|photos?|pictures?|frames|masks?|labels|train\w*|val\w*|test\w*|dev|"
    r"samples|corpus|wavs?|clips|audio|videos?)([/_.-]|\d*$)",
    re.IGNORECASE,
)
_OWN = re.compile(
    r"(^|[/_.-])(out\w*|results?|logs?|runs?|checkpoints?|ckpts?|saved?\w*|models?|weights|cache)([/_.-]|$)", re.I
)
_OUTPUT = re.compile(r"(^|/)(out|outputs?|results?|logs?|runs?|checkpoints?)([_.-][^/]*)?/", re.I)
_WRITTEN = re.compile(
    r"--(\w+[_.-])?(out|output|log|logging|save|results?)([_-](dir|directory|folder|path|root))(=(.*))?", re.I
)
"""An option that names a folder which the program writes to."""
_SPLITS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


class ImageSet:
    """`count` images of `classes` classes, each of `size` (height, width, channels)."""

    def __init__(self, label: str, count: int, classes: int, size: tuple[int, ...]) -> None:
        self.label, self.count, self.classes, self.size = label, count, max(1, classes), size

    def class_names(self) -> list[str]:
        """The names of its classes, in the order of their labels."""
        return [f"class{number:04d}" for number in range(self.classes)]

    def names(self, count: int | None = None) -> list[str]:
        """The names of its files, all in one folder."""
        classes = self.class_names()
        count = self.count if count is None else count
        return [f"{classes[number % self.classes]}_{number + 1:06d}.jpg" for number in range(count)]


class Folders:
    """The image folders that one program asks for."""

    def __init__(self, absent: Absent) -> None:
        self.absent = absent
        self._sets: dict[tuple[str, str], ImageSet] = {}
        self._listed: dict[str, dict[str, str]] = {}

    def image_set(self, path: Any, split: str | None = None, *, default_classes: int = 10) -> ImageSet:
        """What a folder of images is taken to hold; says so."""
        text = str(os.fspath(path)).rstrip("/")
        split = split or _split(text)
        key = (text, split or "")
        if key not in self._sets:
            self._sets[key] = self._made(text, split, default_classes)
        return self._sets[key]

    def set_of(self, path: str) -> ImageSet:
        """The set that an image belongs to: that of its folder, or of the folder above."""
        folder = os.path.dirname(path)
        for known in (folder, os.path.dirname(folder)):
            found = [images for (root, _), images in self._sets.items() if root == known]
            if found:
                return found[0]
        return self.image_set(folder)

    def _made(self, text: str, split: str | None, default_classes: int) -> ImageSet:
        shown = self.absent.shown(text)
        given = given_for(self.absent.recorder.assumed, text, split)
        found = published_facts.image_folder(text) or self._named_by_the_program()
        if given is not None and given.rows:
            shape = given.shape or (1,)
            size = (shape[2], shape[3], shape[1]) if len(shape) == 4 else DEFAULT_IMAGE
            self.absent.recorder.assume(f"{shown} has {given.rows:,} images (given: {given.text})", "given")
            return ImageSet(shown, given.rows, default_classes, size)
        if found is not None:
            return self._known(shown, split, *found)
        self.absent.default(f"{shown} has {DEFAULT_IMAGES:,} images of {default_classes} classes, {DEFAULT_IMAGE[1]} x "
                            f"{DEFAULT_IMAGE[0]}")  # fmt: skip
        return ImageSet(shown, DEFAULT_IMAGES, default_classes, DEFAULT_IMAGE)

    def _named_by_the_program(self) -> tuple[str, dict[str, Any]] | None:
        """The data set that classes of data sets in the program are called after, where it is one alone."""
        own = f"{self.absent.folder}/"
        kinds = {
            value
            for module in list(sys.modules.values())
            if str(getattr(module, "__file__", None) or "").startswith(own)
            for value in list(vars(module).values())
            if isinstance(value, type) and issubclass(value, Dataset)
        }
        named = [published_facts.image_set_called(kind.__name__) for kind in kinds]
        found = {name[0]: name for name in named if name is not None}
        return next(iter(found.values())) if len(found) == 1 else None

    def _known(self, shown: str, split: str | None, name: str, facts: dict[str, Any]) -> ImageSet:
        count = rows_of_split(facts["rows"], split)
        size = tuple(facts.get("image", DEFAULT_IMAGE))
        which = f" {split}" if split else ""
        mark, how = published_facts.certainty(facts, split or "")
        taken = "" if "image" in facts and published_facts.certainty(facts, "image")[1] == how else "taken as "
        self.absent.recorder.assume(f"{name}{which} has {count:,} images, {taken}{size[1]} x {size[0]} ({mark})", how)
        return ImageSet(shown, count, facts.get("classes", 1), size)

    def is_folder(self, path: Any) -> bool:
        """Whether a folder that is not there is known to be one of data: absolute and of the catalogue, or listed."""
        text = str(path).rstrip("/")
        if text in self._listed or self._below(text) == "class" or self._was_extracted(text):
            return True
        known = published_facts.image_folder(text) is not None or published_facts.data_folder(text)
        return known and text.startswith("/") and not os.path.splitext(text)[1] and not _own(text)

    def _was_extracted(self, text: str) -> bool:
        """Whether a folder lies where an archive that stands in for another was taken out."""
        folder = os.path.abspath(text)
        in_one = any(folder.startswith(f"{root}/") for root in self.absent.extracted)
        return in_one and not os.path.splitext(text)[1] and not os.path.lexists(folder)

    def is_file(self, path: Any) -> bool:
        """Whether it was listed as a file."""
        return self._below(str(path)) == "file"

    def _below(self, text: str) -> str | None:
        parent, _, name = text.rpartition("/")
        return self._listed.get(parent, {}).get(name)

    def may_list(self, path: Any) -> bool:
        """Whether a missing or empty folder may be taken for one of images; a cache is none."""
        text = str(path).rstrip("/")
        if text in self._listed or self._below(text) == "class" or published_facts.image_folder(text) is not None:
            return True
        if text in written_by_arguments(sys.argv[1:]):
            return False
        is_hidden = any(part.startswith(".") and part.strip(".") for part in text.split("/"))
        return bool(_DATA_FOLDER.search(self.absent.shown(text))) and not _own(text) and not is_hidden

    def listing(self, path: Any) -> list[str]:
        """The names in a folder: class folders where it is a split of a set with classes, else images."""
        text = str(path).rstrip("/")
        if text not in self._listed:
            self._listed[text] = self._entries(text)
        return list(self._listed[text])

    def _entries(self, text: str) -> dict[str, str]:
        if self._below(text) == "class":
            images = self.image_set(text.rpartition("/")[0])
            each = max(1, images.count // images.classes)
            return dict.fromkeys((f"{text.rpartition('/')[2]}_{number:06d}.jpg" for number in range(each)), "file")
        images = self.image_set(text)
        if images.classes > 1 and _split(text) and published_facts.image_folder(text) is not None:
            return dict.fromkeys(images.class_names(), "class")
        return dict.fromkeys(images.names(), "file")

    def walk(self, root: Any) -> Iterator[tuple[str, list[str], list[str]]]:
        """As os.walk does."""
        names, top = self.listing(root), str(root).rstrip("/")
        folders = [name for name in names if self._listed[top][name] == "class"]
        yield str(root), folders, [name for name in names if self._listed[top][name] == "file"]
        for folder in folders:
            yield from self.walk(f"{top}/{folder}")

    def matching(self, folder: Any, pattern: str) -> list[str]:
        """The names in a folder that a pattern lets through; one name of any other kind of data that it asks for."""
        suffix = os.path.splitext(pattern)[1].lower()
        if suffix and suffix != ".*" and suffix not in IMAGES:
            return []
        names = self.listing(folder)
        stem = pattern[:-2] if pattern.endswith(".*") else None
        if stem and not any(sign in stem for sign in "*?["):
            return [f"{stem}.jpg"] if self._below(f"{str(folder).rstrip('/')}/{stem}.jpg") else []
        if suffix in IMAGES and suffix != ".jpg":
            pattern = pattern[: -len(suffix)] + ".jpg"
        return fnmatch.filter(names, pattern)


def written_by_arguments(words: Sequence[str]) -> set[str]:
    """Folders that arguments say are for outputs, as `--output_dir /tmp/test-mlm` does."""
    options = [_WRITTEN.fullmatch(word) for word in words]
    values = [option and (option[6] or following) for option, following in zip(options, [*words[1:], ""])]
    return {value.rstrip("/") for value in values if value}


def rows_of_split(rows: dict[str, int], split: str | None) -> int:
    """How many rows a split has; all of them where there is no such split."""
    if split in rows:
        return rows[str(split)]
    if split in ("val", "valid", "validation", "eval"):
        others = [rows[name] for name in ("val", "valid", "validation", "test") if name in rows]
        if others:
            return others[0]
    if split == "train" and "trainval" in rows:
        return rows["trainval"]
    return rows.get("all", sum(rows.values()))


def _split(path: str) -> str | None:
    parts = [_SPLITS.get(part.lower()) for part in path.split("/")[-2:]]
    return next((part for part in reversed(parts) if part is not None), None)


def _own(path: str) -> bool:
    """Whether a folder is one that programs write to, or lies in one of outputs."""
    return bool(_OWN.search(path.rpartition("/")[2]) or _OUTPUT.search(path))
