"""What the live controller does on a played clock is what the simulator does with the same jobs, policy and signals."""

import heapq
import math
import random
from dataclasses import replace

import pytest
from msgspec import structs

from kilowait.cluster.advance import replay
from kilowait.core.checkpoints.checkpointing import Checkpointing
from kilowait.core.errors import InputError
from kilowait.core.jobs import PowerLimit, Prediction
from kilowait.core.over_time.signals import Signal
from kilowait.core.submission import Ending, Program
from kilowait.history.store import Store
from kilowait.live.controller import Controller
from kilowait.live.deciding import held_to
from kilowait.policies import POLICIES
from kilowait.simulate.recorded import differences, recorded
from tests.support.hourly_signals import hourly
from tests.support.live_world import request, seen

HOUR = 3600.0
GOES_ON = Program(files={"m.py": "pass"}, entrypoint="m.py", checkpointing=Checkpointing())
AT_A_CHECKPOINT = Ending(exit_code=0, reason="preempted", preempted=True, checkpointed=True)
SIGNAL = hourly(*[300.0 + 200.0 * ((7 * hour) % 5) / 4 for hour in range(24)])


def asked(number, rng):
    """A job of an hour or two that comes within the first six hours; half of them go on from checkpoints."""
    seconds, goes_on = rng.uniform(0.2, 3.0) * HOUR, rng.random() < 0.5
    fields = {"checkpoint_s": 30.0, "program": GOES_ON} if goes_on else {}
    both = seen(A=(seconds, seconds / HOUR), B=(2 * seconds, 0.8 * seconds / HOUR))
    return number, request(f"{number}", predictions=both, slack_s=rng.choice((None, 8 * HOUR)), **fields)


class Played:
    """A controller whose jobs take just what was predicted: a job that is preempted gives way at once."""

    def __init__(self, live):
        self.live, self.ends, self.attempts = live, [], {}

    def run(self, arrivals):
        arrivals = sorted(arrivals)
        while arrivals or self.ends or self.live.cluster.waiting:
            renewal_s = min(self.live.deciding.next_renewal_s(), self.live.cluster.next_renewal_s())
            now_s = min([renewal_s, *(at_s for at_s, *_ in arrivals[:1]), *(end[0] for end in self.ends[:1])])
            while self.ends and self.ends[0][0] == now_s:
                self.end(heapq.heappop(self.ends), Ending(exit_code=0), now_s)
            while arrivals and arrivals[0][0] == now_s:
                self.live.submit(arrivals.pop(0)[2], now_s)
            self.decide(now_s)

    def decide(self, now_s):
        while True:
            live, leaving = self.live, self.live.deciding.leaving
            for one in live.carry_out(live.deciding.begin(live.at(now_s))()):
                active = live.cluster.active[one.job_id]
                heapq.heappush(self.ends, (active.predicted_end_s, one.job_id, one.attempt, one.token))
            self.limits_changed(live.deciding.take_limited())
            preempted = set(leaving.take_new())
            for end in [end for end in self.ends if end[1] in preempted]:
                self.ends.remove(end)
                heapq.heapify(self.ends)
                self.end(end, AT_A_CHECKPOINT, now_s)
            if not preempted or live.deciding.next_renewal_s() == math.nextafter(now_s, math.inf):
                return  # the policy wants to be asked again at once, and will be

    def limits_changed(self, job_ids):
        """What goes on under another power limit ends at another time."""
        active = self.live.cluster.active
        self.ends = [(active[k].predicted_end_s if k in job_ids else at_s, k, *more) for at_s, k, *more in self.ends]
        heapq.heapify(self.ends)

    def end(self, end, ending, now_s):
        _, job_id, attempt, token = end
        self.live.attempt_finished(job_id, attempt, token, ending, now_s)


