"""What `kilowait predict --json` answers for a program, asked as a user would ask, and read for the benchmarks.

Nothing here imports what predicts: an answer is what the command prints, and its seconds are those of the whole
process, measured.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

STATES = ("whole", "guessed", "partial", "failed", "off")
COMPLETE = ("whole", "guessed")
HERE = Path(__file__).resolve().parents[1]
REFUSED, LATE = "refused", "late"
_ASSUMED = re.compile(r"\bassum", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """How programs are asked about: the job's interpreter, folders of data, and seconds after which to give up.

    Relative names of `data` are those in `folder`, from which is asked then.
    """

    python: Path | None = None
    data: tuple[Path, ...] = ()
    budget_s: float | None = None
    limit_s: float = 600.0
    folder: Path | None = None

    def options(self) -> list[str]:
        """The options of `kilowait predict` that say so."""
        options = ["--python", str(self.python.absolute())] if self.python else []
        options += [word for folder in self.data for word in ("--data", str(folder))]
        return options + (["--dry-run-budget-s", str(self.budget_s)] if self.budget_s is not None else [])


def add_asking_options(parser: argparse.ArgumentParser, programs: str) -> None:
    """The options of every benchmark that asks about `programs`."""
    add = parser.add_argument
    add("--python", type=Path, metavar="PATH", help=f"the {programs}' own interpreter, as of kilowait predict")
    add("--only", metavar="NAME,...", help=f"these {programs} alone")
    add("--dry-run-budget-s", type=float, metavar="S", help="as of kilowait predict (default: its own)")
    add("--limit-s", type=float, default=600.0, metavar="S", help="give a prediction up after this (default: 600)")
    add("--json", type=Path, metavar="FILE", help="write the rows and shares here too")


def asked_by(args: argparse.Namespace, data: Sequence[Path] = ()) -> Asked:
    """What `add_asking_options` read."""
    return Asked(python=args.python, data=tuple(data), budget_s=args.dry_run_budget_s, limit_s=args.limit_s)


def named(args: argparse.Namespace) -> list[str] | None:
    """The names that --only gave, None for all."""
    return args.only.split(",") if args.only else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What was answered; `state` is one of STATES, REFUSED where the source was not taken, LATE past the limit.

    `timed` says that device types have a run time from the dry run; `assumed` are the lines that say what was assumed.
    `text` is everything that the answer says in words. `flops`, `steps`, `parameters` are those of the run on a GPU
    where anything runs there, else on the CPU.
    """

    state: str
    reason: str = ""
    steps: float = 0.0
    flops: float = 0.0
    parameters: float = 0.0
    peak_memory_bytes: float = 0.0
    gpus: int = 0
    timed: bool = False
    assumed: tuple[str, ...] = ()
    text: str = ""
    seconds: float = 0.0
    seconds_again: float | None = None
    devices: dict[str, float] = field(default_factory=dict)

    @property
    def accepted(self) -> bool:
        """Whether the source was taken."""
        return self.state not in (REFUSED, LATE)

    @property
    def complete(self) -> bool:
        """Whether it is whole or guessed and has a time."""
        return self.state in COMPLETE and self.timed

    @property
    def doubted(self) -> bool:
        """Whether the answer says itself that it is partial, or what was assumed."""
        return self.state not in COMPLETE or bool(self.assumed)


def ask(
    source: Path,
    entrypoint: str | None,
    arguments: Sequence[str],
    asked: Asked,
    extra: Sequence[str] = (),
    *,
    warm: bool = False,
) -> Answer:
    """The answer for one program: a script, or a folder with its entrypoint. Never raises for what is answered.

    With `warm` the process may answer that an earlier prediction left behind, else nothing is loaded before.
    """
    command = [sys.executable, "-m", "kilowait", "predict", "--json", *asked.options(), *extra]
    command += ["--entrypoint", entrypoint] if entrypoint else []
    command += [str(source), "--", *arguments]
    environment = dict(os.environ) if warm else {**os.environ, "KILOWAIT_WARM_MINUTES": "0"}
    if asked.folder is not None:  # from where this package is not found by itself
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(HERE), environment.get("PYTHONPATH")]))
    start = time.monotonic()
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=asked.limit_s,
            stdin=subprocess.DEVNULL,
            env=environment,
            cwd=asked.folder,
        )
    except subprocess.TimeoutExpired:
        return Answer(state=LATE, reason=f"no answer within {asked.limit_s:g} s", seconds=asked.limit_s)
    seconds = time.monotonic() - start
    try:
        entry = json.loads(done.stdout)["predictions"][0]
    except (ValueError, LookupError):
        lines = done.stderr.strip().splitlines()
        reason = lines[-1] if lines else f"exit code {done.returncode} without a word"
        return Answer(state=REFUSED, reason=reason, text=done.stderr, seconds=seconds)
    return read(entry, seconds)


def read(entry: dict[str, Any], seconds: float) -> Answer:
    """An entry of the command's JSON as an answer."""
    run, on_gpu = _run(entry)
    times = {name: numbers["runtime_s"] for name, numbers in entry["devices"].items()}
    timed = [name for name in times if (not name.startswith("cpu")) == on_gpu]
    return Answer(
        state=run["outcome"],
        reason=run.get("reason", ""),
        steps=run.get("steps", 0.0),
        flops=run.get("flops", 0.0),
        parameters=run.get("parameters", 0.0),
        peak_memory_bytes=run.get("peak_memory_bytes", 0.0),
        gpus=entry["request"]["gpus"],
        timed=bool(timed) and run["outcome"] in COMPLETE,
        assumed=_assumed(entry, run),
        text="\n".join(_words(entry)),
        seconds=seconds,
        devices=times,
    )


def _run(entry: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    """The dry run that counts, and whether it is the one for GPU types: the other where nothing runs on a GPU."""
    gpu, own = entry["dry_run"], entry.get("own_dry_run", {"outcome": "off"})
    on_cpu = gpu["outcome"] in COMPLETE and not gpu.get("bytes") and own["outcome"] in COMPLETE
    return (own, False) if on_cpu else (gpu, True)


def _assumed(entry: dict[str, Any], run: dict[str, Any]) -> tuple[str, ...]:
    """Every line that says what was assumed, under whatever heading it stands."""
    lists = [part.get(name) or () for part in (entry, run) for name in ("assumed", "assumptions")]
    stated = [line if isinstance(line, str) else json.dumps(line) for lines in lists for line in lines]
    told = [run.get("reason", ""), *entry.get("notes", ())]
    return tuple(dict.fromkeys([*stated, *(line for line in told if _ASSUMED.search(line))]))


def _words(value: Any) -> list[str]:
    """All texts in an answer."""
    if isinstance(value, str):
        return [value]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for part in parts for text in _words(part)]
