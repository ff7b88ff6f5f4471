"""The obvious algorithm, slow and separate: no shared code with kilowait, lists instead of indexes and heaps.

It steps through the instants, and at each looks at every waiting job from scratch.
"""

from dataclasses import dataclass


@dataclass
class RefJob:
    job_id: str
    submit: float
    gpus: dict  # type -> a_ij, allowed types only
    time: dict  # type -> true seconds
    seen_time: dict  # type -> seconds the policy sees
    seen_kwh: dict


def run_reference(jobs, inventory, choose):
    """[(job_id, type, start, end)] in the order of decision; `choose` picks one (job, type) or None."""
    jobs = [j for j in jobs if any(j.gpus[t] <= n for t, n in inventory.items() if t in j.gpus)]
    history = []  # job, type, start, end
    while len(history) < len(jobs):
        started = {job.job_id for job, *_ in history}
        # The next instant is the earliest arrival or completion at which something may change.
        instants = {j.submit for j in jobs} | {end for *_, end in history}
        progressed = False
        for now in sorted(instants):
            if any(start > now for _, _, start, _ in history):
                continue
            while True:
                waiting = [j for j in jobs if j.submit <= now and j.job_id not in started]
                waiting.sort(key=lambda j: (j.submit, j.job_id))
                busy = dict.fromkeys(inventory, 0)
                for job, kind, _, end in history:
                    if end > now:
                        busy[kind] += job.gpus[kind]
                free = {t: inventory[t] - busy[t] for t in inventory}
                picked = choose(waiting, free, inventory) if waiting else None
                if picked is None:
                    break
                job, kind = picked
                history.append((job, kind, now, now + job.time[kind]))
                started.add(job.job_id)
                progressed = True
            if progressed:
                break
        assert progressed, "stuck"
    return [(job.job_id, kind, start, end) for job, kind, start, end in history]


def simple(waiting, free, inventory):
    head = waiting[0]
    for kind in inventory:
        if kind in head.gpus and head.gpus[kind] <= free[kind]:
            return head, kind
    return None


def greedy(alpha, gamma):
    def choose(waiting, free, inventory):
        head = waiting[0]
        best, best_cost = None, None
        for kind, total in inventory.items():
            if kind not in head.gpus or head.gpus[kind] > total:
                continue
            cost = alpha * head.seen_time[kind] + gamma * head.seen_kwh[kind]
            if best is None or cost < best_cost:
                best, best_cost = kind, cost
        return (head, best) if head.gpus[best] <= free[best] else None

    return choose


def value(kappa):
    def choose(waiting, free, inventory):
        best, best_value = None, None
        for job in waiting:
            for kind in inventory:
                if kind not in job.gpus or job.gpus[kind] > free[kind]:
                    continue
                worth = 1 / (job.gpus[kind] * job.seen_time[kind]) - kappa * job.seen_kwh[kind]
                if best is None or worth > best_value:
                    best, best_value = (job, kind), worth
        return best

    return choose
