"""Job arrays for the wire."""

from collections.abc import Mapping
from typing import Any

import msgspec

from kilowait.core.submission import DEADLINE, Program
from kilowait.history.job_filter import NAME

from ...wire.array_schemas import ArrayView


def array_view(row: Mapping[str, Any]) -> ArrayView:
    """A row of `questions.arrays`."""
    program = msgspec.json.decode(row["program"], type=Program)
    labels = msgspec.json.decode(row["labels"], type=dict[str, str])
    return ArrayView(
        array_id=row["array_id"],
        owner=row["owner"],
        name=labels.get(NAME, ""),
        labels={name: text for name, text in labels.items() if name not in (DEADLINE, NAME)},
        entrypoint=program.entrypoint,
        arguments=list(program.arguments),
        tasks=row["tasks"],
        at_once=row["at_once"],
        submitted_s=row["submitted_s"],
        states=row["states"],
    )
