"""What a user asks sbatch or srun for: words, variables and #SBATCH lines read as they read them."""

import os
import shlex
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from kilowait.advise.slurm.option_table import SHORT, VARIABLES, WITH_VALUE, WITHOUT_VALUE
from kilowait.core.errors import InputError

GPU_OPTIONS = ("gpus", "gpus-per-node", "gpus-per-task", "gpus-per-socket", "gres")


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenOption:
    """One option: its long name, its value ("" for none), and the place behind it in the words, 0 elsewhere."""

    name: str
    value: str
    end: int = 0


@dataclass(frozen=True, kw_only=True)
class BatchRequest:
    """What was asked: `words` as they were given, and of them the first `options_end` are options.

    `options` holds the words' options, those of variables and those of the script, the weakest first; `script` is what
    comes after the words' options ("" for none), `arguments` what follows it. `text` is the script as it was read.
    `several` says that it is a heterogeneous job.
    """

    command: str
    words: tuple[str, ...]
    options_end: int
    options: tuple[GivenOption, ...]
    script: str = ""
    arguments: tuple[str, ...] = ()
    text: str = ""
    several: bool = False

    def value(self, name: str) -> str | None:
        """The value in force, None where it was not given."""
        return next((option.value for option in reversed(self.options) if option.name == name), None)

    def __contains__(self, name: str) -> bool:
        """Whether the user set it anywhere."""
        return self.value(name) is not None

    @property
    def folder(self) -> Path:
        """Where the job starts."""
        return Path(self.value("chdir") or ".")

    @property
    def gpu_option(self) -> GivenOption | None:
        """The last option by which GPUs were asked for."""
        for option in reversed(self.options):
            if option.name in GPU_OPTIONS and (option.name != "gres" or "gpu" in option.value):
                return option
        return None

    @property
    def wants_no_gpu(self) -> bool:
        """Whether it was said that it takes none."""
        return any(self.value(name) in ("0", "none", "NONE", "gpu:0") for name in GPU_OPTIONS)

    @property
    def gets_gpus(self) -> bool:
        """Whether it has GPUs as it stands: asked for, or with whole nodes, which come with all of theirs."""
        whole = self.value("exclusive") == ""
        return self.gpu_option is not None or whole or "gpu" in (self.value("tres-per-task") or "")

    @property
    def gpu_type(self) -> str | None:
        """The type that was named with the GPUs, as it was written."""
        option = self.gpu_option
        return None if option is None else type_named(option.name, option.value)


def type_named(name: str, value: str) -> str | None:
    """The type in `gpu:a100:2`, `a100:2` or, but for --gres, `a100`."""
    part = next((part for part in value.split(",") if part.startswith("gpu") or name != "gres"), "")
    pieces = part.partition("(")[0].split(":")
    pieces = pieces[1:] if pieces[0] in ("gpu", "gres/gpu") else pieces
    named = [piece for piece in pieces if not piece.isdigit()]
    return named[0] if named and named[0] else None


def read_words(command: str, words: Sequence[str], environment: Mapping[str, str]) -> BatchRequest:
    """What the words and the variables ask of `command` (sbatch or srun); the script is not opened."""
    found: list[GivenOption] = []
    at = 0
    while at < len(words) and words[at].startswith("-") and words[at] not in ("-", "--"):
        option, at = _option(words, at)
        found += option
    options_end = at
    rest = list(words[at + 1 :] if words[at : at + 1] == ["--"] else words[at:])
    script, arguments = (rest[0], rest[1:]) if rest else ("", [])
    if command == "sbatch" and arguments[:1] == ["--"]:
        arguments = arguments[1:]
    variables = [
        GivenOption(name=name, value=environment[variable])
        for name, variable in VARIABLES[command].items()
        if variable in environment
    ]
    return BatchRequest(
        command=command,
        words=tuple(words),
        options_end=options_end,
        options=(*variables, *found),
        script=script,
        arguments=tuple(arguments),
        several=":" in words[:options_end] or (command == "sbatch" and script == ":"),
    )


def with_script(request: BatchRequest, text: str) -> BatchRequest:
    """The same with the lines of its script, which lose to words and variables."""
    lines, several = script_options(text)
    return replace(request, options=(*lines, *request.options), text=text, several=request.several or several)


def script_options(text: str) -> tuple[list[GivenOption], bool]:
    """The options of the #SBATCH lines before the first command, and whether they are of a heterogeneous job."""
    found: list[GivenOption] = []
    for line in text.splitlines()[1:] if text.startswith("#!") else text.splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            break
        if not line.startswith("#SBATCH"):
            continue
        words = _words(line.removeprefix("#SBATCH"))
        if words[:1] in (["hetjob"], ["packjob"]):
            return found, True
        at = 0
        while at < len(words):
            options, at = _option(words, at)
            found += [replace(option, end=0) for option in options]
    return found, False


def _words(line: str) -> list[str]:
    """The words of a line, up to a # outside of quotes; a quote that is not closed is none of the shell's."""
    try:
        return shlex.split(line, comments=True)
    except ValueError:
        return line.partition("#")[0].split()


def _option(words: Sequence[str], at: int) -> tuple[list[GivenOption], int]:
    """The option at a place, and the place behind it; several of short ones without a value (`-HQ`)."""
    word = words[at]
    if word.startswith("--"):
        name, equals, value = word[2:].partition("=")
        name = _whole(name)
        if equals or name not in WITH_VALUE or at + 1 >= len(words):
            return [GivenOption(name=name, value=value, end=at + 1)], at + 1
        return [GivenOption(name=name, value=words[at + 1], end=at + 2)], at + 2
    found: list[GivenOption] = []
    for position, letter in enumerate(word[1:], start=1):
        name, rest = SHORT.get(letter, letter), word[position + 1 :]
        if name in WITH_VALUE and rest:
            return [*found, GivenOption(name=name, value=rest.removeprefix("="), end=at + 1)], at + 1
        if name in WITH_VALUE and at + 1 < len(words):
            return [*found, GivenOption(name=name, value=words[at + 1], end=at + 2)], at + 2
        found.append(GivenOption(name=name, value="", end=at + 1))
    return found, at + 1


def _whole(name: str) -> str:
    """The option that a beginning of its name means, as getopt_long has it."""
    if name in WITH_VALUE or name in WITHOUT_VALUE:
        return name
    meant = [known for known in (*WITH_VALUE, *WITHOUT_VALUE) if known.startswith(name)]
    return meant[0] if len(meant) == 1 else name


def resource_lines(request: BatchRequest) -> Iterator[str]:
    """#SBATCH lines that say what the words and variables add to the script's own."""
    for option in request.options:
        if option.name in ("nodes", "ntasks", "ntasks-per-node", "cpus-per-task", "array", *GPU_OPTIONS):
            yield f"#SBATCH --{option.name}={option.value}"


def script_text(name: str) -> str:
    """The script, here or where PATH leads, as sbatch looks for it; raises InputError where it cannot be read."""
    path = Path(name)
    if "/" not in name and not path.exists():
        path = Path(shutil.which(name, mode=os.R_OK) or name)
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise InputError(f"{name}: cannot be read: {error.strerror}") from error
