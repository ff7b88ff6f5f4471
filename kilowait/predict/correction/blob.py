"""A correction as bytes to be kept in a database: tensors in safetensors, and a description in JSON.

Nothing is unpickled. The version is a hash over both, and `unpacked` refuses parts that do not belong together.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError

from kilowait.core.errors import InputError, ModelError
from kilowait.predict.correction.correction import Correction, ResidualProcess
from kilowait.predict.correction.covariance import NAMES, JobFeatures, Variances, Vectors, VectorSpace
from kilowait.predict.device_model.calibration import Quantiles
from kilowait.predict.format_version import check_format

FORMAT = 1
"""Of the description; a reader refuses a newer one."""
PROCESSES = ("runtime", "power")


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """A correction that can be kept: `version` is 12 hexadecimal characters of a hash over the two others."""

    version: str
    description: str
    tensors: bytes


def packed(correction: Correction) -> Packed:
    """The correction as bytes; the same correction gives the same."""
    runtime, power = correction.runtime.jobs, correction.power.jobs
    known = {name: sorted({*getattr(runtime, name), *getattr(power, name)}) for name in NAMES}
    arrays = {
        "center": correction.space.center,
        "spread": correction.space.spread,
        "vectors": _vectors(known["source"], runtime, power).astype(np.float16),
    }
    described: dict[str, Any] = {"format": FORMAT, "names": known}
    for part in PROCESSES:
        process: ResidualProcess = getattr(correction, part)
        arrays |= _tensors(part, process, known)
        described[part] = asdict(process.variances)
    described |= {
        "base_version": correction.base_version,
        "quantiles": {metric: asdict(ends) for metric, ends in correction.quantiles.items()},
        "pretended": correction.pretended,
        "training": dict(correction.training),
    }
    text = json.dumps(described, sort_keys=True, separators=(",", ":"), allow_nan=False)
    tensors = safetensors.numpy.save({name: np.ascontiguousarray(array) for name, array in arrays.items()})
    return Packed(version=_version(tensors, text), description=text, tensors=tensors)


def unpacked(kept: Packed) -> Correction:
    """The correction of these bytes; raises ModelError naming the version and what is wrong with it."""
    if _version(kept.tensors, kept.description) != kept.version:
        raise ModelError(f"correction {kept.version}: its parts do not belong together or were edited; refit")
    try:
        described = json.loads(kept.description)
        check_format(f"correction {kept.version}:", described["format"], FORMAT, "refit")
        return _correction(described, safetensors.numpy.load(kept.tensors))
    except (KeyError, TypeError, ValueError, IndexError, SafetensorError, InputError) as error:
        raise ModelError(f"correction {kept.version}: not a correction: {error!r}; refit") from error


def _correction(described: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Correction:
    vectors = arrays["vectors"].astype(np.float32)
    runtime, power = (_process(part, described, arrays, vectors) for part in PROCESSES)
    return Correction(
        base_version=described["base_version"],
        space=VectorSpace(center=arrays["center"], spread=arrays["spread"]),
        runtime=runtime,
        power=power,
        quantiles={metric: Quantiles(**ends) for metric, ends in described["quantiles"].items()},
        pretended=described["pretended"],
        training=described["training"],
    )


def _process(
    part: str, described: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], vectors: Vectors
) -> ResidualProcess:
    known, index = described["names"], {name: arrays[f"{part}/{name}"].astype(np.int64) for name in NAMES}
    used, vector = np.unique(index["source"], return_inverse=True)
    names = {name: tuple(known[name][i] for i in index[name]) for name in NAMES}
    jobs = JobFeatures(**names, vector=vector.astype(np.int64), vectors=vectors[used])
    residual = arrays[f"{part}/residual"]
    if residual.shape != (len(jobs),) or not np.isfinite(residual).all():
        raise ValueError(f"{part}: residuals of the shape {residual.shape}, or not finite")
    return ResidualProcess(jobs, residual, Variances(**described[part]))


def _tensors(part: str, process: ResidualProcess, known: Mapping[str, list[str]]) -> dict[str, NDArray[Any]]:
    found: dict[str, NDArray[Any]] = {f"{part}/residual": process.residual}
    for name in NAMES:
        at = {value: i for i, value in enumerate(known[name])}
        found[f"{part}/{name}"] = np.array([at[value] for value in getattr(process.jobs, name)], dtype=np.int32)
    return found


def _vectors(sources: list[str], *jobs: JobFeatures) -> Vectors:
    """The vector of each source (u, d), from whoever has it."""
    found = {source: some.vectors[i] for some in jobs for source, i in zip(some.source, some.vector, strict=True)}
    numbers = jobs[0].vectors.shape[1]
    return np.array([found[source] for source in sources], dtype=np.float32).reshape(len(sources), numbers)


def _version(tensors: bytes, description: str) -> str:
    return hashlib.sha256(hashlib.sha256(tensors).digest() + description.encode()).hexdigest()[:12]
