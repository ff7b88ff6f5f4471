"""How a program that can be preempted is called again, and how its guard asks it to give way."""

from typing import Any

from msgspec.structs import replace

from kilowait.core.submission import Program


def called_again(program: Program, attempt: int) -> Program:
    """As it is called in this attempt: from the second on with what it is called with to go on."""
    if program.checkpointing is None or attempt == 1:
        return program
    return replace(program, arguments=(*program.arguments, *program.checkpointing.arguments))


def preemption_of(program: Program) -> dict[str, Any]:
    """What a guard's order says of it; nothing for a program that cannot be preempted."""
    if (one := program.checkpointing) is None:
        return {}
    return {"preempt_signal": one.signal_number, "preempt_grace_s": one.grace_s}
