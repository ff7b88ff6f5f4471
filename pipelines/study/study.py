"""The factorial study as Ray tasks: `kilowait lab study --out DIR`; it resumes after a kill.

Predictor against policy on the paper's scenario and on traces, robustness to errors and bias, 2 to 40 GPU types, 1 to
1,000 jobs a second, fairness. Writes DIR/study.html, DIR/study.json, DIR/study.parquet and DIR/rates.parquet;
finished cells stay in DIR/cells. Simulated results are modelled; times of decisions are measured.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import ray

from kilowait.core.closed_ray import connected
from kilowait.core.errors import InputError
from kilowait.files import columns, parquet
from kilowait.lab.backtest.backtest import PolicySpec
from kilowait.lab.backtest.comparison import BASELINE
from kilowait.lab.backtest.content import code_digest
from kilowait.lab.backtest.scenario.arrivals import ArrivalPattern
from kilowait.lab.backtest.scenario.noise import ErrorPool, read_errors
from kilowait.lab.backtest.traces.trace_world import TraceWorld
from kilowait.lab.study.effects import NONE
from kilowait.lab.study.factorial import (
    ORACLE,
    Point,
    WorldFamily,
    bias_points,
    error_points,
    information_points,
    types_points,
)
from kilowait.lab.study.information import (
    Information,
    MeasuredErrors,
    NoPrediction,
    Oracle,
    UserEstimates,
    typical_jobs,
)
from kilowait.lab.study.many_types import TypesWorld
from kilowait.lab.study.study_page import StudyInputs, write_study

from .cells import CellFiles, finish, finish_rates
from .study_options import Size, parser, parts, size
from .world_families import TRACE_CLASSES, VALIDATION_SAMPLES, distinct, scenario_families, specs, trace_families

MAKE_RESIDUALS = (
    "no --residuals, so the model's column is left out; make them with: kilowait lab train --labels "
    "out/labels/labels.parquet --embeddings out/emb --corpus out/corpus --out out/model, then give "
    "--residuals out/model/residuals.parquet"
)
NO_TRACES = "no --trace was given, so real traces are not in it: the scenario alone"


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyPlan:
    """Everything that is to be run: points on families, and the policies of each table of classes."""

    points: tuple[Point, ...]
    families: Mapping[str, WorldFamily]
    policies: Mapping[str, Sequence[PolicySpec]]


def plan(args: argparse.Namespace, wanted: Sequence[str], much: Size, pool: ErrorPool | None) -> StudyPlan:
    """The whole study as points; raises InputError naming the option that is wrong."""
    scenario = scenario_families(args, much.samples)
    traces = trace_families(args, much.windows) if "information" in wanted else []
    types = [_types(args, family, count) for family, _ in scenario for count in much.types if "types" in wanted]
    families = distinct([*(family for family, _ in (*scenario, *traces)), *(family for family, _ in types)])
    policies = {c: specs(args, c) for c in dict.fromkeys([*(f.name for f, _ in scenario), TRACE_CLASSES])}
    points: list[Point] = []
    compared = {"information", "error", "bias"} & set(wanted)
    for family, validation in (*scenario, *traces) if compared else ():
        typical = typical_jobs(validation)
        points += information_points(family, _kinds(wanted, typical, pool), _of(policies, family, wanted))
    for family, _ in scenario:
        if "error" in wanted:
            points += error_points(family, much.levels, policies[family.name])
        if "bias" in wanted:
            points += bias_points(family, much.factors, (None, "A100", "A6000"), policies[family.name])
    for family, world in types:
        points += types_points(family, world, policies[world.classes])
    return StudyPlan(points=tuple(points), families=families, policies=policies)


def _kinds(wanted: Sequence[str], typical: NoPrediction, pool: ErrorPool | None) -> Mapping[str, Information]:
    """Kinds of information by name; without part `information` the oracle alone, for the baseline."""
    if "information" not in wanted:
        return {ORACLE: Oracle()}
    model: dict[str, Information] = {} if pool is None else {f"model ({pool.model})": MeasuredErrors(pool=pool)}
    return {NONE: typical, "user estimates": UserEstimates(), **model, ORACLE: Oracle()}


def _of(
    policies: Mapping[str, Sequence[PolicySpec]], family: WorldFamily, wanted: Sequence[str]
) -> Sequence[PolicySpec]:
    """A family's policies; without part `information` the baseline alone."""
    found = policies[family.world.classes]
    return found if "information" in wanted else [spec for spec in found if spec.label == BASELINE]


