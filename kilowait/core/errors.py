"""What can go wrong, as a small tree.

KilowaitError
├── InputError        a file, value or option the user gave is wrong; commands exit with 2
│   ├── SourceError   a job's source is refused (empty, binary, undecodable, too large)
│   ├── MissingExtra  a command needs a library that an extra of the package brings, and it is not installed
│   ├── JobRefused    a job that can never run on this cluster
│   └── QuotaReached  a job that would take a project or a user above a quota
├── IllegalEvent      an event that cannot follow the cluster's present state; the cluster is left as it was
├── ModelError        a language model or probe bundle is missing, damaged or does not fit
├── StoreError        the history cannot be opened, read or written; what was being written is not kept
│   ├── Superseded    another scheduler has taken the history over; this one must stop
│   └── Occupied      another living cluster schedules by the history; this one must not begin
├── StaleAttempt      a word from an attempt that is not the one that runs; it is refused and changes nothing
├── ServiceError      the live service is not there, or cannot answer now
├── MeterError        a meter that was asked for cannot measure here
└── BudgetSpent       a simulation was stopped because it had used up its time (kilowait.lab.backtest.timing)

Every message names the culprit, shows the value and says what to do.
"""


class KilowaitError(Exception):
    """Base of every error kilowait raises on purpose."""


class InputError(KilowaitError):
    """A file, value or option that the user gave is wrong."""


class SourceError(InputError):
    """A job's source cannot be read as text worth predicting."""


class MissingExtra(InputError):  # noqa: N818 - named for what is to be installed
    """A library that a command needs is not installed; the message names the extra that brings it."""


class JobRefused(InputError):  # noqa: N818 - the field says "refused", and callers read it as a verdict
    """A job that can never run on this cluster, with the reason."""


class QuotaReached(InputError):  # noqa: N818 - named for what happened, like JobRefused
    """A job that would take its project or user above a quota."""


class ModelError(KilowaitError):
    """A language model or probe bundle is missing, damaged or does not fit its features."""


class StoreError(KilowaitError):
    """The durable history cannot be opened, read or written; what was being written is not kept."""


class Superseded(StoreError):  # noqa: N818 - named for what happened, like JobRefused
    """Another scheduler has taken the history over: this one must stop."""


class Occupied(StoreError):  # noqa: N818 - named for what was found, like Superseded
    """Another living cluster schedules by the history: this one must not begin."""


class StaleAttempt(KilowaitError):  # noqa: N818 - named for what spoke, like IllegalEvent
    """A message from an attempt that is not the one that runs; it is refused and changes nothing."""


class ServiceError(KilowaitError):
    """The live service is not there, or cannot answer now."""


class MeterError(KilowaitError):
    """A power or energy meter that was asked for cannot measure on this machine."""


class IllegalEvent(KilowaitError):  # noqa: N818 - named for what arrived, like JobRefused
    """An event that cannot follow the cluster's present state: a finish of a job that does not run, say."""
