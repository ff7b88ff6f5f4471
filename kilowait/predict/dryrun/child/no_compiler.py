"""A stand-in for PyTorch's compiler, which fake tensors load for a flag or two: half a second of a core.

Nothing is compiled in a dry run. What fake tensors and optimizers ask of `torch._dynamo` is answered here; anything
else that is asked of it, or imported from it, loads the real one in its place.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec, spec_from_file_location
from types import ModuleType
from typing import Any, Callable

import torch

COMPILER = "torch._dynamo"
OLDEST = (2, 5)
"""PyTorch before that is left alone: its compiler's settings need the rest of it."""


def leave_compiler_out() -> None:
    """Put the stand-in in place, unless the compiler is loaded already or is not laid out as expected."""
    file = os.path.join(os.path.dirname(torch.__file__), "_dynamo", "config.py")
    version = tuple(int(part) for part in torch.__version__.split(".")[:2])
    if COMPILER in sys.modules or version < OLDEST or not os.path.isfile(file):
        return
    compiler = _Compiler(COMPILER, os.path.dirname(file))
    sys.modules[COMPILER] = torch._dynamo = compiler
    spec = spec_from_file_location(f"{COMPILER}.config", file)
    assert spec is not None
    assert spec.loader is not None
    compiler.config = sys.modules[spec.name] = module_from_spec(spec)
    spec.loader.exec_module(compiler.config)
    compiler.source = sys.modules[f"{COMPILER}.source"] = _Sources(f"{COMPILER}.source")
    sys.meta_path.insert(0, _RealCompiler())


class _Compiler(ModuleType):
    """The package, of which nothing is loaded but its settings."""

    config: ModuleType
    source: ModuleType

    def __init__(self, name: str, folder: str) -> None:
        super().__init__(name)
        self.__path__ = [folder]
        self.__file__ = os.path.join(folder, "__init__.py")

    @staticmethod
    def disable(function: Any = None, recursive: bool = True, *, reason: Any = None, wrapping: bool = True) -> Any:
        """A function that is not to be compiled, as it is: none is."""
        return (lambda decorated: decorated) if function is None else function

    @staticmethod
    def graph_break(msg: str = "") -> None:
        """Where compiled code would be left."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(_load(), name)


class _Sources(ModuleType):
    """Where sizes that are symbols come from: a dry run has none, and PyTorch makes these without looking at them."""

    def __getattr__(self, name: str) -> Callable[..., object]:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *_, **__: None


class _RealCompiler:
    """Loads the real package before the first of its modules is imported."""

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: Any = None) -> ModuleSpec | None:
        if not name.startswith(f"{COMPILER}."):
            return None
        _load()
        return ModuleSpec(name, _Loaded(sys.modules[name])) if name in sys.modules else None  # type: ignore[arg-type]


class _Loaded:
    """Gives a module that is there already to whoever imports it."""

    def __init__(self, module: ModuleType) -> None:
        self.module, self.spec = module, module.__spec__

    def create_module(self, _: ModuleSpec) -> ModuleType:
        return self.module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self.spec


def _load() -> ModuleType:
    """The real package, which is there from now on."""
    if isinstance(sys.modules.get(COMPILER), _Compiler):
        sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, _RealCompiler)]
        for name in (COMPILER, f"{COMPILER}.config", f"{COMPILER}.source"):
            del sys.modules[name]
        del torch._dynamo
    return import_module(COMPILER)