@pytest.mark.parametrize(
    ("policy", "holds", "preempts"),
    [
        ("simple", False, False),
        ("flexible(patient,0s)", True, True),
        ("provisioned(sjf,0.4)", True, False),
        ("srpt", False, True),
        ("provisioned(flexible(srpt,0s),0.4)", True, True),
    ],
)
def test_a_live_run_with_holds_a_quota_and_preemptions_is_simulated_to_the_same_placements(
    tmp_path, policy, holds, preempts
):
    rng, live = random.Random(5), Controller(Store(f"{tmp_path}/x.db"), POLICIES[policy](), order=("A", "B"))
    for node, gpu_type in (("n1", "A"), ("n2", "B")):
        live.node_joined(node, gpu_type, 2, 0.0)
    live.signal_reported(SIGNAL, 0.0)
    Played(live).run([(rng.uniform(0, 6) * HOUR, *asked(number, rng)) for number in range(14)])
    events = [event for _, event in live.store.events()]
    kinds = {type(event).__name__ for event in events}
    assert ("JobPostponed" in kinds, "JobPreempted" in kinds) == (holds, preempts)
    found = recorded(events)
    assert differences(found, found.simulated(POLICIES[policy]()), within_s=1e-3) == []


def test_a_run_under_another_policy_differs_and_says_where(tmp_path):
    live = Controller(Store(f"{tmp_path}/x.db"), POLICIES["simple"](), order=("A",))
    live.node_joined("n1", "A", 1, 0.0)
    asked_for = [(float(n), n, request(f"{n}", predictions=seen(A=(s, 1)))) for n, s in enumerate((10, 9, 2))]
    Played(live).run(asked_for)
    found = recorded(event for _, event in live.store.events())
    _, second, third = found.submitted
    assert differences(found, found.simulated(POLICIES["sjf"]())) == [
        f"job {second}, attempt 1: on A at 10.0 s live, on A at 12.0 s simulated",
        f"job {third}, attempt 1: on A at 19.0 s live, on A at 10.0 s simulated",
    ]
    live.gpus_held("n1", "A", 1, 100.0)
    with pytest.raises(InputError, match="a GpusHeld at 100 s, which no simulation knows"):
        recorded(event for _, event in live.store.events())


BUDGET = Signal(name="power_budget", times_s=(0.0, 2 * HOUR, 5 * HOUR), values=(1100.0, 520.0, 1500.0), ends_s=1e9)


def powered(number, rng):
    """A job of 200 to 280 W with a curve of power limits; every third is urgent, half go on from checkpoints."""
    _, asked_for = asked(number, rng)
    seen_there = {}
    for gpu_type, part in (("A100", 1.0), ("A6000", 0.8)):
        seconds, watts = rng.uniform(0.2, 3.0) * HOUR / part, rng.choice((200, 240, 280)) * part
        limits = tuple(
            PowerLimit(limit_w=w, runtime_s=seconds * longer, energy_kwh=min(w, watts) * seconds * longer / 3.6e6)
            for w, longer in ((300.0, 1.0), (0.8 * watts, 1.1), (0.6 * watts, 1.4))
        )
        seen_there[gpu_type] = Prediction(runtime_s=seconds, energy_kwh=watts * seconds / 3.6e6, limits=limits)
    urgent = replace(asked_for.job, priority=int(number % 3 == 0))
    return number, structs.replace(asked_for, predictions=seen_there, job=urgent)


@pytest.mark.parametrize("policy", ["urgent(patient)", "flexible(patient,0s)"])
def test_a_live_run_with_power_limits_and_a_budget_that_changes_is_simulated_to_the_same_placements(tmp_path, policy):
    rng, live = random.Random(7), Controller(Store(f"{tmp_path}/x.db"), POLICIES[policy](), order=("A100", "A6000"))
    for node, gpu_type in (("n1", "A100"), ("n2", "A6000")):
        live.node_joined(node, gpu_type, 3, 0.0)
    live.signal_reported(SIGNAL, 0.0)
    live.ordered(BUDGET, 0.0)
    Played(live).run([(rng.uniform(0, 3) * HOUR, *powered(number, rng)) for number in range(16)])
    events = [event for _, event in live.store.events()]
    kinds = {type(event).__name__ for event in events}
    assert {"LimitSet", "JobPreempted"} <= kinds
    assert ("JobPostponed" in kinds) == policy.startswith("flexible")
    found = recorded(events)
    assert differences(found, found.simulated(held_to(POLICIES[policy]())), within_s=1e-3) == []
    assert replay(events, ("A100", "A6000")).snapshot() == live.cluster.snapshot()
