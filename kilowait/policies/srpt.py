"""Shortest remaining processing time, on predicted times: a long job gives way to a short one at a checkpoint.

Source: Schrage, "A proof of the optimality of the shortest remaining processing time discipline", Operations Research
16 (1968): on one machine, with exact times and preemption for nothing, no rule has less waiting in total. Several GPUs,
types, checkpoints that cost time and prediction errors keep the rule and lose the proof. The quantum is that of round
robin, here as the least time that an attempt works: Li et al., "LibPreemptible", HPCA 2024, show why one that is too
small loses more by switching than it wins.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from kilowait.cluster.overrun import estimated_end_s
from kilowait.cluster.standing import Active, Postponed, Waiting
from kilowait.cluster.state import Cluster
from kilowait.cluster.views.room import Room
from kilowait.core.errors import InputError
from kilowait.core.jobs import Job
from kilowait.policies.choices import fastest, predicted_runtime
from kilowait.policies.decisions import Decision, Place, Policy, Preempt, checked_weight
from kilowait.policies.parameters import Parameter
from kilowait.policies.rule import Rule
from kilowait.policies.sjf import BY_SECONDS

DEFAULT_HYSTERESIS = 2.0
"""A job gives way to one that needs less than half as long."""


AGAIN = "\0"
"""The name, no job's, under which it notes in `Cluster.kept` when the next quantum is over."""


def srpt(*, hysteresis: float = DEFAULT_HYSTERESIS, quantum_s: float = 0.0) -> Policy:
    """A policy that takes waiting jobs by their least predicted seconds left, and lets them displace longer ones.

    A job starts on the fastest of its types that has enough free GPUs. If none has, running jobs may give way: those
    with a checkpoint (`Job.checkpoint_s`, restarting takes so long) whose predicted rest is longer than

    hysteresis * (the waiting job's rest + checkpoint_s)

    on that type; the longest go first, and of the types where they make enough room the fastest for the waiting job
    is taken. What is left of a displaced job starts at once on another type that has room for it: a migration.
    Otherwise it waits. A job that fits nowhere in either way is passed over; long and wide jobs may starve. Ties go
    to the earlier in the queue, then to the more powerful type.

    On one type two jobs never displace each other by turns: the displaced one is the longer, has a restart to pay
    besides, and the other only gets shorter. The rest of a running job that has overrun its prediction is that of its
    renewed estimate (`kilowait.cluster.overrun`): it counts as long, not as about to end. Without checkpoints it is
    `sjf`.

    No attempt gives way before it has worked for `quantum_s`, going on from a checkpoint apart: so what is lost
    by going on is at most checkpoint_s / (checkpoint_s + quantum_s) of a job's time, however many shorter ones come.

    Raises InputError for a hysteresis below 1, and a quantum that is negative or not finite.
    """
    checked_weight("quantum_s", quantum_s)
    if not 1 <= hysteresis < math.inf:
        raise InputError(f"hysteresis must be finite and >= 1, got {hysteresis!r}")

    def srpt(cluster: Cluster) -> list[Decision]:
        if not cluster.waiting:
            return []
        plan = _Round.of(cluster, hysteresis, quantum_s)
        served: set[str] = set()
        for job_id, gpu_type in cluster.ranked(predicted_runtime):  # a job's first pair is its fastest type
            if job_id in served:
                continue
            served.add(job_id)
            waiting = cluster.waiting[job_id]
            if not plan.has_room_for(waiting.predictions[gpu_type].runtime_s):
                break
            plan.serve(waiting)
        plan.migrate()
        return plan.decisions

    return srpt


