"""What kilowait adds to a submission: a time limit, a GPU type, a comment. What the user set stays as it is."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from kilowait.advise.advice import Advice
from kilowait.advise.job_comment import written
from kilowait.advise.limit_quantile import MARGIN_S, RISK, TimeLimit, time_limit
from kilowait.advise.slurm.batch_request import GPU_OPTIONS, BatchRequest, GivenOption
from kilowait.advise.slurm.gpu_words import catalogue_type
from kilowait.advise.slurm.partitions import GpuBoards, SlurmPartition, satisfies
from kilowait.advise.slurm.slurm_time import seconds_of, written_time
from kilowait.advise.slurm.unasked_gpus import why_none

_NO_GPUS = "the program runs on a GPU, and none was asked for"
PREFERENCES = ("finish", "energy", "cost")


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanSettings:
    """`risk` that the limit ends the job, `margin_s` for what is not predicted, what the best type is, `force`."""

    risk: float = RISK
    margin_s: float = MARGIN_S
    margin_given: bool = False
    prefer: str = "finish"
    force: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Addition:
    """One option that is added at a place of the user's words, and why."""

    word: str
    why: str
    at: int = 0


@dataclass(frozen=True, kw_only=True)
class SubmissionPlan:
    """The additions to a request, what was decided against and why, the type that was chosen and the limit."""

    request: BatchRequest
    additions: tuple[Addition, ...] = ()
    notes: tuple[str, ...] = ()
    gpu_type: str | None = None
    limit: TimeLimit | None = None

    @property
    def words(self) -> list[str]:
        """The words for Slurm's own command."""
        words = list(self.request.words)
        if self.request.command == "sbatch":
            words = _without_dashes(self.request)
        for addition in sorted(self.additions, key=lambda addition: addition.at)[::-1]:
            words.insert(addition.at, addition.word)
        return words


def _without_dashes(request: BatchRequest) -> list[str]:
    """The words without the `--` between the script and its arguments."""
    return [*request.words[: request.options_end], *filter(None, [request.script]), *request.arguments]


def boards_of(request: BatchRequest, partitions: Iterable[SlurmPartition]) -> dict[str, GpuBoards]:
    """The GPU types of the catalogue that the job may get, each with all boards that there are of it."""
    found: dict[str, GpuBoards] = {}
    seen: set[tuple[str, str]] = set()
    for partition in partitions:
        for node in partition.nodes:
            if not node.up or not satisfies(request.value("constraint"), node.features):
                continue
            for boards in node.boards:
                if boards.gpu_type is None or (node.name, boards.gpu_type) in seen:
                    continue
                seen.add((node.name, boards.gpu_type))
                known = found.get(boards.gpu_type)
                found[boards.gpu_type] = replace(boards, count=boards.count + (known.count if known else 0))
    named = request.gpu_type
    if request.wants_no_gpu:
        return {}
    if named is None:
        return found
    return {name: boards for name, boards in found.items() if boards.word == named or catalogue_type(named) == name}


def _others(request: BatchRequest, partitions: Iterable[SlurmPartition]) -> list[str]:
    """GPU types that it may get and that the catalogue lacks, as Slurm calls them."""
    named = request.gpu_type
    nodes = [node for partition in partitions for node in partition.nodes if node.up]
    may = [node for node in nodes if satisfies(request.value("constraint"), node.features)]
    words = {boards.word or "GPUs without a type" for node in may for boards in node.boards if boards.gpu_type is None}
    return sorted(word for word in words if named in (None, word))


def plan(
    request: BatchRequest,
    advice: Advice,
    partitions: Sequence[SlurmPartition],
    settings: PlanSettings,
) -> SubmissionPlan:
    """What is added; nothing that the user set is, unless forced."""
    boards = boards_of(request, partitions)
    fitting = [name for name in advice.that_fit(boards or advice.by_type) if _enough(boards, name, advice.gpus)]
    notes = _memory_notes(advice, boards)
    chosen, typed, why_not = _type_addition(request, advice, partitions, boards, fitting, settings)
    has_gpus = request.gets_gpus or any(addition.word.startswith("--gpus=") for addition in typed)
    types, no_type = _limited_types(request, partitions, boards, chosen, fitting if has_gpus else ())
    limit, timed, no_limit = _time_addition(request, advice, types, partitions, settings) if types else (None, None, [])
    commented = _comment_addition(request, advice, settings)
    return SubmissionPlan(
        request=request,
        additions=tuple(addition for addition in (timed, *typed, commented) if addition),
        notes=(*notes, *_array_note(request), *why_not, *no_type, *no_limit),
        gpu_type=chosen,
        limit=limit,
    )


