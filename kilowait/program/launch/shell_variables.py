"""What is known of the variables of a shell script while it is read."""

import posixpath
from dataclasses import dataclass, field

JOB = "/job"
"""Where a script is when it asks for its folder: paths below it are relative to the job's."""


@dataclass(slots=True, kw_only=True)
class Variables:
    """What is known while a script is read: texts and lists by name; `unknown` are names that were asked for."""

    values: dict[str, str] = field(default_factory=dict)
    lists: dict[str, list[str]] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()
    script: str = ""
    folder: str = "."
    gpus: int = 1
    unknown: dict[str, None] = field(default_factory=dict)
    depth: int = 0

    def text(self, name: str) -> str:
        """The value of a variable, "" where it has none."""
        if name.isdigit():
            position = int(name)
            if position == 0:
                return posixpath.join(JOB, self.script)
            return self.arguments[position - 1] if position <= len(self.arguments) else ""
        if name in ("@", "*"):
            return " ".join(self.arguments)
        if name == "#":
            return str(len(self.arguments))
        if name == "PWD":
            return posixpath.normpath(posixpath.join(JOB, self.folder))
        if name == "BASH_SOURCE":
            return posixpath.join(JOB, self.script)
        if name in self.values:
            return self.values[name]
        if name in self.lists:
            return self.lists[name][0] if self.lists[name] else ""
        self.unknown[name] = None
        return {"?": "0", "$": "1", "HOME": "/root", "USER": "user", "HOSTNAME": "localhost"}.get(name, "")

    def many(self, name: str) -> list[str] | None:
        """The words of a list or of all arguments, None for a name that is none."""
        return list(self.arguments) if name in ("@", "*") else self.lists.get(name)
