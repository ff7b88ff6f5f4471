"""How long a policy thinks: a stopwatch around it, on a clock that is handed in (process time, so measured)."""

from collections.abc import Callable

from kilowait.cluster.state import Cluster
from kilowait.core.errors import KilowaitError
from kilowait.policies import Decision, Policy

Clock = Callable[[], float]
"""Seconds of something that only grows, such as `time.process_time`."""


class BudgetSpent(KilowaitError):  # noqa: N818 - an outcome that callers expect, not a fault
    """A simulation was stopped because it had used up its time."""


class TimedPolicy:
    """A policy that behaves as the one inside and keeps the seconds of every call, jobs placed and the longest queue.

    Raises BudgetSpent from the first call that begins more than `budget_s` after the stopwatch was made.
    """

    def __init__(self, policy: Policy, clock: Clock, *, budget_s: float = float("inf")) -> None:
        self.__name__ = getattr(policy, "__name__", type(policy).__name__)
        self._policy, self._clock, self._budget_s = policy, clock, budget_s
        self._started_s = clock()
        self.calls_s: list[float] = []
        self.placed = 0
        self.longest_queue = 0
        self._progress: list[tuple[int, float]] = [(0, 0.0)]

    def __call__(self, cluster: Cluster) -> list[Decision]:
        """The decisions of the policy inside."""
        before_s = self._clock()
        if before_s - self._started_s > self._budget_s:
            raise BudgetSpent(f"{self.__name__}: {self._budget_s:g} s are spent after {self.placed} jobs")
        self.longest_queue = max(self.longest_queue, len(cluster.waiting))
        decisions = self._policy(cluster)
        after_s = self._clock()
        self.calls_s.append(after_s - before_s)
        if decisions:
            self.placed += len(decisions)
            self._progress.append((self.placed, after_s - self._started_s))
        return decisions

    @property
    def elapsed_s(self) -> float:
        """Seconds since the stopwatch was made."""
        return self._clock() - self._started_s

    @property
    def sustained(self) -> float:
        """Jobs placed a second over the later half of the jobs placed: the first ones fill an empty cluster at ease."""
        placed, elapsed_s = next(step for step in self._progress if 2 * step[0] >= self.placed)
        last, last_s = self._progress[-1]
        return (last - placed) / (last_s - elapsed_s) if last_s > elapsed_s else float("inf")
