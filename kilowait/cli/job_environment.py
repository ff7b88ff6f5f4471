"""The options of `kilowait predict` that say in what surroundings a job will run."""

import argparse
import os
import posixpath
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from kilowait.cli.standby.standby_place import folder_for
from kilowait.core.errors import InputError
from kilowait.predict.dry_run_access import DryRunAccess, of_caller
from kilowait.predict.dryrun.standins.given_sizes import parsed
from kilowait.predict.interpreter import Interpreter, choose
from kilowait.program.environment import read_variables, shown
from kilowait.program.read import JobReading


def add_environment_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    group = parser.add_argument_group(
        "the job's own environment", "where the program runs dry; the default is the Python that kilowait runs under"
    )
    which = group.add_mutually_exclusive_group()
    which.add_argument("--python", metavar="PATH", help="the job's interpreter: Python 3.9 and torch 2.1 or later")
    which.add_argument("--venv", metavar="DIR", help="the job's virtual environment")
    which.add_argument("--conda", metavar="NAME", help="the job's conda environment")
    which.add_argument("--image", metavar="IMAGE", help="a container's image, where podman or apptainer is installed")
    group.add_argument(
        "--env",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a variable that the program sees; may be repeated; a secret's value is neither kept nor shown to it",
    )
    group.add_argument(
        "--workdir", default=".", metavar="DIR", help="where it starts, from the root of its files (default: the root)"
    )
    group.add_argument(
        "--data",
        action="append",
        default=[],
        metavar="DIR",
        help="a folder or file that it may read; may be repeated; what arguments and configuration name, and the "
        "caches of Hugging Face and torch, are seen without it",
    )
    group.add_argument(
        "--assume",
        action="append",
        default=[],
        metavar="NAME=SIZE",
        help="how large something is that is not there: data/train.bin=600MB, train=1281167x3x224x224; may be repeated",
    )


def accesses(readings: Sequence[JobReading], args: argparse.Namespace) -> dict[str, DryRunAccess]:
    """What the dry run of each program may read, by its content hash; raises InputError."""
    roots = [_root(file, args.entrypoint) for file in args.files]
    assumed, hidden = read_sizes(args.assume), (str(folder_for(os.environ)),)
    return {
        reading.source.content_hash: replace(
            of_caller(reading.source, root, args.data, os.environ),
            assumed=assumed,
            hidden=hidden,
            place=str(root / reading.source.entrypoint) if root else "",
        )
        for reading, root in zip(readings, roots, strict=True)
    }


def read_sizes(given: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """(name, size) of NAME=SIZE words; raises InputError for one that is none."""
    pairs = [word.rpartition("=") for word in given]
    for word, (name, _, size) in zip(given, pairs, strict=True):
        if not name:
            raise InputError(f"--assume {word}: not NAME=SIZE, as in --assume data/train.bin=600MB")
        try:
            parsed(size)
        except ValueError as error:
            raise InputError(f"--assume {word}: {str(error).removeprefix('--assume: ')}") from error
    return tuple((name, size) for name, _, size in pairs)


def _root(file: str, entrypoint: str | None) -> Path | None:
    """The folder of a program's files, None for standard input and a zip."""
    if file == "-":
        return None
    if entrypoint is None:
        return Path(file).absolute().parent
    return Path(file).absolute() if Path(file).is_dir() else None


def surrounded(reading: JobReading, args: argparse.Namespace) -> JobReading:
    """What was read, with the variables and the folder that were given; raises InputError."""
    environment, folder = shown(read_variables(args.env)), posixpath.normpath(args.workdir)
    if not environment and folder == ".":
        return reading
    source = reading.source
    started_in = source.folder if folder == "." else folder
    return replace(reading, source=source.within({**source.environment, **environment}, started_in))


def interpreter_of(args: argparse.Namespace) -> Interpreter:
    """The interpreter that was asked for; raises InputError where there is none that a dry run can use."""
    return choose(python=args.python, venv=args.venv, conda=args.conda, image=args.image)
