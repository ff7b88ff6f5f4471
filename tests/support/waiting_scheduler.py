"""A scheduler process without Ray: it waits for the history, has one node, and says in lines what it does.

    python -m tests.support.waiting_scheduler URL CLUSTER LEASE_S

Each line on its standard input submits a job by that key once it has the history; the first line lets it begin.
"""

import asyncio
import os
import sys
import time
from functools import partial

from kilowait.core.errors import Superseded
from kilowait.history.lease import Claim
from kilowait.policies.simple import simple
from serve.scheduler.held_lease import HeldLease, opened
from serve.scheduler.settings import SchedulerSettings
from tests.support.live_world import request, seen

LOOK_S = 0.1


def say(*words):
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def claim_of(cluster, lease_s):
    return Claim(cluster=cluster, holder=f"process {os.getpid()}", time_s=time.time(), lease_s=lease_s)


async def schedule(url, cluster, lease_s):
    settings = SchedulerSettings(url=url, look_s=LOOK_S, standby=True)
    said = []
    claim = partial(claim_of, cluster, lease_s)
    live = await opened(settings, simple(), claim, lambda: said or said.append(say("waits") or True))
    say("has it")
    for node in {node for node, _ in live.cluster.nodes}:  # as the follower of nodes does: of another cluster
        live.node_lost(node, "its cluster is gone", time.time())
    live.node_joined(f"node of {cluster}", "A100", 1, time.time())
    keys = asyncio.create_task(asyncio.to_thread(sys.stdin.readline))
    lease = HeldLease(live.store, claim, {})
    while True:
        lease.keep()
        if keys.done():
            live.submit(request(keys.result().strip(), predictions=seen(A100=(10, 1))), time.time())
            keys = asyncio.create_task(asyncio.to_thread(sys.stdin.readline))
        for attempt in live.decide(time.time()):
            live.attempt_started(attempt.job_id, attempt.attempt, attempt.token, time.time())
            say("started", attempt.job_id, attempt.attempt)
        await asyncio.sleep(LOOK_S)


async def until_superseded(*arguments):
    try:
        await schedule(*arguments)
    except Superseded:
        say("superseded")
        os._exit(3)  # a thread still waits for lines


if __name__ == "__main__":
    sys.stdin.readline()
    asyncio.run(until_superseded(sys.argv[1], sys.argv[2], float(sys.argv[3])))