def _limited_types(
    request: BatchRequest,
    partitions: Sequence[SlurmPartition],
    boards: Mapping[str, GpuBoards],
    chosen: str | None,
    fitting: Sequence[str],
) -> tuple[Sequence[str], list[str]]:
    """The types that a limit must be enough for, none where it may run on others; and why, then."""
    others = _others(request, partitions)
    if chosen:
        return [chosen], []
    if others:
        return [], [f"no time limit is set: it may get {', '.join(others)}, of which nothing is known"]
    if not boards:
        return [], ["no time limit is set: no GPU type is known that it would run on"]
    if not fitting and not request.gets_gpus:
        why = why_none(request, partitions) or "its type is left open"
        return [], [f"no time limit is set: it asks for no GPU, and none is added, for {why}; --gpus=1 asks for one"]
    return fitting, []


def _array_note(request: BatchRequest) -> list[str]:
    return ["each task of the array is taken to be like the first"] if "array" in request else []


def _enough(boards: Mapping[str, GpuBoards], name: str, gpus: int) -> bool:
    return not boards or boards[name].count >= gpus


def _memory_notes(advice: Advice, boards: Mapping[str, GpuBoards]) -> list[str]:
    small = [name for name in boards if name in advice.by_type and name not in advice.that_fit([name])]
    return [f"too little memory on {', '.join(small)}"] if small else []


def _type_addition(
    request: BatchRequest,
    advice: Advice,
    partitions: Sequence[SlurmPartition],
    boards: Mapping[str, GpuBoards],
    fitting: Sequence[str],
    settings: PlanSettings,
) -> tuple[str | None, tuple[Addition, ...], list[str]]:
    """(the type that the job will get where that is known, the options that say so, why there are none)."""
    if request.gpu_type is not None and not settings.force:
        return (fitting[0] if len(fitting) == 1 else None), (), []
    if not boards or not fitting:
        return None, (), [] if not boards else ["no type of these partitions is predicted to fit: none is named"]
    if not request.gets_gpus and why_none(request, partitions):
        return None, (), []
    if len(boards) == 1 and not _others(request, partitions):
        return fitting[0], () if request.gets_gpus else (_new_gpus(boards[fitting[0]], advice, _NO_GPUS),), []
    best = min(fitting, key=lambda name: _rank(advice, name, settings.prefer))
    if why_not := _why_no_type(request, boards[best], settings.force):
        return None, (), [f"{why_not}: no type is added"]
    why = _why_type(advice, best, settings.prefer, len(fitting))
    if request.gpu_option:
        return best, (_with_type(request.gpu_option, boards[best], why),), []
    new = _new_gpus(boards[best], advice, f"{_NO_GPUS}; {why}")
    return best, (new, _with_type(None, boards[best], why)) if boards[best].by_feature else (new,), []


def _why_no_type(request: BatchRequest, best: GpuBoards, force: bool) -> str:
    """What keeps a type from being named, "" for nothing."""
    if "constraint" in request and best.by_feature and not force:
        return "a constraint was given"
    if "nodelist" in request and not force:
        return "nodes were named"
    given = dict.fromkeys(option.name for option in request.options if option.name in GPU_OPTIONS)
    if len(given) > 1:
        return f"GPUs are asked for by {' and '.join(f'--{name}' for name in given)}"
    if request.gets_gpus and request.gpu_option is None:
        return "GPUs come with --exclusive or --tres-per-task"
    return ""


def _rank(advice: Advice, name: str, prefer: str) -> tuple[float, float]:
    on = advice.by_type[name]
    finish_s = on.prediction.runtime_s + (on.wait.wait_s if on.wait else 0.0)
    first = {
        "finish": finish_s,
        "energy": on.prediction.energy_kwh,
        "cost": float(on.cost.get("amount", math.inf)),
    }[prefer]
    return first, finish_s


