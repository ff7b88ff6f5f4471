"""Distributed programs as one rank of the world that was asked for: its work, and what it exchanges."""

from collections.abc import Mapping

import pytest

from kilowait.predict.dryrun.dry_program import DryProgram
from kilowait.predict.dryrun.dry_runner import DryRunner
from kilowait.predict.dryrun.record import Completeness, DryRun

FOUR = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "4"}
WIDTH, BATCH, STEPS = 256, 32, 20
STEP_FLOPS = 2 * 2 * WIDTH * WIDTH * BATCH
"""A product forward and one for the weights' gradient; the input needs none."""
WEIGHTS_BYTES = 4 * (WIDTH * WIDTH + WIDTH)

HEAD = f"""
import os, torch, torch.distributed as dist
from torch import nn
dist.init_process_group("nccl")
def loop(net, opt=None, width={WIDTH}):
    opt = opt or torch.optim.SGD(net.parameters(), lr=0.1)
    for _ in range({STEPS}):
        loss = net(torch.randn({BATCH}, width, device="cuda")).square().mean()
        opt.zero_grad(); loss.backward(); opt.step()
def linear():
    return nn.Linear({WIDTH}, {WIDTH}).cuda()
"""


def _run(runner: DryRunner, text: str, environment: Mapping[str, str] = FOUR) -> DryRun:
    program = DryProgram(
        files={"job.py": text.encode()}, entrypoint="job.py", content_hash="1", environment=dict(environment)
    )
    run = runner.run_program(program)
    assert run.completeness == Completeness.WHOLE, run.reason
    return run


def _flops(run: DryRun, kind: str = "gemm") -> float:
    return sum(op.count * op.flops for op in run.operations if op.kind == kind)


def _exchanged(run: DryRun) -> dict[str, float]:
    """Bytes of all messages by collective."""
    totals: dict[str, float] = {}
    for exchange in run.exchanges:
        totals[exchange.op] = totals.get(exchange.op, 0.0) + exchange.bytes * exchange.count
    return totals


def test_gradients_of_ddp_are_reduced_every_step(runner: DryRunner) -> None:
    run = _run(runner, HEAD + "loop(nn.parallel.DistributedDataParallel(linear(), device_ids=[0]))")
    assert (run.steps, run.world) == (STEPS, 4)
    assert _flops(run) == STEPS * STEP_FLOPS
    assert _exchanged(run) == {"all_reduce": STEPS * WEIGHTS_BYTES}
    assert {exchange.ranks for exchange in run.exchanges} == {4}


def test_inputs_of_ddp_come_to_its_device_and_modules_are_shared(runner: DryRunner) -> None:
    """With `device_ids`, PyTorch moves what a module is given, and nothing without; Hogwild shares its module."""
    text = f"""
net = nn.parallel.DistributedDataParallel(linear().share_memory(), device_ids=[0])
assert net(torch.randn({BATCH}, {WIDTH})).device.type == "cuda"
assert next(net.parameters()).share_memory_().device.type == "cuda"
"""
    assert _run(runner, HEAD + text).steps == 0


def test_a_world_of_one_exchanges_nothing(runner: DryRunner) -> None:
    run = _run(runner, HEAD + "loop(nn.parallel.DistributedDataParallel(linear()))", {})
    assert (run.steps, run.world, run.exchanges) == (STEPS, 1, ())


def test_gradients_that_are_accumulated_are_reduced_once(runner: DryRunner) -> None:
    text = f"""
from contextlib import nullcontext
net = nn.parallel.DistributedDataParallel(linear())
opt = torch.optim.SGD(net.parameters(), lr=0.1)
for i in range({STEPS}):
    with net.no_sync() if i % 4 != 3 else nullcontext():
        net(torch.randn({BATCH}, {WIDTH}, device="cuda")).square().mean().backward()
    if i % 4 == 3:
        opt.step(); opt.zero_grad()
"""
    run = _run(runner, HEAD + text)
    assert run.steps == STEPS / 4
    assert _exchanged(run) == {"all_reduce": STEPS / 4 * WEIGHTS_BYTES}


