"""The actors of `pipelines.embed`: each loads the model once and turns one shard a call into vectors."""

import logging
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa
import ray

from kilowait.core.closed_ray import connected
from kilowait.core.errors import InputError, SourceError
from kilowait.files.columns import EMBEDDINGS
from kilowait.lab.evaluate.shards import Shard
from kilowait.predict.embed.embedding import Embedder
from kilowait.predict.embed.features import FeatureConfiguration
from kilowait.predict.embed.language_model import DType, ModelLocation, load_language_model
from kilowait.program.source import Source

_KINDS = (("CPU", "num_cpus"), ("GPU", "num_gpus"))

_RESULT = pa.schema(
    [
        *EMBEDDINGS,
        ("shard", pa.string()),
        ("name", pa.string()),
        ("dtype", pa.string()),
        ("busy_s", pa.float64()),
        ("refused", pa.string()),
    ]
)
"""What an actor returns: a row a source and feature, or one row a refused source with the reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedPlan:
    """What every actor needs to know."""

    location: ModelLocation
    depth: int  # blocks that are read
    dtype: DType
    window: int
    threads: int


class EmbedShard:
    """One actor: it loads the model once and turns tables of sources into tables of vectors."""

    def __init__(self, plan: EmbedPlan) -> None:
        os.environ["TOKENIZERS_PARALLELISM"] = "false"
        model = load_language_model(plan.location.name, plan.location.revision, dtype=plan.dtype, depth=plan.depth)
        self.embedder = Embedder(model, threads=plan.threads, window=plan.window)
        self.dtype = str(model.dtype).removeprefix("torch.")

    def __call__(self, shard: pa.Table) -> pa.Table:
        """The vectors of a shard's sources, under every key of each."""
        rows = [row for item in shard.to_pylist() for row in self._rows(item)]
        return pa.Table.from_pylist(rows, schema=_RESULT)

    def _rows(self, item: dict[str, Any]) -> list[dict[str, Any]]:
        source = Source(name=item["name"], text=item["text"], content_hash=item["content_hash"])
        common = {"shard": item["shard"], "name": source.name, "dtype": self.dtype}
        started = time.perf_counter()
        try:
            embeddings = self.embedder.embed(source, [FeatureConfiguration.parse(key) for key in item["keys"]])
        except SourceError as error:
            return [{**common, "refused": str(error)}]
        busy_s = (time.perf_counter() - started) / len(embeddings)
        return [{**common, "busy_s": busy_s, **asdict(embedding)} for embedding in embeddings]


def stream(
    shards: Sequence[Shard], work: EmbedPlan, actors: int, resources: dict[str, float]
) -> Iterator[list[dict[str, Any]]]:
    """One list of rows a shard, in the order in which they end."""
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    data = ray.data.from_arrow([_table(shard) for shard in shards]).map_batches(
        EmbedShard,
        fn_constructor_args=(work,),
        batch_size=None,  # a block, and so a shard, a call
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=actors),
        **resources,
    )
    for block in data.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
        yield block.to_pylist()


def _table(shard: Shard) -> pa.Table:
    return pa.Table.from_pylist(
        [
            {"shard": shard.name, "content_hash": s.content_hash, "name": s.name, "text": s.text, "keys": shard.keys}
            for s in shard.sources
        ]
    )


@contextmanager
def session() -> Iterator[None]:
    """Attach to the cluster of RAY_ADDRESS or of this process, else start one here and end it afterwards."""
    with connected(ray, os.environ.get("RAY_ADDRESS") or None):
        yield


def pool(shards: int, *, actors: int | None, threads: int, gpus_per_actor: int | None) -> tuple[int, dict[str, float]]:
    """How many actors, and what each takes; raises InputError when the cluster cannot hold what is asked for."""
    resources = ray.cluster_resources()
    actor_needs = {"num_cpus": threads}
    if gpus := gpus_per_actor or min(1, int(resources.get("GPU", 0))):
        actor_needs["num_gpus"] = gpus
    room = min(int(resources.get(kind, 0) // actor_needs[name]) for kind, name in _KINDS if name in actor_needs)
    actor_count = actors or min(room, shards)
    if actor_count > room or room < 1:
        raise InputError(
            f"--actors {actors or 1} with {threads} CPUs and {gpus} GPUs each: the cluster has "
            f"{resources.get('CPU', 0):g} CPUs and {resources.get('GPU', 0):g} GPUs, room for {room}"
        )
    return actor_count, actor_needs
