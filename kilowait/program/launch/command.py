"""From the words of a command to the program that it starts: launchers, and what stands before and around them.

`NAME=value srun -n 8 torchrun --nproc_per_node 4 train.py --lr 1` is followed from the left: each word that is known
says how its own options end and what it sets for the rest. A launcher's options that are not in the tables are taken to
have a value, unless the next word is an option too.

Not covered: host files, launchers of other libraries, programs that are no Python.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from kilowait.core.errors import SourceError
from kilowait.program.launch.accelerate import ReadText, accelerate_options, accelerate_start
from kilowait.program.launch.known_commands import CONTAINERS, RUNNERS, SHELL_SCRIPTS, SHELLS, SWITCHES, WRAPPERS
from kilowait.program.launch.option_words import OptionWords, first_number, split_options
from kilowait.program.launch.start import Start, ranks

_PYTHON = re.compile(r"(python|pypy)[0-9.]*$")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
_DEEPEST = 12
"""Launchers inside each other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What stands around a command: variables, the GPUs of a node and the nodes that it has, how to read a file.

    `script` follows the words of a shell (`bash run.sh`, `bash -c "..."`).
    """

    environment: Mapping[str, str]
    gpus_per_node: int = 0
    nodes: int = 1
    read: ReadText = lambda _path: None
    script: "Callable[[list[str], Surroundings], Start | None]" = lambda _words, _around: None


def follow(words: Sequence[str], around: Surroundings) -> Start | None:
    """The start of a program of Python, None where the command starts none; raises SourceError above every bound."""
    return _follow(list(words), around, _DEEPEST)


def _follow(words: list[str], around: Surroundings, depth: int) -> Start | None:
    if depth == 0:
        raise SourceError(f"{' '.join(words)[:80]}: launchers inside launchers, deeper than {_DEEPEST}; give the inner")
    while words and _ASSIGNMENT.match(words[0]):
        name, _, value = words.pop(0).partition("=")
        around = replace(around, environment={**around.environment, name: value})
    if not words:
        return None
    name, rest = PurePosixPath(words[0]).name, words[1:]

    def inner(others: Sequence[str], there: Surroundings = around) -> Start | None:
        return _follow(list(others), there, depth - 1)

    if _PYTHON.match(name):
        return _python(rest, around, inner)
    if name in _LAUNCHERS:
        return _LAUNCHERS[name](rest, around, inner)
    if name in WRAPPERS:
        return inner(_after_options(name, rest))
    if name in (*RUNNERS, *CONTAINERS) and rest:
        verb = RUNNERS.get(name) or CONTAINERS[name]
        after = _after_options(name if name in SWITCHES else "apptainer", rest[1:]) if rest[0] == verb else []
        return inner(after[1:] if name in CONTAINERS else after)
    if name in SHELLS or name.endswith(SHELL_SCRIPTS):
        return around.script(words, around)
    return _program(words[0], rest, around) if name.endswith(".py") else None


Inner = Callable[..., Start | None]


def _program(program: str, arguments: Sequence[str], around: Surroundings, *, is_module: bool = False) -> Start:
    words = (program, *arguments)
    return Start(
        program=program,
        arguments=tuple(arguments),
        is_module=is_module,
        environment=dict(around.environment),
        words=words,
    )


def _after_options(name: str, words: Sequence[str]) -> list[str]:
    """The command that a wrapper runs."""
    rest = split_options(words, SWITCHES.get(name, "").split()).rest
    numbered = name in ("timeout", "taskset") and rest
    return list(rest[1:] if numbered else rest)


def _python(words: list[str], around: Surroundings, inner: Inner) -> Start | None:
    options = split_options(words, SWITCHES["python"].split(), ends=("-m", "-c", "-"))
    rest = options.rest
    if not rest or rest[0] in ("-c", "-"):
        return None
    if rest[0] != "-m":
        return _program(rest[0], rest[1:], around) if rest[0].endswith(".py") else None
    if len(rest) < 2:
        return None
    module, arguments = rest[1], rest[2:]
    known = {"torch.distributed.run": "torchrun", "torch.distributed.launch": "torch.distributed.launch"}
    known |= {"accelerate.commands.launch": "accelerate-launch", "deepspeed.launcher.runner": "deepspeed"}
    known |= {"accelerate.commands.accelerate_cli": "accelerate", "deepspeed": "deepspeed"}
    if module in known:
        return inner([known[module], *arguments])
    if module in ("pip", "venv", "ensurepip", "http.server", "ipykernel", "tensorboard.main", "pytest", "unittest"):
        return None
    return _program(module, arguments, around, is_module=True)


def _ranked(start: Start | None, launcher: Sequence[str], processes: int, nodes: int, port: str = "") -> Start | None:
    """The program as the first of `processes`; variables that were set before stay below those of the launcher."""
    if start is None:
        return None
    return replace(
        start,
        processes=processes,
        nodes=nodes,
        environment={**start.environment, **ranks(processes, nodes, port)},
        words=(*launcher, *start.words),
    )


def _torchrun(words: list[str], around: Surroundings, inner: Inner, name: str = "torchrun") -> Start | None:
    options = split_options(words, SWITCHES["torchrun"].split())
    nodes = _nodes(options.value("nnodes"), around)
    per_node = _per_node(options.value("nproc_per_node"), around)
    rest = _python_words(options)
    if name == "torch.distributed.launch" and not options.has("use_env"):
        rest = _with_local_rank(rest, around)
    start = inner(["python", *rest]) if rest else None
    return _ranked(start, (name, *options.taken), per_node * nodes, nodes, options.value("master_port"))


def _python_words(options: OptionWords) -> list[str]:
    """What Python is given: a program, or after `--module` a module."""
    return ["-m", *options.rest] if options.has("module", "m") and options.rest else list(options.rest)


def _with_local_rank(rest: list[str], around: Surroundings) -> list[str]:
    """The older launcher tells the rank by an argument, if the program takes one."""
    at = 2 if rest[:1] == ["-m"] else 1
    text = around.read(rest[0]) if rest and at == 1 else None
    flag = next((flag for flag in ("--local_rank", "--local-rank") if text and flag in text), "")
    return [*rest[:at], f"{flag}=0", *rest[at:]] if flag else rest


def _nodes(text: str, around: Surroundings) -> int:
    """Nodes of `2` or of an elastic `1:4` (the larger)."""
    numbers = [int(n) for n in re.findall(r"[0-9]{1,6}", text, re.ASCII)]
    return max(numbers, default=around.nodes) or 1


def _per_node(text: str, around: Surroundings) -> int:
    return first_number(text) or (max(1, around.gpus_per_node or _visible(around)) if text else 1)


def _visible(around: Surroundings) -> int:
    return len([part for part in around.environment.get("CUDA_VISIBLE_DEVICES", "").split(",") if part.strip()])


def _accelerate(words: list[str], around: Surroundings, inner: Inner) -> Start | None:
    return _accelerate_launch(words[1:], around, inner) if words[:1] == ["launch"] else None


def _accelerate_launch(words: list[str], around: Surroundings, inner: Inner) -> Start | None:
    options = accelerate_options(words)
    settings = accelerate_start(options, around.read)
    processes = settings.processes or max(
        1, around.gpus_per_node * max(settings.nodes, around.nodes) or _visible(around)
    )
    rest = _python_words(options)
    start = inner(["python", *rest]) if rest else None
    if start is None:
        return None
    given = replace(start, environment={**start.environment, **settings.environment}, notes=settings.notes)
    launcher = ("accelerate", "launch", *options.taken, *(("--num_processes", str(processes)) if processes > 1 else ()))
    if processes == 1:
        return replace(given, words=(*launcher, *given.words))
    return _ranked(given, launcher, processes, max(settings.nodes, 1), options.value("main_process_port"))


def _deepspeed(words: list[str], around: Surroundings, inner: Inner) -> Start | None:
    options = split_options(words, SWITCHES["deepspeed"].split())
    included = options.value("include", "i")
    nodes = first_number(options.value("num_nodes")) or max(1, included.count("@") + 1 if included else around.nodes)
    slots = included.partition("@")[0].partition(":")[2]
    per_node = first_number(options.value("num_gpus")) or len([s for s in slots.split(",") if s])
    per_node = per_node or max(1, around.gpus_per_node or _visible(around))
    rest = _python_words(options)
    if not options.has("no_local_rank"):
        rest = _with_local_rank(rest, around)
    start = inner(["python", *rest]) if rest else None
    return _ranked(start, ("deepspeed", *options.taken), per_node * nodes, nodes, options.value("master_port"))


def _srun(words: list[str], around: Surroundings, inner: Inner) -> Start | None:
    options = split_options(words, SWITCHES["srun"].split())
    environment = around.environment
    nodes = first_number(options.value("nodes", "N")) or around.nodes
    tasks = first_number(options.value("ntasks", "n"))
    per_node = first_number(options.value("ntasks_per_node")) or first_number(
        environment.get("SLURM_NTASKS_PER_NODE", "")
    )
    tasks = tasks or (per_node * nodes if per_node else first_number(environment.get("SLURM_NTASKS", "")) or nodes)
    gpus = first_number(options.value("gpus_per_node", "gres").rpartition(":")[2] or options.value("gpus_per_node"))
    seen = {"SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0", "SLURM_NTASKS": str(tasks)}
    seen |= {"SLURM_NNODES": str(nodes), "SLURM_JOB_NUM_NODES": str(nodes), "SLURM_NPROCS": str(tasks)}
    seen |= {"SLURM_NTASKS_PER_NODE": str(max(1, tasks // nodes))}
    per_node_gpus = gpus or around.gpus_per_node
    start = inner(
        options.rest, replace(around, environment={**environment, **seen}, nodes=nodes, gpus_per_node=per_node_gpus)
    )
    if start is None:
        return None
    processes = start.processes if start.processes > 1 else tasks
    understood = ("srun", *options.taken, *start.words)
    return replace(start, processes=processes, nodes=nodes, gpus=max(start.gpus, gpus * nodes), words=understood)


def _mpirun(words: list[str], around: Surroundings, inner: Inner) -> Start | None:
    options = split_options(words, SWITCHES["mpirun"].split(), pairs={"-mca": 2, "--mca": 2, "-gmca": 2, "--gmca": 2})
    processes = first_number(options.value("np", "n", "c")) or 1
    per_node = first_number(options.value("npernode", "ppn", "ntasks_per_node")) or 0
    nodes = max(1, processes // per_node) if per_node else max(1, around.nodes)
    given = dict(
        pair.partition("=")[::2] for name, pair in options.pairs if name in ("x", "env", "genv") and "=" in pair
    )
    local = str(max(1, processes // nodes))
    seen = {"OMPI_COMM_WORLD_RANK": "0", "OMPI_COMM_WORLD_LOCAL_RANK": "0", "OMPI_COMM_WORLD_SIZE": str(processes)}
    seen |= {"OMPI_COMM_WORLD_LOCAL_SIZE": local, "OMPI_COMM_WORLD_NODE_RANK": "0"}
    seen |= {"PMI_RANK": "0", "PMI_SIZE": str(processes)}
    start = inner(options.rest, replace(around, environment={**around.environment, **given, **seen}, nodes=nodes))
    if start is None:
        return None
    processes = max(processes, start.processes)
    return replace(start, processes=processes, nodes=nodes, words=("mpirun", *options.taken, *start.words))


def _launch(words: list[str], around: Surroundings, inner: Inner) -> Start | None:
    return _torchrun(words, around, inner, "torch.distributed.launch")


_LAUNCHERS: dict[str, Callable[[list[str], Surroundings, Inner], Start | None]] = {
    "torchrun": _torchrun,
    "torch.distributed.launch": _launch,
    "accelerate": _accelerate,
    "accelerate-launch": _accelerate_launch,
    "deepspeed": _deepspeed,
    "srun": _srun,
    **dict.fromkeys(("mpirun", "mpiexec", "orterun", "horovodrun"), _mpirun),
}
