"""Backfilling over nodes, slow and separate: free boards of each node in every second, every rule as its sentence.

No shared code with kilowait. Whole boards only; a place is how many boards of each node a job has.
"""

from dataclasses import dataclass

from tests.support.planners_reference import Running as TimedRunning

HORIZON_S = 320


@dataclass
class RefJob:
    job_id: str
    submit: int
    gpus: int
    one_node: bool
    time: dict  # type -> true seconds
    seen: dict  # type -> seconds the policy sees


@dataclass
class Running(TimedRunning):
    place: list


def run(jobs, nodes, decide):
    """[(job_id, type, start, end, boards by node)] in the order of decision."""
    waiting, running, history, now = [], [], [], 0
    todo = sorted((j for j in jobs if kinds(j, nodes)), key=lambda j: (j.submit, j.job_id))
    while todo or waiting or running:
        happened = any(r.end == now or r.expected_end(now - 1) == now for r in running) or any(
            j.submit == now for j in todo
        )
        running = [r for r in running if r.end != now]
        waiting = sorted(waiting + [j for j in todo if j.submit == now], key=lambda j: (j.submit, j.job_id))
        todo = [j for j in todo if j.submit != now]
        if happened:
            for job, kind, place in decide(now, list(waiting), list(running), nodes):
                running.append(Running(job, kind, now, place))
                waiting.remove(job)
                history.append((job.job_id, kind, now, now + job.time[kind], place))
        now += 1
        assert now < 10_000, "stuck"
    return history


def kinds(job, nodes):
    return [k for k in nodes if k in job.time and fit(nodes[k], job) is not None]


def fit(free, job):
    """Boards by node: the node with the fewest that suffice; spread over as few nodes as possible if none does."""
    enough = [(boards, n) for n, boards in enumerate(free) if boards >= job.gpus]
    if enough:
        return [job.gpus if n == min(enough)[1] else 0 for n in range(len(free))]
    if job.one_node or sum(free) < job.gpus:
        return None
    place, left, missing = [0] * len(free), list(free), job.gpus
    while missing:
        enough = [(boards, n) for n, boards in enumerate(left) if boards >= missing]
        n = min(enough)[1] if enough else left.index(max(left))
        place[n] = min(missing, left[n])
        missing -= place[n]
        left[n] = 0
    return place


def kept(then, now_free, job):
    """What is reserved for later: boards that are not free now where they suffice, and as many of them as there are."""
    fresh = [max(0, later - now) for later, now in zip(then, now_free, strict=True)]
    if (place := fit(fresh, job)) is not None:
        return place
    if job.one_node or sum(then) < job.gpus:
        return fit(then, job)
    rest = [later - new for later, new in zip(then, fresh, strict=True)]
    missing = RefJob(job.job_id, job.submit, job.gpus - sum(fresh), False, {}, {})
    return [new + old for new, old in zip(fresh, fit(rest, missing), strict=True)]


def free_at(kind, running, nodes, now, at):
    """What each node has free at a time, as expected now."""
    held = [r.place for r in running if r.kind == kind and r.expected_end(now) > at]
    return [total - sum(place[n] for place in held) for n, total in enumerate(nodes[kind])]


def easy(now, waiting, running, nodes):
    picks = []
    while (pick := easy_pick(now, waiting, running, nodes)) is not None:
        picks.append(pick)
        waiting = [j for j in waiting if j is not pick[0]]
        running = [*running, Running(pick[0], pick[1], now, pick[2])]
    return picks


def easy_pick(now, waiting, running, nodes):
    if not waiting:
        return None
    head, *others = waiting
    plans = []
    for kind in kinds(head, nodes):
        shadow = next(t for t in range(now, now + HORIZON_S) if fit(free_at(kind, running, nodes, now, t), head))
        plans.append((shadow + head.seen[kind], shadow, kind))
    _, shadow, kept_kind = min(plans, key=lambda plan: plan[0])
    then = free_at(kept_kind, running, nodes, now, shadow)
    if shadow == now:
        return head, kept_kind, fit(then, head)
    beside = [
        free - taken
        for free, taken in zip(then, kept(then, free_at(kept_kind, running, nodes, now, now), head), strict=True)
    ]
    for job in others:
        offers = []
        for kind in kinds(job, nodes):
            room = free_at(kind, running, nodes, now, now)
            if kind == kept_kind and now + job.seen[kind] > shadow:
                room = [min(pair) for pair in zip(room, beside, strict=True)]
            if (place := fit(room, job)) is not None:
                offers.append((job.seen[kind], kind, place))
        if offers:
            return (job, *min(offers, key=lambda offer: offer[0])[1:])
    return None


def conservative(now, waiting, running, nodes):
    table = {k: [free_at(k, running, nodes, now, t) for t in range(now, now + HORIZON_S)] for k in nodes}
    picks = []
    for job in waiting:
        plans = []
        for kind in kinds(job, nodes):
            for start in range(HORIZON_S):
                window = table[kind][start : start + job.seen[kind]]
                room = [min(node) for node in zip(*window, strict=True)]
                place = fit(room, job)
                if place is not None:
                    if start > 0:
                        place = kept(room, table[kind][0], job)
                    plans.append((start + job.seen[kind], start, kind, place))
                    break
        _, start, kind, place = min(plans, key=lambda plan: plan[0])
        for free in table[kind][start : start + job.seen[kind]]:
            for n, boards in enumerate(place):
                free[n] -= boards
        if start == 0:
            picks.append((job, kind, place))
    return picks
