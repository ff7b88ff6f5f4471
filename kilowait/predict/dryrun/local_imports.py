"""Modules of the program itself, imported from its folder with their loops rewritten as those of the entrypoint are."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from kilowait.predict.dryrun.child.import_time import ImportTime
from kilowait.predict.dryrun.loops.loops import Loops
from kilowait.predict.dryrun.loops.rewrite import Sites, rewrite
from kilowait.predict.dryrun.loops.rewrite_calls import LOOPS

MOST_LIKELY_ITS_OWN = 2
"""A module's name with fewer dots is the program's own and no known library's."""


class LocalImports:
    """A finder for `sys.meta_path` that takes what lies under `folder`, and leaves everything else to the others."""

    def __init__(self, folder: Path, loops: Loops, sites: Sites, import_time: ImportTime) -> None:
        self.folder, self.loops, self.sites, self.import_time = folder.resolve(), loops, sites, import_time

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec of a module of the program, None for any other."""
        spec = PathFinder.find_spec(name, path, target)
        if spec is None or spec.origin is None or type(spec.loader) is not SourceFileLoader:
            return None
        if not Path(spec.origin).resolve().is_relative_to(self.folder):
            return None
        loader = _Rewriting(name, spec.origin, self)
        return spec_from_file_location(
            name, spec.origin, loader=loader, submodule_search_locations=spec.submodule_search_locations
        )

    def install(self) -> None:
        """Before the finders that are there."""
        sys.dont_write_bytecode = True  # what is compiled here is of no use to anybody else
        sys.meta_path.insert(0, self)


class _Rewriting(SourceFileLoader):
    def __init__(self, name: str, path: str, imports: LocalImports) -> None:
        super().__init__(name, path)
        self.imports = imports

    def source_to_code(  # type: ignore[override]  # typeshed's own base classes disagree about it
        self, data: Any, path: Any, *, _optimize: int = -1
    ) -> CodeType:
        """The module compiled from its rewritten text; raises SyntaxError where Python would.

        Rewriting is work of the dry run, not of the program, whose budget does not pay for it.
        """
        name = Path(path).resolve().relative_to(self.imports.folder)
        with self.imports.import_time.foreign():
            return compile(rewrite(data, str(name), self.imports.sites), str(name), "exec", dont_inherit=True)

    def exec_module(self, module: ModuleType) -> None:
        """Run the module with what its rewritten loops call."""
        module.__dict__[LOOPS] = self.imports.loops
        with self.imports.import_time.own():
            super().exec_module(module)
        self._changed_as_installed(module)

    def _changed_as_installed(self, module: ModuleType) -> None:
        """A program may bring a library that is known, as its own repository does: what is changed of it, is here too.

        Another module of the same name has not what would be changed.
        """
        if module.__name__.count(".") < MOST_LIKELY_ITS_OWN:
            return
        for finder in sys.meta_path:
            for change in getattr(finder, "changes", {}).pop(module.__name__, ()):
                with suppress(AttributeError):
                    change(module)
