"""Images that are not there: black ones of the size that their set is taken to have."""

from __future__ import annotations

import os
import re
from functools import lru_cache
from importlib import import_module
from typing import Any

from kilowait.predict.dryrun.standins.data.absent import DEFAULT_IMAGE, IMAGES, Absent
from kilowait.predict.dryrun.standins.data.contents import BinaryFile
from kilowait.predict.dryrun.standins.data.folders import Folders
from kilowait.predict.dryrun.standins.data.like_rows import touch

_MASK = re.compile(r"(^|[/_.-])(masks?|seg\w*|annotations?|labels?)([/_.-]|$)", re.I)
"""Folders whose images say of each point what it belongs to: one number a point."""


@lru_cache(maxsize=16)
def black(height: int, width: int, channels: int) -> Any:
    """One black image, made once; not to be changed."""
    return import_module("PIL.Image").new({1: "L", 4: "RGBA"}.get(channels, "RGB"), (width, height))


def stand_in_images(module: Any, absent: Absent, folders: Folders) -> None:
    """`PIL.Image.open` of a file of images that is not there."""
    real = module.open

    def opened(file: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(file, BinaryFile):
            return _image(file.path, folders)
        if not (folders.is_file(file) or absent.stands_in(file)):
            return real(file, *args, **kwargs)
        return _image(str(os.fspath(file)), folders)

    module.open = opened


def _image(path: str, folders: Folders) -> Any:
    touch()
    is_image = os.path.splitext(path)[1].lower() in IMAGES
    height, width, channels = folders.set_of(path).size if is_image else DEFAULT_IMAGE
    return black(height, width, 1 if _MASK.search(os.path.dirname(path)) else channels).copy()


def stand_in_readers(module: Any, absent: Absent, folders: Folders) -> None:
    """`torchvision.io.read_image` and `cv2.imread` of a file that is not there."""
    for name in ("read_image", "decode_image", "imread"):
        real = getattr(module, name, None)
        if real is not None:
            setattr(module, name, _reading(real, name == "imread", absent, folders))


def stand_in_blobs(module: Any, absent: Absent, folders: Folders) -> None:
    """blobfile's listing and reading of images that are not there: it asks for folders first, and opens by itself."""
    real, real_file = module.Context.scandir, module.Context.BlobFile

    def scandir(self: Any, path: Any, *args: Any, **kwargs: Any) -> Any:
        text = str(path)
        if "://" in text or os.path.exists(text) or not folders.may_list(text):
            yield from real(self, path, *args, **kwargs)
            return
        for name in folders.listing(text):
            place = os.path.join(text, name)
            is_folder = folders.is_folder(place)
            yield module.DirEntry(name=name, path=place, is_dir=is_folder, is_file=not is_folder, stat=None)

    def opened(self: Any, path: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        stands_in = mode == "rb" and folders.is_file(path) and not os.path.lexists(path)
        return open(path, mode) if stands_in else real_file(self, path, mode, *args, **kwargs)

    module.Context.scandir, module.Context.BlobFile = scandir, opened


def _reading(real: Any, is_array: bool, absent: Absent, folders: Folders) -> Any:
    def read(path: Any, *args: Any, **kwargs: Any) -> Any:
        is_missing = isinstance(path, (str, os.PathLike)) and not os.path.lexists(path)
        if not is_missing or not (folders.is_file(path) or absent.is_data(path)):
            return real(path, *args, **kwargs)
        width, height = _image(str(os.fspath(path)), folders).size
        if is_array:
            import numpy as np

            return np.zeros((height, width, 3), np.uint8)
        import torch

        return torch.zeros((3, height, width), dtype=torch.uint8)

    return read
