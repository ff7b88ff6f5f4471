"""The README's commands print what the README shows."""

import re
import subprocess
import sys
from pathlib import Path

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def test_the_simulate_example_prints_what_it_shows(tmp_path: Path) -> None:
    block = next(b for b in re.findall(r"```\n(.*?)```", README, re.S) if "kilowait simulate" in b)
    table, rest = block.removeprefix("$ cat jobs.csv\n").split("$ .venv/bin/kilowait ", 1)
    command, shown = rest.split("\n", 1)
    (tmp_path / "jobs.csv").write_text(table)
    ran = [sys.executable, "-m", "kilowait.cli.main", *command.split()]
    done = subprocess.run(ran, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == shown.strip()


def test_nothing_is_left_to_fill_in() -> None:
    assert not re.findall(r"@[A-Z]+@", README)
