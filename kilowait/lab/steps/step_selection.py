"""Which measured steps a fit draws: a seeded choice of models of each family and of programs of each model."""

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from kilowait.lab.steps.measured_steps import MeasuredStep
from kilowait.lab.steps.step_programs import StepProgram, StepPrograms


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenStep:
    """A measured step with its program."""

    step: MeasuredStep
    program: StepProgram

    @property
    def content_hash(self) -> str:
        """Of the program."""
        return self.program.program.content_hash


def with_programs(steps: Sequence[MeasuredStep], programs: StepPrograms) -> list[ChosenStep]:
    """The steps on one GPU that have a program."""
    found = ((step, programs.of(step)) for step in steps if step.gpus == 1)
    return [ChosenStep(step=step, program=program) for step, program in found if program is not None]


def chosen_steps(steps: Sequence[ChosenStep], seed: int) -> list[ChosenStep]:
    """As many models of a family, and programs of a model, as the steps' entries say; the same for the same seed."""
    rng = random.Random(seed)
    models: dict[tuple[str, str], set[str]] = defaultdict(set)
    programs: dict[tuple[str, str], set[str]] = defaultdict(set)
    for chosen in steps:
        models[_kind(chosen), chosen.program.family].add(chosen.step.model)
        programs[_kind(chosen), chosen.step.model].add(chosen.content_hash)
    limits = {_kind(chosen): chosen.program.entry for chosen in steps}
    drawn_models = {key: _drawn(rng, found, limits[key[0]].models_per_family) for key, found in sorted(models.items())}
    drawn = {key: _drawn(rng, found, limits[key[0]].programs_per_model) for key, found in sorted(programs.items())}
    return [
        chosen
        for chosen in steps
        if chosen.step.model in drawn_models[_kind(chosen), chosen.program.family]
        and chosen.content_hash in drawn[_kind(chosen), chosen.step.model]
    ]


def _kind(chosen: ChosenStep) -> str:
    return repr((chosen.program.entry.match, chosen.program.entry.arguments))


def _drawn(rng: random.Random, found: set[str], most: int) -> frozenset[str]:
    names = sorted(found)
    return frozenset(names if not most or len(names) <= most else rng.sample(names, most))
