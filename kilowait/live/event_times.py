"""The times of events where a machine's clock may be set back: they never go back, and never stand still for long.

While the clock is behind the last event, times go on at half the clock's speed, so that it comes to pass them: events
stay in order, waits and ages go on, and from then on times are the clock's again.
"""

EPSILON_S = 1e-6
"""By which an event is later than the one before it where the clock says nothing."""
SPEED = 0.5


class EventTimes:
    """Knows when the clock was read last: what has passed since counts, whatever it was set to before."""

    def __init__(self) -> None:
        self._read_s: float | None = None
        self._given_s = 0.0

    def at(self, now_s: float, last_s: float) -> float:
        """The time of what happens at `now_s` by the clock, behind what happened at `last_s` and was asked for here."""
        passed_s = 0.0 if self._read_s is None else max(0.0, now_s - self._read_s)
        last_s = max(last_s, self._given_s)
        self._read_s = now_s
        self._given_s = now_s if now_s >= last_s else last_s + max(EPSILON_S, SPEED * passed_s)
        return self._given_s
