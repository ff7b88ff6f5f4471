"""A program that ends at once where it has fewer GPUs than it wants is run dry as a rank of as many."""

from dataclasses import replace

from kilowait.predict.dryrun.dry_program import DryProgram
from kilowait.predict.dryrun.record import DryRun

LAUNCHED = {"WORLD_SIZE", "LOCAL_WORLD_SIZE", "CUDA_VISIBLE_DEVICES", "SLURM_NTASKS", "OMPI_COMM_WORLD_SIZE"}
"""Variables by which a launcher or the user has said how many there are."""


def with_ranks(program: DryProgram, gpus: int) -> DryProgram:
    """The program as rank 0 of so many processes on one node, a GPU each."""
    size = dict.fromkeys(("WORLD_SIZE", "LOCAL_WORLD_SIZE"), str(gpus))
    rank = dict.fromkeys(("RANK", "LOCAL_RANK"), "0")
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}
    return replace(program, environment={**place, **rank, **program.environment, **size})


def with_needed_gpus(run: DryRun, again: DryRun) -> DryRun:
    """What to answer: the run with as many GPUs as were asked for, or why there is none."""
    gpus = run.gpus_needed
    remedy = f"ask for them with --gpus {gpus}"
    if not again.operations:
        return replace(run, reason=f"{run.reason}; it asks for at least {gpus} GPUs", remedy=run.remedy or remedy)
    line = f"{gpus} GPUs, a process each, as the program ends with fewer; {remedy}"
    return replace(
        again,
        world=max(again.world, gpus),
        assumptions=(line, *again.assumptions),
        assumed_how=("modelled", *again.assumed_how),
    )
