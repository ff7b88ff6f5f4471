"""torchvision's data sets where their files are not there: as many rows of the right shape, and labels in turn."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

import torch

from kilowait.predict.dryrun.standins import published_facts
from kilowait.predict.dryrun.standins.data.absent import DEFAULT_IMAGE, Absent, fill_where_absent
from kilowait.predict.dryrun.standins.data.absent_arrays import zeros
from kilowait.predict.dryrun.standins.data.folders import Folders, rows_of_split
from kilowait.predict.dryrun.standins.data.images import black
from kilowait.predict.dryrun.standins.data.like_rows import touch
from kilowait.predict.dryrun.standins.given_sizes import given_for

_SET = "_kilowait_set"
_ABSENT = (RuntimeError, OSError, ValueError, EOFError, ImportError)
_MASKS = ("VOCSegmentation", "Cityscapes", "SBDataset")
_OBJECTS = 7
"""Annotated objects in an image of COCO: 7.3 on average (Lin et al. 2014)."""


def stand_in_torchvision(module: Any, absent: Absent, folders: Folders) -> None:
    """Replace the constructors of the classes in `torchvision.datasets`, and what lists image folders."""
    for name in dir(module):
        made = getattr(module, name)
        facts = published_facts.image_set(name)
        if isinstance(made, type) and facts is not None:
            _stand_in_class(made, name, facts, absent)
    _stand_in_folders(module.folder, folders)


def _stand_in_class(made: Any, name: str, facts: dict[str, Any], absent: Absent) -> None:
    item, length = made.__getitem__, made.__len__
    fill_where_absent(made, _ABSENT, lambda data, arguments: _fill(data, name, facts, arguments, absent))
    made.__getitem__ = lambda self, index: _row(self, index) if _SET in vars(self) else item(self, index)
    made.__len__ = lambda self: vars(self)[_SET].rows if _SET in vars(self) else length(self)


class _Rows:
    """What a data set that is not there holds."""

    def __init__(self, name: str, rows: int, classes: int | None, size: tuple[int, ...]) -> None:
        self.name, self.rows, self.classes, self.size = name, rows, classes, size


def _fill(data: Any, name: str, facts: dict[str, Any], arguments: dict[str, Any], absent: Absent) -> None:
    split = _split_of(arguments)
    given = given_for(absent.recorder.assumed, arguments.get("root"), f"{name}/{split}", name, split)
    rows, classes = _rows(facts, arguments, split)
    size = tuple(facts.get("image", DEFAULT_IMAGE))
    if given is not None and given.rows:
        rows = given.rows
        absent.recorder.assume(f"{name} {split} has {rows:,} images (given: {given.text})", "given")
    else:
        mark, how = published_facts.certainty(facts, split, str(arguments.get("split")))
        is_sized = "image" in facts and published_facts.certainty(facts, "image")[1] == how
        varying = "" if is_sized else f", taken as {size[1]} x {size[0]}"
        absent.recorder.assume(f"{name} {split} has {rows:,} images{varying} ({mark})", how)
    absent.recorder.labels[rows] = int(facts.get("classes") or 1)
    vars(data)[_SET] = _Rows(name, rows, classes, size)
    _attributes(data, vars(data)[_SET], arguments)


def _split_of(arguments: dict[str, Any]) -> str:
    if isinstance(arguments.get("train"), bool):
        return "train" if arguments["train"] else "test"
    for name in ("split", "image_set", "subset", "classes", "version", "mode"):
        value = arguments.get(name)
        if isinstance(value, str):
            return value
        if isinstance(value, (list, tuple)):
            return " ".join(map(str, value))
    if "background" in arguments:
        return "background" if arguments["background"] else "evaluation"
    return next(
        (part for part in os.fspath(arguments.get("root") or "").split("/")[::-1] if part[-4:].isdigit()), "all"
    )


def _rows(facts: dict[str, Any], arguments: dict[str, Any], split: str) -> tuple[int, int | None]:
    by_split = facts.get("by_split", {}).get(arguments.get("split"))
    if by_split is not None:
        return by_split[0 if arguments.get("train", True) else 1], by_split[2]
    counts, parts = facts["rows"], split.split(" ")
    if len(parts) > 1 or parts[0] in counts:
        return sum(counts.get(part, 0) for part in parts), facts.get("classes")
    return rows_of_split(counts, split), facts.get("classes")


def _attributes(data: Any, rows: _Rows, arguments: dict[str, Any]) -> None:
    """What programs read of a data set beside its rows."""
    standard = import_module("torchvision.datasets.vision").StandardTransform
    data.root = arguments.get("root")
    data.transform, data.target_transform = arguments.get("transform"), arguments.get("target_transform")
    data.transforms = arguments.get("transforms")
    if data.transform is not None or data.target_transform is not None:
        data.transforms = standard(data.transform, data.target_transform)
    classes = rows.classes or 1
    labels = (list(range(classes)) * (rows.rows // classes + 1))[: rows.rows]
    names = [f"class{number:04d}" for number in range(classes)]
    data.train = arguments.get("train", True)
    made = {
        "classes": names, "class_to_idx": {name: number for number, name in enumerate(names)},
        "split": _split_of(arguments),
        "targets": labels, "labels": labels, "data": _numbers(rows), "samples": [("image.jpg", 0)] * rows.rows,
        "imgs": [("image.jpg", 0)] * rows.rows, "ids": range(rows.rows), "images": ["image.jpg"] * rows.rows,
    }  # fmt: skip
    if "MNIST" in rows.name:
        made["targets"] = torch.zeros(rows.rows, dtype=torch.long)
    for name, value in made.items():
        if not isinstance(getattr(type(data), name, None), property):
            setattr(data, name, value)


def _numbers(rows: _Rows) -> Any:
    """All images as numbers, in the layout that the class has them in."""
    height, width, channels = rows.size
    if "MNIST" in rows.name:
        return torch.zeros((rows.rows, height, width), dtype=torch.uint8)
    if rows.name in ("SVHN", "STL10"):
        return zeros((rows.rows, channels, height, width), "uint8")
    return zeros((rows.rows, height, width, channels) if channels > 1 else (rows.rows, height, width), "uint8")


def _row(data: Any, index: Any) -> Any:
    rows: _Rows = vars(data)[_SET]
    if int(index) >= rows.rows or int(index) < -rows.rows:
        raise IndexError(index)
    touch()
    image, target = black(*rows.size).copy(), _target(rows, int(index))
    return (image, target) if data.transforms is None else data.transforms(image, target)


def _target(rows: _Rows, index: int) -> Any:
    height, width, _ = rows.size
    if rows.name in _MASKS:
        return black(height, width, 1).copy()
    if rows.name == "CelebA":
        return torch.zeros(40, dtype=torch.long)
    if rows.name == "CocoDetection":
        box = {"bbox": [0, 0, 50, 50], "category_id": 1, "area": 2500, "iscrowd": 0, "segmentation": []}
        return [{**box, "image_id": index, "id": number} for number in range(_OBJECTS)]  # fmt: skip
    if rows.name in ("CocoCaptions", "Flickr8k", "Flickr30k"):
        return ["a photograph of a dog that runs over a meadow"] * 5
    return index % (rows.classes or 1)


def _stand_in_folders(module: Any, folders: Folders) -> None:
    """`ImageFolder` and what derives from it: classes and samples of a folder that is not there."""
    find_classes, make_dataset = module.find_classes, module.make_dataset

    def is_absent(folder: Any) -> bool:
        try:
            return not any(entry.is_dir() for entry in os.scandir(folder)) and folders.may_list(folder)
        except OSError:
            return True

    def classes_of(directory: Any) -> Any:
        if os.path.lexists(directory) and not is_absent(directory):
            return find_classes(directory)
        names = folders.image_set(directory).class_names()
        return names, {name: number for number, name in enumerate(names)}

    def samples_of(directory: Any, class_to_idx: Any = None, *args: Any, **kwargs: Any) -> Any:
        if os.path.lexists(directory) and not is_absent(directory):
            return make_dataset(directory, class_to_idx, *args, **kwargs)
        return samples(folders, directory)

    module.find_classes, module.make_dataset = classes_of, samples_of


def samples(folders: Folders, directory: Any) -> list[tuple[str, int]]:
    """The path and the label of every image of a folder that is not there; of a class they share one name."""
    images, root = folders.image_set(directory), str(directory).rstrip("/")
    one_each = [(f"{root}/{name}/{name}_000001.jpg", number) for number, name in enumerate(images.class_names())]
    return (one_each * (images.count // images.classes + 1))[: images.count]


def stand_in_timm_folders(module: Any, folders: Folders) -> None:
    """timm's reader of image folders."""
    find = module.find_images_and_targets

    def found(folder: Any, *args: Any, **kwargs: Any) -> Any:
        if os.path.lexists(folder):
            return find(folder, *args, **kwargs)
        names = folders.image_set(folder).class_names()
        return samples(folders, folder), {name: number for number, name in enumerate(names)}

    module.find_images_and_targets = found