@dataclass(slots=True, kw_only=True)
class _Round:
    """One decision in the making: `giving` holds, by type, who may give way as (seconds left, job), longest last."""

    cluster: Cluster
    hysteresis: float
    room: Room
    giving: dict[str, list[tuple[float, Active]]]
    displaced: list[Active] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)

    @classmethod
    def of(cls, cluster: Cluster, hysteresis: float, quantum_s: float) -> "_Round":
        giving: dict[str, list[tuple[float, Active]]] = {gpu_type: [] for gpu_type in cluster.total}
        again_s = math.inf
        for active in cluster.active.values():
            if active.job.checkpoint_s is None:
                continue
            if (until_s := _stays_until_s(active, quantum_s)) > cluster.now_s:
                again_s = min(again_s, until_s)
            else:
                giving[active.gpu_type].append((estimated_end_s(active, cluster.now_s) - cluster.now_s, active))
        for jobs in giving.values():
            jobs.sort(key=lambda pair: (pair[0], pair[1].job.submit_s, pair[1].job.job_id))
        cluster.kept.pop(AGAIN, None)
        if again_s < math.inf:
            cluster.kept[AGAIN] = Postponed(until_s=again_s, gpu_type="", since_s=cluster.now_s)
        return cls(cluster=cluster, hysteresis=hysteresis, room=cluster.room(), giving=giving)

    def has_room_for(self, seconds: float) -> bool:
        """Whether looking on can help: something is free, or somebody might give way to a job this short."""
        longest = max((jobs[-1][0] for jobs in self.giving.values() if jobs), default=0.0)
        return longest > self.hysteresis * seconds or bool(self.room)

    def serve(self, waiting: Waiting) -> None:
        """Start a job if there is room or room can be made."""
        gpu_type = fastest(waiting, self.room.fitting(waiting))
        if gpu_type is None:
            yielding = {t: jobs for t in waiting.gpus if (jobs := self._yielding(waiting, t))}
            gpu_type = fastest(waiting, yielding)
            if gpu_type is None:
                return
            self._displace(gpu_type, yielding[gpu_type])
        self._place(waiting.job, gpu_type, waiting.gpus[gpu_type])

    def migrate(self) -> None:
        """Start what is left of displaced jobs, the shortest first, each on the fastest of its types that has room."""
        for active in reversed(self.displaced):
            job, gpus = active.job, self.cluster.possible(active.job, active.whole)
            types = [t for t, count in gpus.items() if self.room.holds(t, count, job.gpu_milli, job.one_node)]
            best = min(types, key=lambda t: active.whole[t].runtime_s, default=None)
            if best is not None:
                self._place(job, best, gpus[best])

    def _yielding(self, waiting: Waiting, gpu_type: str) -> list[Active]:
        """Who gives way on a type, the longest first; nobody where that makes too little room."""
        seconds, jobs = waiting.predictions[gpu_type].runtime_s, list[Active]()
        room = self.room.copy()
        for left_s, active in reversed(self.giving[gpu_type]):
            if room.fits(waiting, gpu_type):
                break
            if left_s > self.hysteresis * (seconds + (active.job.checkpoint_s or 0.0)):
                jobs.append(active)
                room.give_back(active)
        return jobs if room.fits(waiting, gpu_type) else []

    def _displace(self, gpu_type: str, yielding: Sequence[Active]) -> None:
        self.giving[gpu_type] = [pair for pair in self.giving[gpu_type] if pair[1] not in yielding]
        for active in yielding:
            self.room.give_back(active)
            self.displaced.append(active)
            self.decisions.append(Preempt(job_id=active.job.job_id))

    def _place(self, job: Job, gpu_type: str, gpus: int) -> None:
        self.room.claim(gpu_type, gpus, job.gpu_milli, job.one_node)
        self.decisions.append(Place(job_id=job.job_id, gpu_type=gpu_type))


def _stays_until_s(active: Active, quantum_s: float) -> float:
    """Until when an attempt does not give way: it has its quantum, and before that the time to go on."""
    if not quantum_s:
        return active.placed_s
    goes_on = active.remaining < 1.0
    return active.placed_s + quantum_s + (active.job.checkpoint_s or 0.0 if goes_on else 0.0)


RULE = Rule(
    name="srpt",
    sentence="shortest remaining time first",
    detail="a long job gives way to a much shorter one",
    make=srpt,
    parameters=(
        Parameter(
            name="hysteresis",
            sentence="how many times as long a job must be to give way",
            default=DEFAULT_HYSTERESIS,
            metavar="H",
        ),
        Parameter(
            name="quantum_s",
            sentence="for how long an attempt works before it gives way",
            default=0.0,
            unit="s",
            default_means="none",
            metavar="S",
        ),
    ),
    needs=frozenset({"checkpoints"}),
    criterion=lambda _, __: BY_SECONDS,
    place=140,
)
