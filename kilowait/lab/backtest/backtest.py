"""A backtest as data: which worlds, which policies, and what each run scored.

Shells (Ray tasks, Ray Tune trials, tests) call `World.sample` and `evaluate`; nothing here knows them.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Protocol

from kilowait.lab.backtest.bounds.lower_bounds import Bounds
from kilowait.lab.backtest.objective import KappaTrial
from kilowait.lab.backtest.scenario.arrivals import ArrivalPattern
from kilowait.lab.backtest.scenario.noise import ErrorPool, predictions_seen, with_noise
from kilowait.lab.backtest.scenario.paper_scenario import Role, Sample, paper_scenario, sample_rng, with_checkpoints
from kilowait.policies import POLICIES, Policy
from kilowait.simulate.loop import simulate
from kilowait.simulate.run import Run
from kilowait.simulate.scores import Scores, score


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A family of samples of the paper's scenario, numbered from 0; the same number is always the same sample.

    With `errors` the policies see predictions that are wrong as those errors were, else the truth. With
    `checkpoint_s` every job can be preempted, and takes so many seconds to go on.
    """

    classes: str
    seed: int
    role: Role = "test"
    load: float = 1.0
    arrivals: ArrivalPattern = field(default_factory=ArrivalPattern)
    errors: ErrorPool | None = None
    checkpoint_s: float | None = None

    def sample(self, index: int) -> Sample:
        """Sample `index` of this world."""
        rng = sample_rng(self.seed, self.role, index)
        drawn = paper_scenario(rng, classes=self.classes, arrivals=self.arrivals, load=self.load)
        sample = with_checkpoints(drawn, self.checkpoint_s)
        return sample if self.errors is None else with_noise(sample, self.errors, rng)

    @property
    def predictions(self) -> str:
        """What policies see: "oracle", or "noisy" and the model whose errors were drawn."""
        return predictions_seen(self.errors)


class Sampled(Protocol):
    """A family of numbered samples: the scenario's `World`, or a `TraceWorld`."""

    @property
    def classes(self) -> str:
        """The table of job classes behind its modelled numbers."""

    @property
    def predictions(self) -> str:
        """What policies see."""

    def sample(self, index: int) -> Sample:
        """Sample `index`, always the same one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicySpec:
    """A policy by name with its parameters, and the label it has in tables."""

    label: str
    policy: str
    parameters: Mapping[str, float | str] = field(default_factory=dict)

    def build(self) -> Policy:
        """The policy itself; raises InputError for a parameter that is out of range."""
        return POLICIES[self.policy](**self.parameters)


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleOutcome:
    """One sample under one policy. `gpu_running_s` sums GPUs times run time.

    `bounds` is what no policy can do better than on this sample.
    """

    sample: int
    policy: str
    parameters: Mapping[str, float | str]
    scores: Scores
    gpu_running_s: float
    bounds: Bounds
    inventory: Mapping[str, int]


def evaluate(world: Sampled, index: int, specs: Sequence[PolicySpec]) -> list[SampleOutcome]:
    """Sample `index` of a world under every policy."""
    sample = world.sample(index)
    bounds = Bounds.of(sample)
    return [_outcome(index, spec, run_policy(sample, spec), bounds) for spec in specs]


def run_policy(sample: Sample, spec: PolicySpec) -> Run:
    """One simulation of one sample."""
    return simulate(sample.submissions, sample.inventory, spec.build(), nodes=sample.nodes)


def try_kappa(samples: Sequence[Sample], kappa: float) -> KappaTrial:
    """Totals of Value with this kappa over all samples."""
    spec = PolicySpec(label="value", policy="value", parameters={"kappa": kappa})
    scores = [score(run_policy(sample, spec)) for sample in samples]
    return KappaTrial(
        kappa=kappa,
        total_wait_s=math.fsum(s.total_wait_s for s in scores),
        running_s=math.fsum(s.running_s for s in scores),
        energy_kwh=math.fsum(s.energy_kwh for s in scores),
    )


def outcome_row(world: Sampled, outcome: SampleOutcome) -> dict[str, object]:
    """The outcome as a row of `columns.BACKTEST`."""
    scores = asdict(outcome.scores) | {"policy": outcome.policy}
    return scores | {
        "classes": world.classes,
        "predictions": world.predictions,
        "sample": outcome.sample,
        "kappa": outcome.parameters.get("kappa"),
        "gpu_running_s": outcome.gpu_running_s,
        "greenest_kwh": outcome.bounds.energy_kwh,
        "wait_bound_s": outcome.bounds.wait_s,
        "gpus": sum(outcome.inventory.values()),
    }


def _outcome(index: int, spec: PolicySpec, run: Run, bounds: Bounds) -> SampleOutcome:
    return SampleOutcome(
        sample=index,
        policy=spec.label,
        parameters=dict(spec.parameters),
        scores=replace(score(run), policy=spec.label),
        gpu_running_s=math.fsum(p.gpu_s for p in run.placements),
        bounds=bounds,
        inventory=run.inventory,
    )
