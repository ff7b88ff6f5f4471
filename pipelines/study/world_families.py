"""The worlds and policies of the study, from its command's options."""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from kilowait.core.errors import InputError
from kilowait.lab.backtest.backtest import PolicySpec, World
from kilowait.lab.backtest.comparison import BASELINE
from kilowait.lab.backtest.policy_options import kappas
from kilowait.lab.backtest.scenario.arrivals import ArrivalPattern
from kilowait.lab.backtest.scenario.paper_scenario import Sample
from kilowait.lab.backtest.trace_options import inventory_option, nodes_option
from kilowait.lab.backtest.traces import read_trace
from kilowait.lab.backtest.traces.trace_world import MIN_WINDOW_JOBS, TraceWorld, trace_world, window_size
from kilowait.lab.backtest.world_options import check_common, table_names
from kilowait.lab.study.factorial import WorldFamily
from kilowait.policies import POLICIES
from kilowait.simulate.inventory import several_nodes

TRACE_CLASSES = "calibrated"
"""The table of classes behind what a trace does not hold, and behind the jobs of part `rates`."""
VALIDATION_SHARE = 5
"""One window of a trace in so many, its first ones, is for validation."""
WINDOW_JOBS = 500
MIN_WINDOWS = 10
"""A trace has windows of 500 jobs, or so few jobs that it has 10 windows."""
VALIDATION_SAMPLES = 20


def specs(args: argparse.Namespace, classes: str) -> list[PolicySpec]:
    """The policies on this table of classes, Simple first; raises InputError naming the one that is wrong."""
    texts = dict.fromkeys([BASELINE, *(part.strip() for part in args.policies.split(",") if part.strip())])
    return [spec for text in texts for spec in _variants(text, args.kappa, classes)]


def _variants(text: str, kappa: str, classes: str) -> list[PolicySpec]:
    """One policy as it was written; without a kappa of its own one that takes it has `--kappa`'s, once for each."""
    name, *pairs = text.split(":")
    if pairs and "=" not in pairs[0]:  # MODULE:RULE
        name, *pairs = f"{name}:{pairs[0]}", *pairs[1:]
    if name not in POLICIES:
        raise InputError(f"--policies: unknown policy {name!r}; choose from {', '.join(POLICIES)}")
    given = dict(_parameter(text, pair) for pair in pairs)
    if "kappa" not in POLICIES[name].takes or {"kappa", "kappa_relative"} & set(given):
        return [_checked(PolicySpec(label=text, policy=name, parameters=given))]
    return [
        _checked(PolicySpec(label=f"{text}{suffix}", policy=name, parameters={**given, "kappa": found}))
        for suffix, found in kappas(kappa, classes).items()
    ]


def _parameter(text: str, pair: str) -> tuple[str, float]:
    name, equals, number = pair.partition("=")
    try:
        return name, int(number) if number.lstrip("-").isdigit() else float(number)
    except ValueError:
        raise InputError(f"--policies: {text!r}: {pair!r} is not PARAMETER=NUMBER{equals and ''}") from None


def _checked(spec: PolicySpec) -> PolicySpec:
    known = POLICIES[spec.policy].takes
    unknown = [name for name in spec.parameters if name not in known]
    if unknown:
        raise InputError(
            f"--policies: {spec.policy} has no parameter {unknown[0]!r}; it has {', '.join(known) or 'none'}"
        )
    spec.build()
    return spec


def scenario_families(args: argparse.Namespace, samples: int) -> list[tuple[WorldFamily, list[Sample]]]:
    """The paper's scenario with every table of classes, and validation samples of each."""
    check_common(args)
    arrivals = ArrivalPattern(burstiness=args.burstiness)
    found = []
    for classes in table_names(args.classes):
        world = World(
            classes=classes, seed=args.seed, load=args.load, arrivals=arrivals, checkpoint_s=args.checkpoint_s
        )
        other = replace(world, role="validation")
        family = WorldFamily(name=classes, world=world, test=tuple(range(samples)))
        found.append((family, [other.sample(k) for k in range(VALIDATION_SAMPLES)]))
    return found


def trace_families(args: argparse.Namespace, windows: int) -> list[tuple[WorldFamily, list[Sample]]]:
    """Every trace; its first windows are validation, tests are spread evenly over the others."""
    found = []
    for options in args.trace:
        world = _trace_world(options, args.seed, args.checkpoint_s)
        held_out = max(1, world.windows // VALIDATION_SHARE)
        if held_out == world.windows:
            raise InputError(
                f"--trace {options['path']}: {len(world.jobs)} usable jobs are fewer than two windows of "
                f"{world.window_jobs}; give a smaller --window-jobs"
            )
        left = np.linspace(held_out, world.windows - 1, min(windows, world.windows - held_out))
        named = options.get("vc")
        name = f"{Path(options['path']).name}{f', {named}' if named else ''}"
        family = WorldFamily(name=name, world=world, test=tuple(int(k) for k in left.round()))
        found.append((family, [world.sample(k) for k in range(held_out)]))
    return found


def _trace_world(options: dict[str, Any], seed: int, checkpoint_s: float | None) -> TraceWorld:
    """All windows of a trace, of 500 jobs or of fewer where it would have too few windows."""
    trace = read_trace(
        Path(options["path"]),
        options["format"],
        side_table=options.get("side_table"),
        vc=options.get("vc"),
        limit=options.get("limit"),
    )
    load = options.get("trace_load", 0.9)
    if not (load > 0 and load < float("inf")):
        raise InputError(f"--trace-load must be finite and > 0, got {load!r}")
    gpus = options.get("gpus", "A100=8,A6000=16")
    world = trace_world(
        trace,
        inventory_option(gpus),
        load=load,
        samples=1,
        seed=seed,
        classes=TRACE_CLASSES,
        nodes=several_nodes(nodes_option(gpus)),
        checkpoint_s=checkpoint_s,
    )
    usual = min(WINDOW_JOBS, max(MIN_WINDOW_JOBS, len(world.jobs) // MIN_WINDOWS))
    jobs = window_size(len(world.jobs), 1, options.get("window_jobs", min(usual, len(world.jobs))))
    return replace(world, window_jobs=jobs, windows=len(world.jobs) // jobs)


def distinct(families: Sequence[WorldFamily]) -> dict[str, WorldFamily]:
    """Families by name; raises InputError for two of one name."""
    by_name = {family.name: family for family in families}
    if len(by_name) < len(families):
        raise InputError(f"two traces have the same name; rename a file: {', '.join(f.name for f in families)}")
    return by_name
