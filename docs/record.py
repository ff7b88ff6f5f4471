"""Run a command and keep its JSON in docs/results with the command, the commit, the date and the machine.

    python docs/record.py optimality --provenance modelled --title "Distance from the offline optimum" \
        -- python -m benchmarks.optimality --samples 4 --json {json}

The word {json} stands for a file that the command writes, {out}/NAME for a file NAME of a folder that it writes: {out}
stands in the command, NAME behind --file. Without either the JSON is read from standard output.
"""

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results"
MEASURED = ("kilowait", "pipelines", "serve", "tuning", "benchmarks", "data")
PLACE, FOLDER = "{json}", "{out}"


def main() -> int:
    """Run, and write the record; returns the command's exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="of the record: docs/results/NAME.json")
    parser.add_argument("--title", required=True, help="what the figures are, in a few words")
    parser.add_argument("--provenance", required=True, choices=("measured", "estimated", "modelled"))
    parser.add_argument("--file", help="the JSON file in the folder {out}")
    parser.add_argument("--keep", default="", metavar="KEY.KEY", help="keep only this part of the JSON")
    parser.add_argument("command", nargs="+", help="after --")
    args = parser.parse_args()
    load, began, commit = os.getloadavg()[0], datetime.datetime.now(datetime.UTC), _commit()
    code, result = _run(args.command, args.file)
    if code == 0:
        record = {
            "title": args.title,
            "provenance": args.provenance,
            "command": " ".join(args.command),
            "commit": commit,
            "date": began.date().isoformat(),
            "machine": f"{machine()}, load {load:.1f} at the start",
            "result": part(result, args.keep),
        }
        (RESULTS / f"{args.name}.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return code


def _run(command: list[str], name: str | None) -> tuple[int, object]:
    """The exit code and the JSON, from the file that was written or from standard output."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / (name or "result.json")
        words = [{PLACE: str(path), FOLDER: folder}.get(word, word) for word in command]
        words[0] = sys.executable if words[0] == "python" else words[0]
        stdout = None if {PLACE, FOLDER} & set(command) else subprocess.PIPE
        done = subprocess.run(words, cwd=ROOT, stdout=stdout, text=True, check=False)
        if done.returncode:
            return done.returncode, None
        return 0, json.loads(path.read_text() if stdout is None else done.stdout)


def part(result: Any, way: str) -> Any:
    """What stands under a dotted way of keys."""
    for key in filter(None, way.split(".")):
        result = result[key]
    return result


def _commit() -> str:
    """The newest commit that changed what is measured, marked where the checkout differs from it."""

    def git(*words: str) -> str:
        words = (*words, "--", *MEASURED)
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()

    return git("log", "-1", "--format=%H") + (" and changes" if git("status", "--porcelain") else "")


def machine() -> str:
    """The processor, its cores and its GPUs, without a name or a path of the machine."""
    cores = len(os.sched_getaffinity(0))
    models = {
        line.split(":", 1)[1].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    }
    return f"{', '.join(sorted(models)) or platform.machine()}, {cores} cores, {gpus()}"


def gpus() -> str:
    """The boards that NVML names, or "no GPU"."""
    try:
        import pynvml

        pynvml.nvmlInit()
        count = pynvml.nvmlDeviceGetCount()
        names = [pynvml.nvmlDeviceGetName(pynvml.nvmlDeviceGetHandleByIndex(index)) for index in range(count)]
    except Exception:  # no driver, no library: there is no board to name
        return "no GPU"
    return ", ".join(names) or "no GPU"


if __name__ == "__main__":
    sys.exit(main())
