"""`%%predict` above a cell, and `%predict FILE`: what it would take on each GPU type; nothing of it is run."""

import argparse
import json
import os
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from kilowait.advise.asking import AdviceQuestion
from kilowait.advise.asking_either import advice_of
from kilowait.advise.in_notebooks.advice_html import ShownAdvice
from kilowait.advise.in_notebooks.earlier_cells import MAGIC, needed
from kilowait.core.control_characters import LINES, escaped
from kilowait.core.errors import InputError, KilowaitError
from kilowait.core.hardware import canonical
from kilowait.predict.one_shot import BESIDE
from kilowait.program.launch.followed import follow_notebook
from kilowait.program.read import JobReading, read_file, read_followed

HELP = """
%%predict [--devices A100,H100] [--gpus N] [--alone] [-- ARGUMENTS]   above a cell
%predict FILE [options] [-- ARGUMENTS]                                a program, script or notebook
"""


class _Options(argparse.ArgumentParser):
    """Raises InputError in place of ending the kernel."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"%{MAGIC}: {message}; use it as:{HELP}")


def load_ipython_extension(shell: Any) -> None:
    """What `%load_ext kilowait` calls with the shell."""

    def predict(line: str, cell: str | None = None) -> ShownAdvice | None:
        """Predict a cell, or a file; what went wrong is written below it."""
        try:
            return predicted(line, cell, shell.history_manager.input_hist_raw)
        except KilowaitError as error:
            sys.stderr.write(f"kilowait: {escaped(str(error), LINES)}\n")
            return None

    shell.register_magic_function(predict, magic_kind="line_cell", magic_name=MAGIC)


def predicted(line: str, cell: str | None, history: list[str]) -> ShownAdvice:
    """The advice about a cell with what it needs of the history, whose last entry it is itself."""
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise InputError(f"%{MAGIC} {line}: {error}; put what has a quotation mark in it between others") from error
    end = words.index("--") if "--" in words else len(words)
    options, arguments = _parser(cell is None).parse_args(words[:end]), words[end + 1 :]
    if cell is None:
        reading, root = read_file(Path(options.file), arguments), Path(options.file).absolute().parent
    else:
        earlier = [] if options.alone else needed(history[:-1])
        reading, root = _cell(cell, earlier, arguments), Path.cwd()
    types = tuple(canonical(name) for name in options.devices.split(","))
    return ShownAdvice(
        advice=advice_of(AdviceQuestion(reading=reading, gpus=options.gpus, gpu_types=types, root=root), os.environ)
    )


def _parser(of_file: bool) -> _Options:
    parser = _Options(prog=f"%{MAGIC}", add_help=False, allow_abbrev=False)
    if of_file:
        parser.add_argument("file")
    parser.add_argument("--devices", default=",".join(BESIDE))
    parser.add_argument("--gpus", type=int)
    parser.add_argument("--alone", action="store_true")
    return parser


def _cell(cell: str, earlier: list[str], arguments: list[str]) -> JobReading:
    """The program that a cell is, in the folder that the notebook runs in."""
    cells = [{"cell_type": "code", "source": source} for source in (*earlier, cell)]
    text = json.dumps({"cells": cells, "nbformat": 4, "metadata": {}})
    reading = read_followed(follow_notebook(Path.cwd() / "cell.ipynb", text), "this cell", arguments)
    note = f"imports, definitions and assignments of {len(earlier)} earlier cell(s) belong to it, their loops do not"
    return replace(reading, notes=(*reading.notes, note)) if earlier else reading
