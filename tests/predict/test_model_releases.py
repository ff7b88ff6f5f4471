"""Bundles, device models and corrections of earlier releases are read, and say what they said there."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from kilowait.core.errors import ModelError
from kilowait.predict.correction.blob import Packed, unpacked
from kilowait.predict.correction.covariance import JobFeatures
from kilowait.predict.device_model import model_files
from kilowait.predict.device_model.specifications import Specification
from kilowait.predict.dryrun.record import Completeness, DryRun, Kind, Operation
from kilowait.predict.format_version import check_format
from kilowait.predict.probe import bundle as bundles

RELEASES = sorted(folder for folder in (Path(__file__).parent / "releases").iterdir() if folder.is_dir())
SIDE, NUMBERS, COPIES = 4955, 779650757, 8
PROGRAM = DryRun(
    content_hash="program-1-0",
    target="cuda",
    completeness=Completeness.WHOLE,
    operations=(
        Operation(
            op="aten.mm",
            kind=Kind.GEMM,
            dtype="float32",
            device="cuda",
            count=1.0,
            flops=2.0 * SIDE**3,
            bytes_read=8.0 * SIDE**2,
            bytes_written=4.0 * SIDE**2,
            kernels=1,
            shapes=json.dumps([[SIDE, SIDE], [SIDE, SIDE]]),
            attributes='["T", "T"]',
        ),
        Operation(
            op="aten.clone",
            kind=Kind.COPY,
            dtype="float32",
            device="cuda",
            count=COPIES,
            flops=float(NUMBERS),
            bytes_read=4.0 * NUMBERS,
            bytes_written=4.0 * NUMBERS,
            kernels=1,
            shapes=json.dumps([[NUMBERS]]),
            attributes='["T"]',
        ),
    ),
)
"""The program that the releases' device models were asked about: a product and some copies."""


@pytest.fixture(params=RELEASES, ids=lambda folder: folder.name)
def release(request):
    return request.param


@pytest.fixture
def said(release):
    return json.loads((release / "said.json").read_text())


def test_a_bundle(release, said):
    bundle = bundles.load(release / "bundle")
    x = torch.tensor([[0.1, -0.2, 0.3, 0.4]])
    for metric, values in said["bundle"].items():
        assert bundle.metrics[metric].predict(x)[0].tolist() == pytest.approx(values, rel=1e-5)
    assert bundle.version == said["probe_version"]


def test_a_device_model(release, said):
    model = model_files.load(release / "device_model")
    version, training = model_files.read_training(release / "device_model")
    types = tuple(Specification.named(name) for name in ("A100", "A6000", "H100", "T4"))
    assert np.exp(model.predict([PROGRAM], types).log_s)[0] == pytest.approx(said["device_model"]["seconds"], rel=1e-6)
    assert (version, training["programs"]) == (said["device_model"]["version"], 6)


def test_a_correction(release, said):
    kept = Packed(
        version=said["correction"]["version"],
        description=(release / "correction.json").read_text(),
        tensors=(release / "correction.safetensors").read_bytes(),
    )
    again = JobFeatures(
        gpu_type=("A",), source=("s",), owner=("ada",), vector=np.array([0]), vectors=np.zeros((1, 1), np.float32)
    )
    mean, variance = unpacked(kept).runtime.posterior(again)
    assert (mean[0], variance[0]) == pytest.approx((said["correction"]["mean"], said["correction"]["variance"]))


@pytest.mark.parametrize("found", [3, 0, None, "1", True, 1.0])
def test_a_format_that_is_not_known_is_refused_with_what_to_do(found):
    with pytest.raises(ModelError, match=rf"x: bundle format {found!r}; this kilowait reads format 2; use the release"):
        check_format("x: bundle", found, 2, "train again")


def test_earlier_formats_are_let_through():
    check_format("x: bundle", 1, 2, "train again")
    check_format("x: bundle", 2, 2, "train again")
