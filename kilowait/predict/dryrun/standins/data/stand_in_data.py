"""Everything that stands in for data, switched on for the libraries that the program imports."""

from __future__ import annotations

from functools import partial
from typing import Any

from kilowait.predict.dryrun.standins.archives import stand_in_archives
from kilowait.predict.dryrun.standins.data.absent import Absent
from kilowait.predict.dryrun.standins.data.absent_arrays import stand_in_arrays
from kilowait.predict.dryrun.standins.data.absent_files import stand_in_files, stand_in_fsspec, stand_in_requests
from kilowait.predict.dryrun.standins.data.folders import Folders
from kilowait.predict.dryrun.standins.data.frames import stand_in_h5py, stand_in_pandas
from kilowait.predict.dryrun.standins.data.hub_sets import stand_in_hub_sets
from kilowait.predict.dryrun.standins.data.images import stand_in_blobs, stand_in_images, stand_in_readers
from kilowait.predict.dryrun.standins.data.like_rows import stand_in_fetching
from kilowait.predict.dryrun.standins.data.loaded import stand_in_checkpoints
from kilowait.predict.dryrun.standins.data.torchaudio_sets import stand_in_torchaudio
from kilowait.predict.dryrun.standins.data.torchvision_sets import stand_in_timm_folders, stand_in_torchvision
from kilowait.predict.dryrun.standins.hooks import ImportHooks


def stand_in_data(hooks: ImportHooks, absent: Absent) -> None:
    """Replace what reads data."""
    folders = Folders(absent)
    stand_in_files(absent, folders)
    stand_in_archives(absent)
    stand_in_arrays(absent)
    stand_in_checkpoints(absent)
    stand_in_fetching()
    both: dict[str, Any] = {
        "PIL.Image": stand_in_images,
        "torchvision.datasets": stand_in_torchvision,
        "torchvision.io": stand_in_readers,
        "cv2": stand_in_readers,
        "datasets": stand_in_hub_sets,
        "blobfile._context": stand_in_blobs,
    }
    for name, change in both.items():
        hooks.after(name, partial(_with_folders, change, absent, folders))
    hooks.after("timm.data.readers.reader_image_folder", lambda module: stand_in_timm_folders(module, folders))
    alone: dict[str, Any] = {
        "torchaudio.datasets": stand_in_torchaudio,
        "pandas": stand_in_pandas,
        "h5py": stand_in_h5py,
    }
    for name, change in alone.items():
        hooks.after(name, partial(_alone, change, absent))
    hooks.after("requests", lambda module: stand_in_requests(absent, module))
    hooks.after("fsspec.core", lambda module: stand_in_fsspec(absent, module))


def _with_folders(change: Any, absent: Absent, folders: Folders, module: Any) -> None:
    change(module, absent, folders)


def _alone(change: Any, absent: Absent, module: Any) -> None:
    change(module, absent)
