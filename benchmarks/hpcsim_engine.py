"""The same jobs through hpcsim 0.3.1, a public simulator of GPU clusters (extra `benchmark`).

hpcsim's first-come-first-served lets later jobs pass one that does not fit, its EASY starts from that, and its job
lengths are iterations of a model over a rate. So the comparison is on jobs of one GPU, on one type, where these rules
and ours are the same, with the iterations chosen so that both take the same seconds; starts are compared. A job asks
for all the memory of its board, or hpcsim would start several on one board in one decision.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

from hpcsim.cluster.cluster import Cluster, ClusterConfig, NodeSpec
from hpcsim.cluster.hardware import GPU_SPECS, GPUType
from hpcsim.scheduler.backfill import BackfillWrapper, EASYBackfillPolicy
from hpcsim.scheduler.schedulers import BaseScheduler, FIFOScheduler, SJFScheduler
from hpcsim.simulator.engine import SimulationEngine
from hpcsim.workload.job import ModelArch, TrainingJob, solo_throughput

from kilowait.core.jobs import Prediction
from kilowait.simulate.run import Submission

GPU, ARCH, BATCH = GPUType.V100, ModelArch.RESNET50, 64
RATE = solo_throughput(ARCH, GPU, BATCH)
GPUS_A_NODE = 8

"""hpcsim's name by ours."""


def rounded(submissions: Sequence[Submission]) -> list[Submission]:
    """The jobs with lengths that are whole iterations, at least one."""
    return [_rounded(submission) for submission in submissions]


def _rounded(submission: Submission) -> Submission:
    ((gpu_type, truth),) = submission.truth.items()
    runtime_s = max(1, round(truth.runtime_s * RATE)) / RATE
    table = {gpu_type: Prediction(runtime_s=runtime_s, energy_kwh=truth.energy_kwh)}
    return replace(submission, truth=table, seen=table)


def engine(submissions: Sequence[Submission], gpus: int, policy: str) -> SimulationEngine:
    """An engine ready to run, which takes no snapshots on the way and time enough for all to be done."""
    nodes = [NodeSpec(gpu_type=GPU, num_nodes=gpus // GPUS_A_NODE, gpus_per_node=GPUS_A_NODE)]
    cluster = Cluster(ClusterConfig("benchmark", nodes=nodes))
    longest_s = submissions[-1].job.submit_s + sum(p.runtime_s for s in submissions for p in s.truth.values())
    simulation = SimulationEngine(cluster, _scheduler(policy, cluster), _jobs(submissions), max_sim_time=longest_s)
    simulation.METRIC_INTERVAL = math.inf
    return simulation


def _scheduler(policy: str, cluster: Cluster) -> BaseScheduler:
    if policy == "sjf":
        return SJFScheduler(cluster)
    fifo = FIFOScheduler(cluster)
    return fifo if policy == "simple" else BackfillWrapper(fifo, EASYBackfillPolicy())


def _jobs(submissions: Sequence[Submission]) -> list[TrainingJob]:
    jobs = []
    for submission in submissions:
        ((_, truth),) = submission.truth.items()
        job = TrainingJob(
            job_id=submission.job.job_id,
            submit_time=submission.job.submit_s,
            arch=ARCH,
            batch_size=BATCH,
            num_iterations=round(truth.runtime_s * RATE),
            num_gpus_requested=1,
            memory_per_gpu_gb=GPU_SPECS[GPU].memory_gb,
        )
        job.requested_runtime = truth.runtime_s
        jobs.append(job)
    return jobs
