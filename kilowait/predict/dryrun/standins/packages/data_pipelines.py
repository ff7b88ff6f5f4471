"""NVIDIA DALI where it is missing: it can be imported and derived from, as programs do that may load data otherwise.

Not covered: what its pipelines would give. A program that builds one ends there, with the package's name.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from kilowait.predict.dryrun.standins.hooks import ImportHooks
from kilowait.predict.dryrun.standins.packages.inert import InertModule

PARENT, NAME = "nvidia", "nvidia.dali"
_BUILT = ("Pipeline", "DALIClassificationIterator", "DALIGenericIterator", "DALIServer")


def stand_in_pipelines(hooks: ImportHooks) -> None:
    """Let the program import the package; libraries that ask whether it is there are told the truth."""
    hooks.instead(PARENT, _module)
    hooks.only_for_the_program(PARENT)


def _module(name: str) -> ModuleType:
    if name == PARENT:
        parent = ModuleType(name)
        parent.__path__ = []
        return parent
    if name != NAME and not name.startswith(f"{NAME}."):
        raise _missing(name)
    module = InertModule(name)
    module.__dict__.update({built: type(built, (_Pipeline,), {}) for built in _BUILT}, pipeline_def=_pipeline_def)
    return module


class _Pipeline:
    """What would load data."""

    def __init__(self, *_: Any, **__: Any) -> None:
        raise _missing(NAME)


def _pipeline_def(*_: Any, **__: Any) -> Any:
    """A decorator of functions that build pipelines, with options or without."""
    return lambda *_, **__: _Pipeline()


def _missing(name: str) -> ModuleNotFoundError:
    return ModuleNotFoundError(f"No module named {name!r}", name=name)
