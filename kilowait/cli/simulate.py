"""`kilowait simulate`: a list of jobs through a policy on a cluster of mixed GPUs, scored.

Its options for policies, and what it says of them, are the registry's.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING

from kilowait.cli.by_the_hour.signal_options import (
    add_signal_options,
    price_list_of,
    rule_of,
    signals_of,
    total_cells,
    totals_of,
)
from kilowait.cli.costs import add_price_option, prices_of, total_cost
from kilowait.cli.watts.simulated_limits import add_limit_options, jobs_of, limits_of
from kilowait.core.errors import InputError
from kilowait.core.hardware import add_gpu_file_option
from kilowait.core.units import HOUR_S
from kilowait.files.atomic import write_text
from kilowait.policies import DEFAULT_POLICY, POLICIES
from kilowait.simulate.inventory import parse_nodes
from kilowait.simulate.policy_arguments import (
    add_parameters,
    explained,
    explained_wrappers,
    given,
    named_rules,
    refuse_others,
)

if TYPE_CHECKING:
    from kilowait.simulate.sleeping import SleepRule

EXAMPLE = """\
example: three jobs on one A100 and two A6000

  $ cat jobs.csv
  job_id,submit_s,gpus,A100_s,A100_kwh,A6000_s,A6000_kwh
  train-a,0,1,3600,0.30,5400,0.35
  train-b,0,2,,,7200,0.80
  serve-c,60,1,600,0.05,600,0.02
  $ kilowait simulate --jobs jobs.csv --gpus A100=1,A6000=2 --policy value --kappa 1e-5 --json

Both cells of a type empty: the job may not run there. <TYPE>_kwh is the whole job over all its GPUs. An optional
column <TYPE>_gpus overrides gpus on that type. Columns of types that --gpus lacks are left out. A job that can
never fit is refused: it is named on stderr and under "refused", and the others run.
{needs}
Optional columns gpu_milli (1 to 1000: thousandths of a GPU for a job of one) and one_node (yes or no) hold for every
policy: shares are packed on boards by best fit and never span two, and a job of one node waits until one node has all
its GPUs. --gpus A100=2x8+4 is a cluster of two A100 nodes of 8 GPUs and one of 4.

With --power-limits each type stands for its cheapest power limit, chosen again when a job starts; what limits do to it
follows from its watts and the type's curve (modelled). --placements then has a column limit_w. With
--power-budget every job gets a limit, and waits while no limit of its boards keeps the sum within the budget.

With --sleep-after-s a node on which nothing has run so long sleeps; a job that is placed on it holds its GPUs and
starts --wake-s later. With it, or --host-watts, the cluster's energy has its hosts in it, and is told apart.

With --windows others' jobs stay off nodes at times, as under `kilowait reserve set` and `kilowait maintain`: a job that
is not predicted to be over by then (at the upper end of its interval) is not started there. Columns are node (A100-0 is
the first of the A100 nodes), begins_s, ends_s, and optionally users (names with spaces between; none: for nobody) and
reason. What has overrun goes on.

policies (all see predictions only; ties go to the earlier submitted, then to the more powerful type)
{policies}

wrappers around a policy, from outside in: --policy 'shared(aged(patient,4h))'; their second word may be left out
{wrappers}

A policy of your own: --policy my_policy:RULE, where my_policy.py lies in this folder or on PYTHONPATH and RULE is a
kilowait.policies.Rule or a function that returns a policy; its parameters become options.

  $ kilowait simulate --jobs jobs.csv --gpus A100=1,A6000=2 --policy easy
  $ kilowait simulate --jobs jobs.csv --gpus A100=1,A6000=2 --policy value_aging --limit-s 7200
  $ kilowait simulate --jobs users.csv --gpus A100=1,A6000=2 --policy fair --weights ada=2,grace=1
"""
COLUMNS = {
    "users": "Optional columns user and priority (a whole number, the larger the more urgent) are for --policy {}.",
    "intervals": "Optional columns <TYPE>_low_s and <TYPE>_high_s, <TYPE>_low_kwh and <TYPE>_high_kwh are the ends of\n"
    "90% prediction intervals, for --policy {}.",
    "checkpoints": "An optional column checkpoint_s, the seconds to go on from a checkpoint, lets --policy {} preempt\n"
    "a job.",
}
"""What a policy's need means in the file of jobs."""


