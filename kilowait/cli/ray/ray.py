"""`kilowait ray submit`: `ray job submit` with GPUs and the types of nodes on which the program fits.

What cannot be predicted is submitted as it is, with one line that says why.
"""

import argparse
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from kilowait.advise.advice import PREFERENCES
from kilowait.advise.advice_text import advice_table
from kilowait.advise.asking import AdviceQuestion
from kilowait.advise.asking_either import advice_of
from kilowait.advise.ray_jobs.ray_options import RayOptions, ray_options, uses_ray
from kilowait.advise.ray_jobs.ray_pools import ask_pools, dashboard_of, option_value
from kilowait.core.control_characters import LINES, escaped
from kilowait.core.errors import InputError, KilowaitError
from kilowait.program.read import read_command

EXAMPLE = """\
examples:
  kilowait ray submit --working-dir . -- python train.py --epochs 30
  kilowait ray submit --why -- torchrun --nproc-per-node 4 train.py
  kilowait ray submit --prefer energy --address http://head:8265 --no-wait -- python train.py

Every other option is that of `ray job submit` and is passed on as it is. What you set is not changed.
"""


def add_arguments(parser: argparse.ArgumentParser, _: Sequence[str] = ()) -> None:
    """Declare kilowait's own options; those of Ray's command are not declared anywhere."""
    parser.epilog = EXAMPLE
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("action", choices=("submit",), help="submit a command")
    parser.add_argument("--why", action="store_true", help="show what would be added and why; submit nothing")
    text = "the best type alone (default: all types on which it fits)"
    parser.add_argument("--prefer", choices=PREFERENCES, help=text)


def run_words(words: Sequence[str]) -> int:
    """Run `kilowait ray` with these words; Ray's exit code."""
    environment = dict(os.environ)  # before anything that predicts adds to it: the job inherits it
    parser = argparse.ArgumentParser(prog="kilowait ray", allow_abbrev=False)
    add_arguments(parser)
    end = list(words).index("--") if "--" in words else len(words)
    if not words[:end] or {"-h", "--help"} & set(words[:end]):
        parser.parse_args(list(words[:end]))
    options, given = parser.parse_known_args(list(words[:end]))
    command = list(words[end + 1 :])
    if not command:
        raise InputError("no command: write it behind --, as in kilowait ray submit -- python train.py")
    added: tuple[str, ...] = ()
    try:
        found = _options(given, command, options.prefer)
        added = found.words
    except KilowaitError as error:
        sys.stderr.write(f"kilowait: warning: not predicted, so nothing is added: {escaped(str(error), LINES)}\n")
        if options.why:
            return 1
    line = ["ray", "job", "submit", *given, *added, "--", *command]
    if options.why:
        sys.stdout.write(f"  {shlex.join(line)}\n")
        return 0
    if shutil.which("ray") is None:
        raise InputError("ray is not on the PATH; pip install 'ray[default]', of the cluster's version")
    return subprocess.call(line, env=environment)


def _options(given: Sequence[str], command: Sequence[str], prefer: str | None) -> RayOptions:
    """Ask the cluster, predict, and say what came of it."""
    pools = ask_pools(dashboard_of(given, os.environ))
    folder = option_value(given, "--working-dir") or "."
    if not Path(folder).is_dir():
        raise InputError(f"--working-dir {folder}: no folder here, so its program cannot be read")
    reading = read_command(command, folder)
    question = AdviceQuestion(reading=reading, gpu_types=tuple(pools), root=Path(folder).absolute())
    advice = advice_of(question, os.environ)
    if not advice.by_type:
        raise InputError(advice.dry_run or "no GPU type of the cluster is known")
    found = ray_options(advice, pools, given, prefer=prefer, own_workers=uses_ray(reading.source.files))
    text = advice_table(advice) + "".join(f"  {reason}\n" for reason in found.reasons)
    sys.stderr.write(escaped(text, LINES))
    return found
