"""The obvious packing, slow and separate: boards as a list of nodes of thousandths, rebuilt by copying.

No shared code with kilowait. A board is the thousandths left on it; a job's place is a list of (node, board, milli).
"""

from dataclasses import dataclass, field

BOARD = 1000


@dataclass
class Asked:
    job_id: str
    submit: float
    gpus: int
    milli: int
    one_node: bool
    time: dict  # type -> seconds, allowed types only
    kwh: dict


@dataclass
class Floor:
    """One type: `left[node][board]` thousandths."""

    left: list
    held: dict = field(default_factory=dict)  # job_id -> [(node, board, milli)]

    def place(self, job):
        """Where the job would go, None if it does not fit."""
        whole = [[b for b, left in enumerate(node) if left == BOARD] for node in self.left]
        if job.milli < BOARD:
            used = [
                (left, n, b)
                for n, node in enumerate(self.left)
                for b, left in enumerate(node)
                if job.milli <= left < BOARD
            ]
            if used:
                _, n, b = min(used)
                return [(n, b, job.milli)]
            opened = [(len(boards), n, boards) for n, boards in enumerate(whole) if boards]
            if not opened:
                return None
            _, n, boards = min(opened)
            return [(n, boards[0], job.milli)]
        enough = [(len(boards), n) for n, boards in enumerate(whole) if len(boards) >= job.gpus]
        if enough:
            return [(min(enough)[1], b, BOARD) for b in whole[min(enough)[1]][: job.gpus]]
        if job.one_node or sum(map(len, whole)) < job.gpus:
            return None
        found = []
        while len(found) < job.gpus:
            missing = job.gpus - len(found)
            open_nodes = [n for n, boards in enumerate(whole) if boards]
            enough = [n for n in open_nodes if len(whole[n]) >= missing]
            n = min(enough, key=lambda n: len(whole[n])) if enough else max(open_nodes, key=lambda n: len(whole[n]))
            found += [(n, b, BOARD) for b in whole[n][:missing]]
            whole[n] = []
        return found

    def start(self, job):
        self.held[job.job_id] = self.place(job)
        for n, b, milli in self.held[job.job_id]:
            self.left[n][b] -= milli
            assert self.left[n][b] >= 0

    def end(self, job):
        for n, b, milli in self.held.pop(job.job_id):
            self.left[n][b] += milli


def run(jobs, nodes, choose):
    """[(job_id, type, start, end)] in the order of decision; `choose` picks one (job, type) or None."""
    floors = {t: Floor([[BOARD] * gpus for gpus in counts]) for t, counts in nodes.items()}
    empty = {t: Floor([[BOARD] * gpus for gpus in counts]) for t, counts in nodes.items()}
    jobs = [j for j in jobs if any(empty[t].place(j) for t in nodes if t in j.time)]
    running, history, now = [], [], 0.0
    while len(history) < len(jobs):
        for end, job, kind in [r for r in running if r[0] <= now]:
            floors[kind].end(job)
            running.remove((end, job, kind))
        started = {job_id for job_id, *_ in history}
        waiting = sorted(
            (j for j in jobs if j.submit <= now and j.job_id not in started), key=lambda j: (j.submit, j.job_id)
        )
        while waiting and (picked := choose(waiting, floors, empty)) is not None:
            job, kind = picked
            floors[kind].start(job)
            waiting.remove(job)
            running.append((now + job.time[kind], job, kind))
            history.append((job.job_id, kind, now, now + job.time[kind]))
        coming = [end for end, *_ in running] + [j.submit for j in jobs if j.submit > now]
        if len(history) < len(jobs):
            now = min(coming)
    return history


def simple(waiting, floors, empty):
    head = waiting[0]
    return next(((head, t) for t in floors if t in head.time and floors[t].place(head)), None)


def sjf(waiting, floors, empty):
    def shortest(job):
        return min(seconds for t, seconds in job.time.items() if t in empty and empty[t].place(job))

    for job in sorted(waiting, key=lambda j: (shortest(j), j.submit, j.job_id)):
        fits = [t for t in floors if t in job.time and floors[t].place(job)]
        if fits:
            return job, min(fits, key=lambda t: job.time[t])
    return None


def value(kappa):
    def choose(waiting, floors, empty):
        best, best_value = None, None
        for job in waiting:
            for kind in floors:
                if kind in job.time and floors[kind].place(job):
                    amount = job.milli / BOARD if job.milli < BOARD else job.gpus
                    worth = 1 / (amount * job.time[kind]) - kappa * job.kwh[kind]
                    if best is None or worth > best_value:
                        best, best_value = (job, kind), worth
        return best

    return choose
