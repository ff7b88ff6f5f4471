"""Keep the figures of the first README, which were typed in by hand, as records in docs/results.

    python docs/transcribe.py 8964085        # the last commit whose README.md holds them

It was run once. Each paragraph or table is copied as it stood; the commit and the date of a record are those of the
newest commit that brought one of its lines into the README. Later figures come from `docs/record.py`.
"""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
MACHINE = "2 cores, no GPU (idle state unknown)"
RECORDS: dict[str, tuple[str, str, str, list[str]]] = {
    # name: (title, provenance, command, how the paragraphs begin)
    "demo": (
        "Value and Greedy against Simple, as the demo prints it",
        "modelled",
        "make demo",
        ["```\n                     Change against", "(That machine was busy"],
    ),
    "accuracy_text": (
        "Predictions from the text alone, on 520 training scripts",
        "modelled",
        "python -m pipelines.train --labels data/cpu/labels.parquet",
        ["520 scripts of 33 families", "| model (run time) | 9:1", "The default reads two"],
    ),
    "accuracy_dry_run": (
        "Predictions with the dry run, on the same scripts",
        "modelled",
        "python -m pipelines.evaluate --dataset ours",
        ["| model (run time) | 5-fold", "The device model wins"],
    ),
    "composites": (
        "Scripts that do several things",
        "modelled",
        "python -m pipelines.evaluate --train A --test B",
        ["**Composite tasks.**"],
    ),
    "label_counts": ("Accuracy by number of labels", "modelled", "python -m pipelines.curve", ["**How many labels?**"]),
    "kernelbench": (
        "200 programs that nobody here wrote, on ten GPU types",
        "modelled",
        "python -m pipelines.evaluate --dataset kernelbench",
        [
            "[KernelBench](",
            "| model (run time, all ten",
            "`combined` executes the program",
            "The model's scales were",
            "A GPU type that nobody measured",
            "The recipes named for papers",
        ],
    ),
    "training_steps": (
        "Whole training steps on GPUs",
        "modelled",
        "python -m benchmarks.training_steps",
        ["**Whole training steps are harder.**"],
    ),
    "style": (
        "The same work in another style, and code unlike any known",
        "modelled",
        "python -m pipelines.alignment; python -m pipelines.twins --dry-run; python -m pipelines.ood",
        ["**Does it read the program", "**Does it know what"],
    ),
    "dry_run_fidelity": (
        "Dry runs against whole runs",
        "measured",
        "python -m pytest tests/predict/test_architectures.py",
        ["A dry run executes few items"],
    ),
    "savings": (
        "Value and Greedy against Simple in the paper's scenario",
        "modelled",
        "python -m pipelines.backtest --scenario paper",
        ["The paper that kilowait implements", "| against Simple | waiting", "These are the demo's"],
    ),
    "patience": (
        "How much of the energy that can be saved is saved, at no more waiting than Value",
        "modelled",
        "python -m benchmarks.patience",
        ["| classes, jobs | predictions | Value's", "Every point of Value"],
    ),
    "anticipatory": (
        "Looking ahead",
        "modelled",
        "python -m benchmarks.patience --policy anticipatory",
        ["`anticipatory` looks ahead", "| classes, jobs | predictions | patient's", "A decision takes about twelve"],
    ),
    "traces": (
        "On real traces",
        "modelled",
        "python -m pipelines.backtest --trace FILE --load 0.9",
        ["On real traces", "| trace, cluster"],
    ),
    "optimality_ten_samples": (
        "Distance from the offline optimum",
        "modelled",
        "python -m benchmarks.optimality",
        ["How far is that from what is possible"],
    ),
    "study": (
        "What is policy, what is prediction",
        "modelled",
        "python -m pipelines.study",
        ["`python -m pipelines.study` runs", "| | no prediction", "Most of what Value and patient"],
    ),
    "against_the_paper": (
        "Where the difference to the paper comes from",
        "modelled",
        "python -m pipelines.backtest --scenario paper",
        ["Where the difference to the paper"],
    ),
    "scheduling_speed": (
        "Speed of the simulator and of a decision",
        "measured",
        "make bench",
        ["`make bench` on two cores", "| policy | GPU types", "(hpcsim: 4,000"],
    ),
    "prediction_speed": (
        "Time and energy of a prediction",
        "measured",
        "python -m benchmarks.prediction",
        ["A prediction of a new program"],
    ),
    "embedding_speed": (
        "Speed of the embedder",
        "measured",
        "python -m benchmarks.embedding; python -m benchmarks.embed_resume",
        ["On a 2.5 GHz Xeon", "Killed with -9 half-way"],
    ),
    "service_speed": (
        "Speed of the service",
        "measured",
        "python -m benchmarks.service; python -m benchmarks.live",
        ["On two idle cores"],
    ),
    "soak": (
        "Parts of the service killed while jobs run",
        "measured",
        "python -m benchmarks.soak",
        ["```\n$ python -m benchmarks.soak"],
    ),
    "refit": (
        "What finished jobs teach",
        "modelled",
        "python -m benchmarks.refit",
        ["```\n$ python -m pipelines.refit", "(Jobs on pretended GPUs run"],
    ),
}


def main() -> int:
    """Write every record."""
    last = sys.argv[1]
    blocks = paragraphs(git("show", f"{last}:README.md"))
    for name, (title, provenance, command, starts) in RECORDS.items():
        picked = [picked_one(blocks, start) for start in starts]
        commit, date = newest(picked, last)
        record: dict[str, Any] = {
            "title": title,
            "provenance": provenance,
            "command": command,
            "commit": commit,
            "date": date,
            "machine": MACHINE,
            "transcribed": f"Transcribed from README.md at commit {commit[:10]}",
            "blocks": picked,
        }
        path = ROOT / "docs" / "results" / f"{name}.json"
        path.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0


def paragraphs(text: str) -> list[str]:
    """What blank lines separate; a fenced block stays whole."""
    pieces = re.split(r"(^```.*?^```$)", text, flags=re.S | re.M)
    return [one.strip("\n") for piece in pieces for one in _split(piece) if one.strip()]


def _split(piece: str) -> list[str]:
    return [piece] if piece.startswith("```") else re.split(r"\n\s*\n", piece)


def picked_one(blocks: list[str], start: str) -> str:
    """The one paragraph that begins so."""
    (block,) = [block for block in blocks if block.startswith(start)]
    return block


def newest(picked: list[str], last: str) -> tuple[str, str]:
    """The newest commit, with its date, that brought one of these lines in."""
    lines = {max(block.splitlines(), key=len) for block in picked} | {block.splitlines()[-1] for block in picked}
    found = [
        git("log", "-1", f"-S{line}", "--format=%ct %H %as", last, "--", "README.md") for line in lines if line != "```"
    ]
    _, commit, date = max((one for one in found if one), key=lambda one: int(one.split()[0])).split()
    return commit, date


def git(*words: str) -> str:
    """What git prints."""
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    sys.exit(main())
