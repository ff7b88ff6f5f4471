"""What a run came to by signals: carbon, water and money of every hour's energy, beside kWh. All of it is modelled."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import fsum

import numpy as np

from kilowait.core.arrays import FloatArray
from kilowait.core.hardware import idle_power_w as catalogue_idle_power_w
from kilowait.core.jobs import Provenance
from kilowait.core.over_time.signals import Signal
from kilowait.core.units import JOULES_PER_KWH, WHOLE
from kilowait.simulate.run import Placement, Run

TOTALS = {"carbon": ("kg", 1e-3), "water": ("L", 1.0), "price": ("USD", 1.0)}
"""In what is summed up what a signal says of a kWh, and how many of that one of the signal's units makes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalTotal:
    """What the energy of a cluster comes to, in `unit`: jobs, idle boards, and hosts where nodes were watched.

    The last two are None where the idle power of a type is unknown.
    """

    unit: str
    jobs: float
    idle_boards: float | None
    hosts: float | None
    provenance: Provenance = Provenance.MODELLED

    @property
    def cluster(self) -> float | None:
        """All of it; None where a part is unknown."""
        return None if self.idle_boards is None or self.hosts is None else self.jobs + self.idle_boards + self.hosts


def signal_totals(
    run: Run, signals: Iterable[Signal], idle_power_w: Mapping[str, float] | None = None
) -> dict[str, SignalTotal]:
    """By the signals that are of a kWh; raises InputError for one that is not known over the whole run.

    A job's power counts as even over its time. The window is that of `kilowait.simulate.scores`.
    """
    return {signal.name: _total(run, signal, idle_power_w or {}) for signal in signals if signal.name in TOTALS}


def _total(run: Run, signal: Signal, watts_by_type: Mapping[str, float]) -> SignalTotal:
    unit, scale = TOTALS[signal.name]
    if not run.placements:
        return SignalTotal(unit=unit, jobs=0.0, idle_boards=0.0, hosts=0.0)
    starts_s, ends_s = np.array([p.start_s for p in run.placements]), np.array([p.end_s for p in run.placements])
    integrals = _integrals(signal, starts_s, ends_s)
    lengths_s, kwh = ends_s - starts_s, np.array([p.energy_kwh for p in run.placements])
    ran = lengths_s > 0
    jobs = fsum((kwh[ran] * (integrals[ran] / lengths_s[ran])).tolist())
    watts = {t: watts_by_type.get(t, catalogue_idle_power_w(t)) for t in run.inventory}
    known = {t: w for t, w in watts.items() if w is not None}
    if len(known) < len(watts):
        return SignalTotal(unit=unit, jobs=jobs * scale, idle_boards=None, hosts=None)
    awake, hosts_j = _awake(run, signal)
    busy = _busy(run.placements, integrals)
    idle_j = fsum(known[t] * (awake[t] - busy.get(t, 0.0)) for t in awake)
    scale_j = scale / JOULES_PER_KWH
    return SignalTotal(unit=unit, jobs=jobs * scale, idle_boards=max(0.0, idle_j) * scale_j, hosts=hosts_j * scale_j)


def _awake(run: Run, signal: Signal) -> tuple[dict[str, float], float]:
    """The signal times seconds of the boards of each type that were awake, and times watts and seconds of hosts."""
    begins_s, ends_s = min(p.submit_s for p in run.placements), max(p.end_s for p in run.placements)
    if run.sleeping is None:
        whole = signal.integral(begins_s, ends_s)
        return {gpu_type: gpus * whole for gpu_type, gpus in run.inventory.items()}, 0.0
    sleeping, boards, hosts_j = run.sleeping, dict.fromkeys(run.inventory, 0.0), 0.0
    whole = signal.integral(sleeping.begins_s or 0.0, ends_s)
    for (gpu_type, _), use in sleeping.nodes.items():
        slept = fsum(signal.integral(*interval) for interval in sleeping.asleep(use, ends_s))
        boards[gpu_type] += use.gpus * (whole - slept)
        hosts_j += sleeping.rule.host_w * (whole - slept) + sleeping.rule.asleep_w * slept
    return boards, hosts_j


def _busy(placements: Sequence[Placement], integrals: FloatArray) -> dict[str, float]:
    """By type, the signal times seconds of the boards that jobs held, a share as a fraction."""
    parts = defaultdict[str, list[float]](list)
    for p, integral in zip(placements, integrals.tolist(), strict=True):
        parts[p.gpu_type].append(p.gpus * p.gpu_milli / WHOLE * integral)
    return {gpu_type: fsum(found) for gpu_type, found in parts.items()}


def _integrals(signal: Signal, from_s: FloatArray, to_s: FloatArray) -> FloatArray:
    """`Signal.integral` of many times (n,), to the last digit; raises what that raises."""
    known = (np.minimum(from_s, to_s) >= signal.begins_s) & (np.maximum(from_s, to_s) <= signal.ends_s)
    if not known.all():
        return np.array([signal.integral(*pair) for pair in zip(from_s.tolist(), to_s.tolist(), strict=True)])
    times_s, values, sums = np.array(signal.times_s), np.array(signal.values), np.array(signal.sums)

    def until(time_s: FloatArray) -> FloatArray:
        step = np.minimum(np.searchsorted(times_s, time_s, side="right"), len(values)) - 1
        found: FloatArray = sums[step] + values[step] * (time_s - times_s[step])
        return found

    return until(to_s) - until(from_s)
