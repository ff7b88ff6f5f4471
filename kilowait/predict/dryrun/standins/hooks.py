"""Changes of a library after the program has imported it, and modules in the place of those that are missing.

Nothing is imported here that the program does not import itself. Only for a child that does nothing but a dry run:
there is no way back.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

Change = Callable[[Any], None]
Make = Callable[[str], ModuleType]
"""What makes the module of a name."""


class ImportHooks:
    """A finder: `after` changes a module once it is imported, `instead` makes modules in place of packages.

    `always` are packages that are replaced even where they are installed, `missing` those that are only replaced where
    nothing else finds them.
    """

    def __init__(self) -> None:
        self.changes: dict[str, list[Change]] = {}
        self.always: dict[str, Make] = {}
        self.missing: dict[str, Make] = {}
        self.own: set[str] = set()
        self.installed: dict[str, tuple[str, str]] = {}
        self._looking: set[str] = set()

    def after(self, name: str, change: Change) -> None:
        """Call `change` with the module once it is imported; now where it is already."""
        module = sys.modules.get(name)
        if module is not None:
            change(module)
        else:
            self.changes.setdefault(name, []).append(change)

    def instead(self, names: str, make: Make, *, always: bool = False) -> None:
        """Let `make` make the packages `names` and everything below them."""
        for name in names.split():
            (self.always if always else self.missing)[name] = make

    def only_for_the_program(self, names: str) -> None:
        """Of what `instead` replaces, these are there for the program alone, and not for installed libraries."""
        self.own.update(names.split())

    def as_installed(self, versions: Mapping[str, str]) -> None:
        """Let importlib.metadata find these distributions, at these versions, where they are not installed."""
        self.installed.update({_normal(name): (name, version) for name, version in versions.items()})

    def _wanted(self, name: str) -> bool:
        return name.partition(".")[0] not in self.own or _asked_by_the_program()

    def install(self) -> None:
        """Before and after the finders that are there."""
        sys.meta_path.insert(0, self)
        sys.meta_path.append(_Last(self))

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec of a module that is replaced or changed, None for any other."""
        make = _maker(self.always, name)
        if make is not None and self._wanted(name):
            return ModuleSpec(name, _Making(make), is_package=True)
        if name not in self.changes or name in self._looking:
            return None
        spec = self._of_the_others(name, path, target)
        if spec is not None and spec.loader is not None:
            self._change_when_loaded(spec.loader, name)
        return spec

    def _change_when_loaded(self, loader: Any, name: str) -> None:
        """Change the module once it is loaded: its spec may be asked for just to see if it is there."""
        load = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            load(module)
            for change in self.changes.pop(name, ()):
                change(module)

        loader.exec_module = exec_module

    def _of_the_others(self, name: str, path: Any, target: Any) -> ModuleSpec | None:
        self._looking.add(name)
        try:
            specs = (finder.find_spec(name, path, target) for finder in list(sys.meta_path) if finder is not self)
            return next((spec for spec in specs if spec is not None), None)
        finally:
            self._looking.discard(name)


class _Last:
    """Asked when nobody else has found the module."""

    def __init__(self, hooks: ImportHooks) -> None:
        self.hooks = hooks

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        make = _maker(self.hooks.missing, name)
        return None if make is None else ModuleSpec(name, _Making(make), is_package=True)

    def find_distributions(self, context: Any = None) -> Iterator[Any]:
        """The distribution that is asked for by its name; a list of all that are installed leaves it out."""
        found = self.hooks.installed.get(_normal(getattr(context, "name", None) or ""))
        return iter(()) if found is None else iter((_distribution(*found),))


def _distribution(name: str, version: str) -> Any:
    from importlib.metadata import Distribution  # only where the program has imported it already

    class MadeDistribution(Distribution):
        def read_text(self, filename: str) -> str | None:
            """What it is called and its version: there are no files."""
            return f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n" if filename == "METADATA" else None

        def locate_file(self, path: Any) -> Any:
            """Nowhere."""
            return path

    return MadeDistribution()


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


class _Making:
    """A loader of modules that are made, not read."""

    def __init__(self, make: Make) -> None:
        self.make = make

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return self.make(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """It is as it was made."""


def _asked_by_the_program() -> bool:
    """Whether the innermost code that is not of an import lies outside the installed packages."""
    frame = sys._getframe(2)
    while frame is not None and _IMPORTING.search(frame.f_code.co_filename):
        frame = frame.f_back
    return frame is not None and not _INSTALLED.search(frame.f_code.co_filename)


_IMPORTING = re.compile(r"importlib|predict[/\\]dryrun[/\\]")  # other finders of a dry run ask this one
_INSTALLED = re.compile(r"[/\\](site|dist)-packages[/\\]|[/\\]lib[/\\]python[0-9.]+[/\\]")


def _maker(makers: dict[str, Make], name: str) -> Make | None:
    parts = name.split(".")
    found = (makers.get(".".join(parts[:count])) for count in range(len(parts), 0, -1))
    return next((make for make in found if make is not None), None)