@pytest.mark.parametrize(
    ("name", "wrap"),
    [
        ("FullyShardedDataParallel", "net = FullyShardedDataParallel(linear(), use_orig_params=True)"),
        ("FullyShardedDataParallel", "net = FullyShardedDataParallel(linear().cpu(), device_id=0, use_orig_params=True,"
                                     " sync_module_states=True)"),
        ("FullyShardedDataParallel", "net = FullyShardedDataParallel(linear())"),
        ("fully_shard", "net = linear(); fully_shard(net)"),
    ],
)  # fmt: skip
def test_sharded_weights_are_gathered_and_their_gradients_scattered(runner: DryRunner, name: str, wrap: str) -> None:
    run = _run(runner, HEAD + f"from torch.distributed.fsdp import {name}\n{wrap}\nloop(net)")
    assert (run.steps, run.parameters) == (STEPS, WIDTH * WIDTH + WIDTH)  # of all ranks together
    assert _flops(run) == STEPS * STEP_FLOPS
    once = {"broadcast": WEIGHTS_BYTES} if "sync_module_states" in wrap else {}
    every = {"all_gather": STEPS * WEIGHTS_BYTES, "reduce_scatter": STEPS * WEIGHTS_BYTES}
    assert _exchanged(run) == {**once, **every}
    # a quarter of the weights and of their gradients stays here, the rest comes and goes
    updates = [op for op in run.operations if "add" in op.op and op.flops == (WIDTH * WIDTH + WIDTH) / 4]
    assert name == "fully_shard" or updates


def test_inner_layers_of_fully_shard_are_gathered_again_backward(runner: DryRunner) -> None:
    text = """
from torch.distributed.fsdp import fully_shard
net = nn.Sequential(linear(), linear())
for layer in net:
    fully_shard(layer)
fully_shard(net)
loop(net)
"""
    run = _run(runner, HEAD + text)
    assert _exchanged(run)["reduce_scatter"] == STEPS * 2 * WEIGHTS_BYTES
    assert _exchanged(run)["all_gather"] >= STEPS * 3 * WEIGHTS_BYTES


def test_tensor_parallel_layers_do_their_share(runner: DryRunner) -> None:
    text = """
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor.parallel import parallelize_module, ColwiseParallel, RowwiseParallel
mesh = init_device_mesh("cuda", (4,))
net = nn.Sequential(linear(), nn.ReLU(), linear())
loop(parallelize_module(net, mesh, {"0": ColwiseParallel(), "2": RowwiseParallel()}))
"""
    run = _run(runner, HEAD + text)
    # of the two layers: two products forward, two of the weights' gradients, one of the hidden layer's; a quarter each
    assert _flops(run) == STEPS * 5 * 2 * BATCH * WIDTH * WIDTH / 4
    assert _exchanged(run) == {"all_reduce": STEPS * 4 * BATCH * WIDTH}


def test_the_sampler_gives_a_rank_its_share(runner: DryRunner) -> None:
    text = f"""
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.data.distributed import DistributedSampler
data = TensorDataset(torch.randn(1024, {WIDTH}))
sampler = DistributedSampler(data)
loader = DataLoader(data, batch_size={BATCH}, sampler=sampler)
net = nn.parallel.DistributedDataParallel(linear())
opt = torch.optim.SGD(net.parameters(), lr=0.1)
for epoch in range(3):
    sampler.set_epoch(epoch)
    for (x,) in loader:
        opt.zero_grad(); net(x.cuda()).square().mean().backward(); opt.step()
"""
    run = _run(runner, HEAD + text)
    assert run.steps == 3 * 1024 / 4 / BATCH