def add_arguments(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    """Declare the options of `kilowait simulate`; `words` may name a policy of a site, which brings its own."""
    parser.description = "Run a list of jobs through a policy and score it. All numbers are modelled, from the file."
    parser.epilog = EXAMPLE.format(needs=_needs(), policies=explained(POLICIES.values()), wrappers=explained_wrappers())
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add = parser.add_argument
    add("--jobs", required=True, type=Path, metavar="JOBS.csv", help="jobs with their true times and energies")
    gpus_help = "GPUs by type, most powerful first; MxN are M nodes of N GPUs, N alone is one node"
    add("--gpus", required=True, type=_inventory, metavar="TYPE=N,...", help=gpus_help)
    policy_help = "the rule to run; each is explained below, MODULE:RULE is one of your own (default: %(default)s)"
    add("--policy", default=DEFAULT_POLICY, choices=POLICIES, help=policy_help)
    add_parameters(parser, named_rules(words).values())
    add_gpu_file_option(parser)
    add_price_option(parser)
    add("--predictions", type=Path, metavar="PRED.csv", help="all the policy sees; same columns (default: the truth)")
    add_limit_options(parser)
    add("--sleep-after-s", type=float, metavar="S", help="idle nodes sleep after so long (default: never)")
    add("--wake-s", type=float, default=180.0, metavar="S", help="they wake in (default: %(default)s)")
    add("--host-watts", type=float, default=0.0, metavar="W", help="a node draws beside its boards (default: 0)")
    add("--asleep-watts", type=float, default=0.0, metavar="W", help="and in all while it sleeps (default: 0)")
    add("--warm-nodes", type=int, default=0, metavar="N", help="nodes of each type that never sleep (default: 0)")
    add_signal_options(parser)
    windows_help = "when nodes are maintained or kept for users, as explained below (default: never)"
    add("--windows", type=Path, metavar="WINDOWS.csv", help=windows_help)
    add("--placements", type=Path, metavar="OUT.csv", help="write job_id,start_s,gpu_type here")
    add("--timeline", type=Path, metavar="OUT.svg", help="draw every job on its boards over time here, with holds")
    add("--json", action="store_true", help="print one JSON object instead of a table")


def _sleep(args: argparse.Namespace) -> "SleepRule | None":
    """What was said of sleep and hosts, None where nothing was."""
    from kilowait.simulate.sleeping import SleepRule

    if args.sleep_after_s is None and not args.host_watts:
        return None
    return SleepRule(
        after_s=inf if args.sleep_after_s is None else args.sleep_after_s,
        wake_s=args.wake_s,
        host_w=args.host_watts,
        asleep_w=args.asleep_watts,
        warm=args.warm_nodes,
    )


def _needs() -> str:
    """The optional columns that some policies look at."""
    names = {need: [rule.name for rule in POLICIES.values() if need in rule.needs] for need in COLUMNS}
    return "\n".join(COLUMNS[need].format(" and ".join(rules)) for need, rules in names.items() if rules)


def _inventory(text: str) -> dict[str, tuple[int, ...]]:
    """Parse `A100=16,A6000=4x8`."""
    try:
        return parse_nodes(text)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def run(args: argparse.Namespace) -> int:
    """Simulate and print the scores; raises InputError for a file or parameter that is wrong."""
    from kilowait.simulate.jobs_csv import write_placements
    from kilowait.simulate.simulation import simulate
    from kilowait.simulate.timeline import timeline

    for option in ("placements", "timeline"):
        _check_not_an_input(option, getattr(args, option), (args.jobs, args.predictions, args.windows))
    rule, prices = rule_of(args), prices_of(args)
    refuse_others(args, POLICIES[args.policy])
    simulation = simulate(
        jobs_of(args),
        args.gpus,
        rule,
        sleep=_sleep(args),
        **signals_of(args),
        prices=price_list_of(args),
        windows=args.windows,
        **limits_of(args),
        **given(args, rule),
    )
    for reason in simulation.refused.values():
        sys.stderr.write(f"kilowait: {args.jobs}: refused: {reason}\n")
    if args.placements is not None:
        write_placements(args.placements, simulation.placements)
    if args.timeline is not None:
        write_text(args.timeline, timeline(simulation.run, f"{args.jobs.name} under {args.policy}"))
    result = {
        **asdict(simulation.scores),
        **total_cost(simulation.placements, prices),
        "parameters": simulation.parameters,
        "gpus": simulation.gpus,
        **({} if simulation.energy is None else {"where_energy_went": asdict(simulation.energy)}),
        **({} if simulation.deadlines is None else {"deadlines": asdict(simulation.deadlines)}),
        **totals_of(simulation),
        "refused": dict(simulation.refused),
    }
    sys.stdout.write(json.dumps(result) + "\n" if args.json else _as_table(result))
    return 0


def _check_not_an_input(option: str, output: Path | None, inputs: Sequence[Path | None]) -> None:
    for path in inputs:
        if output and path and output.is_file() and path.is_file() and output.samefile(path):
            raise InputError(f"--{option} {output}: would overwrite the input {path}; name another file")


def _as_table(result: dict[str, object]) -> str:
    """Scores for people: hours and kWh."""

    def cell(name: str, value: object) -> tuple[str, str]:
        if name.endswith("_s") and isinstance(value, float):
            return name.removesuffix("_s").replace("_", " "), f"{value:,.1f} s  ({value / HOUR_S:,.2f} h)"
        if name.endswith("_kwh"):
            shown = f"{value:,.3f} kWh" if isinstance(value, float) else "unknown: a type has no known idle power"
            return name.removesuffix("_kwh").replace("_", " "), shown
        if isinstance(value, dict):
            if name in ("where_energy_went", "cost_usd"):
                value = {key.removesuffix("_kwh"): f"{part:,.3f}" for key, part in value.items()}
            return name.replace("_", " "), ", ".join(f"{key}={entry}" for key, entry in value.items()) or "-"
        return name.replace("_", " "), str(value)

    cells = [cell(name, value) for name, value in result.items() if name not in ("refused", "signals")]
    refused, totals = result["refused"], result.get("signals")
    cells += total_cells(totals) if isinstance(totals, dict) else []
    cells.append(("refused jobs", str(len(refused)) if isinstance(refused, dict) else "0"))
    width = max(len(name) for name, _ in cells)
    return "".join(f"{name:<{width}}  {shown}\n" for name, shown in cells)
