"""A terminal of 80 columns for programs that ask how wide theirs is, to draw a bar.

Only for a child that does nothing but a dry run: there is no way back.
"""

from __future__ import annotations

import os
import subprocess
from typing import Any

_ROWS, _COLUMNS = 24, 80
_ANSWERS = {"stty size": f"{_ROWS} {_COLUMNS}", "tput cols": f"{_COLUMNS}", "tput lines": f"{_ROWS}"}


def pretend_terminal() -> None:
    """Answer what asks for the size of a terminal."""
    real_popen, real_output = os.popen, subprocess.check_output

    def popen(command: Any, *args: Any, **kwargs: Any) -> Any:
        answer = _answer(command)
        return real_popen(command if answer is None else f"echo {answer}", *args, **kwargs)

    def check_output(command: Any, *args: Any, **kwargs: Any) -> Any:
        answer = _answer(command)
        return real_output(command if answer is None else ["echo", answer], *args, **{**kwargs, **_plain(answer)})

    setattr(os, "popen", popen)  # noqa: B010 - the checker has other types for it
    setattr(subprocess, "check_output", check_output)  # noqa: B010
    os.get_terminal_size = lambda *_: os.terminal_size((_COLUMNS, _ROWS))


def _plain(answer: Any) -> dict[str, Any]:
    return {} if answer is None else {"shell": False}


def _answer(command: Any) -> str | None:
    words = command.split() if isinstance(command, str) else command if isinstance(command, (list, tuple)) else []
    return _ANSWERS.get(" ".join(map(str, words[:2])))
