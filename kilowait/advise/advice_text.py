"""An advice as a terminal shows it: a row a GPU type, and what the numbers rest on."""

from kilowait.advise.advice import Advice, OnType

_SHOWN = 6


def advice_table(advice: Advice) -> str:
    """Run time with its interval, energy, memory, expected wait and cost of each type; lines of assumptions."""
    lines = [f"{advice.program}: {advice.gpus} GPU(s), {advice.dry_run}"]
    rows = advice_cells(advice)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines += [
        "  " + "  ".join(f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
    lines += [f"  {how}: {', '.join(names)}" for how, names in _provenance(advice).items()]
    lines += [f"  assumed: {line}" for line in advice.assumptions[:_SHOWN]]
    if (more := len(advice.assumptions) - _SHOWN) > 0:
        lines.append(f"  and {more} more assumptions, in --json")
    return "\n".join(lines) + "\n"


_HEAD = ("GPU type", "run time", "90% interval", "kWh", "memory", "starts in", "cost")


def advice_cells(advice: Advice) -> list[list[str]]:
    """What stands over the columns, and a row a type; without the columns in which nothing is said of any type."""
    rows = [_row(name, on) for name, on in advice.by_type.items()]
    used = [column for column in range(len(_HEAD)) if column < 3 or any(row[column] for row in rows)]
    return [[row[column] for column in used] for row in (_HEAD, *rows)]


def _row(name: str, on: OnType) -> tuple[str, ...]:
    expected = on.prediction
    interval = "-"
    if expected.runtime_low_s is not None and expected.runtime_high_s is not None:
        interval = f"{duration(expected.runtime_low_s)} to {duration(expected.runtime_high_s)}"
    need = "" if on.memory_bytes is None else f"{on.memory_bytes / 2**30:.3g} GiB {on.fitting}"
    cost = f"{on.cost['amount']:.3g} {on.cost['currency']}" if on.cost else ""
    return name, duration(expected.runtime_s), interval, f"{expected.energy_kwh:.3g}", need, _wait(on), cost


def _wait(on: OnType) -> str:
    if on.wait is None:
        return ""
    if on.wait.low_s is None or on.wait.high_s is None:
        return duration(on.wait.wait_s)
    return f"{duration(on.wait.wait_s)} ({duration(on.wait.low_s)} to {duration(on.wait.high_s)})"


def duration(seconds: float) -> str:
    """`45 s`, `12 min`, `3.4 h`, `2.1 d`: two or three digits are all that a prediction has."""
    for size, unit in ((86400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"


def _provenance(advice: Advice) -> dict[str, list[str]]:
    by_kind: dict[str, list[str]] = {}
    for name, on in advice.by_type.items():
        by_kind.setdefault(on.provenance, []).append(name)
    return by_kind
