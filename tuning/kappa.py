"""Find kappa for the Value policy: `kilowait lab tune-kappa --out DIR`.

Every kappa of a grid (0 and a logarithmic range) is a Ray Tune trial, which simulates all validation samples; their
seeds are disjoint from the backtest's. Trials do not depend on the criterion, so one grid serves all criteria. Writes
DIR/kappa.json (what was picked, and why), DIR/trials.parquet, and the Pareto front of waiting against energy as
DIR/front.parquet and DIR/front.svg; all of it is modelled. A finished trial is kept in DIR/trials/ at
once: after an interruption the same command runs the missing ones only.
"""

import argparse
import hashlib
import json
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import ray
from ray import tune
from tqdm import tqdm

from kilowait.core.closed_ray import connected
from kilowait.core.errors import InputError
from kilowait.core.started import command_name
from kilowait.files import columns, parquet
from kilowait.files.atomic import write_text
from kilowait.lab.backtest.backtest import World, try_kappa
from kilowait.lab.backtest.front import Pick, Rule, WaitBudget, pick
from kilowait.lab.backtest.kappa_file import write_kappa
from kilowait.lab.backtest.objective import CRITERIA, KappaTrial, ObjectiveWeights, kappa_grid
from kilowait.lab.backtest.world_options import add_world_options, worlds

from .front_files import write_front

EXAMPLE = """example:
  kilowait lab tune-kappa --classes paper-like,calibrated --samples 50 --out out/kappa
  kilowait lab tune-kappa --weights 1,0,3600 --out out/kappa-hour    # a kWh weighs as much as an hour of waiting
  kilowait lab tune-kappa --max-extra-wait 0.05 --out out/kappa-budget    # least energy for 5% more waiting
"""
TOTALS = ("total_wait_s", "running_s", "energy_kwh")

Key = tuple[str, float]


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    p = argparse.ArgumentParser(
        prog=command_name(f"{__package__}.kappa", "kilowait lab tune-kappa"),
        description="Find the kappa (per kWh) of the Value policy that minimises "
        "alpha * waiting_s + beta * running_s + gamma * energy_kwh on validation samples.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--out", type=Path, default=Path("out/kappa"), metavar="DIR", help="(default: %(default)s)")
    p.add_argument("--samples", type=int, default=50, metavar="N", help="validation samples (default: 50)")
    p.add_argument("--weights", metavar="A,B,G", help="alpha,beta,gamma of an objective of your own")
    p.add_argument("--criterion", choices=sorted(CRITERIA), help="one of the paper's criteria (default: all three)")
    p.add_argument(
        "--max-extra-wait",
        type=float,
        metavar="X",
        help="least energy among trials whose total waiting is at most this fraction above the best: 0.05 is 5%%",
    )
    p.add_argument("--low", type=float, default=1e-9, help="smallest kappa above 0 (default: %(default)s)")
    p.add_argument("--high", type=float, default=1e-3, help="largest kappa (default: %(default)s)")
    p.add_argument("--per-decade", type=int, default=4, metavar="N", help="values a decade (default: 4)")
    p.add_argument("--ray", default="local", metavar="ADDRESS", help='a Ray cluster ("auto"); default: this machine')
    add_world_options(p)
    return p


def rules(args: argparse.Namespace) -> dict[str, Rule]:
    """How to pick a kappa, by the name it has in kappa.json; raises InputError when several options say it."""
    options = {"--weights": args.weights, "--criterion": args.criterion, "--max-extra-wait": args.max_extra_wait}
    given_options = [option for option, value in options.items() if value is not None]
    if len(given_options) > 1:
        raise InputError(f"give only one of {', '.join(given_options)}")
    if args.weights is not None:
        return {"weights": ObjectiveWeights.parse(args.weights)}
    if args.max_extra_wait is not None:
        budget = WaitBudget(max_extra_wait=args.max_extra_wait)
        return {budget.label: budget}
    return {args.criterion: CRITERIA[args.criterion]} if args.criterion else dict(CRITERIA)


def settings(args: argparse.Namespace, world: World) -> dict[str, Any]:
    """What decides the outcome of a trial besides kappa; kept trials count only under the same settings."""
    pool = None if world.errors is None else hashlib.sha256(world.errors.log_errors.tobytes()).hexdigest()[:16]
    return {
        "scenario": args.scenario,
        "classes": world.classes,
        "seed": world.seed,
        "load": world.load,
        "arrivals": asdict(world.arrivals),
        "predictions": world.predictions,
        "errors": pool,
        "samples": args.samples,
    }


