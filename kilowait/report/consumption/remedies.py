"""What jobs asked for and did not use, or lacked, and what to do about it: a line a finding.

A power near idle is a sign that GPUs waited, no proof; memory is the peak that the driver showed, with what the
allocator kept and did not use. Not covered: cores and main memory, which a history does not have.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import inf

from kilowait.core.hardware import GPU_TYPES
from kilowait.core.jobs import Provenance
from kilowait.report.consumption.attempt_use import AttemptUse

LEAST_HOURS = 0.1
"""GPU-hours below which a job is not worth a finding."""
LOW_MEMORY, LOW_POWER = 0.5, 0.3
"""Shares of a board's memory and of its peak watts below which it was more than was used."""
MARGIN = 1.1
"""So much more than its peak a job is to find on a smaller type."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that a job asked too much or too little of; `gpu_hours` are those of its attempts that show it."""

    job_id: str
    owner: str
    gpu_hours: float
    found: str
    remedy: str


def findings(uses: Sequence[AttemptUse]) -> list[Finding]:
    """Of every job, the largest first; the types that are proposed are those that any of the attempts ran on."""
    jobs: dict[str, list[AttemptUse]] = {}
    for use in uses:
        jobs.setdefault(use.job_id, []).append(use)
    there = sorted({use.gpu_type for use in uses} & GPU_TYPES.keys(), key=lambda name: GPU_TYPES[name].memory_bytes)
    found = [finding for attempts in jobs.values() for finding in _of_job(attempts, there)]
    return sorted((one for one in found if one.gpu_hours >= LEAST_HOURS), key=lambda one: -one.gpu_hours)


def _of_job(attempts: Sequence[AttemptUse], there: Sequence[str]) -> Iterable[Finding]:
    """`there` are the types of the place, the least memory first."""
    bad = [use for use in attempts if use.reason is not None]
    if bad:
        said = (bad[-1].reason or "").strip().splitlines()
        yield _finding(bad, f"{len(bad)} attempt(s) ended badly: {said[-1] if said else ''}", _after(bad[-1], there))
    good = [use for use in attempts if use.reason is None]
    if good and (words := _memory(good[-1], there)) is not None:
        yield _finding(good, *words)
    if good and (words := _power(good[-1])) is not None:
        yield _finding(good, *words)


def _finding(uses: Sequence[AttemptUse], found: str, remedy: str) -> Finding:
    hours = sum(use.gpu_hours for use in uses)
    return Finding(job_id=uses[0].job_id, owner=uses[0].owner, gpu_hours=hours, found=found, remedy=remedy)


def _after(use: AttemptUse, there: Sequence[str]) -> str:
    """What to do about an attempt that ended badly."""
    reason = (use.reason or "").lower()
    if "out of memory" in reason:
        larger = [name for name in there if _memory_of(name) > _memory_of(use.gpu_type)]
        where = f"such as {larger[0]}, " if larger else ""
        return f"ask for a type with more memory, {where}or take a smaller batch; kilowait predict says what fits"
    if "timeout" in reason:
        return "it asked for too little time: give it more, or write checkpoints and go on from them"
    return "see kilowait logs; kilowait check before a submission finds some of it"


def _memory_of(gpu_type: str) -> float:
    return GPU_TYPES[gpu_type].memory_bytes if gpu_type in GPU_TYPES else inf


def _memory(use: AttemptUse, there: Sequence[str]) -> tuple[str, str] | None:
    board_bytes = _memory_of(use.gpu_type)
    if board_bytes == inf or not use.memory_bytes or use.memory_bytes > LOW_MEMORY * board_bytes:
        return None
    smaller = [name for name in there if use.memory_bytes * MARGIN <= _memory_of(name) < board_bytes]
    fits = f"allow a type with less memory too, such as {smaller[0]}; or " if smaller else ""
    found = f"used {_gib(use.memory_bytes)} of {_gib(board_bytes)} of memory on each {use.gpu_type}"
    return found, f"{fits}take a larger batch (kilowait predict --max-batch)"


def _power(use: AttemptUse) -> tuple[str, str] | None:
    """Measured power only: an estimate is made of the board's own figures."""
    board = GPU_TYPES.get(use.gpu_type)
    if board is None or use.energy_provenance != Provenance.MEASURED or use.watts is None:
        return None
    if use.watts > LOW_POWER * board.peak_w:
        return None
    found = f"drew {use.watts:.0f} W of {board.peak_w:.0f} W a GPU (measured), so its GPUs mostly waited"
    fewer = "ask for fewer GPUs, or " if use.gpus > 1 else "ask for a smaller type or a slice of one, or "
    return found, f"{fewer}give it faster data (more workers, local files)"


def _gib(size: float) -> str:
    return f"{size / 2**30:.3g} GiB"
