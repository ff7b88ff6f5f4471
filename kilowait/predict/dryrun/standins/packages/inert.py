"""Objects that take whatever is done to them and do nothing: what a logger is to a dry run."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType
from typing import Any


class _Nothing:
    """What a class of a program derives from where its base is inert."""

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Inert()


class Inert:
    """Any attribute, item or result of it is another; as a decorator it leaves functions and classes as they are."""

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Inert()

    def __setattr__(self, name: str, value: Any) -> None:
        self.__dict__[name] = value

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Another, or the function that it decorates."""
        return args[0] if len(args) == 1 and not kwargs and callable(args[0]) else Inert()

    def __mro_entries__(self, bases: Any) -> tuple[type, ...]:
        return (_Nothing,)

    def __getitem__(self, key: Any) -> Any:
        return Inert()

    def __setitem__(self, key: Any, value: Any) -> None: ...

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None: ...

    def __iter__(self) -> Iterator[Any]:
        return iter(())

    def __len__(self) -> int:
        return 0

    def __bool__(self) -> bool:
        return True

    def __str__(self) -> str:
        return ""

    def __fspath__(self) -> str:
        return "."

    def __int__(self) -> int:
        return 0

    def __index__(self) -> int:
        return 0

    def __float__(self) -> float:
        return 0.0

    def __contains__(self, _item: Any) -> bool:
        return False


class InertModule(ModuleType):
    """A module in which every name is there and inert."""

    __version__ = "0.0.0"

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__path__: list[str] = []
        self.__all__: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        value = Inert()
        setattr(self, name, value)
        return value
