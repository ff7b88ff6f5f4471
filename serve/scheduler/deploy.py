"""Starting the scheduler actor where there is none."""

from typing import Any

import ray

from kilowait.core.errors import InputError
from kilowait.policies import POLICIES

from ..runner.gang import NAMESPACE
from .claim import check_lease
from .history_node import on_history_node
from .open_cluster import refuse_open_cluster
from .scheduler import NAME, Scheduler
from .settings import SchedulerSettings


def deploy(settings: SchedulerSettings) -> Any:
    """The handle of the scheduler, started where there is none.

    Raises InputError for a wrong policy and for an open Ray cluster; Occupied and StoreError as `check_lease` does, a
    standby neither.
    """
    if settings.policy not in POLICIES:
        raise InputError(f"policy {settings.policy!r} is unknown; known: {', '.join(POLICIES)}")
    rule = POLICIES[settings.policy]
    if strange := [name for name in settings.policy_options if name not in rule.takes]:
        known = ", ".join(rule.takes) or "none"
        raise InputError(
            f"policy_options: {settings.policy} takes no {strange[0]}; it takes {known}, or name its policy"
        )
    rule(**settings.policy_options)
    if not settings.standby:
        check_lease(settings.url)
    refuse_open_cluster(ray.get_runtime_context().gcs_address, allowed=settings.allow_open_cluster)
    options: dict[str, Any] = {"name": NAME, "namespace": NAMESPACE, "lifetime": "detached", "get_if_exists": True}
    options |= {"max_restarts": -1, "max_task_retries": -1, "max_concurrency": 1000, "num_cpus": 0}
    options |= on_history_node(settings.url)
    return ray.remote(Scheduler).options(**options).remote(settings)
