"""The policies, from the registry: the sentence, the parameters and the docstring of each."""

import inspect
from typing import Any

from kilowait.policies import POLICIES
from kilowait.policies.wrappers.wrapper import wrappers

from . import commands

HEAD = """# Policies

A policy is a plain function of the cluster's state that says which waiting job starts now, and on which GPU type. It
sees predictions only. Pick one with `--policy NAME`. In the texts, t is predicted seconds, e predicted kWh of the whole
job, a the number of GPUs. Written from the registry when this site is built.
"""


def page() -> str:
    """A list of all, then every policy of the registry, in its order."""
    return HEAD + overview() + "\n".join(section(name, record) for name, record in POLICIES.items()) + around()


def around() -> str:
    """The wrappers, with the texts of their functions."""
    parts = ["\n(wrappers)=\n## Wrappers\n\nThey go around any policy, as in `--policy 'shared(aged(patient,4h))'`.\n"]
    for name, wrapper in wrappers().items():
        parts += [f"### {name}\n", f"`{wrapper.shown('POLICY')}`: {commands.escaped(wrapper.sentence)}.\n"]
        parts.append(commands.escaped(inspect.getdoc(wrapper.wrap) or "") + "\n")
    return "\n".join(parts)


def overview() -> str:
    """A row a policy, with its sentence; empty where the registry has none."""
    rows = [
        f"| [`{name}`](#{name.replace('_', '-')}) | {commands.cell(record.sentence)} |"
        for name, record in POLICIES.items()
        if hasattr(record, "sentence")
    ]
    return "\n".join(["", "| policy | rule |", "| --- | --- |", *rows, "", ""]) if rows else "\n"


def section(name: str, record: Any) -> str:
    """One policy: its sentence where the registry has one, the texts of its module and its maker, its parameters."""
    maker = getattr(record, "make", record)
    texts = [getattr(record, "sentence", ""), inspect.getdoc(inspect.getmodule(maker)), inspect.getdoc(maker)]
    shown = [commands.escaped(text) + "\n" for text in texts if text]
    return "\n".join([f"({name.replace('_', '-')})=\n## {name}\n", *shown, parameters(record, maker)])


def parameters(record: Any, maker: Any) -> str:
    """A table of the parameters; empty where there are none."""
    if known := getattr(record, "parameters", ()):
        rows = [f"| `{one.name}` | {commands.cell(one.sentence)} | {one.unit} | {default(one)} |" for one in known]
        return "\n".join(["| parameter | meaning | unit | default |", "| --- | --- | --- | --- |", *rows]) + "\n"
    rows = [f"| `{one.name}` | {shown(one.default)} |" for one in inspect.signature(maker).parameters.values()]
    return "\n".join(["| parameter | default |", "| --- | --- |", *rows]) + "\n" if rows else ""


def default(parameter: Any) -> str:
    """The default, and what it amounts to where the registry says it."""
    meaning = getattr(parameter, "default_means", "")
    return shown(parameter.default) + (f" ({commands.cell(meaning)})" if meaning else "")


def shown(value: object) -> str:
    """A default as code."""
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"