def _types(args: argparse.Namespace, family: WorldFamily, count: int) -> tuple[WorldFamily, TypesWorld]:
    much = size(args)
    world = TypesWorld(
        types=count,
        classes=family.name,
        seed=args.seed,
        load=args.load,
        arrivals=ArrivalPattern(burstiness=args.burstiness),
    )
    return WorldFamily(name=f"{family.name}, {count} types", world=world, test=tuple(range(much.type_samples))), world


def run(args: argparse.Namespace) -> None:
    """Run what is missing, and write everything."""
    wanted, much = parts(args.parts), size(args)
    if not (args.scheduler_w > 0 and args.scheduler_w < float("inf")):
        raise InputError(f"--scheduler-w must be finite and > 0, got {args.scheduler_w!r}")
    pool = None if args.residuals is None else _pool(args)
    for missing, message in ((pool is None, MAKE_RESIDUALS), (not args.trace, NO_TRACES)):
        if missing and "information" in wanted:
            print(message, file=sys.stderr)
    whole = plan(args, wanted, much, pool)
    with connected(ray, args.ray):
        rows = finish(whole.points, whole.families, CellFiles(args.out / "cells", columns.STUDY_CELLS))
        rates = _rates(args, whole, much) if "rates" in wanted else []
    parquet.write_table(parquet.table(rows, columns.STUDY), args.out / "study.parquet")
    parquet.write_table(parquet.table(rates, columns.RATES), args.out / "rates.parquet")
    inputs = StudyInputs(
        rows=rows,
        rates=rates,
        parts=wanted,
        facts=facts(args, whole, much, pool),
        scheduler_w=args.scheduler_w,
        budget_s=much.budget_s,
    )
    print(f"wrote {write_study(args.out, inputs)}")


def _pool(args: argparse.Namespace) -> ErrorPool:
    return read_errors(args.residuals, args.residual_model)


def _rates(args: argparse.Namespace, whole: StudyPlan, much: Size) -> list[dict[str, object]]:
    store = CellFiles(args.out / "cells", columns.RATES)
    return finish_rates(much.rates, TRACE_CLASSES, args.seed, whole.policies[TRACE_CLASSES], much.budget_s, store)


def facts(args: argparse.Namespace, whole: StudyPlan, much: Size, pool: ErrorPool | None) -> dict[str, str]:
    """What the head of the page says: where every number comes from, and what was left out."""
    chosen = "; ".join(
        f"{spec.label} {', '.join(f'{name} {number:g}' for name, number in spec.parameters.items())}".strip()
        for spec in whole.policies[TRACE_CLASSES]
    )
    return {
        "scenario": f"classes {args.classes}, {much.samples} test samples, seed {args.seed}, load {args.load:g}, "
        f"burstiness {args.burstiness:g}; all simulated results are modelled",
        "traces": "; ".join(_of_trace(f, f.world) for f in whole.families.values() if isinstance(f.world, TraceWorld))
        or NO_TRACES,
        "policies": f"{chosen} (classes {TRACE_CLASSES}); --kappa {args.kappa}; no parameter is tuned on test samples",
        "no prediction": f"the mean seconds and kWh of a job on each type over {VALIDATION_SAMPLES} validation samples "
        "(of a trace: its first windows, which are no tests); GPUs are always known",
        "user estimates": "modelled: seconds on an A100 times a uniform factor of 1 to 5 (f-model, Mu'alem and "
        "Feitelson 2001), rounded up to a menu of round values (Tsafrir, Etsion and Feitelson 2005; menu and factor "
        "are our choice), alike on every type; kWh are the type's nameplate watts times that",
        "model": MAKE_RESIDUALS if pool is None else _of_model(pool),
        "code": f"{code_digest()} (digest of kilowait's scheduling code)",
    }


def _of_trace(family: WorldFamily, world: TraceWorld) -> str:
    gpus = ", ".join(f"{count} {name}" for name, count in world.inventory.items())
    return (
        f"{family.name}: {len(family.test)} test windows of {world.window_jobs} jobs on {gpus}, offered load "
        f"{world.load.asked:g}, numbers that it lacks modelled by classes {world.classes}"
    )


def _of_model(pool: ErrorPool) -> str:
    return (
        f"measured out-of-fold errors of {pool.model} on {len(pool.log_errors)} other programs and on their devices, "
        f"drawn once a job; their level, as in the part on errors, is {pool.level:.0%}; where the model predicts no "
        "energy, kWh take the error of the seconds"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    args = parser().parse_args(argv)
    try:
        run(args)
    except InputError as error:
        print(f"pipelines.study: {error}", file=sys.stderr)
        return 2
    return 0
