# ruff: noqa: E501 - the programs are written as people write them
"""Packages that are missing: inert where nothing depends on them, modelled where their names say what they compute."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from kilowait.predict.dryrun.dry_program import DryProgram
from kilowait.predict.dryrun.dry_runner import DryRunner
from kilowait.predict.dryrun.record import Completeness, DryRun
from kilowait.predict.dryrun.standins.data import images

STEP = "opt.zero_grad(); net(torch.randn(8, 16, device='cuda')).sum().backward(); opt.step()\n"
NET = "import torch\nnet = torch.nn.Linear(16, 4).cuda()\nopt = torch.optim.SGD(net.parameters(), lr=0.1)\n"


def run(runner: DryRunner, text: str) -> DryRun:
    return runner.run_program(DryProgram(files={"job.py": text.encode()}, entrypoint="job.py", content_hash="1"))


def flops(found: DryRun) -> float:
    return sum(op.count * op.flops for op in found.operations if op.device == "cuda")


@pytest.mark.parametrize(
    "logging",
    [
        "import wandb\nwandb.init(project='p', config={'lr': 1})\nassert wandb.config.lr == 1\nwandb.watch(net)\n"
        "wandb.log({'a': 1}); wandb.run.summary['x'] = 1; wandb.finish()\n",
        "from torch.utils.tensorboard import SummaryWriter\nw = SummaryWriter('runs')\nw.add_scalar('a', 1, 2); w.close()\n",
        "import mlflow\nwith mlflow.start_run():\n    mlflow.log_metric('a', 1)\n",
        "from comet_ml import Experiment\nExperiment(api_key='x').log_metric('a', 1)\n",
        "import neptune\nrun = neptune.init_run()\nrun['a'].append(1); run['b'] = 2\n",
        "from aim import Run\nRun().track(1, name='a')\n",
        "from clearml import Task\nargs = Task.init('p', 't').connect({'lr': 1})\nassert args['lr'] == 1\n",
        "import tensorboardX, visdom\ntensorboardX.SummaryWriter().add_scalar('a', 1); visdom.Visdom().line([1])\n",
        "from importlib.metadata import metadata, version\nfrom importlib.util import find_spec\nimport tensorboard\n"
        "for name in ('tensorboard', 'wandb', 'comet-ml', 'mlflow', 'aim', 'clearml'):\n"
        "    assert find_spec(name.replace('-', '_')) is not None and metadata(name)['Name']\n"
        "assert tuple(int(part) for part in version('tensorboard').split('.')) > (1, 14)\n"
        "assert tensorboard.__version__ == version('tensorboard')\n",
    ],
)
def test_a_logger_changes_nothing(runner: DryRunner, logging: str) -> None:
    found = run(runner, f"{NET}{logging}for _ in range(5):\n    {STEP}")
    assert (found.completeness, found.steps, found.reason, found.missing) == (Completeness.WHOLE, 5, "", ())


def test_what_stands_in_for_loggers_alone_counts_as_installed(runner: DryRunner) -> None:
    asking = (
        "from importlib.metadata import PackageNotFoundError, distributions, version\n"
        "assert version('torch').startswith(torch.__version__.split('+')[0])\n"
        "assert all(found.metadata['Name'] != 'dllogger' for found in distributions())\n"
        "for name in ('pynvml', 'flash-attn', 'apex'):\n"
        "    try:\n        version(name)\n    except PackageNotFoundError:\n        continue\n"
        "    raise SystemExit(f'{name} is there')\n"
    )
    found = run(runner, f"{NET}{asking}for _ in range(5):\n    {STEP}")
    assert (found.completeness, found.steps, found.reason) == (Completeness.WHOLE, 5, "")


@pytest.mark.parametrize(
    "loop",
    [
        "from alive_progress import alive_it\nfor _ in alive_it(range(300)):\n    ",
        "from fastprogress import progress_bar\nfor _ in progress_bar(range(300)):\n    ",
        "import progressbar\nfor _ in progressbar.progressbar(range(300)):\n    ",
        "from rich.progress import track\nfor _ in track(range(300)):\n    ",
        "from tqdm import trange\nfor _ in trange(300):\n    ",
    ],
)
def test_a_progress_bar_is_as_long_as_what_it_goes_over(runner: DryRunner, loop: str) -> None:
    found = run(runner, f"{NET}{loop}{STEP}")
    assert (found.completeness, found.steps) == (Completeness.WHOLE, 300)


def test_mpi4py_is_rank_0_of_the_world_that_was_launched(runner: DryRunner) -> None:
    text = (
        f"{NET}from mpi4py import MPI\nworld = MPI.COMM_WORLD\nassert (world.Get_rank(), world.rank, world.Get_size()) == (0, 0, 4)\n"
        "assert world.bcast('host', root=0) == 'host' and world.gather(1) == [1] * 4 and world.allreduce(2, op=MPI.MAX) == 2\n"
        "assert world.allreduce(2) == world.allreduce(2, op=MPI.SUM) == 8\n"
        f"world.Barrier()\nfor _ in range(5 * world.size):\n    {STEP}"
    )
    environment = {"OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_RANK": "0"}
    program = DryProgram(
        files={"job.py": text.encode()}, entrypoint="job.py", content_hash="1", environment=environment
    )
    found = runner.run_program(program)
    assert (found.reason, found.completeness, found.steps) == ("", Completeness.WHOLE, 20)
    assert any("mpi4py is missing: rank 0 of 4" in line for line in found.assumptions)


DALI = (
    "from nvidia.dali.pipeline import Pipeline\nimport nvidia.dali.ops as ops, nvidia.dali.fn as fn\n"
    "class Pipe(Pipeline):\n    def __init__(self):\n        super().__init__(8, 1, 0)\n"
)


def test_a_loading_library_that_is_missing_may_be_imported_and_ends_what_builds_a_pipeline(runner: DryRunner) -> None:
    found = run(runner, f"{NET}{DALI}for _ in range(5):\n    {STEP}")
    assert (found.completeness, found.steps) == (Completeness.WHOLE, 5), found.reason
    found = run(runner, f"{NET}{DALI}Pipe()")
    assert "No module named 'nvidia.dali'" in found.reason


def test_blobfile_lists_and_reads_images_that_are_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    class Context:
        def scandir(self, path: str) -> Iterator[str]:
            yield f"truly {path}"

        def BlobFile(self, path: str, mode: str = "r") -> str:  # noqa: N802 - the library's name
            return f"truly {path}"

    folders: Any = SimpleNamespace(
        may_list=lambda path: path == "/data/img", listing=lambda path: ["a.jpg"], is_folder=lambda path: False,
        is_file=lambda path: path == "/data/img/a.jpg",
    )  # fmt: skip
    monkeypatch.setattr(images, "open", lambda path, mode: f"instead {path}", raising=False)
    images.stand_in_blobs(SimpleNamespace(Context=Context, DirEntry=SimpleNamespace), cast(Any, None), folders)
    found = list(Context().scandir("/data/img"))
    assert [(entry.path, entry.is_file) for entry in cast(Any, found)] == [("/data/img/a.jpg", True)]
    assert list(Context().scandir("/out")) == ["truly /out"]
    assert Context().BlobFile("/data/img/a.jpg", "rb") == "instead /data/img/a.jpg"
    assert Context().BlobFile("/out/a.jpg", "rb") == "truly /out/a.jpg"


def test_another_missing_package_is_said_by_its_name(runner: DryRunner) -> None:
    found = run(runner, "import torch\nimport a_package_of_nobody\n")
    assert found.completeness == Completeness.FAILED
    assert "a_package_of_nobody" in found.reason


def test_flash_attention_is_two_products(runner: DryRunner) -> None:
    text = (
        "import torch\nfrom flash_attn import flash_attn_func, flash_attn_varlen_func\n"
        "q = torch.randn(2, 256, 8, 64, device='cuda', dtype=torch.bfloat16)\nflash_attn_func(q, q, q, causal=True)\n"
        "k = torch.randn(2, 256, 2, 64, device='cuda', dtype=torch.bfloat16)\nflash_attn_func(q, k, k)\n"
        "ends = torch.tensor([0, 256, 512], dtype=torch.int32)\np = q.flatten(0, 1)\n"
        "assert flash_attn_varlen_func(p, p, p, ends, ends, 256, 256).shape == p.shape\n"
    )
    found = run(runner, text)
    assert flops(found) == pytest.approx(3 * 4 * 2 * 8 * 256 * 256 * 64, rel=0.01)
    assert any(line.startswith("flash_attn: modelled") for line in found.assumptions)
    assert set(found.assumed_how) == {"modelled"}


def test_attention_of_xformers_is_two_products(runner: DryRunner) -> None:
    text = (
        "import torch, xformers.ops as xops\nq = torch.randn(2, 256, 8, 64, device='cuda', dtype=torch.float16)\n"
        "assert xops.memory_efficient_attention(q, q, q, attn_bias=xops.LowerTriangularMask()).shape == q.shape\n"
    )
    assert flops(run(runner, text)) == pytest.approx(4 * 2 * 8 * 256 * 256 * 64, rel=0.01)


@pytest.mark.parametrize(
    "optimizer",
    [
        "from apex.optimizers import FusedAdam\nopt = FusedAdam(net.parameters(), lr=1e-3)\n",
        "import bitsandbytes as bnb\nopt = bnb.optim.AdamW8bit(net.parameters(), lr=1e-3, betas=(0.9, 0.99))\n",
        "from deepspeed.ops.adam import FusedAdam\nopt = FusedAdam(net.parameters())\n",
        "from bitsandbytes.optim import Lion8bit\nopt = Lion8bit(net.parameters(), lr=1e-4)\n",
    ],
)
def test_a_fused_optimizer_steps(runner: DryRunner, optimizer: str) -> None:
    assert run(runner, f"{NET}{optimizer}for _ in range(7):\n    {STEP}").steps == 7


def test_fused_layers_are_their_plain_forms(runner: DryRunner) -> None:
    text = (
        "import torch\nfrom apex.normalization import FusedLayerNorm\nimport bitsandbytes as bnb\n"
        "x = torch.randn(8, 64, device='cuda')\nassert FusedLayerNorm(64).cuda()(x).shape == (8, 64)\n"
        "assert bnb.nn.Linear8bitLt(64, 32, bias=False).cuda()(x).shape == (8, 32)\n"
    )
    assert flops(run(runner, text)) == pytest.approx(2 * 8 * 64 * 32, rel=0.2)


def test_what_is_not_modelled_of_a_package_is_counted(runner: DryRunner) -> None:
    text = (
        "import torch, mamba_ssm\nx = torch.randn(8, 64, device='cuda')\n"
        "for _ in range(3):\n    x = mamba_ssm.selective_scan_fn(x) + 1\n"
    )
    found = run(runner, text)
    assert found.missing == ("operator mamba_ssm.selective_scan_fn: its time is missing, ran 3 times",)


def test_an_operator_of_the_program_is_what_its_python_does(runner: DryRunner) -> None:
    text = (
        "import torch\n@torch.library.custom_op('mine::twice', mutates_args=())\n"
        "def twice(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:\n    return a @ b + a @ b\n"
        "a = torch.randn(64, 64, device='cuda')\nfor _ in range(10):\n    twice(a, a)\n"
    )
    found = run(runner, text)
    assert flops(found) == pytest.approx(64 * 64 + 10 * (2 * 2 * 64**3 + 64 * 64))  # the numbers that are drawn, too
    assert found.missing == ()


def test_an_operator_without_a_body_is_missing_as_often_as_it_runs(runner: DryRunner) -> None:
    text = (
        "import torch\nlib = torch.library.Library('theirs', 'DEF')\nlib.define('op(Tensor x) -> Tensor')\n"
        "x = torch.randn(64, 64, device='cuda')\nfor _ in range(5000):\n    x = torch.ops.theirs.op(x @ x)\n"
    )
    found = run(runner, text)
    assert found.missing == ("operator theirs::op: its time is missing, ran 5,000 times",)
    assert flops(found) >= 5000 * 2 * 64**3


def test_a_triton_kernel_moves_what_it_loads_and_stores(runner: DryRunner) -> None:
    text = (
        "import torch, triton, triton.language as tl\n@triton.jit\n"
        "def add(a, b, c, n, BLOCK: tl.constexpr):\n"
        "    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)\n"
        "    tl.store(c + at, tl.load(a + at, mask=at < n) + tl.load(b + at, mask=at < n), mask=at < n)\n"
        "@triton.jit\ndef product(a, c, BLOCK: tl.constexpr):\n    tl.store(c, tl.dot(tl.load(a), tl.load(a)))\n"
        "x = torch.randn(1024, 1024, device='cuda'); y = torch.empty_like(x); z = torch.empty_like(x)\n"
        "add[(1024,)](x, y, z, x.numel(), BLOCK=1024)\nproduct[(1,)](x, z, BLOCK=16)\n"
    )
    found = run(runner, text)
    (add,) = [op for op in found.operations if op.op == "triton.add"]
    assert (add.count, add.bytes_read, add.bytes_written) == (1, 2 * 4 * 2**20, 4 * 2**20)
    assert found.missing == ("Triton kernel product: its time is missing, ran 1 times",)
