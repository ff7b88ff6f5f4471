"""What is done to a module of an installed package as soon as a program has imported it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

Change = Callable[[Any], None]


class AfterImport:
    """A finder for `sys.meta_path`: the module of each name gets its change; those that are loaded get it at once.

    A name that ends with a dot is that of a package: every module in it gets the change.
    """

    def __init__(self, changes: dict[str, Change]) -> None:
        self.changes = changes
        self._looking: set[str] = set()

    def install(self) -> None:
        """Before the finders that are there."""
        for name, module in list(sys.modules.items()):
            change = self._change(name)
            if change is not None:
                change(module)
        sys.meta_path.insert(0, self)

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec of a module that is to be changed, None for any other."""
        change = self._change(name)
        if change is None or name in self._looking:
            return None
        self._looking.add(name)
        try:
            specs = (finder.find_spec(name, path, target) for finder in list(sys.meta_path) if finder is not self)
            spec = next((spec for spec in specs if spec is not None), None)
        finally:
            self._looking.discard(name)
        if spec is not None and spec.loader is not None:
            _run_after(spec.loader, change)
        return spec

    def _change(self, name: str) -> Change | None:
        if name in self.changes:
            return self.changes[name]
        packages = (key for key in self.changes if key.endswith(".") and name.startswith(key))
        return next((self.changes[key] for key in packages), None)


def _run_after(loader: Any, change: Change) -> None:
    run = loader.exec_module

    def run_and_change(module: ModuleType) -> None:
        run(module)
        change(module)

    loader.exec_module = run_and_change
