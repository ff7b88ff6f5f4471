"""The public Python API: every name of `kilowait.__all__`, from its docstring."""

import inspect
from types import ModuleType

import kilowait

from . import commands

HEAD = """# Python API

`import kilowait` costs little: each name loads what it needs when it is used. What stands here is public and stays as
it is from one release to the next. Everything else is internal and may change.

"""


def page() -> str:
    """One entry a name."""
    return HEAD + "\n".join(entry(name) for name in names())


def names() -> list[str]:
    """The public names, without those of Python's own."""
    return [name for name in getattr(kilowait, "__all__", []) if not name.startswith("__")]


def entry(name: str) -> str:
    """What documents a name: its signature and docstring, and those of its members."""
    value = getattr(kilowait, name)
    if inspect.ismodule(value):
        return _function(name, value) if callable(value) else _directive(name, "automodule", members=True)
    if inspect.isclass(value):
        return _directive(name, "autoclass", members=True)
    if callable(value):
        return _directive(name, "autofunction")
    kind, text = type(value), commands.escaped(inspect.getdoc(type(value)) or "")
    return f"## {name}\n\n```{{py:data}} kilowait.{name}\n:type: {kind.__name__}\n\n{text}\n```\n"


def _directive(name: str, kind: str, *, members: bool = False) -> str:
    options, package = "   :members:\n" if members else "", "kilowait.core" if kind == "automodule" else "kilowait"
    return f"## {name}\n\n```{{eval-rst}}\n.. {kind}:: {package}.{name}\n{options}```\n"


def _function(name: str, package: ModuleType) -> str:
    """A package that can be called: the function behind it."""
    function = inspect.unwrap(package)
    text = commands.escaped(inspect.getdoc(function) or "")
    return f"## {name}\n\n```{{py:function}} kilowait.{name}{inspect.signature(function)}\n\n{text}\n```\n"
