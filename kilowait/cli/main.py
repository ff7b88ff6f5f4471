"""The `kilowait` command. Heavy modules load inside the command that needs them."""

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from kilowait import __version__
from kilowait.cli import backup, handover, remote
from kilowait.cli.of_service import archive_command
from kilowait.cli.standby import standby_call
from kilowait.core.control_characters import LINES, escaped
from kilowait.core.errors import InputError, KilowaitError
from kilowait.core.extras import explained


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code: 0, 1 for a failure inside, 2 for a mistake in what was given."""
    words = list(sys.argv[1:] if argv is None else argv)
    if sys.stderr is None:  # it was closed, as by 2>&-
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - until the process ends
    if sys.stdout is None:
        return _complain("the output cannot be written: standard output is closed", 2)
    if words and words[0] in handover.COMMANDS:
        return handover.hand_over(words)
    try:
        code = _run(words)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader (head, less) has seen enough
        _drop_stdout()
        return 0
    except InputError as error:
        return _complain(str(error), 2)
    except KilowaitError as error:
        return _complain(str(error), 1)
    except OSError as error:
        _drop_stdout()
        return _complain(f"the output cannot be written: {error.strerror}", 2)
    return code


SLURM = ("sbatch", "srun")
"""Commands whose options are mostly another program's."""


def _run(words: list[str]) -> int:
    """Read the options and run a command; raises MissingExtra for a library that only an extra brings."""
    try:
        if words[:1] and words[0] in SLURM:
            return int(import_module("kilowait.cli.sbatch").run_words(words[0], words[1:]))
        if words[:1] == ["ray"]:
            return int(import_module("kilowait.cli.ray").run_words(words[1:]))
        args = _parse(words)
        code: int = _run_or_hand_over(words, args) if words[0] in standby_call.COMMANDS else args.run(args)
    except ModuleNotFoundError as error:
        raise explained(error, f"kilowait {words[0]}") from error
    return code


def _run_or_hand_over(words: list[str], args: argparse.Namespace) -> int:
    """Let the process run it that stands by for such commands; without one, leave one behind for the next."""
    place = standby_call.standby_of(args)
    code = standby_call.answered(words, place)
    if code is None:
        code = args.run(args)
        sys.stdout.flush()
        standby_call.leave_behind(place)
    return int(code)


def _parse(words: list[str]) -> argparse.Namespace:
    """The options; what follows `--` belongs to the script that the command is given."""
    takes_script = words[:1] in (["predict"], ["compare"], ["submit"], ["what-if"], ["check"], ["clone"], ["shell"])
    end = words.index("--") if takes_script and "--" in words else len(words)
    args = _parser(words[:end]).parse_args(words[:end])
    args.arguments = words[end + 1 :]
    return args


def _parser(words: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="kilowait",
        description="Predict the run time and energy of ML jobs, and schedule them on mixed GPUs.",
        epilog="Each command explains itself: kilowait simulate --help",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"kilowait {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add(commands, "predict", "predict the run time and energy of a script on each device type", words)
    _add(commands, "compare", "predictions of several scripts side by side, on each device type", words)
    _add(commands, "check", "whether a program stays within bounds of energy, time, memory and cost", words)
    _add(commands, "replay", "rebuild a profiled training step, and what it would take elsewhere", words)
    _add(commands, "clone", "a program with the same operations and nothing of a script's source", words)
    _add(commands, "calibrate", "measure this machine's GPU for predictions of its type", words, "own_board")
    _add(commands, "simulate", "run a list of jobs through a policy on a cluster of mixed GPUs", words)
    for name, text in (("sbatch", "a batch job"), ("srun", "a command")):
        _add(
            commands,
            name,
            f"submit {text} to Slurm with the time limit, GPU type and comment that are predicted",
            words,
        )
    _add(
        commands, "advise", "when the jobs of Slurm's queue are expected to start, and what a new one would get", words
    )
    _add(commands, "report", "what a month, a group or a model used: GPU-hours, kWh, CO2, water, cost", words)
    _add(commands, "ray", "submit to Ray with the GPUs and the types of nodes on which a program fits", words)
    _add(commands, "admit", "an admission webhook for Kubernetes that writes predictions into jobs", words)
    _add(commands, "mcp", "a server for agents: predict, fits, what-if, why, cluster, history (MCP, over stdio)", words)
    _add(commands, "learn", "finished Slurm jobs beside their predictions, and a correction learnt from them", words)
    remote.add_commands(commands)
    backup.add_commands(commands)
    archive_command.add_command(commands)
    handover.add_commands(commands)
    return parser


def _add(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    text: str,
    words: Sequence[str],
    module_name: str = "",
) -> None:
    """A command whose module (of its name, or another) loads only when asked for: every command must start at once."""
    parser = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
    if words[:1] == [name]:
        module = import_module(f"kilowait.cli.{module_name or name}")
        module.add_arguments(parser, words)
        parser.set_defaults(run=module.run)


def _complain(message: str, code: int) -> int:
    sys.stderr.write(f"kilowait: {escaped(message, LINES)}\n")
    return code


def _drop_stdout() -> None:
    """What stdout still holds cannot be written; without this the interpreter would try again at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