def _why_type(advice: Advice, name: str, prefer: str, of: int) -> str:
    on = advice.by_type[name]
    if prefer != "finish" and of > 1:
        return f"{name} takes the least {prefer} of {of} types that fit"
    if of == 1:
        return f"{name} is the one type that is known to fit"
    waiting = f", its wait of {on.wait.wait_s:.0f} s counted" if on.wait else ", waits not counted"
    return f"{name} is done first of {of} types that fit{waiting}"


def _new_gpus(boards: GpuBoards, advice: Advice, why: str) -> Addition:
    word = "" if boards.by_feature or not boards.word else f"{boards.word}:"
    return Addition(word=f"--gpus={word}{advice.gpus}", why=why)


def _with_type(option: GivenOption | None, boards: GpuBoards, why: str) -> Addition:
    """The type in the option that asks for GPUs, or as a constraint."""
    if boards.by_feature or option is None:
        return Addition(word=f"--constraint={boards.word}", why=why)
    return Addition(word=f"--{option.name}={_typed(option, boards.word)}", why=why, at=option.end)


def _typed(option: GivenOption, word: str) -> str:
    """The option's value with the type in it."""
    if option.name != "gres":
        return f"{word}:{option.value.rpartition(':')[2]}"
    parts = []
    for part in option.value.split(","):
        name, _, rest = part.partition(":")
        count = rest.rpartition(":")[2] or "1"
        parts.append(f"{name}:{word}:{count}" if name in ("gpu", "gres/gpu") else part)
    return ",".join(parts)


def _time_addition(
    request: BatchRequest,
    advice: Advice,
    types: Sequence[str],
    partitions: Sequence[SlurmPartition],
    settings: PlanSettings,
) -> tuple[TimeLimit | None, Addition | None, list[str]]:
    """(the limit that is right, the option that sets it, why none does)."""
    finite = [partition.most_s for partition in partitions]
    most_s = max(finite) if finite and max(finite) < math.inf else None
    predictions = [advice.by_type[name].prediction for name in types if name in advice.by_type]
    limit = time_limit(predictions, settings.risk, settings.margin_s, most_s)
    if limit is None:
        return None, None, ["no interval is known for the run time: no time limit is set"]
    notes = _limit_notes(limit, settings.risk)
    if "time" in request and not settings.force:
        return limit, None, [*notes, *_own_limit_notes(request.value("time") or "", limit, settings)]
    if advice.beside and not settings.margin_given:
        what = "; ".join(advice.beside[:3])
        return limit, None, [*notes, f"no time limit is set: the script also has {what}; say how long with --margin"]
    share = f"{1 - settings.risk:.3g} of such runs end within it"
    why = f"{share}, {settings.margin_s / 60:g} min for what is not predicted among it"
    why = "the longest that the partition allows" if limit.capped else why
    at = request.options_end if settings.force else 0
    return limit, Addition(word=f"--time={written_time(limit.seconds)}", why=why, at=at), notes


def _limit_notes(limit: TimeLimit, risk: float) -> list[str]:
    if not limit.capped:
        return []
    return [
        f"the partition ends jobs after {written_time(limit.seconds)}, and {written_time(limit.wanted_s)} would be "
        f"right for a risk of {risk:g}: it may be ended there; save checkpoints, or name a longer partition"
    ]


def _own_limit_notes(given: str, limit: TimeLimit, settings: PlanSettings) -> list[str]:
    """Whether the user's own limit is likely to end the job; of a limit that is too long its price."""
    seconds = seconds_of(given)
    if seconds is None:
        return []
    if seconds < limit.wanted_s:
        return [
            f"its own limit {given} is short: {written_time(limit.wanted_s)} would be right for a risk of "
            f"{settings.risk:g}"
        ]
    if seconds > 2 * limit.wanted_s:
        return [
            f"its own limit {given} is long: {written_time(limit.wanted_s)} is enough for a risk of "
            f"{settings.risk:g}, and a shorter job may start earlier"
        ]
    return []


def _comment_addition(request: BatchRequest, advice: Advice, settings: PlanSettings) -> Addition | None:
    if "comment" in request and not settings.force:
        return None
    at = request.options_end if settings.force else 0
    return Addition(word=f"--comment={written(advice)}", why="joins the job to its prediction once it has ended", at=at)
