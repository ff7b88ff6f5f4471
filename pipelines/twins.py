"""Write restyled, disguised twins of a corpus, with a manifest beside them: kilowait lab twins --help.

A twin does the work of a known script and looks different: another style, other names, another order, dead code,
wrong comments. It is a test of whether a predictor reads what a program does or how it is written.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from tqdm import tqdm

from kilowait.core.errors import InputError
from kilowait.core.started import command_name
from kilowait.files.columns import CORPUS, TWINS
from kilowait.files.parquet import read_table, table, write_table
from kilowait.lab.corpus.running import results
from kilowait.lab.corpus.twins import Twin, twins
from kilowait.predict.dryrun.record import Completeness, DryRun
from kilowait.program.source import source_from_bytes

from .evaluate.features_cache import dry_runs

MANIFEST = "manifest.parquet"
EXAMPLE = """\
example:
  kilowait lab corpus --out out/corpus --count 520
  kilowait lab twins --corpus out/corpus --count 60 --out out/twins --run

The corpus must be one that `corpus` wrote at --scale cpu: twins are made from its recipe, and each original is
checked to be there byte for byte. Twins keep the family, the hyperparameters, the additions (clipping, schedule) and
the random seed. --run executes every pair on one thread and compares the last number that both print (about two
seconds a pair); the manifest's same_result says how it went. --dry-run executes them on tensors without data and
compares the operations: what `kilowait predict` and the recipe combined of pipelines.evaluate read instead of the text.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns 2 for a mistake in what was given, 1 when a twin prints another result."""
    options = _parser().parse_args(argv)
    try:
        manifest = read_table(options.corpus / MANIFEST, CORPUS)
        writing = twins(options.count, options.seed, manifest.num_rows, options.corpus_seed)
        twin_list = list(tqdm(writing, total=options.count, desc="twins", unit="twin"))
        _check_originals(twin_list, set(manifest["content_hash"].to_pylist()), options)
    except InputError as error:
        print(f"pipelines.twins: {error}", file=sys.stderr)
        return 2
    same_results = _compare(twin_list) if options.run else {}
    _write(twin_list, same_results, options.out)
    print(_summary(twin_list, same_results, options.out))
    if options.dry_run:
        print(_dry_run(twin_list, options))
    return 0 if all(same_results.values()) else 1


def _check_originals(twin_list: Sequence[Twin], hashes: set[str], options: argparse.Namespace) -> None:
    missing = [twin for twin in twin_list if twin.original not in hashes]
    if missing:
        raise InputError(
            f"{options.corpus}: lacks {len(missing)} of {len(twin_list)} originals "
            f"(first: {missing[0].original_name}); give the corpus that kilowait lab corpus wrote at --scale cpu, with "
            "its --seed as --corpus-seed"
        )


def _compare(twin_list: Sequence[Twin]) -> dict[str, bool]:
    """Whether each pair prints the same last number, by content hash of the twin."""
    same_results = {}
    for twin in tqdm(twin_list, desc="run pairs", unit="pair"):
        outputs = results({"twin": twin.text, "original": twin.original_text})
        same_results[twin.content_hash] = outputs["twin"] == outputs["original"]
        if not same_results[twin.content_hash]:
            print(f"{twin.name}: {outputs['twin']!r} against {outputs['original']!r}", file=sys.stderr)
    return same_results


def _dry_run(twin_list: Sequence[Twin], options: argparse.Namespace) -> str:
    """Whether dry runs of the pairs execute the same operations: then a predictor that reads them cannot tell them."""
    originals = [source_from_bytes(twin.original_name, twin.original_text.encode()) for twin in twin_list]
    copies = [source_from_bytes(twin.name, twin.text.encode()) for twin in twin_list]
    original_runs, twin_runs = dry_runs(options.corpus, originals, "cpu"), dry_runs(options.out, copies, "cpu")
    pairs = [(original_runs[twin.original], twin_runs[twin.content_hash]) for twin in twin_list]
    whole = [pair for pair in pairs if all(run.completeness == Completeness.WHOLE for run in pair)]
    alike = sum(_work(a) == _work(b) for a, b in whole)
    difference = max((abs(_flops(b) / _flops(a) - 1) for a, b in whole if _flops(a)), default=0.0)
    return (
        f"dry runs: of {len(pairs)} pairs {len(whole)} whole, {alike} of them the same operations, each as often; "
        f"FLOPs differ by {difference:.2%} at most"
    )


def _work(run: DryRun) -> list[tuple[str, str, str, float]]:
    """Every operation with its data type, shapes and how often it is executed."""
    return sorted(
        (operation.op, operation.dtype, operation.shapes, round(operation.count, 6)) for operation in run.operations
    )


def _flops(run: DryRun) -> float:
    return sum(operation.flops * operation.count for operation in run.operations)


def _write(twin_list: Sequence[Twin], same_results: Mapping[str, bool], out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    for twin in twin_list:
        (out / twin.name).write_text(twin.text, encoding="utf-8")
    write_table(table([_row(twin, same_results.get(twin.content_hash)) for twin in twin_list], TWINS), out / MANIFEST)


def _row(twin: Twin, same_result: bool | None) -> dict[str, object]:
    return {
        "content_hash": twin.content_hash,
        "path": twin.name,
        "family": twin.family,
        "group": twin.family,
        "style": twin.style,
        "scale": "cpu",
        "hyperparameters": json.dumps(dict(twin.hyperparameters), sort_keys=True),
        "source_bytes": len(twin.text.encode()),
        "original": twin.original,
        "original_path": twin.original_name,
        "disguises": list(twin.disguises),
        "same_result": same_result,
    }


def _summary(twin_list: Sequence[Twin], same_results: Mapping[str, bool], out: Path) -> str:
    disguise_counts = Counter(name for twin in twin_list for name in twin.disguises)
    plain = sum(not twin.disguises for twin in twin_list)
    lines = [
        f"{len(twin_list)} twins of {len({t.family for t in twin_list})} families in {out}, "
        f"manifest in {out / MANIFEST}",
        "styles     " + ", ".join(f"{name} {n}" for name, n in Counter(t.style for t in twin_list).most_common()),
        f"disguises  restyled only {plain}, " + ", ".join(f"{name} {n}" for name, n in disguise_counts.most_common()),
    ]
    if same_results:
        lines.append(
            f"same result as the original, run on one thread: {sum(same_results.values())} of {len(same_results)} "
            "(measured)"
        )
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=command_name(f"{__package__}.twins", "kilowait lab twins"),
        description=__doc__,
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--corpus", type=Path, required=True, help="folder that kilowait lab corpus wrote")
    parser.add_argument("--out", type=Path, required=True, help="folder for the twins and manifest.parquet")
    parser.add_argument("--count", type=int, default=60, help="how many twins (default: 60)")
    parser.add_argument("--seed", type=int, default=0, help="the twins are a function of this seed (default: 0)")
    parser.add_argument("--corpus-seed", type=int, default=0, help="the seed of the corpus (default: 0)")
    parser.add_argument("--run", action="store_true", help="run every pair and compare their results")
    parser.add_argument("--dry-run", action="store_true", help="compare the dry runs of every pair (seconds a pair)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
