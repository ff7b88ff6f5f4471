"""A signal that is followed: what to report of it, and when, though its source answers late, wrongly or not at all."""

from msgspec import structs

from kilowait.core.errors import InputError
from kilowait.core.over_time.signals import Signal
from kilowait.core.units import DAY_S
from kilowait.live.signalling.signal_source import SignalSource

BACK_S, AHEAD_S = 2 * DAY_S, 9 * DAY_S
"""What is reported of a long signal, from the beginning of a day on: hours that are over, so that they take the place
of their forecasts, and those that a job may still meet."""


class FollowedSignal:
    """`problem` says why the source could not be read when it was looked at last, None where it could."""

    def __init__(self, source: SignalSource) -> None:
        self.source = source
        self.problem: str | None = None
        self._said: Signal | None = None

    def look(self) -> None:
        """Ask the source; what it said before stays in force where it does not answer."""
        try:
            self._said, self.problem = self.source.look(), None
        except InputError as error:
            self.problem = str(error)

    def news(self, now_s: float, known: Signal | None) -> Signal | None:
        """What is to be reported now, None where what was reported last and is `known` says the same."""
        signal = self._in_force(now_s)
        return None if signal is None or _same(known, signal) else signal

    def _in_force(self, now_s: float) -> Signal | None:
        said, default = self._said, self.source.default
        if default is not None and (said is None or (self.problem is not None and said.ends_s <= now_s)):
            return _constant(self.source.name, default, now_s)
        return None if said is None else around(said, now_s)


def _same(old: Signal | None, signal: Signal) -> bool:
    """Whether what was reported says the same of all hours that both know."""
    if old is None or (old.issued_s, old.ends_s) != (signal.issued_s, signal.ends_s):
        return False
    from_s = max(old.begins_s, signal.begins_s)
    edges = {from_s, *old.changes(from_s, old.ends_s), *signal.changes(from_s, signal.ends_s)}
    return all(old.at(edge) == signal.at(edge) for edge in edges if edge < signal.ends_s)


def _constant(name: str, value: float, now_s: float) -> Signal:
    """The same at all hours, for which nobody waits."""
    today_s = now_s // DAY_S * DAY_S
    return Signal(name=name, times_s=(today_s,), values=(value,), ends_s=today_s + 2 * DAY_S, period_s=DAY_S)


def around(said: Signal, now_s: float) -> Signal:
    """The part that matters now, known from now on for ever: its first hour holds until it begins, its last day repeats
    behind its end."""
    today_s = now_s // DAY_S * DAY_S
    if said.ends_s <= (from_s := today_s - BACK_S):  # long over: its last day, as of now
        said = said.later(((now_s - said.ends_s) // DAY_S + 1) * DAY_S)
    to_s = min(said.ends_s, today_s + AHEAD_S)
    begins_s = max(said.begins_s, from_s)
    times_s = said.steps(begins_s, to_s)
    values = [said.at(at) for at in times_s]
    if begins_s > now_s:
        times_s[0] = now_s
    length_s = to_s - times_s[0]
    return structs.replace(
        said, times_s=tuple(times_s), values=tuple(values), ends_s=to_s, period_s=min(DAY_S, length_s)
    )
