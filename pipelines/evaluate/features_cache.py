"""What pipelines.evaluate computes from a corpus once and keeps beside it, by content hash: vectors and dry runs.

DIR/.features/embeddings holds the shards that pipelines.embed writes, DIR/.features/dryruns-4s those of
pipelines.dryrun with the default budget of 4 CPU seconds: either can be copied there, or written there on a cluster.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from kilowait.lab.evaluate.dry_run_shards import finished as finished_dry_runs
from kilowait.lab.evaluate.dry_run_shards import read_dry_runs, write_dry_runs
from kilowait.lab.evaluate.shards import finished, plan, write_shard
from kilowait.predict.dryrun.dry_runner import DryRunner
from kilowait.predict.dryrun.record import DryRun
from kilowait.predict.embed.features import FeatureConfiguration
from kilowait.program.source import Source

from ..corpus import FEATURES

BUDGET_S = 10.0
"""CPU seconds of a dry run: what the corpora that are there were run with."""
SHARD = 16
"""Sources in a shard: what a kill costs."""


def embeddings_folder(corpus: Path) -> Path:
    """Where the vectors of a corpus are."""
    return corpus / FEATURES / "embeddings"


def dry_runs_folder(corpus: Path) -> Path:
    """Where the dry runs of a corpus are; those with another budget may have been cut short, and lie elsewhere."""
    return corpus / FEATURES / f"dryruns-{BUDGET_S:g}s"


def embed_missing(corpus: Path, sources: Sequence[Source], keys: Sequence[str]) -> None:
    """Compute the vectors that are not there yet, in this process, one thread, with a bar on stderr.

    Raises ModelError when the language model is missing or is not the one that a key names.
    """
    from kilowait.predict.embed.embedding import Embedder
    from kilowait.predict.embed.language_model import load_language_model

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
                embeddings = embedder.embed(source, [configurations[key] for key in shard.keys])
                rows += [{name: getattr(embedding, name) for name in embedding.__slots__} for embedding in embeddings]
                bar.update()
            write_shard(folder, shard.name, rows, window=embedder.window, dtype=dtype)


def _done(folder: Path) -> set[tuple[str, str]]:
    """The vectors that are there already, whatever window the sources were read with."""
    from kilowait.lab.evaluate.dataset import embedding_pairs

    return embedding_pairs(folder) if any(folder.glob("*.parquet")) else set()


def dry_runs(corpus: Path, sources: Sequence[Source], target: str) -> dict[str, DryRun]:
    """The dry run of every source on `target` ("cuda" or "cpu"), by content hash; those that are missing are made.

    Their code is executed, on tensors without data, in a child process of its own that has `BUDGET_S` CPU seconds.
    """
    folder = dry_runs_folder(corpus)
    runs = finished_dry_runs(folder, target)
    todo = [source for source in sources if source.content_hash not in runs]
    if todo:
        folder.mkdir(parents=True, exist_ok=True)
        with DryRunner(budget_s=BUDGET_S, target=target) as runner:
            bar = tqdm(todo, desc="dry run", unit="program", mininterval=0.5, file=sys.stderr)
            shard: list[DryRun] = []
            for source in bar:
                shard.append(runner.run(source))
                if len(shard) == SHARD or source is todo[-1]:
                    write_dry_runs(folder, shard)
                    shard = []
    return read_dry_runs(folder, target)
