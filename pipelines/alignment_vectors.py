"""Vectors of rewritten sources for pipelines.alignment: embedded in this process, kept as shards, never twice."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tqdm import tqdm

from kilowait.predict.embedding import Embedder, window_size
from kilowait.predict.features import FeatureConfiguration
from kilowait.predict.language_model import load_tokenizer, locate_model
from kilowait.predict.shards import Shard, finished, plan, write_shard
from kilowait.source import Source, source_from_bytes

SHARD = 8


def embed_missing(texts: Sequence[str], keys: Sequence[str], folder: Path, *, threads: int = 1) -> list[str]:
    """Embed what `folder` lacks of `texts` under the feature `keys`; returns the content hash of each text."""
    sources = [source_from_bytes("rewritten", text.encode()) for text in texts]
    distinct = {source.content_hash: source for source in sources}
    embedder: Embedder | None = None
    with tqdm(desc="embed", unit="source", total=0, file=sys.stderr) as bar:
        for shard in _lacking(distinct, keys, folder, bar):
            embedder = embedder or Embedder(threads=threads)
            write_shard(folder, shard.name, _rows(embedder, shard, bar), window=embedder.window, dtype="auto")
    return [source.content_hash for source in sources]


def _lacking(sources: Mapping[str, Source], keys: Sequence[str], folder: Path, bar: "tqdm[None]") -> list[Shard]:
    location = locate_model()
    window = window_size(location, load_tokenizer(location), None)
    shards = plan(sources, keys, finished(folder, window), SHARD)
    bar.total = sum(len(shard.sources) for shard in shards)
    return shards


def _rows(embedder: Embedder, shard: Shard, bar: "tqdm[None]") -> list[dict[str, object]]:
    configurations = [FeatureConfiguration.parse(key) for key in shard.keys]
    rows: list[dict[str, object]] = []
    for source in shard.sources:
        for made in embedder.embed(source, configurations):
            names = ("content_hash", "features", "tokens", "windows", "vector")
            rows.append({name: getattr(made, name) for name in names})
        bar.update()
    return rows