def test_every_collective_is_recorded(runner: DryRunner) -> None:
    text = """
x = torch.randn(10, device="cuda")
dist.all_reduce(x); dist.broadcast(x, 0); dist.reduce(x, 0)
dist.all_gather([torch.empty_like(x) for _ in range(4)], x)
dist.all_gather_into_tensor(torch.empty(40, device="cuda"), x)
dist.reduce_scatter_tensor(torch.empty(10, device="cuda"), torch.empty(40, device="cuda"))
dist.reduce_scatter(torch.empty(10, device="cuda"), [x, x.clone(), x.clone(), x.clone()])
dist.all_to_all_single(torch.empty(40, device="cuda"), torch.empty(40, device="cuda"))
dist.send(x, 1); dist.recv(x, 1)
for work in dist.batch_isend_irecv([dist.P2POp(dist.isend, x, 1), dist.P2POp(dist.irecv, x, 1)]):
    work.wait()
dist.barrier()
names = [None] * 4
dist.all_gather_object(names, "here"); assert names == ["here"] * 4
kept = ["kept"]
dist.broadcast_object_list(kept); assert kept == ["kept"]
pair = dist.new_group([0, 1], backend="gloo")
y = torch.ones(5, dtype=torch.int64); dist.all_reduce(y, group=pair); assert y.tolist() == [2] * 5
assert dist.get_backend() == "nccl" and dist.get_world_size(pair) == 2 and dist.get_rank() == 0
work = dist.all_reduce(x, async_op=True); work.wait()
"""
    run = _run(runner, HEAD + text)
    tensors = [e for e in run.exchanges if e.dtype != "object" and e.ranks == 4]
    by_name = {op: sorted(e.bytes for e in tensors if e.op == op) for op in {e.op for e in tensors}}
    assert by_name == {
        "all_reduce": [40], "broadcast": [40], "reduce": [40], "all_gather": [160],
        "reduce_scatter": [160], "all_to_all": [160], "send": [40], "receive": [40], "barrier": [0],
    }  # fmt: skip
    assert {e.op: e.count for e in tensors}["all_reduce"] == 2
    assert [(e.op, e.bytes) for e in run.exchanges if e.ranks == 2] == [("all_reduce", 40)]


SPAWNED = f"""
import torch, torch.distributed as dist, torch.multiprocessing as mp
from torch import nn
def main(rank, world):
    dist.init_process_group("nccl", rank=rank, world_size=world)
    net = nn.parallel.DistributedDataParallel(nn.Linear({WIDTH}, {WIDTH}).to(rank), device_ids=[rank])
    opt = torch.optim.SGD(net.parameters(), lr=0.1)
    for _ in range({STEPS}):
        opt.zero_grad(); net(torch.randn({BATCH}, {WIDTH}, device=rank)).square().mean().backward(); opt.step()
    dist.destroy_process_group()
"""


@pytest.mark.parametrize(
    "start",
    [
        "mp.spawn(main, args=(2,), nprocs=2)",
        "context = mp.spawn(main, args=(2,), nprocs=2, join=False)\nwhile not context.join():\n    pass",
        """
processes = []
for rank in range(2):
    process = mp.Process(target=main, args=(rank, 2)); process.start(); processes.append(process)
for process in processes:
    process.join(); assert process.exitcode == 0
""",
    ],
)
def test_spawned_ranks_run_as_the_first_of_them(runner: DryRunner, start: str) -> None:
    run = _run(runner, SPAWNED + start, {})
    assert (run.steps, run.world) == (STEPS, 2)
    assert _exchanged(run) == {"all_reduce": STEPS * WEIGHTS_BYTES}


def test_a_rank_that_nobody_set_is_the_first_of_one(runner: DryRunner) -> None:
    asks = """
import os
if "RANK" in os.environ or os.environ.get("WORLD_SIZE", "none") != "none":
    raise SystemExit(3)
rank = int(os.environ["LOCAL_RANK"])
"""
    text = asks + HEAD + "loop(linear().to(rank))"
    assert _run(runner, text, {}).steps == STEPS


def test_an_optimizer_that_is_sharded_over_ranks(runner: DryRunner) -> None:
    text = """
from torch.distributed.optim import ZeroRedundancyOptimizer
net = nn.parallel.DistributedDataParallel(nn.Sequential(*[linear() for _ in range(4)]))
loop(net, ZeroRedundancyOptimizer(net.parameters(), optimizer_class=torch.optim.Adam, lr=1e-3))
"""
    run = _run(runner, HEAD + text)
    assert run.steps == STEPS
    assert _exchanged(run)["all_reduce"] == STEPS * 4 * WEIGHTS_BYTES


DEEPSPEED = f"""
import torch, deepspeed
net = torch.nn.Linear({WIDTH}, {WIDTH})
config = {{"train_micro_batch_size_per_gpu": {BATCH}, "gradient_accumulation_steps": ACCUMULATED,
           "gradient_clipping": 1.0,
           "optimizer": {{"type": "Adam", "params": {{"lr": 1e-3}}}}, "zero_optimization": {{"stage": STAGE}}}}
engine, *_ = deepspeed.initialize(model=net, model_parameters=net.parameters(), config=config)
for _ in range({10 * STEPS}):
    loss = engine(torch.randn({BATCH}, {WIDTH}, device=engine.device)).square().mean()
    engine.backward(loss)
    engine.step()
"""


