"""Runs generated scripts and reads the one number that each prints last: the check that twins do equal work."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping

_RUN = """
import contextlib, io, json, sys, traceback
import torch
torch.set_num_threads(1)
for name, text in json.load(sys.stdin).items():
    sys.argv, said = [name], io.StringIO()
    try:
        with contextlib.redirect_stdout(said):
            exec(compile(text, name, "exec"), {"__name__": "__main__"})
        print(json.dumps([name, said.getvalue(), None]), flush=True)
    except Exception:
        print(json.dumps([name, said.getvalue(), traceback.format_exc()[-600:]]), flush=True)
"""
_LAST_NUMBER = re.compile(r"-?(?:\d+\.\d+|nan|inf)(?=\s*$)")


def results(texts: Mapping[str, str], *, timeout_s: float = 600) -> dict[str, str]:
    """The last number that each script prints, by name, or what went wrong; all in one process on one thread.

    Meant for scripts that this package generated, or rewrote: it executes them.
    """
    process = subprocess.run(
        [sys.executable, "-c", _RUN],
        input=json.dumps(dict(texts)),
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    rows = [json.loads(line) for line in process.stdout.splitlines()]
    return {name: failure or last_number(output) for name, output, failure in rows}


def last_number(said: str) -> str:
    """The number at the very end of what a script printed; "no result" where there is none."""
    match = _LAST_NUMBER.search(said)
    return match[0] if match else "no result"
