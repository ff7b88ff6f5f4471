"""Slow planners on whole seconds: no shared code with kilowait, every second looked at, every rule as its sentence.

Times are whole numbers, so a plan is a table of free GPUs by type and second.
"""

from dataclasses import dataclass


@dataclass
class RefJob:
    job_id: str
    submit: int
    gpus: dict  # type -> a_ij, allowed types only
    time: dict  # type -> true seconds
    seen: dict  # type -> seconds the policy sees
    seen_kwh: dict
    user: str | None = None
    priority: int = 0


@dataclass
class Running:
    job: RefJob
    kind: str
    start: int

    @property
    def end(self):
        return self.start + self.job.time[self.kind]

    def expected_end(self, now):
        """As predicted; a job that should have ended by now is taken to need twice as long, and twice that."""
        seconds = self.job.seen[self.kind]
        while self.start + seconds <= now:
            seconds = 2 * seconds
        return self.start + seconds


def run(jobs, inventory, decide):
    """[(job_id, type, start, end)] in the order of decision; `decide` returns all that start at one instant."""
    waiting, running, history, now = [], [], [], 0
    todo = sorted((j for j in jobs if possible(j, inventory)), key=lambda j: (j.submit, j.job_id))
    while todo or waiting or running:
        ended = [r for r in running if r.end == now]
        arrived = [j for j in todo if j.submit == now]
        running = [r for r in running if r.end != now]
        todo = [j for j in todo if j.submit != now]
        waiting = sorted(waiting + arrived, key=lambda j: (j.submit, j.job_id))
        passed = any(r.expected_end(now - 1) == now for r in running)
        if ended or arrived or (passed and getattr(decide, "looks_ahead", False)):
            for job, kind in decide(now, list(waiting), list(running), inventory):
                started = Running(job, kind, now)
                running.append(started)
                waiting.remove(job)
                history.append((job.job_id, kind, now, started.end))
        now += 1
        assert now < 10_000, "stuck"
    return history


def possible(job, inventory):
    """Types on which the job could ever run, in the order of the inventory."""
    return [kind for kind in inventory if kind in job.gpus and job.gpus[kind] <= inventory[kind]]


def idle(running, inventory):
    return {k: n - sum(r.job.gpus[k] for r in running if r.kind == k) for k, n in inventory.items()}


def fits(job, running, inventory):
    free = idle(running, inventory)
    return [kind for kind in possible(job, inventory) if job.gpus[kind] <= free[kind]]


def quickest(job, kinds):
    best = None
    for kind in kinds:
        if best is None or job.seen[kind] < job.seen[best]:
            best = kind
    return best


def one_by_one(pick):
    """Decide by picking one (job, type) after another, everything looked at afresh each time."""

    def decide(now, waiting, running, inventory):
        picks = []
        while (picked := pick(now, waiting, running, inventory)) is not None:
            job, kind = picked
            waiting = [j for j in waiting if j is not job]
            running = [*running, Running(job, kind, now)]
            picks.append(picked)
        return picks

    return decide


@one_by_one
def sjf(now, waiting, running, inventory):
    best = None
    for job in waiting:
        shortest = min(job.seen[k] for k in possible(job, inventory))
        if fits(job, running, inventory) and (best is None or shortest < best[0]):
            best = shortest, job
    return best and (best[1], quickest(best[1], fits(best[1], running, inventory)))


def future(now, running, inventory, seconds=400):
    """type -> free GPUs in each second from now on, as expected."""
    table = {k: [n] * seconds for k, n in inventory.items()}
    for r in running:
        for second in range(r.expected_end(now) - now):
            table[r.kind][second] -= r.job.gpus[r.kind]
    return table


def first_start(table, job, kind):
    """Seconds from now until enough GPUs are free for the whole run."""
    start = 0
    while any(free < job.gpus[kind] for free in table[kind][start : start + job.seen[kind]]):
        start += 1
    return start


def soonest_done(table, job, inventory):
    """(seconds until start, type) of the least end."""
    plans = [(first_start(table, job, kind), kind) for kind in possible(job, inventory)]
    best = plans[0]
    for start, kind in plans:
        if start + job.seen[kind] < best[0] + job.seen[best[1]]:
            best = start, kind
    return best


@one_by_one
def easy(now, waiting, running, inventory):
    if not waiting:
        return None
    head, *others = waiting
    start, kind = soonest_done(future(now, running, inventory), head, inventory)
    if start == 0 and kind in fits(head, running, inventory):
        return head, kind
    for job in others:

        def harmless(other, job=job):
            """With `job` started there, the head could still start on its type as early."""
            table = future(now, [*running, Running(job, other, now)], inventory)
            return first_start(table, head, kind) <= start

        allowed = [other for other in fits(job, running, inventory) if harmless(other)]
        if allowed:
            return job, quickest(job, allowed)
    return None


def conservative(now, waiting, running, inventory):
    table, picks, busy = future(now, running, inventory), [], list(running)
    for job in waiting:
        start, kind = soonest_done(table, job, inventory)
        for second in range(start, start + job.seen[kind]):
            table[kind][second] -= job.gpus[kind]
        if start == 0 and kind in fits(job, busy, inventory):
            picks.append((job, kind))
            busy.append(Running(job, kind, now))
    return picks


easy.looks_ahead = conservative.looks_ahead = True
"""They decide again when an expected end has passed."""


def value_aging(kappa, limit):
    def worth(job, kind):
        return 1 / (job.gpus[kind] * job.seen[kind]) - kappa * job.seen_kwh[kind]

    def most_valuable(job, kinds):
        best = kinds[0]
        for kind in kinds:
            if worth(job, kind) > worth(job, best):
                best = kind
        return best

    @one_by_one
    def decide(now, waiting, running, inventory):
        held = set()
        overdue = [j for j in waiting if now - j.submit >= limit]
        for job in overdue:
            open_kinds = [k for k in fits(job, running, inventory) if k not in held]
            if open_kinds:
                return job, most_valuable(job, open_kinds)
            held.add(most_valuable(job, possible(job, inventory)))
        best = None
        for job in waiting:
            for kind in fits(job, running, inventory):
                if kind not in held and (best is None or worth(job, kind) > worth(*best)):
                    best = job, kind
        return best

    return decide


def fair(weights):
    @one_by_one
    def decide(now, waiting, running, inventory):
        def share(user):
            held = [sum(r.job.gpus[k] for r in running if r.job.user == user and r.kind == k) / inventory[k]
                    for k in inventory]  # fmt: skip
            return max(held) / weights.get(user, 1)

        able = [j for j in waiting if fits(j, running, inventory)]
        if not able:
            return None
        urgent = [j for j in able if j.priority == max(a.priority for a in able)]
        job = min(urgent, key=lambda j: share(j.user))
        return job, quickest(job, fits(job, running, inventory))

    return decide
