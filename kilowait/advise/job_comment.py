"""The comment that a job carries, and by which it is joined to what was predicted of it once it has ended.

`kilowait:0123456789abcdef;gpus=2;A100=812,640,1100;A6000=1500,1190,2030` holds the id of the advice, the GPUs that were
counted, and by type the expected run time and the ends of its interval in seconds. Slurm keeps it if
AccountingStoreFlags has job_comment.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from kilowait.advise.advice import Advice
from kilowait.core.hardware import canonical, is_known

PREFIX = "kilowait:"
MOST_TYPES = 8
SHORTEST_S, LONGEST_S = 1e-9, 1e12
"""Nothing shorter or longer is predicted of any job."""
_FORM = re.compile(rf"{PREFIX}([0-9a-f]{{16}})((?:;[^;=\n|]+=[0-9.,e+-]*)*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class JobComment:
    """What a comment says: `seconds_by_type` are (expected, low, high); the ends are None where there were none.

    Anybody may write one: all of them are run times, the ends around what is expected.
    """

    advice_id: str
    gpus: int
    seconds_by_type: Mapping[str, tuple[float, float | None, float | None]]


def is_run_time(seconds: float) -> bool:
    """Whether a number that anybody may have written is a run time."""
    return SHORTEST_S <= seconds <= LONGEST_S


def written(advice: Advice) -> str:
    """The comment of a job that was advised so."""
    times = [f"{name}={_times(advice, name)}" for name in list(advice.by_type)[:MOST_TYPES]]
    return ";".join([f"{PREFIX}{advice.advice_id}", f"gpus={advice.gpus}", *times])


def read_comment(text: str) -> JobComment | None:
    """What the comment of a job says, wherever in it kilowait's part stands; None where there is none."""
    match = _FORM.search(text)
    if match is None:
        return None
    pairs = dict(part.split("=", 1) for part in match[2].split(";") if part)
    gpus = pairs.pop("gpus", "1")
    times = {canonical(name): _read_times(value) for name, value in pairs.items() if is_known(name)}
    return JobComment(
        advice_id=match[1],
        gpus=int(gpus) if gpus.isdigit() else 1,
        seconds_by_type={name: found for name, found in times.items() if found is not None},
    )


def _times(advice: Advice, name: str) -> str:
    expected = advice.by_type[name].prediction
    ends = (expected.runtime_low_s, expected.runtime_high_s)
    return ",".join(f"{seconds:.6g}" for seconds in (expected.runtime_s, *ends) if seconds is not None)


def _read_times(text: str) -> tuple[float, float | None, float | None] | None:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        return None
    if not all(map(is_run_time, numbers)):
        return None
    if len(numbers) != 3:
        return numbers[0], None, None
    expected_s, low_s, high_s = numbers
    return (expected_s, low_s, high_s) if low_s <= expected_s <= high_s else None
