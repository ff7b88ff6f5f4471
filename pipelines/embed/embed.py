"""Embed sources with a language model over a pool of Ray actors: `kilowait lab embed --help`.

Writes into --out: shard-*.parquet (columns.EMBEDDINGS) and refused.json. The driver reads the sources and writes the
shards, so the workers need no shared file system; all texts pass through the driver's memory.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

from tqdm import tqdm

from kilowait.core.errors import InputError, KilowaitError
from kilowait.core.started import command_name
from kilowait.lab.evaluate.shards import (
    RefusedFile,
    Shard,
    Sources,
    collect,
    find_files,
    finished,
    plan,
    write_refused,
    write_shard,
)
from kilowait.predict.embed.embedding import window_size
from kilowait.predict.embed.features import LAYER, FeatureConfiguration
from kilowait.predict.embed.language_model import ModelLocation, load_tokenizer, locate_model
from kilowait.predict.embed.packaged_model import DEFAULT_MODEL
from kilowait.program.source import MAX_SOURCE_BYTES

from .actors import EmbedPlan, pool, session, stream

EXAMPLE = """example:
  kilowait lab embed --corpus out/corpus --out out/embeddings --layer 6,30 --pooling mean,numbers,last

On a Ray cluster (absolute paths on the head: the job runs in Ray's copy of the working directory):
  ray job submit --working-dir . -- python -m pipelines.embed --corpus /srv/scripts --out /srv/embeddings

Every pooling, layer and norm asked for comes from one pass over a source, which stops after the deepest layer.
--layer K is the output of block K (1 is the first) before any norm, or after the model's final norm with --norm final.
Poolings: last (the last token), mean (over all tokens), suffix (the last token of a fixed prompt after the source),
numbers (the last tokens of the numbers in it, each times log(1 + value), summed).
Kill it at any moment and start it again: finished shards are not computed again, whatever the shard size. A source
under several paths is embedded once. Files that are empty, binary, not UTF-8 or too large are refused by name.
Exit code: 0 even when some files were refused, 2 when nothing was usable or an option is wrong.
"""
_SHOWN = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedSummary:
    """What a run did; `elapsed_s` is from the actors' start to the last shard, model loading included."""

    files: int
    unique: int
    embedded: int
    skipped: int
    refused: int
    shards: int
    tokens: int
    elapsed_s: float
    tokens_per_s: float
    busy_tokens_per_s: float  # of one actor while it computes
    actors: int
    features: tuple[str, ...]


def parser() -> argparse.ArgumentParser:
    """The options of `kilowait lab embed`."""
    p = argparse.ArgumentParser(
        prog=command_name(str(__package__), "kilowait lab embed"),
        description="Embed source files with a language model; resumable, one vector a source and feature.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--corpus", nargs="+", required=True, metavar="PATH", help="folders (searched for --glob) or files")
    p.add_argument("--out", required=True, type=Path, metavar="DIR", help="where the shards go, and resume from")
    p.add_argument("--glob", default="*.py", help="which files of a folder (default: %(default)s)")
    p.add_argument("--model", default=DEFAULT_MODEL, help="%(default)s, a folder, or a Hugging Face name")
    p.add_argument("--revision", help="the model's revision (default: what is here, or the hub's newest; recorded)")
    p.add_argument(
        "--dtype", default="auto", choices=["auto", "bfloat16", "float16", "float32"], help="auto: the fastest"
    )
    p.add_argument("--pooling", default="mean,numbers", metavar="P,P", help="see below (default: %(default)s)")
    p.add_argument("--layer", default=str(LAYER), metavar="K,K", help="blocks, from 1 (default: %(default)s)")
    p.add_argument("--norm", default="raw", metavar="N,N", help="of raw, final (default: %(default)s)")
    p.add_argument("--window", type=int, metavar="TOKENS", help="longest pass (default: the model's context)")
    p.add_argument("--actors", type=int, metavar="N", help="default: one a CPU, or one a GPU (or --gpus-per-actor)")
    p.add_argument("--threads", type=int, default=1, help="CPU threads (and cores) an actor (default: %(default)s)")
    p.add_argument("--gpus-per-actor", type=int, metavar="N", help="spread one model over N GPUs (default: 1 if any)")
    p.add_argument("--shard-size", type=int, default=16, metavar="N", help="sources a shard (default: %(default)s)")
    p.add_argument("--limit", type=int, metavar="N", help="only the first N files")
    p.add_argument("--max-bytes", type=int, default=MAX_SOURCE_BYTES, metavar="B", help="refuse larger files")
    p.add_argument("--json", action="store_true", help="print the summary as one JSON object")
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    options = parser().parse_args(argv)
    try:
        _check(options)
        summary, refused = run(options)
    except KilowaitError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    _report(summary, refused, options)
    return 0


def run(options: argparse.Namespace) -> tuple[EmbedSummary, list[RefusedFile]]:
    """Embed what is not in --out yet; raises InputError when no file is usable."""
    paths = find_files(options.corpus, options.glob)[: options.limit]
    collection = collect(tqdm(paths, desc="read", unit="file", leave=False), options.max_bytes)
    write_refused(options.out, collection.refused)
    if not collection.sources:
        raise InputError(_nothing(options, collection))
    location = locate_model(options.model, options.revision)
    features = _features(options, location)
    window = window_size(location, load_tokenizer(location), options.window)
    shards = plan(collection.sources, features, finished(options.out, window), options.shard_size)
    depth = max(FeatureConfiguration.parse(key).layer for key in features)
    work = EmbedPlan(location=location, depth=depth, dtype=options.dtype, window=window, threads=options.threads)
    tally = EmbedTally(refused=list(collection.refused))
    started = time.perf_counter()
    actors = _embed(options, shards, work, tally) if shards else 0
    elapsed_s = time.perf_counter() - started
    write_refused(options.out, tally.refused)
    todo = sum(len(shard.sources) for shard in shards)
    return _summary(collection, todo, len(shards), tally, elapsed_s, actors, features), tally.refused


@dataclass(slots=True, kw_only=True)
class EmbedTally:
    """What came back from the actors so far."""

    refused: list[RefusedFile]
    embedded: int = 0
    tokens: int = 0
    busy_s: float = 0.0

    def add(self, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Count a shard's rows; returns those that have a vector."""
        self.refused += [RefusedFile(path=row["name"], reason=row["refused"]) for row in rows if row["refused"]]
        good = [row for row in rows if not row["refused"]]
        tokens = {row["content_hash"]: row["tokens"] for row in good}
        self.embedded += len(tokens)
        self.tokens += sum(tokens.values())
        self.busy_s += sum(row["busy_s"] for row in good)
        return good


def _embed(options: argparse.Namespace, shards: Sequence[Shard], work: EmbedPlan, tally: EmbedTally) -> int:
    """Run the shards over the actors, writing each as it comes back; returns the number of actors."""
    todo = sum(len(shard.sources) for shard in shards)
    started = time.perf_counter()
    with session(), tqdm(total=todo, desc="embed", unit="file", mininterval=0.5) as progress:
        actors, resources = pool(
            len(shards), actors=options.actors, threads=options.threads, gpus_per_actor=options.gpus_per_actor
        )
        for rows in stream(shards, work, actors, resources):
            good = tally.add(rows)
            if good:
                write_shard(options.out, good[0]["shard"], good, window=work.window, dtype=good[0]["dtype"])
            rate = tally.tokens / (time.perf_counter() - started)
            progress.set_postfix_str(f"{rate:.0f} tokens/s", refresh=False)
            progress.update(len({row["name"] for row in rows}))
    return actors


def _features(options: argparse.Namespace, location: ModelLocation) -> list[str]:
    """The feature keys asked for; raises InputError naming the value that is wrong."""
    try:
        layers = [int(value) for value in options.layer.split(",")]
    except ValueError as error:
        raise InputError(f"--layer must be numbers like 6,30, got {options.layer!r}") from error
    if max(layers) > location.layers:
        raise InputError(f"--layer {max(layers)}: {location.name} has {location.layers} blocks")
    choices = product(options.pooling.split(","), layers, options.norm.split(","))
    features = [
        FeatureConfiguration(model=location.name, revision=location.revision, pooling=pooling, layer=layer, norm=norm)
        for pooling, layer, norm in choices
    ]
    return list(dict.fromkeys(feature.key for feature in features))


def _check(options: argparse.Namespace) -> None:
    for name in ("actors", "threads", "gpus_per_actor", "shard_size", "limit", "max_bytes"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise InputError(f"--{name.replace('_', '-')} must be >= 1, got {value}")


def _nothing(options: argparse.Namespace, collection: Sources) -> str:
    folders = ", ".join(options.corpus)
    if not collection.files:
        return f"--corpus {folders}: no file matches {options.glob}; give files, or another --glob"
    reasons = "\n".join(f"  {refusal.reason}" for refusal in collection.refused[:_SHOWN])
    return f"--corpus {folders}: all {collection.files} files are refused:\n{reasons}"


def _summary(
    collection: Sources,
    todo: int,
    shards: int,
    tally: EmbedTally,
    elapsed_s: float,
    actors: int,
    features: Sequence[str],
) -> EmbedSummary:
    return EmbedSummary(
        files=collection.files,
        unique=len(collection.sources),
        embedded=tally.embedded,
        skipped=len(collection.sources) - todo,
        refused=len(tally.refused),
        shards=shards,
        tokens=tally.tokens,
        elapsed_s=elapsed_s,
        tokens_per_s=tally.tokens / elapsed_s,
        busy_tokens_per_s=tally.tokens / tally.busy_s if tally.busy_s else 0.0,
        actors=actors,
        features=tuple(features),
    )


def _report(summary: EmbedSummary, refused: Sequence[RefusedFile], options: argparse.Namespace) -> None:
    """The summary on stdout, the refused files on stderr."""
    for refusal in refused[:_SHOWN]:
        print(f"refused: {refusal.reason}", file=sys.stderr)
    if len(refused) > _SHOWN:
        print(f"refused: {len(refused) - _SHOWN} more, in {options.out / 'refused.json'}", file=sys.stderr)
    if options.json:
        print(json.dumps(asdict(summary)))
        return
    s = summary
    print(
        f"files {s.files}, unique {s.unique}, embedded now {s.embedded}, done before {s.skipped}, refused {s.refused}"
    )
    print(
        f"{s.tokens:,} tokens in {s.elapsed_s:.1f} s = {s.tokens_per_s:,.0f} tokens/s with {s.actors} actors "
        f"({s.busy_tokens_per_s:,.0f} tokens/s an actor while it computes)"
    )
    print(f"{s.shards} shards into {options.out}: {', '.join(s.features)}")