class TrialStore:
    """Finished trials of one setting, one JSON file each, named by settings, table and kappa."""

    def __init__(self, folder: Path, by_classes: Mapping[str, Mapping[str, Any]]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._settings = folder, by_classes

    def path(self, key: Key) -> Path:
        """Where this trial is kept."""
        text = json.dumps([self._settings[key[0]], repr(key[1])], sort_keys=True)
        return self._folder / f"{hashlib.sha256(text.encode()).hexdigest()[:20]}.json"

    def load(self, key: Key) -> KappaTrial | None:
        """The finished trial, None where it has not run."""
        path = self.path(key)
        return KappaTrial(**json.loads(path.read_text(encoding="utf-8"))) if path.exists() else None

    def save(self, key: Key, trial: KappaTrial) -> None:
        """Keep a finished trial, atomically."""
        write_text(self.path(key), json.dumps(asdict(trial)))


class Keep(tune.Callback):
    """Keeps every trial the moment it is done, and moves the progress bar."""

    def __init__(self, store: TrialStore, keys: Sequence[Key], bar: "tqdm[Any]") -> None:
        self._store, self._keys, self._bar = store, keys, bar

    def __getstate__(self) -> dict[str, Any]:
        """Ray Tune pickles its callbacks for its own resuming, which is not used here; a bar has no pickle."""
        return self.__dict__ | {"_bar": None}

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Ray Tune's hook."""
        key = self._keys[trial.config["trial"]]
        self._store.save(key, KappaTrial(kappa=key[1], **{name: trial.last_result[name] for name in TOTALS}))
        self._bar.update()


def simulate_trial(config: dict[str, Any], keys: Sequence[Key], samples: Mapping[str, Sequence[Any]]) -> None:
    """The trainable: all validation samples of a table under Value with one kappa."""
    classes, kappa = keys[config["trial"]]
    trial = try_kappa(samples[classes], kappa)
    tune.report({name: getattr(trial, name) for name in TOTALS})


def run_missing(missing: Sequence[Key], found: Sequence[World], count: int, store: TrialStore, args: Any) -> None:
    """Run these trials under Ray Tune; raises InputError when any of them failed."""
    samples = {w.classes: [w.sample(i) for i in range(count)] for w in found}
    quieten()
    with connected(ray, args.ray):
        with tqdm(total=len(missing), desc="kappa", unit="trial", file=sys.stderr) as bar:
            tuner = tune.Tuner(
                tune.with_parameters(simulate_trial, keys=list(missing), samples=samples),
                param_space={"trial": tune.grid_search(list(range(len(missing))))},
                tune_config=tune.TuneConfig(metric="total_wait_s", mode="min", reuse_actors=True),
                run_config=tune.RunConfig(
                    storage_path=str((args.out / "ray").resolve()), verbose=0, callbacks=[Keep(store, missing, bar)]
                ),
            )
            grid = tuner.fit()
        if grid.errors:
            raise InputError(f"{len(grid.errors)} of {len(missing)} trials failed, the first with: {grid.errors[0]}")


def quieten() -> None:
    """The progress bar and the table of trials say it all: no banner, no messages."""
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
    logging.getLogger("ray.tune").setLevel(logging.WARNING)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    args = parser().parse_args(argv)
    try:
        run(args)
    except InputError as error:
        print(f"tuning.kappa: {error}", file=sys.stderr)
        return 2
    return 0


def run(args: argparse.Namespace) -> None:
    """Tune, write what was found to DIR, and print it."""
    if args.samples < 1:
        raise InputError(f"--samples must be >= 1, got {args.samples!r}")
    rules_by_name, validation_worlds = rules(args), worlds(args, "validation")
    by_classes = {world.classes: settings(args, world) for world in validation_worlds}
    store = TrialStore(args.out / "trials", by_classes)
    keys = [
        (world.classes, kappa)
        for world in validation_worlds
        for kappa in kappa_grid(args.low, args.high, args.per_decade)
    ]
    missing = [key for key in keys if store.load(key) is None]
    if len(missing) < len(keys):
        print(f"{len(keys) - len(missing)} of {len(keys)} trials are already in {args.out}", file=sys.stderr)
    if missing:
        run_missing(missing, validation_worlds, args.samples, store, args)
    trials = {key: trial for key in keys if (trial := store.load(key)) is not None}
    write_results(args, validation_worlds, trials, rules_by_name, by_classes)


def write_results(
    args: argparse.Namespace,
    found: Sequence[World],
    trials: Mapping[Key, KappaTrial],
    wanted: Mapping[str, Rule],
    by_classes: Mapping[str, Mapping[str, Any]],
) -> None:
    """The table of trials, the front, kappa.json, and what was picked on the terminal."""
    common = {"samples": args.samples, "predictions": found[0].predictions}
    rows = [asdict(trial) | common | {"classes": classes} for (classes, _), trial in trials.items()]
    parquet.write_table(parquet.table(rows, columns.KAPPA_TRIALS), args.out / "trials.parquet")
    trials_by_class = {world.classes: [t for (c, _), t in trials.items() if c == world.classes] for world in found}
    tuned = {
        classes: {name: pick(of_classes, rule) for name, rule in wanted.items()}
        for classes, of_classes in trials_by_class.items()
    }
    write_front(args.out, trials_by_class, tuned, args.samples, found[0].predictions)
    write_kappa(args.out / "kappa.json", tuned, by_classes)
    for classes, picks in tuned.items():
        for name, picked in picks.items():
            print(f"{classes}: {name}: {sentence(picked, trials[classes, 0.0])}")
    print(f"wrote kappa.json, trials.parquet, front.parquet and front.svg to {args.out} (all modelled)")


def sentence(picked: Pick, zero: KappaTrial) -> str:
    """What was picked, against kappa 0, and why."""
    changes = ", ".join(
        f"{quantity} {getattr(picked.trial, total) / getattr(zero, total) - 1:+.1%}"
        for quantity, total in (("waiting", "total_wait_s"), ("energy", "energy_kwh"))
        if getattr(zero, total)
    )
    return f"kappa {picked.trial.kappa:g} per kWh ({changes or 'nothing'} against kappa 0): {picked.why}"


if __name__ == "__main__":
    sys.exit(main())
