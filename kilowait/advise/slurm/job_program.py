"""The program that a submission comes to, and the Python that it will run under."""

import os
import re
import shlex
from collections.abc import Mapping
from pathlib import Path

from kilowait.advise.slurm.batch_request import BatchRequest, resource_lines
from kilowait.core.errors import InputError
from kilowait.predict.interpreter import OWN, Interpreter, choose
from kilowait.program.launch.followed import follow_shell
from kilowait.program.read import JobReading, read_bytes, read_followed, read_program

_ACTIVATED = re.compile(r"^\s*(?:source|\.)\s+[\"']?(\S+?)/bin/activate[\"']?\s*$", re.MULTILINE)
_CONDA = re.compile(r"^\s*(?:conda|mamba|micromamba)\s+activate\s+[\"']?([^\s\"']+)", re.MULTILINE)


def read_job(request: BatchRequest) -> JobReading:
    """The program with its files, arguments and variables; raises SourceError where none can be followed."""
    script = Path(request.script or "script.sh")
    if request.command == "sbatch" and "wrap" not in request and "python" in request.text.split("\n", 1)[0]:
        if script.suffix == ".py":
            return read_program(script.parent, script.name, request.arguments)
        return read_bytes(script.name, request.text.encode(), request.arguments)
    text = "\n".join([shell_text(request), *resource_lines(request)]) + "\n"
    path = script if request.command == "sbatch" and request.script else request.folder / "script.sh"
    followed = follow_shell(path, text, request.arguments)
    return read_followed(followed, f"{request.script or request.command}: {followed.entrypoint}", request.arguments)


def shell_text(request: BatchRequest) -> str:
    """What a shell runs."""
    if request.command == "srun":
        return "#!/bin/sh\nsrun " + shlex.join([request.script, *request.arguments])
    return f"#!/bin/sh\n{request.value('wrap')}" if "wrap" in request else request.text


def python_of_job(request: BatchRequest, environment: Mapping[str, str]) -> tuple[Interpreter, str]:
    """(the Python that the script activates, else the one that is active here; why it cannot be used, "" if it can)."""
    text = shell_text(request)
    venv = next((_expanded(found, environment) for found in _ACTIVATED.findall(text)), None)
    conda = next((_expanded(found, environment) for found in _CONDA.findall(text)), None) if venv is None else None
    if venv is None and conda is None:
        venv = environment.get("VIRTUAL_ENV")
    if venv is not None and not os.path.isabs(venv):
        venv = str(request.folder / venv)
    try:
        return choose(venv=venv, conda=conda), ""
    except InputError as error:
        return OWN, f"predicted with kilowait's own Python: {error}"


def _expanded(path: str, environment: Mapping[str, str]) -> str:
    known = {"HOME": environment.get("HOME", ""), **environment}
    return os.path.expanduser(re.sub(r"\$\{?(\w+)\}?", lambda name: known.get(name[1], ""), path))
