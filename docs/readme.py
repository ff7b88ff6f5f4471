"""Put into README.md what commands printed and what records say.

    python docs/readme.py

`<!-- session NAME -->` stands before a block of docs/sessions/NAME.txt, `<!-- saves -->` before the table of
docs/results/savings_noisy.json. A test checks that the README is as this script would write it.
"""

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parent / "_ext"))

from result_tables import RESULTS, read, shown, table

ROOT = Path(__file__).parents[1]
SESSIONS = Path(__file__).parent / "sessions"
LABELS = {"value": "`value`", "easy": "`easy`", "aged(patient,7d)": "the default"}


def filled(readme: str) -> str:
    """The text of the README with every block as it should be."""
    readme = re.sub(
        r"(<!-- session (\w+) -->\n)```console\n.*?```",
        lambda found: f"{found[1]}```console\n{(SESSIONS / f'{found[2]}.txt').read_text(encoding='utf-8')}```",
        readme,
        flags=re.S,
    )
    text = saves(read(RESULTS / "savings_noisy.json"))
    return re.sub(r"(<!-- saves -->\n).*?\n(?=\n[^|*])", lambda found: found[1] + text, readme, flags=re.S)


def saves(record: Mapping[str, Any]) -> str:
    """A row a policy and table of classes: what changes against Simple."""
    rows = [
        [
            one["classes"],
            LABELS[row["policy"]],
            *(shown(row["changes"][name]) for name in ("total_wait_s", "energy_kwh")),
        ]
        for one in record["result"]
        if one.get("classes") in ("paper-like", "calibrated")
        for row in one["policies"]
        if row["policy"] in LABELS
    ]
    return table(["job classes", "policy", "waiting", "energy of jobs"], rows) + "\n"


def main() -> int:
    """Rewrite the README."""
    path = ROOT / "README.md"
    path.write_text(filled(path.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
