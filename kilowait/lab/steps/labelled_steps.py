"""What a fit learns from: dry runs with measured seconds, by whom, on which GPU type, and of what kind."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

import numpy as np

from kilowait.core.arrays import FloatArray, IntArray
from kilowait.lab.evaluate.dataset import Dataset
from kilowait.lab.steps.single_operators import OperatorTime
from kilowait.lab.steps.step_selection import ChosenStep
from kilowait.predict.device_model.specifications import Specification
from kilowait.predict.dryrun.record import Completeness, DryRun

OPERATORS, KERNELBENCH = "neusight", "kernelbench"


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledStep:
    """Seconds of one program on one GPU type; `family` is what is left out together, `kind` what is shown apart."""

    run: DryRun
    gpu: str
    source: str
    family: str
    kind: str
    seconds: float

    @property
    def origin(self) -> str:
        """Who measured which program: equal on every type that the source measured it on."""
        return f"{self.source} {self.run.content_hash}"


def of_steps(chosen: Iterable[ChosenStep], runs: Mapping[str, DryRun]) -> list[LabelledStep]:
    """Steps whose dry run is whole; equal programs on one type have the median of their times."""
    groups: dict[tuple[str, str, str], list[ChosenStep]] = defaultdict(list)
    for one in chosen:
        if runs[one.content_hash].completeness == Completeness.WHOLE and runs[one.content_hash].usable:
            groups[one.content_hash, one.step.gpu, one.step.source].append(one)
    return [
        LabelledStep(
            run=runs[content_hash],
            gpu=gpu,
            source=source,
            family=f"{source}: {group[0].program.family}",
            kind=_kind(group[0].step.row),
            seconds=median(one.step.seconds for one in group),
        )
        for (content_hash, gpu, source), group in groups.items()
    ]


def _kind(row: Mapping[str, str]) -> str:
    words = [row["mode"], row["precision"], "channels_last" if row.get("channels_last") == "yes" else ""]
    return " ".join(word for word in words if word)


def of_operators(times: Iterable[OperatorTime]) -> list[LabelledStep]:
    """Single operators, an operator a family."""
    return [
        LabelledStep(
            run=time.run,
            gpu=time.gpu,
            source=OPERATORS,
            family=f"{OPERATORS}: {time.op}",
            kind="one operator, fp32",
            seconds=time.seconds,
        )
        for time in times
    ]


def of_study(study: Dataset, runs: Mapping[str, DryRun | None]) -> list[LabelledStep]:
    """The labels of an imported corpus of forward passes, all versions of a program a family."""
    groups = study.row_keys(study.groups)
    found = []
    for script, device, group, seconds in zip(
        study.script, study.device, groups, study.metrics["runtime_s"], strict=True
    ):
        run = runs.get(study.scripts[script])
        if run is not None and run.usable and run.completeness == Completeness.WHOLE:
            found.append(
                LabelledStep(
                    run=run,
                    gpu=study.device_types[device],
                    source=KERNELBENCH,
                    family=f"{KERNELBENCH}: {group}",
                    kind="forward, fp32",
                    seconds=float(seconds),
                )
            )
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexedLabels:
    """P programs on D boards of sources, and which of each every label is of (N,)."""

    runs: tuple[DryRun, ...]
    boards: tuple[Specification, ...]
    program: IntArray
    board: IntArray
    log_s: FloatArray

    @classmethod
    def of(cls, labels: Sequence[LabelledStep], *, anonymous: bool = False) -> "IndexedLabels":
        """Programs and boards in the order of their first label; `anonymous` boards are in nobody's hands."""
        runs: dict[str, int] = {}
        boards: dict[tuple[str, str], int] = {}
        by_hash = {label.run.content_hash: label.run for label in labels}
        program = [runs.setdefault(label.run.content_hash, len(runs)) for label in labels]
        board = [boards.setdefault((label.gpu, "" if anonymous else label.source), len(boards)) for label in labels]
        return cls(
            runs=tuple(by_hash[name] for name in runs),
            boards=tuple(_board(gpu, source) for gpu, source in boards),
            program=np.array(program, dtype=np.int64),
            board=np.array(board, dtype=np.int64),
            log_s=np.log([label.seconds for label in labels]),
        )


def _board(gpu: str, source: str) -> Specification:
    """A source's board; where single operators were timed, host and program are not those of a step."""
    return replace(Specification.named(gpu), source=source, alone=source == OPERATORS)
