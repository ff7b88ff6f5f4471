"""What stands at an event of a log, as it is written down beside it: for a scheduler that restarts, and for mirrors.

Whoever restarts stands, by a saved state and the events behind it, just where the whole log would have led. A state is
made from the log alone, by any process that can read it, so the scheduler takes no time over it.
"""

import gc
import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from kilowait import __version__
from kilowait.cluster.events import JobPlaced
from kilowait.cluster.saved_cluster import SavedCluster, restored, saved
from kilowait.core.jobs import Job
from kilowait.history import saved_states
from kilowait.history.store import Store
from kilowait.live.holds import Holds
from kilowait.live.mirror import Mirror, PlacementChoice

EVERY = 20_000
"""A state is saved again when so many events are behind the last one: a second or two of replay."""


class SavedScheduler(Struct, frozen=True, kw_only=True, array_like=True):
    """The cluster, and by running job the token of its attempt."""

    cluster: SavedCluster
    tokens: dict[str, int]


class SavedView(Struct, frozen=True, kw_only=True, array_like=True):
    """Of `Mirror` beside its cluster; choices as they were recorded, whatever the policy is now."""

    guessed: list[Job]
    choices: list[PlacementChoice]
    holds: dict[str, float]
    waits: list[int]
    wait_s_sum: float
    counts: dict[str, int]


SCHEDULER, VIEW = "scheduler", "view"
COUNTS = ("submitted", "finished", "failed", "cancelled", "placed")
_schemas = msgspec.json.encode([msgspec.json.schema(kind) for kind in (SavedScheduler, SavedView)], order="sorted")
LAYOUT = f"{__version__}-{hashlib.sha256(_schemas).hexdigest()[:16]}"
"""A release replays a log by its own rules, so the states of another are not used."""

T = TypeVar("T", SavedScheduler, SavedView)


def saved_scheduler(store: Store, order: Sequence[str]) -> tuple[int, SavedScheduler] | None:
    """The newest state that a scheduler can use, and the number of its event; None where there is none."""
    found = saved_states.newest(store, LAYOUT, [SCHEDULER])
    state = found and _decoded(found[1][SCHEDULER], SavedScheduler)
    return (found[0], state) if found and state and state.cluster.order == tuple(order) else None


def saved_mirror(store: Store, policy: str, options: Mapping[str, Any], order: Sequence[str]) -> Mirror:
    """A mirror as of the newest usable state, or of the beginning; what is behind that is left to take in."""
    with uncollected():
        return _mirror(store, policy, options, order)[0]


def save(store: Store, policy: str, options: Mapping[str, Any], order: Sequence[str], now_s: float) -> int:
    """Write down what the log leads to now, from the last state on; returns the number of the last event.

    Raises StoreError, Superseded where another process saves the same.
    """
    with uncollected():
        mirror, tokens = _mirror(store, policy, options, order)
        before = mirror.seq
        for seq, event in store.events(before):
            if isinstance(event, JobPlaced):
                tokens[event.job_id] = seq
            mirror.take(seq, event)
        if mirror.seq > before:
            running = {job_id: tokens[job_id] for job_id in mirror.cluster.active}
            scheduler = SavedScheduler(cluster=saved(mirror.cluster), tokens=running)
            parts = {SCHEDULER: msgspec.msgpack.encode(scheduler), VIEW: msgspec.msgpack.encode(_view(mirror))}
            saved_states.keep(store, mirror.seq, LAYOUT, parts, now_s)
        return mirror.seq


@contextmanager
def uncollected() -> Iterator[None]:
    """While this lasts nobody looks for garbage: among millions of new objects there is none, and looking takes most
    of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _mirror(
    store: Store, policy: str, options: Mapping[str, Any], order: Sequence[str]
) -> tuple[Mirror, dict[str, int]]:
    mirror = Mirror(policy, options, tuple(order))
    found = saved_states.newest(store, LAYOUT, [SCHEDULER, VIEW])
    if found is None:
        return mirror, {}
    scheduler, view = _decoded(found[1][SCHEDULER], SavedScheduler), _decoded(found[1][VIEW], SavedView)
    if scheduler is None or view is None or scheduler.cluster.order != tuple(order):
        return mirror, {}
    mirror.seq, mirror.cluster = found[0], restored(scheduler.cluster)
    _look_back(mirror, view)
    return mirror, scheduler.tokens


def _view(mirror: Mirror) -> SavedView:
    return SavedView(
        guessed=list(mirror.guessed.values()),
        choices=list(mirror.choices.values()),
        holds=mirror.holds.since_s,
        waits=mirror.waits,
        wait_s_sum=mirror.wait_s_sum,
        counts={name: getattr(mirror, name) for name in COUNTS},
    )


def _look_back(mirror: Mirror, view: SavedView) -> None:
    """Let a mirror remember what it saw."""
    mirror.guessed = {job.job_id: job for job in view.guessed}
    mirror.choices = OrderedDict((choice.job_id, choice) for choice in view.choices)
    mirror.holds = Holds(view.holds)
    mirror.waits, mirror.wait_s_sum = view.waits, view.wait_s_sum
    for name in COUNTS:
        setattr(mirror, name, view.counts[name])


def _decoded(data: bytes, kind: type[T]) -> T | None:
    try:
        return msgspec.msgpack.decode(data, type=kind)
    except msgspec.DecodeError:
        return None
