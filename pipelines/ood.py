"""Which distance tells unknown kinds of programs: kilowait lab ood --help.

Leave one family out: its members against held-out members of the known families, scored by each distance. Prints how
well the distance separates the two (AUROC), how many of each the default threshold takes for unknown, and how well
it ranks the absolute error of the logarithm of the default probe, trained on the same scripts (Spearman).
"""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from scipy.stats import spearmanr
from sklearn.cluster import KMeans
from sklearn.metrics import roc_auc_score
from torch import Tensor
from tqdm import tqdm

from kilowait.core.arrays import FloatArray, Mask
from kilowait.core.errors import InputError
from kilowait.core.started import command_name
from kilowait.lab.evaluate.dataset import Dataset, read_embeddings, read_study
from kilowait.predict.probe.ood import Novelty
from kilowait.predict.probe.probe import ProbeConfig, fit_probes

PARTS = 5
"""Of the known scripts one part in so many is held out, another one for each family left out."""
Distance = Callable[[Tensor, Sequence[str], Tensor], FloatArray]
"""From training vectors, their families and tested vectors to distances."""


def mahalanobis(train: Tensor, families: Sequence[str], test: Tensor) -> FloatArray:
    """The Mahalanobis distance that kilowait uses."""
    return _fit(train, families).score(test).double().numpy()


def _fit(train: Tensor, families: Sequence[str]) -> Novelty:
    return Novelty.fit(train, families, list(map(str, range(len(train)))))


def neighbours(count: int) -> Distance:
    """The mean distance to the nearest training scripts, standardised."""

    def distance(train: Tensor, families: Sequence[str], test: Tensor) -> FloatArray:
        a, b = _standardised(train, test)
        return torch.cdist(b, a).sort(dim=1).values[:, :count].mean(1).double().numpy()

    return distance


def kmeans(train: Tensor, families: Sequence[str], test: Tensor) -> FloatArray:
    """The distance to the nearest of as many centres as there are families, found without knowing them."""
    a, b = _standardised(train, test)
    centres = KMeans(len(set(families)), n_init=1, random_state=0).fit(a.numpy()).cluster_centers_
    return torch.cdist(b, torch.from_numpy(centres)).amin(1).double().numpy()


DISTANCES: Mapping[str, Distance] = {
    "Mahalanobis, shrunk, by family": mahalanobis,
    "nearest known script": neighbours(1),
    "10 nearest known scripts": neighbours(10),
    "k-means": kmeans,
}


def _standardised(train: Tensor, test: Tensor) -> tuple[Tensor, Tensor]:
    spread = train.std(0, correction=0).clamp(min=1e-9)
    return (train - train.mean(0)) / spread, (test - train.mean(0)) / spread


def compare(
    study: Dataset, x: Tensor, config: ProbeConfig, seed: int = 0
) -> tuple[list[dict[str, object]], list[float]]:
    """A row a distance, and the shares of held-out known and of left-out scripts that the default takes for unknown."""
    family = np.array(study.families)
    part = np.random.default_rng(seed).integers(0, PARTS, len(family))
    distances: dict[str, list[FloatArray]] = {name: [] for name in DISTANCES}
    errors, outside, unknown = [], [], []
    for i, name in enumerate(tqdm(sorted(set(family)), desc="families", unit="family", file=sys.stderr)):
        out = family == name
        held_out = (part == i % PARTS) & ~out
        train, test = np.flatnonzero(~out & ~held_out), np.flatnonzero(out | held_out)
        train_families = family[train].tolist()
        for label, distance in DISTANCES.items():
            distances[label].append(distance(x[train], train_families, x[test]))
        errors.append(_errors(study, x, config, ~out & ~held_out)[test])
        outside.append(out[test])
        unknown.append(_fit(x[train], train_families).unknown(x[test]).numpy())
    rows = [_row(label, values, outside, np.concatenate(errors)) for label, values in distances.items()]
    far, flagged = np.concatenate(outside), np.concatenate(unknown)
    return rows, [float(flagged[~far].mean()), float(flagged[far].mean())]


def _errors(study: Dataset, x: Tensor, config: ProbeConfig, train: Mask) -> FloatArray:
    """Each script's absolute error of the logarithm of its run time, averaged over device types (S,)."""
    y = study.metrics["runtime_s"]
    rows = study.rows("runtime_s", x, train[study.script] & np.isfinite(y))
    (probe,) = fit_probes(config, [rows], study.device_types, seed=0)
    errors = np.abs(np.log(probe.predict(x).double().numpy()[study.script, study.device] / y))
    return np.bincount(study.script, errors) / np.bincount(study.script)


def _row(label: str, distances: Sequence[FloatArray], outside: Sequence[Mask], errors: FloatArray) -> dict[str, object]:
    scores = [float(roc_auc_score(o, d)) for o, d in zip(outside, distances, strict=True)]
    d, o = np.concatenate(distances), np.concatenate(outside)
    return {
        "distance": label,
        "auroc": float(np.mean(scores)),
        "worst": min(scores),
        "spearman": float(spearmanr(d, errors)[0]),
        "spearman_unknown": float(spearmanr(d[o], errors[o])[0]),
        "spearman_known": float(spearmanr(d[~o], errors[~o])[0]),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; exits with 2 for a mistake in what was given."""
    args = _parser().parse_args(argv)
    try:
        study, config = read_study(args.labels), ProbeConfig.default()
        vectors = read_embeddings(args.embeddings, config.features, study.scripts)
    except InputError as error:
        print(f"pipelines.ood: {error}", file=sys.stderr)
        return 2
    rows, (known, left_out) = compare(study, torch.cat([vectors[key] for key in config.features], 1), config)
    print(f"{'distance':<32}  AUROC  worst family  Spearman with error: all  left out  known")
    for row in rows:
        print(
            f"{row['distance']:<32}  {row['auroc']:.3f}  {row['worst']:12.3f}  {row['spearman']:24.2f}  "
            f"{row['spearman_unknown']:8.2f}  {row['spearman_known']:5.2f}"
        )
    print(f"taken for unknown at the default threshold: {known:.1%} of held-out known scripts, {left_out:.1%} left out")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=command_name(f"{__package__}.ood", "kilowait lab ood"),
        description=__doc__,
        epilog="example: kilowait lab ood --labels out/labels/labels.parquet --embeddings out/emb",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--labels", required=True, type=Path, help="label table (Parquet)")
    parser.add_argument("--embeddings", required=True, type=Path, metavar="DIR", help="folder of embedding shards")
    return parser


if __name__ == "__main__":
    sys.exit(main())
