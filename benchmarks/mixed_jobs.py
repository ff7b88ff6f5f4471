"""Jobs of mixed kinds, as well-behaved users submit them: of a board, of two, of half a one, one that keeps a file, one
that is given a secret, one under torchrun, and an array of four tasks. A program ends badly where it is not given what
its kind is about."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

SECRET = "SOAK_SECRET"
KEPT = "kept.txt"
TASKS = 4
"""Of an array."""

_KEEPS = f'open("{KEPT}", "w").write("kept")\n'
_OF_TWO = """
import os, sys, time
assert os.environ["WORLD_SIZE"] == "2" and os.environ["MASTER_ADDR"], os.environ["WORLD_SIZE"]
if os.environ["LOCAL_RANK"] != "0":
    time.sleep(float(sys.argv[2]))
    sys.exit()
"""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of job: what its program does before all else, what is asked for; `tasks` of an array, 0 for a job."""

    name: str
    before: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict)
    tasks: int = 0

    @property
    def jobs(self) -> int:
        """How many jobs one submission is."""
        return self.tasks or 1


KINDS = (
    Kind(name="a board"),
    Kind(name="two boards", fields={"gpus": 2}),
    Kind(name="half a board", fields={"gpu_milli": 500}),
    Kind(name="a kept file", before=_KEEPS, fields={"outputs": [KEPT]}),
    Kind(name="a secret", fields={"secrets": [SECRET]}),
    Kind(name="torchrun", before=_OF_TWO, fields={"gpus": 2, "launcher": "torchrun"}),
    Kind(name="an array", tasks=TASKS),
)


def submissions(jobs: int) -> Sequence[Kind]:
    """Kinds in turn that are so many jobs together."""
    chosen, left = list[Kind](), jobs
    while left:
        kind = KINDS[len(chosen) % len(KINDS)]
        chosen.append(kind if kind.jobs <= left else KINDS[0])
        left -= chosen[-1].jobs
    return chosen


def secret_of(user: str) -> str:
    """What the user keeps under the name SECRET."""
    return f"known to {user} alone"


def before_of(kind: Kind, user: str) -> str:
    """The lines that stand before those of every job."""
    if "secrets" not in kind.fields:
        return kind.before
    digest = hashlib.sha256(secret_of(user).encode()).hexdigest()
    return (
        f"import hashlib, os\nassert hashlib.sha256(os.environ['{SECRET}'].encode()).hexdigest() == '{digest}'\n"
        f"print(os.environ['{SECRET}'])\n"
    )
