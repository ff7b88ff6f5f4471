"""The coming day: what electricity is foreseen to cost the site, in carbon, water and money, and the planned power."""

from collections.abc import Iterable, Mapping

from kilowait.cluster.overrun import estimated_end_s
from kilowait.cluster.state import Cluster
from kilowait.core.errors import InputError
from kilowait.core.over_time.signals import UNITS, Signal
from kilowait.core.units import DAY_S
from kilowait.simulate.against_simple import mean_watts
from kilowait.simulate.outlook import Expected

from ...wire.timeline_schemas import ComingDay, ComingSignal

STEP_S = 900.0
STEPS = int(DAY_S / STEP_S)
SHOWN = ("carbon", "price", "water")

Spent = tuple[float, float, float]
"""From when until when, in seconds since the epoch, and kWh."""


def coming_day(cluster: Cluster, expected: Mapping[str, Expected], now_s: float) -> ComingDay:
    """In steps of a quarter of an hour, the first of them the one that it is now."""
    since_s = now_s // STEP_S * STEP_S
    runs, starts = list(_running(cluster, since_s, now_s)), list(_planned(cluster, expected))
    return ComingDay(
        now_s=now_s,
        since_s=since_s,
        step_s=STEP_S,
        running_w=mean_watts(runs, since_s, STEP_S, STEPS),
        planned_w=mean_watts(starts, since_s, STEP_S, STEPS),
        starts=sum(start_s < since_s + DAY_S for start_s, *_ in starts),
        signals=[_signal(cluster.signals[name], since_s) for name in SHOWN if name in cluster.signals],
    )


def _running(cluster: Cluster, since_s: float, now_s: float) -> Iterable[Spent]:
    """What runs, at its mean power from the beginning of this step until it is expected to end."""
    for active in cluster.active.values():
        told, end_s = active.predictions[active.gpu_type], estimated_end_s(active, now_s)
        yield since_s, end_s, told.energy_kwh / told.runtime_s * (end_s - since_s)


def _planned(cluster: Cluster, expected: Mapping[str, Expected]) -> Iterable[Spent]:
    """What waits, from when and for as long as it is expected to run."""
    for job_id, one in expected.items():
        if cluster.entry(job_id) is not None:
            yield one.start_s, one.end_s, one.energy_kwh


def _signal(signal: Signal, since_s: float) -> ComingSignal:
    means = [_mean(signal, since_s + step * STEP_S) for step in range(STEPS)]
    return ComingSignal(name=signal.name, unit=UNITS[signal.name], values=means)


def _mean(signal: Signal, from_s: float) -> float | None:
    """Of a step, None where the signal does not reach."""
    try:
        return signal.mean(from_s, from_s + STEP_S)
    except InputError:
        return None
