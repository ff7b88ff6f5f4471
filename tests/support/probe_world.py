"""A small world whose truth is known: runtime = exp(direction . embedding) with the second device 1.7 times as slow."""

import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa

from kilowait.files.columns import CORPUS, EMBEDDINGS, LABELS
from kilowait.files.parquet import table, write_table
from kilowait.predict.embed.features import PAPER_LAST, FeatureConfiguration

WIDTH = 12
RELATIVE_TIME = {"A100": 1.0, "A6000": 2.0, "T4": 5.0}
"""Of the types in a corpus that is labelled for three GPU types."""
SLOWDOWN = 1.7
KEY = FeatureConfiguration().key
NUMBERS = FeatureConfiguration(pooling="numbers").key


def write_world(folder: Path, *, scripts: int = 60, noise: float = 0.02, extra: bool = False) -> None:
    """labels.parquet, embeddings/, corpus/ under `folder`; with `extra` a carbon_g column too."""
    rng = np.random.default_rng(7)
    x = rng.normal(size=(scripts, WIDTH)).astype(np.float32)
    steps = rng.integers(1, 40, size=scripts)
    log_runtime = 0.8 * x[:, 0] - 0.5 * x[:, 1] + np.log(steps) * 0.0
    texts = [f"alpha = {i}\nfor step in range({steps[i]}):\n    model_{i % 5}(alpha)\n" for i in range(scripts)]
    hashes = [hashlib.sha256(text.encode()).hexdigest() for text in texts]
    labels, vectors, manifest = [], [], []
    for i in range(scripts):
        (folder / "corpus").mkdir(parents=True, exist_ok=True)
        (folder / "corpus" / f"s{i}.py").write_text(texts[i])
        common = {"content_hash": hashes[i], "family": f"f{i % 3}", "group": f"g{i // 2}", "style": "flat"}
        manifest.append({**common, "path": f"s{i}.py", "scale": "cpu", "hyperparameters": "{}", "source_bytes": 9})
        for device, factor in (("cpu-1", 1.0), ("cpu-2", SLOWDOWN)):
            runtime = float(np.exp(log_runtime[i] + noise * rng.normal()) * factor)
            row = {**common, "device_type": device, "runs": 2, "runtime_s": runtime, "energy_j": runtime * 50}
            row |= {"spread": 0.04, "flagged": False, "runtime_provenance": "measured"}
            row |= {"energy_provenance": "estimated", "carbon_g": runtime * 3, "carbon_provenance": "measured"}
            labels.append(row)
        for key, vector in ((KEY, x[i]), (NUMBERS, x[i][::-1] * 3), (PAPER_LAST.key, x[i] * 0.5 + 1)):
            vectors.append({"content_hash": hashes[i], "features": key, "tokens": 9, "windows": 1, "vector": vector})
    schema = LABELS
    if extra:
        schema = schema.append(pa.field("carbon_g", pa.float64())).append(pa.field("carbon_provenance", pa.string()))
    write_table(table([{n: r[n] for n in schema.names} for r in labels], schema), folder / "labels.parquet")
    write_table(table(vectors[::2], EMBEDDINGS), folder / "embeddings" / "part-0.parquet")
    write_table(table(vectors[1::2], EMBEDDINGS), folder / "embeddings" / "part-1.parquet")
    write_table(table(manifest, CORPUS), folder / "corpus" / "manifest.parquet")
