"""The public Python API: every name of `kilowait.__all__`, from its docstring."""

import inspect

import kilowait

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
    """The directive that documents a name."""
    value = getattr(kilowait, name)
    if inspect.isclass(value):
        kind, options = "autoexception" if issubclass(value, BaseException) else "autoclass", "   :members:\n"
    else:
        kind, options = ("autofunction", "") if callable(value) else ("autodata", "   :no-value:\n")
    return f"## {name}\n\n```{{eval-rst}}\n.. {kind}:: kilowait.{name}\n{options}```\n"
