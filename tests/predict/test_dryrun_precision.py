"""What a dry run says of each product's precision, and of what else decides its speed."""

import pytest

from kilowait.predict.dryrun.dry_program import DryProgram
from kilowait.predict.dryrun.dry_runner import DryRunner, read_dry_run
from kilowait.predict.dryrun.record import DryRun, Operation

STEP = """
net = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.Flatten(), torch.nn.Linear(8 * 36, 4)).cuda()
net(torch.randn(2, 3, 8, 8).cuda()).sum().backward()
"""
MATMUL, CUDNN = "torch.backends.cuda.matmul", "torch.backends.cudnn"
SETTINGS = {
    # what the program says: what products and convolutions are in, by PyTorch's documentation of TF32 on Ampere
    "": ("", ""),
    f"{MATMUL}.allow_tf32 = True": ("tf32", ""),
    "torch.set_float32_matmul_precision('high')": ("tf32", ""),
    "torch.set_float32_matmul_precision('highest')": ("", ""),
    f"{CUDNN}.allow_tf32 = False": ("", "ieee"),
    f"{MATMUL}.allow_tf32 = True; {CUDNN}.allow_tf32 = False": ("tf32", "ieee"),
}
NEWER = {
    f"{MATMUL}.fp32_precision = 'tf32'": ("tf32", ""),
    f"{CUDNN}.conv.fp32_precision = 'ieee'": ("", "ieee"),
}


def _run(runner: DryRunner, text: str, **environment: str) -> DryRun:
    files = {"job.py": f"import torch\n{text}\n{STEP}".encode()}
    return runner.run_program(DryProgram(files=files, entrypoint="job.py", content_hash="1", environment=environment))


def _operations(run: DryRun, kind: str) -> list[Operation]:
    found = [op for op in run.operations if op.kind == kind]
    assert found, run.reason
    return found


def _precisions(run: DryRun) -> tuple[set[str], set[str]]:
    products, convolutions = _operations(run, "gemm"), _operations(run, "convolution")
    return {op.precision for op in products}, {op.precision for op in convolutions}


@pytest.mark.parametrize("setting", [*SETTINGS, *NEWER])
def test_products_and_convolutions_have_the_precision_that_the_program_sets(setting: str, runner: DryRunner) -> None:
    products, convolutions = {**SETTINGS, **NEWER}[setting]
    assert _precisions(_run(runner, setting)) == ({products}, {convolutions})


@pytest.mark.parametrize(
    ("variable", "value", "products", "convolutions"),
    [("NVIDIA_TF32_OVERRIDE", "0", "", "ieee"), ("TORCH_ALLOW_TF32_CUBLAS_OVERRIDE", "1", "tf32", "")],
)
def test_variables_of_containers_count(
    variable: str, value: str, products: str, convolutions: str, runner: DryRunner
) -> None:
    assert _precisions(_run(runner, "", **{variable: value})) == ({products}, {convolutions})


def test_half_precision_has_no_tf32(runner: DryRunner) -> None:
    text = "torch.backends.cuda.matmul.allow_tf32 = True\ntorch.set_default_dtype(torch.float16)"
    assert _precisions(_run(runner, text)) == ({""}, {""})


def test_the_backward_pass_and_tried_algorithms_are_told(runner: DryRunner) -> None:
    run = _run(runner, "torch.backends.cudnn.benchmark = True")
    assert {(op.op, op.backward) for op in _operations(run, "gemm")} == {("aten.addmm", False), ("aten.mm", True)}
    assert {(op.op, op.tuned) for op in _operations(run, "convolution")} == {
        ("aten.convolution", True),
        ("aten.convolution_backward", True),
    }
    assert not any(op.tuned for op in _operations(_run(runner, ""), "convolution"))


def test_a_record_of_an_older_version_reads_and_a_new_one_reads_back(runner: DryRunner) -> None:
    older = b"""{"content_hash":"1","target":"cuda","completeness":"whole","operations":[{"op":"aten.mm","kind":"gemm",
        "dtype":"float32","device":"cuda","count":1.0,"flops":8.0,"bytes_read":8.0,"bytes_written":4.0,"kernels":1}]}"""
    (operation,) = read_dry_run(older).operations
    assert (operation.precision, operation.backward, operation.tuned) == ("", False, False)
    run = _run(runner, "torch.backends.cuda.matmul.allow_tf32 = True")
    assert read_dry_run(run.to_json()) == run
