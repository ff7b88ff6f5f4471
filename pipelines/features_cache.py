"""What pipelines.evaluate computes from a corpus once and keeps beside it, by content hash: vectors and dry runs.

DIR/.features/embeddings holds shards of records.EMBEDDINGS, as pipelines.embed writes them (its shards can be copied
there); DIR/.features/dryruns holds one JSON file a program and target.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tqdm import tqdm

from kilowait.predict.dryrun.record import DryRun
from kilowait.predict.features import FeatureConfiguration
from kilowait.predict.shards import finished, plan, write_shard
from kilowait.source import Source
from pipelines.corpus import FEATURES

SHARD = 16
"""Sources in a shard: what a kill costs."""


def embeddings_folder(corpus: Path) -> Path:
    """Where the vectors of a corpus are."""
    return corpus / FEATURES / "embeddings"


def embed_missing(corpus: Path, sources: Sequence[Source], keys: Sequence[str]) -> None:
    """Compute the vectors that are not there yet, in this process, one thread, with a bar on stderr.

    Raises ModelError when the language model is missing or is not the one that a key names.
    """
    from kilowait.predict.embedding import Embedder
    from kilowait.predict.language_model import load_language_model

    folder = embeddings_folder(corpus)
    by_hash = {source.content_hash: source for source in sources}
    if not plan(by_hash, keys, _done(folder), SHARD):
        return
    configurations = {key: FeatureConfiguration.parse(key) for key in keys}
    depth = max(configuration.layer for configuration in configurations.values())
    embedder = Embedder(load_language_model(configurations[keys[0]].model, depth=depth))
    shards = plan(by_hash, keys, finished(folder, embedder.window), SHARD)
    dtype = str(embedder.model.dtype).removeprefix("torch.")
    with tqdm(
        total=sum(len(shard.sources) for shard in shards), desc="embed", unit="file", mininterval=0.5, file=sys.stderr
    ) as bar:
        for shard in shards:
            rows: list[dict[str, object]] = []
            for source in shard.sources:
                found = embedder.embed(source, [configurations[key] for key in shard.keys])
                rows += [{name: getattr(one, name) for name in one.__slots__} for one in found]
                bar.update()
            write_shard(folder, shard.name, rows, window=embedder.window, dtype=dtype)


def _done(folder: Path) -> set[tuple[str, str]]:
    """What is there already, whatever the window it was read with."""
    from kilowait.predict.dataset import embedding_pairs

    return embedding_pairs(folder) if any(folder.glob("*.parquet")) else set()


def dry_runs(corpus: Path, sources: Sequence[Source], entries: Mapping[str, str], target: str) -> dict[str, DryRun]:
    """The dry runs on `target` that are beside the corpus, by content hash; `entries` says how each program is run."""
    folder = corpus / FEATURES / "dryruns"
    found = {}
    for source in sources:
        path = folder / f"{source.content_hash}.{target}.json"
        if path.exists():
            found[source.content_hash] = DryRun.from_json(path.read_bytes())
    return found


def keep_dry_run(corpus: Path, run: DryRun) -> None:
    """Write one dry run beside the corpus, atomically."""
    folder = corpus / FEATURES / "dryruns"
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f".{run.content_hash}.{os.getpid()}.partial"
    partial.write_bytes(run.to_json())
    os.replace(partial, folder / f"{run.content_hash}.{run.target}.json")
