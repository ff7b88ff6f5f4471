"""python -m pipelines.train on a small world."""

from pathlib import Path

from pipelines import train


def train_on(world: Path, out: Path, *more: str) -> int:
    """The exit code of `python -m pipelines.train` on such a world, in three folds."""
    return train.main(
        [
            *("--labels", str(world / "labels.parquet")),
            *("--embeddings", str(world / "embeddings")),
            *("--corpus", str(world / "corpus")),
            *("--out", str(out), "--folds", "3"),
            *more,
        ]
    )
