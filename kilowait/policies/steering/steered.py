"""A planner whose price of a kWh steers itself, so that all jobs together wait as long as they may and no longer."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from kilowait.cluster.state import Cluster
from kilowait.core.errors import InputError
from kilowait.policies.compiled_form import with_cost
from kilowait.policies.decisions import Decision, Policy
from kilowait.policies.steering.price_search import FIRST_S, Planner, PriceSearch
from kilowait.policies.value import value

PRICES_S = (60.0, 250.0, 1000.0, 2000.0, 4000.0, 8000.0, 16_000.0)
"""Seconds of waiting that a kWh is worth in the shadows; between them the price is interpolated.

At the lowest few are held: what is saved is by which of the free types a job gets.
"""
CROWDED_S = 2000.0
"""Below this price the occupation of GPUs counts less in proportion: else a planner at a low price takes the quicker
types, not the greener ones, for the sake of jobs that may never come, and in quiet times waits no less for it."""

AT_PRICE = "at_price"
"""The attribute of a policy by which `price_in_force` and `at_price` know one that steers its price."""

Wrap = Callable[[Policy], Policy]


def congestion_at(price_s: float, congestion: float) -> float:
    """What is left of a planner's congestion at a price: see `CROWDED_S`."""
    return congestion * min(1.0, price_s / CROWDED_S)


def steered(
    planner: Planner,
    max_extra_wait: float = 0.0,
    baseline: Policy | None = None,
    prices_s: Sequence[float] = PRICES_S,
    wrap: Wrap | None = None,
) -> Policy:
    """The planner at the price that keeps all waiting within 1 + `max_extra_wait` of the baseline's (Value's).

    The target is so many times the baseline's waiting and `FLOOR_S` a job, which counts where hardly anybody waits.
    The baseline (relative kappa 1), and the planner at each of some prices, run in shadows on the same arrivals and
    GPUs, with run times as predicted times the ratio of real to predicted seconds of the jobs that have ended here. A
    shadow's waiting is that until now and what the jobs in its queue will still wait if nobody else comes, so that a
    burst is known when it comes, not when it is over; by price it never falls (`never_less`). Found is the highest
    price at which the planner keeps the target, interpolated between the two prices of which one keeps it and the next
    does not; where none keeps it, the highest of those that wait about as long as the least. Where the real jobs have
    waited, and will at the price in force, longer than the target, it is lower by four times that; where less, higher
    by twice. In force is the mean of `FIRST_S` and what is found, on the scale of logarithms, weighted by `BELIEVED`
    and the jobs that have come. So nothing is tuned on the world, and no price is tried out on real jobs: what it does
    to waiting shows late, in the next burst, and a controller that feels its way oscillates.

    The state is this policy's own: a new one, and one that is shown another cluster, begins with the jobs that are
    there then, and learns anew; where GPUs have come or gone, or nodes get windows (`kilowait.cluster.views.windows`),
    the shadows begin anew, and what was learned stays. The same events lead to the same decisions. `wrap` is what goes
    around the planner: made once for the real jobs and once for each shadow, so that it may keep state. Not covered: a
    function around it all that shows it a part of the queue; go by `steered_around`, as wrappers by name and quotas do.
    A decision takes as long as one of each shadow in which
    something happens, and where the price is found anew (`LOOKED_AT`, `AHEAD_JOBS`) as all until nobody waits in any of
    them. Raises InputError for -1 or less and for what is not finite.
    """
    if not (math.isfinite(max_extra_wait) and max_extra_wait > -1):
        raise InputError(f"max_extra_wait must be finite and > -1, got {max_extra_wait!r}")
    state: list[tuple[PriceSearch, Policy]] = []
    steering = _Steered(
        planner,
        lambda: state[0][0].price if state else FIRST_S,
        max_extra_wait,
        baseline or value(kappa_relative=1.0),
        prices_s,
        wrap or _as_it_is,
    )

    def at_present(cluster: Cluster) -> list[Decision]:
        return planner(steering.price_s())(cluster) if cluster.waiting else []

    def steered(cluster: Cluster) -> list[Decision]:
        if not state or not state[0][0].goes_on(cluster):
            begun, policy = PriceSearch.of(cluster, steering.baseline, steering.at, prices_s), None
            if state and state[0][0].knows(cluster):
                begun.learn_from(state[0][0])
                policy = state[0][1]
            state[:] = [(begun, policy or steering.wrap(at_present))]
        search, policy = state[0]
        search.look(cluster)
        if cluster.waiting:
            search.find(1 + max_extra_wait)
        decisions = policy(cluster)
        search.decided(decisions)
        return decisions

    vars(steered)[AT_PRICE] = steering
    return with_cost(steered, 2 + len(prices_s))


class _Steered(NamedTuple):
    """What a policy whose price steers itself was made of, and that price."""

    planner: Planner
    price_s: Callable[[], float]
    max_extra_wait: float
    baseline: Policy
    prices_s: Sequence[float]
    wrap: Wrap

    def at(self, price_s: float) -> Policy:
        """The planner at a price, within its wrappers."""
        return self.wrap(self.planner(price_s))


def price_in_force(policy: Policy) -> float | None:
    """Seconds of waiting that a kWh is worth now under a policy that `steered` made, None under any other."""
    steering: _Steered | None = getattr(policy, AT_PRICE, None)
    return None if steering is None else steering.price_s()


def at_price(policy: Policy, price_s: float | None) -> Policy:
    """What a policy that `steered` made does at this price, for those who look ahead; any other as it is."""
    steering: _Steered | None = getattr(policy, AT_PRICE, None)
    return policy if steering is None or price_s is None else steering.at(price_s)


def steered_around(policy: Policy, wrap: Wrap, *, limits: bool = False) -> Policy:
    """`wrap(policy)`, where a price that steers itself does so around what wraps, and so sees the whole queue.

    `limits`: waits that this causes are meant, so that the baseline is wrapped too.
    """
    steering: _Steered | None = getattr(policy, AT_PRICE, None)
    if steering is None:
        return wrap(policy)
    against = wrap(steering.baseline) if limits else steering.baseline
    return steered(
        steering.planner,
        steering.max_extra_wait,
        against,
        steering.prices_s,
        lambda planner: wrap(steering.wrap(planner)),
    )


def _as_it_is(policy: Policy) -> Policy:
    return policy
