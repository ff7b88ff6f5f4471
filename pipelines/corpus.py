"""Write a corpus of self-contained PyTorch training scripts, or import a public one with its measured times.

Either way a manifest stands beside the files. Nothing is executed and torch is not imported: programs are text. The
same seed, or the same checkout and table of timings, gives the same bytes anywhere.
"""

import argparse
import json
import statistics
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from tqdm import tqdm

from kilowait.core.errors import InputError
from kilowait.core.started import command_name
from kilowait.files import columns, parquet
from kilowait.files.atomic import PARTIAL, write_bytes
from kilowait.lab.corpus.composites import composites
from kilowait.lab.corpus.generate import GeneratedScript, generate

MANIFEST = "manifest.parquet"
FEATURES = ".features"
"""Beside the programs: what pipelines.evaluate has computed from them."""

EXAMPLE = """\
examples:
  kilowait lab corpus --out out/corpus --count 520 --seed 0
  kilowait lab corpus --out out/composites --composites 48
  kilowait lab corpus --out out/kernelbench --import kernelbench ~/KernelBench --timings timings_ms.csv

Composites do two or three families' work one after the other (train and then serve, train and train, both and then
serve), with hyperparameters of their own, in one file whose names are kept apart: tasks to test on, for a predictor
that learns from single ones (kilowait lab evaluate --train out/corpus --test out/composites).

An import writes manifest.parquet, labels.parquet (one row a program and device type: the geometric mean of its runs),
timings.parquet (every run apart) and refused.json (rows left out: line, column, value, reason). The checkout is a work
tree or a bare git directory with its history; each program is read at the commit that was timed. The table of timings
has the columns run, level, problem, mean and std (ms), hardware, timing_commit, source_path, source_blob_at_commit.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    options = _parser().parse_args(argv)
    try:
        if options.imported:
            from .corpus_import import import_corpus

            print(import_corpus(*options.imported, options.timings, options.levels, options.out))
            return 0
        scripts = _scripts(options)
        write_corpus(scripts, options.out)
    except InputError as error:
        print(f"corpus: {error}", file=sys.stderr)
        return 2
    print(summary(scripts, options.out))
    return 0


def _scripts(options: argparse.Namespace) -> list[GeneratedScript]:
    """Everything that is written, with a bar on stderr."""
    if options.composites:
        count = options.composites
        scripts = (composite.script for composite in composites(count, options.seed, options.scale))
    else:
        count, scripts = options.count, generate(options.count, options.seed, options.scale)
    return list(tqdm(scripts, total=count, desc="corpus", unit="script", file=sys.stderr))


def write_corpus(scripts: Sequence[GeneratedScript], out: Path) -> None:
    """Write scripts and manifest; raises InputError where `out` holds anything that is not this corpus."""
    texts = {script.name: script.text.encode() for script in scripts}
    write_programs(texts, [_row(script) for script in scripts], out)


def write_programs(
    texts: Mapping[str, bytes], rows: Sequence[Mapping[str, object]], out: Path, besides: Sequence[str] = ()
) -> None:
    """Write files by name and the manifest's `rows`; raises InputError where `out` holds anything else.

    `besides` names the further files that such a folder has.
    """
    _refuse_foreign(out, texts, besides)
    out.mkdir(parents=True, exist_ok=True)
    for name, data in texts.items():
        path = out / name
        if not path.exists():
            write_bytes(path, data)
    parquet.write_table(parquet.table(rows, columns.CORPUS), out / MANIFEST)


def _refuse_foreign(out: Path, texts: Mapping[str, bytes], besides: Sequence[str]) -> None:
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: is a file; give a folder that is new, empty or holds this very corpus")
    for path in sorted(out.iterdir()) if out.exists() else []:
        ours = path.name in (MANIFEST, FEATURES, *besides)
        ours |= path.name.startswith(".") and path.name.endswith(PARTIAL)
        if not ours and (not path.is_file() or texts.get(path.name) != path.read_bytes()):
            raise InputError(
                f"{out}: holds {path.name!r}, which is not part of this corpus (another --count, --seed or --scale, "
                "or other files); choose a new folder or empty this one"
            )


def _row(script: GeneratedScript) -> dict[str, object]:
    return {
        "content_hash": script.content_hash,
        "path": script.name,
        "family": script.family,
        "group": script.group,
        "style": script.style,
        "scale": script.scale,
        "hyperparameters": json.dumps(dict(script.hyperparameters), sort_keys=True),
        "source_bytes": len(script.text.encode()),
        "entry": "script",
    }


def summary(scripts: Sequence[GeneratedScript], out: Path) -> str:
    """What was written, in a few lines."""
    families, styles = Counter(s.family for s in scripts), Counter(s.style for s in scripts)
    works = Counter((s.family, json.dumps(dict(s.hyperparameters), sort_keys=True)) for s in scripts)
    seconds = sorted(s.seconds for s in scripts)
    percentiles = statistics.quantiles(seconds, n=20, method="inclusive") if len(seconds) > 1 else seconds * 19
    return "\n".join(
        [
            f"{len(scripts)} scripts in {out}, manifest in {out / MANIFEST}",
            f"families  {len(families)}, {min(families.values())} to {max(families.values())} scripts each: "
            + ", ".join(families),
            "styles    " + ", ".join(f"{name} {count}" for name, count in styles.items()),
            f"twins     {len(scripts) - len(works)} share family and hyperparameters with another script",
            f"seconds   p5 {percentiles[0]:.3g}, p50 {percentiles[9]:.3g}, p95 {percentiles[18]:.3g}, "
            f"mean {statistics.mean(seconds):.3g} (estimated for one CPU core, not measured)",
        ]
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=command_name(f"{__package__}.corpus", "kilowait lab corpus"),
        description=__doc__,
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the scripts and manifest.parquet")
    parser.add_argument("--count", type=_positive, default=520, help="how many scripts (default: 520)")
    parser.add_argument("--composites", type=_positive, metavar="N", help="write N composite tasks instead of --count")
    parser.add_argument("--seed", type=int, default=0, help="the corpus is a function of this seed (default: 0)")
    parser.add_argument(
        "--scale",
        choices=["cpu", "gpu"],
        default="cpu",
        help="cpu: about a second on one core; gpu: the same programs with 100 to 1,000 times the work",
    )
    parser.add_argument(
        "--import",
        dest="imported",
        nargs=2,
        metavar=("KIND", "CHECKOUT"),
        help="import a public corpus instead: kernelbench and its repository",
    )
    parser.add_argument("--timings", type=Path, metavar="FILE", help="with --import: the table of measured times (CSV)")
    parser.add_argument("--levels", default="1,2", metavar="N,N", help="with --import: these alone (default: 1,2)")
    return parser


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be >= 1, got {value}")
    return value


if __name__ == "__main__":
    sys.exit(main())
