"""The `kilowait` command. Heavy modules load inside the command that needs them."""

import argparse
import inspect
import json
import math
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from kilowait import __version__
from kilowait.cli import handover, remote
from kilowait.core.errors import InputError, KilowaitError
from kilowait.core.extras import explained

SIMULATE_EXAMPLE = """\
example: three jobs on one A100 and two A6000

  $ cat jobs.csv
  job_id,submit_s,gpus,A100_s,A100_kwh,A6000_s,A6000_kwh
  train-a,0,1,3600,0.30,5400,0.35
  train-b,0,2,,,7200,0.80
  serve-c,60,1,600,0.05,600,0.02
  $ kilowait simulate --jobs jobs.csv --gpus A100=1,A6000=2 --policy value --kappa 1e-5 --json

Both cells of a type empty: the job may not run there. <TYPE>_kwh is the whole job over all its GPUs. An optional
column <TYPE>_gpus overrides gpus on that type. Columns of types that --gpus lacks are left out. A job that can
never fit is refused: it is named on stderr and under "refused", and the others run. Optional columns user and
priority (a whole number, the larger the more urgent) are for --policy fair. Optional columns <TYPE>_low_s and
<TYPE>_high_s, <TYPE>_low_kwh and <TYPE>_high_kwh are the ends of 90% prediction intervals, for --policy value_cvar.
An optional column checkpoint_s, the seconds to go on from a checkpoint, lets --policy srpt preempt a job.
Optional columns gpu_milli (1 to 1000: thousandths of a GPU for a job of one) and one_node (yes or no) hold for every
policy: shares are packed on boards by best fit and never span two, and a job of one node waits until one node has all
its GPUs. --gpus A100=2x8+4 is a cluster of two A100 nodes of 8 GPUs and one of 4.

policies (all see predictions only; ties go to the earlier submitted, then to the more powerful type)
  simple        first come, first served, on the most powerful free type
  greedy        first come, first served, on the type of least alpha x seconds + gamma x kWh       --alpha --gamma
  value         most valuable pair first, whatever fits: 1 / (GPUs x seconds) - kappa x kWh        --kappa
                --kappa-relative instead of --kappa: s / (GPUs x seconds) - kappa x kWh / E, where s and E are the
                geometric means over the jobs submitted so far, so it means the same at every site
  sjf           shortest job first, on its fastest free type, whatever fits
  srpt          shortest remaining time first; a long job gives way to a much shorter one          --hysteresis
  easy          EASY backfill: first come, first served, but a later job may pass if the first is not delayed
  conservative  conservative backfill: a later job may pass if no job is delayed
  value_aging   as value, but a job that waited --limit-s goes first and GPUs are held for it      --kappa --limit-s
  fair          by priority; then the user who holds the least GPUs for their weight               --weights
  patient       plans the queue; a job waits for a greener type if that saves enough energy       --wait-s-per-kwh
  anticipatory  as patient, but compares plans over drawn futures: jobs that are likely to come   --wait-s-per-kwh
  gavel         linear program: each job's share of time on each type; starts pairs by their share       --objective
  value_cvar    as value, with the mean of the worst 1 - risk of each prediction interval          --kappa --risk
  milp          as patient, but an integer program places the first jobs of the plan              --wait-s-per-kwh

  $ kilowait simulate --jobs jobs.csv --gpus A100=1,A6000=2 --policy easy
  $ kilowait simulate --jobs jobs.csv --gpus A100=1,A6000=2 --policy value_aging --limit-s 7200
  $ kilowait simulate --jobs users.csv --gpus A100=1,A6000=2 --policy fair --weights ada=2,grace=1
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code: 0, 1 for a failure inside, 2 for a mistake in what was given."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words and words[0] in handover.COMMANDS:
        return handover.hand_over(words)
    args = _parse(words)
    try:
        code: int = _run(args, words[0])
        sys.stdout.flush()
    except BrokenPipeError:  # the reader (head, less) has seen enough
        _drop_stdout()
        return 0
    except InputError as error:
        return _complain(str(error), 2)
    except KilowaitError as error:
        return _complain(str(error), 1)
    except OSError as error:
        _drop_stdout()
        return _complain(f"the output cannot be written: {error.strerror}", 2)
    return code


def _run(args: argparse.Namespace, command: str) -> int:
    """Run a command; raises MissingExtra for a library that only an extra of the package brings."""
    try:
        code: int = args.run(args)
    except ModuleNotFoundError as error:
        raise explained(error, f"kilowait {command}") from error
    return code


def _parse(words: list[str]) -> argparse.Namespace:
    """The options; what follows `--` belongs to the script that the command is given."""
    takes_script = words[:1] in (["predict"], ["submit"], ["what-if"])
    at = words.index("--") if takes_script and "--" in words else len(words)
    args = _parser(words[:at]).parse_args(words[:at])
    args.arguments = words[at + 1 :]
    return args


def _parser(words: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="kilowait",
        description="Predict the run time and energy of ML jobs, and schedule them on mixed GPUs.",
        epilog="Each command explains itself: kilowait simulate --help",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"kilowait {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_predict(commands, wanted=words[:1] == ["predict"])
    _add_simulate(commands)
    remote.add_commands(commands)
    handover.add_commands(commands)
    return parser


def _add_predict(commands: "argparse._SubParsersAction[argparse.ArgumentParser]", *, wanted: bool) -> None:
    """Only when asked for: its module may load torch, and `simulate` must start at once."""
    help_text = "predict the run time and energy of a script on each device type"
    parser = commands.add_parser("predict", help=help_text, description=help_text, allow_abbrev=False)
    if wanted:
        from kilowait.cli import predict

        predict.add_arguments(parser)
        parser.set_defaults(run=predict.run)


def _add_simulate(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    from kilowait.policies import POLICIES
    from kilowait.policies.gavel import DEFAULT_OBJECTIVE
    from kilowait.policies.greedy import DEFAULT_ALPHA, DEFAULT_GAMMA
    from kilowait.policies.patient import DEFAULT_WAIT_S_PER_KWH
    from kilowait.policies.srpt import DEFAULT_HYSTERESIS
    from kilowait.policies.value import DEFAULT_KAPPA
    from kilowait.policies.value_aging import DEFAULT_LIMIT_S
    from kilowait.policies.value_cvar import DEFAULT_RISK

    parser = commands.add_parser(
        "simulate",
        help="run a list of jobs through a policy on a cluster of mixed GPUs",
        description="Run a list of jobs through a policy and score it. All numbers are modelled, from the file.",
        epilog=SIMULATE_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--jobs", required=True, type=Path, metavar="JOBS.csv", help="jobs with their true times and energies")
    gpus_help = "GPUs by type, most powerful first; MxN are M nodes of N GPUs, N alone is one node"
    add("--gpus", required=True, type=_inventory, metavar="TYPE=N,...", help=gpus_help)
    add("--policy", required=True, choices=list(POLICIES), help="the rule to run; each is explained below")
    kappa_help = (
        f"value, value_aging, value_cvar: worth of a kWh, against 1 / (GPUs x seconds) (default {DEFAULT_KAPPA:g})"
    )
    kappas = parser.add_mutually_exclusive_group()
    kappas.add_argument("--kappa", type=_weight, default=DEFAULT_KAPPA, metavar="K", help=kappa_help)
    relative_help = "value, value_aging, value_cvar: kappa against the scale of the jobs, a plain number such as 1"
    kappas.add_argument("--kappa-relative", type=_weight, metavar="X", help=relative_help)
    alpha_help = f"greedy: weight of a second of run time (default {DEFAULT_ALPHA:g})"
    add("--alpha", type=_weight, default=DEFAULT_ALPHA, metavar="A", help=alpha_help)
    gamma_help = f"greedy: weight of a kWh (default {DEFAULT_GAMMA:g}: a kWh weighs as much as an hour)"
    add("--gamma", type=_weight, default=DEFAULT_GAMMA, metavar="G", help=gamma_help)
    limit_help = f"value_aging: seconds of waiting after which a job goes first (default {DEFAULT_LIMIT_S:g}: a day)"
    add("--limit-s", type=_weight, default=DEFAULT_LIMIT_S, metavar="S", help=limit_help)
    patient_help = "patient, anticipatory, milp: seconds of a job's waiting that a kWh is worth "
    patient_help += f"(default {DEFAULT_WAIT_S_PER_KWH:g})"
    add("--wait-s-per-kwh", type=_weight, default=DEFAULT_WAIT_S_PER_KWH, metavar="S", help=patient_help)
    risk_help = f"value_cvar: 0 rates by means, towards 1 by the worst cases (default {DEFAULT_RISK:g})"
    add("--risk", type=_weight, default=DEFAULT_RISK, metavar="R", help=risk_help)
    objective_help = f"gavel: max_min (fairness), throughput or energy (default {DEFAULT_OBJECTIVE})"
    add("--objective", default=DEFAULT_OBJECTIVE, metavar="NAME", help=objective_help)
    hysteresis_help = f"srpt: how many times as long a job must be to give way (default {DEFAULT_HYSTERESIS:g})"
    add("--hysteresis", type=_weight, default=DEFAULT_HYSTERESIS, metavar="H", help=hysteresis_help)
    error_help = (
        "patient, anticipatory: standard deviation of log(predicted / true run time) (default 0: exact predictions)"
    )
    add("--error-sd", type=_weight, default=0.0, metavar="SD", help=error_help)
    weights_help = "fair: what a user is entitled to against others, > 0 (default: 1 each)"
    add("--weights", type=_user_weights, default={}, metavar="USER=W,...", help=weights_help)
    add("--predictions", type=Path, metavar="PRED.csv", help="all the policy sees; same columns (default: the truth)")
    add("--placements", type=Path, metavar="OUT.csv", help="write job_id,start_s,gpu_type here")
    add("--json", action="store_true", help="print one JSON object instead of a table")
    parser.set_defaults(run=_simulate)


def _inventory(text: str) -> dict[str, tuple[int, ...]]:
    """Parse `A100=16,A6000=4x8`."""
    from kilowait.simulate.inventory import parse_nodes

    try:
        return parse_nodes(text)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _weight(text: str) -> float:
    """Parse a finite number >= 0."""
    try:
        weight = float(text)
    except ValueError:
        weight = math.nan
    if not (math.isfinite(weight) and weight >= 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a finite number >= 0")
    return weight


def _user_weights(text: str) -> dict[str, float]:
    """Parse `ada=2,grace=0.5`."""
    weights: dict[str, float] = {}
    for part in text.split(","):
        user, _, number = (piece.strip() for piece in part.rpartition("="))
        weight = _weight(number) if user else 0.0
        if weight == 0:
            raise argparse.ArgumentTypeError(f"{part!r} is not USER=W with a number W > 0, as in ada=2,grace=0.5")
        if user in weights:
            raise argparse.ArgumentTypeError(f"{user!r} stands twice; give each user once")
        weights[user] = weight
    return weights


def _simulate(args: argparse.Namespace) -> int:
    from kilowait.policies import POLICIES
    from kilowait.simulate.jobs_csv import read_submissions, write_placements
    from kilowait.simulate.loop import simulate
    from kilowait.simulate.scores import score

    _check_not_an_input(args.placements, (args.jobs, args.predictions))
    factory = POLICIES[args.policy]
    parameters = _parameters(args, inspect.signature(factory).parameters)
    submissions = read_submissions(args.jobs, args.gpus, args.predictions)
    gpus = {gpu_type: sum(counts) for gpu_type, counts in args.gpus.items()}
    run = simulate(submissions, gpus, factory(**parameters), nodes=args.gpus)
    for reason in run.refused.values():
        sys.stderr.write(f"kilowait: {args.jobs}: refused: {reason}\n")
    if args.placements is not None:
        write_placements(args.placements, run.placements)
    result = {**asdict(score(run)), "parameters": parameters, "gpus": gpus, "refused": dict(run.refused)}
    sys.stdout.write(json.dumps(result) + "\n" if args.json else _as_table(result))
    return 0


def _parameters(args: argparse.Namespace, wanted: Iterable[str]) -> dict[str, object]:
    """The options that the policy has; of the two kappas, kappa has a default and gives way to the other."""
    unused = "kappa_relative" if args.kappa_relative is None else "kappa"
    return {name: getattr(args, name) for name in wanted if name != unused and name in args}


def _check_not_an_input(output: Path | None, inputs: Sequence[Path | None]) -> None:
    for path in inputs:
        if output and path and output.is_file() and path.is_file() and output.samefile(path):
            raise InputError(f"--placements {output}: would overwrite the input {path}; name another file")


def _as_table(result: dict[str, object]) -> str:
    """Scores for people: hours and kWh."""

    def cell(name: str, value: object) -> tuple[str, str]:
        if name.endswith("_s") and isinstance(value, float):
            return name.removesuffix("_s").replace("_", " "), f"{value:,.1f} s  ({value / 3600:,.2f} h)"
        if name.endswith("_kwh"):
            shown = f"{value:,.3f} kWh" if isinstance(value, float) else "unknown: a type has no known idle power"
            return name.removesuffix("_kwh").replace("_", " "), shown
        if isinstance(value, dict):
            return name, ", ".join(f"{key}={one}" for key, one in value.items()) or "-"
        return name.replace("_", " "), str(value)

    cells = [cell(name, value) for name, value in result.items() if name != "refused"]
    refused = result["refused"]
    cells.append(("refused jobs", str(len(refused)) if isinstance(refused, dict) else "0"))
    width = max(len(name) for name, _ in cells)
    return "".join(f"{name:<{width}}  {shown}\n" for name, shown in cells)


def _complain(message: str, code: int) -> int:
    sys.stderr.write(f"kilowait: {message}\n")
    return code


def _drop_stdout() -> None:
    """What stdout still holds cannot be written; without this the interpreter would try again at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
