"""A plain simulator to compare with: lists, sorted anew at every event, no index. The rules are those of kilowait.

Written for this comparison, with no code of kilowait but the jobs it reads.
"""

from collections.abc import Callable, Mapping, Sequence

from kilowait.simulate.run import Submission

Start = tuple[str, str, float]
"""job_id, GPU type, start in seconds."""
Running = tuple[float, str, int]
"""End in seconds, GPU type, GPUs."""
Choose = Callable[[list[Submission], dict[str, int], list[Running], float], tuple[Submission, str] | None]


def simulate(submissions: Sequence[Submission], inventory: Mapping[str, int], choose: Choose) -> list[Start]:
    """Every start, in order; `choose` names the next job to start now and its type, or None."""
    coming = sorted(submissions, key=lambda s: (s.job.submit_s, s.job.job_id))
    waiting: list[Submission] = []
    running: list[Running] = []
    free, starts, now_s, arrival_count = dict(inventory), [], 0.0, 0
    while arrival_count < len(coming) or running:
        instants = [end_s for end_s, _, _ in running] + [
            s.job.submit_s for s in coming[arrival_count : arrival_count + 1]
        ]
        now_s = min(instants)
        for ended in [r for r in running if r[0] == now_s]:
            running.remove(ended)
            free[ended[1]] += ended[2]
        while arrival_count < len(coming) and coming[arrival_count].job.submit_s == now_s:
            waiting.append(coming[arrival_count])
            arrival_count += 1
        while waiting and (choice := choose(waiting, free, running, now_s)) is not None:
            submission, gpu_type = choice
            waiting.remove(submission)
            free[gpu_type] -= submission.job.gpus
            running.append((now_s + submission.truth[gpu_type].runtime_s, gpu_type, submission.job.gpus))
            starts.append((submission.job.job_id, gpu_type, now_s))
    return starts


def simple(
    waiting: list[Submission], free: dict[str, int], running: list[Running], now_s: float
) -> tuple[Submission, str] | None:
    """First come, first served, on the first type with room."""
    fits = [t for t in free if waiting[0].job.gpus <= free[t]]
    return (waiting[0], fits[0]) if fits else None


def value(kappa: float) -> Choose:
    """The pair of the largest 1 / (a t) - kappa e among those that fit, found by sorting all pairs."""

    def choose(
        waiting: list[Submission], free: dict[str, int], running: list[Running], now_s: float
    ) -> tuple[Submission, str] | None:
        def worth(pair: tuple[Submission, str]) -> float:
            prediction = pair[0].seen[pair[1]]
            return -(1 / (pair[0].job.gpus * prediction.runtime_s) - kappa * prediction.energy_kwh)

        pairs = sorted(((s, t) for s in waiting for t in free), key=worth)
        return next(((s, t) for s, t in pairs if s.job.gpus <= free[t]), None)

    return choose


def sjf(
    waiting: list[Submission], free: dict[str, int], running: list[Running], now_s: float
) -> tuple[Submission, str] | None:
    """The job with the least seconds on its fastest type, among those that fit, on the fastest type with room."""
    for submission in sorted(waiting, key=lambda s: min(p.runtime_s for p in s.seen.values())):
        fits = [t for t in free if submission.job.gpus <= free[t]]
        if fits:
            return submission, min(fits, key=lambda t: submission.seen[t].runtime_s)
    return None


def easy(
    waiting: list[Submission], free: dict[str, int], running: list[Running], now_s: float
) -> tuple[Submission, str] | None:
    """EASY backfill; the head holds the type on which it would end first. Predictions must be exact."""
    head = waiting[0]
    plans = [(_first_start_s(head.job.gpus, t, free, running, now_s), t) for t in free]
    shadow_s, shadow_type = min(plans, key=lambda plan: plan[0] + head.seen[plan[1]].runtime_s)
    if shadow_s == now_s:
        return head, shadow_type
    spare_gpus = (
        free[shadow_type] + sum(g for end_s, t, g in running if t == shadow_type and end_s <= shadow_s) - head.job.gpus
    )
    for submission in waiting[1:]:
        gpus = submission.job.gpus
        allowed = [
            t
            for t in free
            if gpus <= free[t]
            and (t != shadow_type or gpus <= spare_gpus or now_s + submission.seen[t].runtime_s <= shadow_s)
        ]
        if allowed:
            return submission, min(allowed, key=lambda t: submission.seen[t].runtime_s)
    return None


def _first_start_s(gpus: int, gpu_type: str, free: dict[str, int], running: list[Running], now_s: float) -> float:
    free_gpus, start_s = free[gpu_type], now_s
    for end_s, held_type, count in sorted(running):
        if free_gpus >= gpus:
            break
        if held_type == gpu_type:
            free_gpus, start_s = free_gpus + count, end_s
    return start_s
