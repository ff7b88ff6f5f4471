"""Tasks by name: `array-00000012` is all of an array, `array-00000012:3` one of its tasks, `:0-9` some."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kilowait.core.errors import InputError

if TYPE_CHECKING:
    from kilowait.client.client import Client

PREFIX = "array-"


def is_whole_array(name: str) -> bool:
    """Whether a name is an array's."""
    return name.startswith(PREFIX) and ":" not in name


def meant(name: str) -> dict[str, Any]:
    """What the service is asked for by the name of an array or of tasks."""
    array_id, _, tasks = name.partition(":")
    return {"array": array_id, **({"tasks": tasks} if tasks else {})}


def jobs_named(client: "Client", names: Sequence[str]) -> list[str]:
    """The ids of the jobs of these names; raises InputError for tasks that are not there."""
    found = list[str]()
    for name in names:
        ids = [job["job_id"] for job in client.jobs(**meant(name))] if name.startswith(PREFIX) else [name]
        if not ids:
            raise InputError(
                f"{name}: no such tasks of yours; kilowait ps lists arrays with the numbers of their tasks"
            )
        found += ids
    return list(dict.fromkeys(found))


def job_named(client: "Client", name: str) -> str:
    """The id of the one job of this name; raises InputError where it is an array's, or several tasks'."""
    ids = jobs_named(client, [name])
    if len(ids) > 1:
        raise InputError(f"{name}: {len(ids)} tasks; name one, as in {name.partition(':')[0]}:0")
    return ids[0]