@pytest.mark.parametrize(
    ("stage", "accumulated", "exchanged"),
    [
        (0, 1, {"all_reduce": 10 * STEPS}),
        (0, 5, {"all_reduce": 2 * STEPS}),
        (1, 5, {"reduce_scatter": 2 * STEPS, "all_gather": 2 * STEPS}),
        (3, 1, {"reduce_scatter": 10 * STEPS, "all_gather": 20 * STEPS}),
    ],
)
def test_deepspeed_without_deepspeed(
    runner: DryRunner, stage: int, accumulated: int, exchanged: Mapping[str, int]
) -> None:
    text = DEEPSPEED.replace("ACCUMULATED", str(accumulated)).replace("STAGE", str(stage))
    run = _run(runner, text)
    assert run.steps == 10 * STEPS / accumulated
    assert _flops(run) == pytest.approx(10 * STEPS * STEP_FLOPS)
    assert _exchanged(run) == {op: count * WEIGHTS_BYTES for op, count in exchanged.items()}


def test_what_a_program_asks_deepspeed_and_its_engine(runner: DryRunner) -> None:
    asked = """
import argparse, deepspeed.moe.utils
parser = deepspeed.add_config_arguments(argparse.ArgumentParser())
assert parser.parse_args(["--deepspeed"]).deepspeed
assert (engine.bfloat16_enabled(), engine.fp16_enabled(), engine.zero_optimization()) == (False, False, True)
assert engine.gradient_clipping() == 1.0
"""
    run = _run(runner, DEEPSPEED.replace("ACCUMULATED", "1").replace("STAGE", "1") + asked)
    assert (run.completeness, run.reason, run.steps) == (Completeness.WHOLE, "", 10 * STEPS)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("import jax.numpy as jnp\n", "a JAX"),
        ("import numpy\nimport tensorflow as tf, keras\n", "a TensorFlow"),
        ("from keras import layers\n", "a Keras"),
        ("def main():\n    import xgboost\n", "an XGBoost"),
    ],
)
def test_programs_of_other_frameworks_get_an_honest_line(runner: DryRunner, text: str, name: str) -> None:
    run = runner.run_program(DryProgram(files={"job.py": text.encode()}, entrypoint="job.py", content_hash="1"))
    assert (run.completeness, run.reason) == (Completeness.FAILED, f"it is {name} program; kilowait reads PyTorch")


WANTS_TWO = """
import sys, torch
{0}
w = torch.randn(8, 8, device="cuda", requires_grad=True)
opt = torch.optim.SGD([w], lr=0.1)
for _ in range(640 // torch.cuda.device_count()):
    w.sum().backward()
    opt.step()
"""


@pytest.mark.parametrize(
    "ends",
    [
        "if torch.cuda.device_count() < 2:\n    sys.exit()",
        "assert torch.cuda.device_count() > 1, 'two GPUs are needed'",
        "torch.ones(2, device='cuda') + 1\nimport os\n"
        "if int(os.environ.get('WORLD_SIZE', 1)) < 2:\n"
        "    raise ValueError('Using fsdp only works in distributed training.')",
        "if not torch.accelerator.device_count() >= 2:\n    print('too few')\n    sys.exit(1)",
    ],
)
def test_a_program_that_ends_with_one_gpu_is_run_with_those_it_wants(ends: str) -> None:
    with DryRunner(budget_s=20.0) as runner:
        run = runner.run_program(
            DryProgram(files={"job.py": WANTS_TWO.format(ends).encode()}, entrypoint="job.py", content_hash="1")
        )
    assert run.steps == 320
    assert "2 GPUs" in run.assumptions[0]
    assert "--gpus 2" in run.assumptions[0]


def test_a_program_that_asks_for_more_gpus_and_goes_on_with_one_is_run_with_one() -> None:
    with DryRunner(budget_s=20.0) as runner:
        text = WANTS_TWO.format("if torch.cuda.device_count() > 1:\n    print('several')")
        run = runner.run_program(DryProgram(files={"job.py": text.encode()}, entrypoint="job.py", content_hash="1"))
    assert run.steps == 640
    assert run.assumptions == ()
