"""What the scheduler actor is told when it is made."""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from kilowait.history.lease import LEASE_S
from kilowait.isolation.modes import IsolationSettings
from kilowait.live.job_outputs import OutputSettings
from kilowait.live.notifying.notice_settings import NoticeSettings
from kilowait.live.signalling.signal_source import SignalSource
from kilowait.policies import DEFAULT_POLICY, POLICIES

from ..environments.built_environments import EnvironmentSettings


def default_options(policy: str) -> dict[str, Any]:
    """What a policy is told when nobody tells it anything: a kappa that fits whatever is submitted."""
    rule = POLICIES.get(policy)
    return {"kappa_relative": 1.0} if rule and "kappa_relative" in rule.takes else {}


class SchedulerSettings(Struct, frozen=True, kw_only=True):
    """Where the history is, and how the scheduler decides; seconds unless named otherwise."""

    url: str
    policy: str = DEFAULT_POLICY
    policy_options: Mapping[str, Any] = msgspec.field(default_factory=lambda: default_options(DEFAULT_POLICY))
    look_s: float = 0.5
    """How often nodes are looked at."""
    start_timeout_s: float = 120.0
    """How long GPUs that were placed may take to be held."""
    grace_s: float = 10.0
    """How long a job may take to end once it was asked to."""
    grow_to: Mapping[str, int] = {}
    """GPUs of each type that Ray's autoscaler may be asked for; a type that is not named never is."""
    allow_open_cluster: bool = False
    """Whether Ray may answer clients that have no token of its own."""
    isolation: IsolationSettings = IsolationSettings()
    """How jobs are kept apart from the service, from each other and from the machine."""
    lease_s: float = LEASE_S
    """So long after it was last heard of another cluster may take over; less than the default fences its jobs."""
    standby: bool = False
    """Whether to wait while another cluster has the history, instead of refusing to start."""
    notices: NoticeSettings = NoticeSettings()
    """Whom jobs' owners may have told of them."""
    secrets_key_file: str = ""
    """Where the key is by which secrets are encrypted; "" for none, and then there are no secrets."""
    signals: tuple[SignalSource, ...] = ()
    """Where carbon, water and price of the site's electricity are from."""
    signals_every_s: float = 900.0
    """How often these are looked at."""
    outputs: OutputSettings = OutputSettings()
    """Where files that jobs keep are kept."""
    environments: EnvironmentSettings = EnvironmentSettings()
    """Where environments of jobs' own requirements are built, and from where their packages are."""
