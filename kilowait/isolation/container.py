"""A job in a container of an image that the operator chose or allows: the words for podman, docker or apptainer.

Its variables travel in a file and not in the engine's words, where any user of the machine would read them, nor in the
engine's environment, where a job could tell the engine what to do.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kilowait.isolation.cgroup import SHARES, WEIGHT, GroupLimits
from kilowait.isolation.job_room import HOME

VARIABLES = "/kilowait/environment.json"
_START = f"import json, os, sys; e = json.load(open({VARIABLES!r})); os.execvpe(sys.argv[1], sys.argv[1:], e)"


@dataclass(frozen=True)
class ContainerRun:
    """One run of an image. `volumes` are (host path, path inside, "ro" or "rw"); `gpu_ids` are UUIDs of boards.

    With a `terminal` the command has one inside, on the engine's own.
    """

    engine: str
    image: str
    name: str
    volumes: tuple[tuple[str, str, str], ...]
    limits: GroupLimits
    gpu_ids: tuple[str, ...] = ()
    terminal: bool = False

    def words(self, command: Sequence[str]) -> tuple[str, ...]:
        """The engine's command: `command` inside, in /job, with the variables that `write_variables` wrote."""
        if Path(self.engine).name == "apptainer":
            return self._apptainer(command)
        docker = Path(self.engine).name == "docker"
        boards = [f"--gpus=device={gpu}" if docker else f"--device=nvidia.com/gpu={gpu}" for gpu in self.gpu_ids]
        return (
            *(self.engine, "run", "--rm", "--init", f"--name={self.name}", "--network=host", f"--workdir={HOME}"),
            *("--cap-drop=all", "--security-opt=no-new-privileges", f"--memory={self.limits.memory_bytes}"),
            *(f"--pids-limit={self.limits.tasks}", f"--cpu-shares={self.limits.cpu_weight * SHARES // WEIGHT}"),
            f"--shm-size={self.limits.memory_bytes // 2}",
            *(f"--volume={source}:{target}:{mode}" for source, target, mode in self.volumes),
            *boards,
            *(("--interactive", "--tty") if self.terminal else ()),
            *(self.image, "python3", "-c", _START, *command),
        )

    def _apptainer(self, command: Sequence[str]) -> tuple[str, ...]:
        """Where it runs, the command is a process of the caller's, which ends with it and limits its memory.

        A file has an absolute path: what lies in the job's own folder is no image that the operator allows.
        """
        image = self.image if "://" in self.image or self.image.startswith("/") else f"docker://{self.image}"
        return (
            *(self.engine, "exec", "--containall", "--no-home", f"--pwd={HOME}", *(("--nv",) if self.gpu_ids else ())),
            *(f"--bind={source}:{target}:{mode}" for source, target, mode in self.volumes),
            *(image, "python3", "-c", _START, *command),
        )

    @property
    def removal(self) -> tuple[str, ...]:
        """The words that end it, whatever became of the command that ran it; () where it ends with that."""
        if Path(self.engine).name == "apptainer":
            return ()
        return (self.engine, "rm", "--force", self.name)


def write_variables(file: Path, environment: Mapping[str, str]) -> tuple[str, str, str]:
    """Write the job's variables for this user's eyes alone, and give the volume that shows them."""
    file.touch(mode=0o600)
    file.write_text(json.dumps(dict(environment)))
    return str(file), VARIABLES, "ro"
