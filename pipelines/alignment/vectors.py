"""Vectors of rewritten sources for pipelines.alignment: embedded in this process, kept as shards, never twice."""

import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from kilowait.lab.evaluate.shards import Shard, finished, plan, write_shard
from kilowait.predict.embed.embedding import Embedder, window_size
from kilowait.predict.embed.features import FeatureConfiguration
from kilowait.predict.embed.language_model import load_tokenizer, locate_model
from kilowait.program.source import source_from_bytes

SHARD = 8


def embed_missing(texts: Sequence[str], keys: Sequence[str], folder: Path, *, threads: int = 1) -> None:
    """Embed what `folder` lacks of `texts` under the feature `keys`."""
    sources = [source_from_bytes("rewritten", text.encode()) for text in texts]
    distinct = {source.content_hash: source for source in sources}
    embedder: Embedder | None = None
    location = locate_model()
    window = window_size(location, load_tokenizer(location), None)
    shards = plan(distinct, keys, finished(folder, window), SHARD)
    total = sum(len(shard.sources) for shard in shards)
    with tqdm(desc="embed", unit="source", total=total, file=sys.stderr, disable=not total) as bar:
        for shard in shards:
            embedder = embedder or Embedder(threads=threads)
            write_shard(folder, shard.name, _rows(embedder, shard, bar), window=window, dtype="auto")


def _rows(embedder: Embedder, shard: Shard, bar: "tqdm[None]") -> list[dict[str, object]]:
    configurations = [FeatureConfiguration.parse(key) for key in shard.keys]
    rows: list[dict[str, object]] = []
    for source in shard.sources:
        for embedding in embedder.embed(source, configurations):
            names = ("content_hash", "features", "tokens", "windows", "vector")
            rows.append({name: getattr(embedding, name) for name in names})
        bar.update()
    return rows
