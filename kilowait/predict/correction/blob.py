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
    names = {name: sorted({*getattr(runtime, name), *getattr(power, name)}) for name in NAMES}
    arrays = {
        "center": correction.space.center,
        "spread": correction.space.spread,
        "vectors": _vectors(names["source"], runtime, power).astype(np.float16),
    }
    description: dict[str, Any] = {"format": FORMAT, "names": names}
    for part in PROCESSES:
        process: ResidualProcess = getattr(correction, part)
        arrays |= _tensors(part, process, names)
        description[part] = asdict(process.variances)
    description |= {
        "base_version": correction.base_version,
        "quantiles": {metric: asdict(ends) for metric, ends in correction.quantiles.items()},
        "pretended": correction.pretended,
        "training": dict(correction.training),
    }
    text = json.dumps(description, sort_keys=True, separators=(",", ":"), allow_nan=False)
    tensors = safetensors.numpy.save({name: np.ascontiguousarray(array) for name, array in arrays.items()})
    return Packed(version=_version(tensors, text), description=text, tensors=tensors)


def unpacked(kept: Packed) -> Correction:
    """The correction of these bytes; raises ModelError naming the version and what is wrong with it."""
    if _version(kept.tensors, kept.description) != kept.version:
        raise ModelError(f"correction {kept.version}: its parts do not belong together or were edited; refit")
    try:
        description = json.loads(kept.description)
        check_format(f"correction {kept.version}:", description["format"], FORMAT, "refit")
        return _correction(description, safetensors.numpy.load(kept.tensors))
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
    part: str, description: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], vectors: Vectors
) -> ResidualProcess:
    names_of, index = description["names"], {name: arrays[f"{part}/{name}"].astype(np.int64) for name in NAMES}
    used_vectors, vector = np.unique(index["source"], return_inverse=True)
    names = {name: tuple(names_of[name][i] for i in index[name]) for name in NAMES}
    jobs = JobFeatures(**names, vector=vector.astype(np.int64), vectors=vectors[used_vectors])
    residual = arrays[f"{part}/residual"]
    if residual.shape != (len(jobs),) or not np.isfinite(residual).all():
        raise ValueError(f"{part}: residuals of the shape {residual.shape}, or not finite")
    return ResidualProcess(jobs, residual, Variances(**description[part]))


def _tensors(part: str, process: ResidualProcess, names: Mapping[str, list[str]]) -> dict[str, NDArray[Any]]:
    tensors: dict[str, NDArray[Any]] = {f"{part}/residual": process.residual}
    for name in NAMES:
        index = {value: i for i, value in enumerate(names[name])}
        tensors[f"{part}/{name}"] = np.array([index[value] for value in getattr(process.jobs, name)], dtype=np.int32)
    return tensors


def _vectors(sources: list[str], *jobs: JobFeatures) -> Vectors:
    """The vector of each source (u, d), from any of the jobs that have it."""
    by_source = {
        source: features.vectors[i]
        for features in jobs
        for source, i in zip(features.source, features.vector, strict=True)
    }
    numbers = jobs[0].vectors.shape[1]
    return np.array([by_source[source] for source in sources], dtype=np.float32).reshape(len(sources), numbers)


def _version(tensors: bytes, description: str) -> str:
    return hashlib.sha256(hashlib.sha256(tensors).digest() + description.encode()).hexdigest()[:12]
