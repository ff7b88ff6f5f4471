"""Why a program ended before its end: where in its own text, in which items of its loops, and what can be done."""

from __future__ import annotations

import os
import re
from types import TracebackType

from kilowait.predict.dryrun.recorder import Recorder

PACKAGE = "predict with the job's own interpreter (--python PATH or --venv DIR; in the service --software NAME)"
_FILE = "--data DIR shows it files of this machine, and --assume NAME=SIZE stands for one that is not here"
_VARIABLE = "--env NAME=VALUE sets a variable of the job"
_NETWORK = "a dry run has no network: --data DIR shows it what is on this machine"
BUDGET = "--dry-run-budget-s gives it more"
_NETWORK_ERRORS = ("URLError", "HTTPError", "ConnectionError", "gaierror", "LocalEntryNotFoundError", "MaxRetryError")
_WANTS_RANKS = re.compile(
    r"\b(only|requires?|needs?|must|expects?|launch(ed)?|started?|run)\b.*\b(distributed|torchrun|multi-?gpu)\b",
    re.IGNORECASE | re.DOTALL,
)


def reason_of(error: BaseException) -> str:
    """The error, and the line of the program's own text that it came through last."""
    place = place_of(error.__traceback__)
    told = f"{type(error).__name__}: {error}"[:400] + (f" ({place})" if place else "")
    return f"{told}: {PACKAGE}" if isinstance(error, ModuleNotFoundError) and error.name else told


def place_of(trace: TracebackType | None) -> str:
    """The innermost line of the program's own code: that of packages has absolute paths."""
    place = ""
    while trace is not None:
        name = trace.tb_frame.f_code.co_filename
        if not os.path.isabs(name) and not name.startswith("<"):
            place = f"{name} line {trace.tb_lineno}"
        trace = trace.tb_next
    return place


def remedy_for(error: BaseException) -> str:
    """What the user can do about it, empty where nothing is known."""
    if isinstance(error, ImportError):
        return PACKAGE
    if any(kind.__name__ in _NETWORK_ERRORS for kind in type(error).__mro__):
        return _NETWORK
    if isinstance(error, KeyError) and _from_environment(error.__traceback__):
        return _VARIABLE
    return _FILE if isinstance(error, OSError) else ""


def ranks_wanted(error: BaseException) -> int:
    """How many processes a program asks for that ended because it is alone: two where its error says so, else 0."""
    refuses = isinstance(error, (ValueError, RuntimeError, AssertionError, SystemExit))
    return 2 if refuses and _WANTS_RANKS.search(str(error)[:400]) else 0


def _from_environment(trace: TracebackType | None) -> bool:
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and trace.tb_frame.f_code.co_filename.endswith(("os.py", "<frozen os>"))


def unbounded_by(recorder: Recorder, stopped: bool) -> str:
    """Why what was seen is no measure of the job, empty where it is one."""
    if recorder.ends.unbounded:
        return "; ".join(recorder.ends.unbounded)
    if stopped and not recorder.ends.interrupted and recorder.steps <= 1:
        return "the program was ended outside of any loop that says how much is to come"
    return ""


def progress(recorder: Recorder) -> str:
    """In which items of its loops a program was when it was ended."""
    if not recorder.ends.interrupted:
        return "what comes after that was not seen"
    scaled = "" if recorder.ends.unbounded else ", which were taken to their ends"
    return f"it was in {', '.join(recorder.ends.interrupted)}{scaled}; what comes after was not seen"
