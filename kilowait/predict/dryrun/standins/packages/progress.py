"""Progress bars that show nothing: where they are missing, and rich's, whose generators hide how long they are."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType
from typing import Any

from kilowait.predict.dryrun.standins.hooks import ImportHooks
from kilowait.predict.dryrun.standins.packages.inert import Inert, InertModule

NAMES = "tqdm alive_progress fastprogress progressbar enlighten"


class Bar:
    """What tqdm is to a program: it goes over `iterable`, and counts in `n` what it is told."""

    def __init__(self, iterable: Any = None, *_: Any, total: Any = None, **__: Any) -> None:
        self.iterable, self.total, self.n, self.disable = iterable, total, 0, True

    def __iter__(self) -> Iterator[Any]:
        return iter(self.iterable)

    def __len__(self) -> int:
        return len(self.iterable) if self.total is None else int(self.total)

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None: ...

    def update(self, n: Any = 1) -> None:
        """`n` more."""
        self.n += n

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return Inert()

    write = staticmethod(lambda *_, **__: None)
    pandas = staticmethod(lambda *_, **__: None)

    def __call__(self, iterable: Any = None, **_: Any) -> Any:
        """As the bar of alive_progress is moved on, or as that of progressbar is told what to go over."""
        if isinstance(iterable, (int, float)) or iterable is None:
            self.n += 1
            return None
        return Bar(iterable)


Bar.__module__ = "tqdm.std"  # loops look through what comes from there


def _over(iterable: Any, *_: Any, total: Any = None, **__: Any) -> Bar:
    return Bar(iterable, total=total)


def stand_in_progress(hooks: ImportHooks) -> None:
    """Replace what is missing, and rich's functions that give generators."""
    hooks.instead(NAMES, _bars)
    hooks.instead("rich", InertModule)
    hooks.after("rich.progress", _track)


def _bars(name: str) -> ModuleType:
    module = InertModule(name)
    made: dict[str, Any] = {
        "tqdm": Bar,
        "trange": lambda *args, **_: Bar(range(*args)),
        "tqdm_notebook": Bar,
        "alive_bar": lambda total=None, *_, **__: Bar(total=total),
        "alive_it": _over,
        "progress_bar": _over,
        "master_bar": _over,
        "progressbar": _over,
        "ProgressBar": Bar,
    }
    for attribute, value in made.items():
        if name != f"tqdm.{attribute}":
            setattr(module, attribute, value)
    return module


def _track(module: Any) -> None:
    module.track = lambda sequence, *_, **__: Bar(sequence)
    if hasattr(module, "Progress"):
        module.Progress.track = lambda _self, sequence, *_, **__: Bar(sequence)
