"""`kilowait check FILE`: whether a job stays within bounds, as an exit code for pre-commit and CI."""

import argparse
import json
import os
import re
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from kilowait.advise.advice import PREFERENCES, Advice, OnType
from kilowait.advise.asking import AdviceQuestion
from kilowait.advise.asking_either import advice_of
from kilowait.cli.costs import add_price_option, amounts_of, prices_of
from kilowait.core.control_characters import escaped_all
from kilowait.core.errors import InputError
from kilowait.core.hardware import add_gpu_file_option, canonical
from kilowait.files.atomic import write_text
from kilowait.predict.dry_runs import BUDGET_S
from kilowait.predict.one_shot import BESIDE
from kilowait.program.read import read_file, read_program

EXAMPLE = """\
examples:
  kilowait check train.py --max-kwh 5 --max-memory 40GB --max-hours 12
  kilowait check train.py --device H100 --max-cost 200 --gpu-prices prices.csv -- --epochs 30
  kilowait check --entrypoint train.py project/ --max-kwh 5 --strict
  kilowait check train.py --max-memory 40GB --device A100 --device H100 --resource-claim claim.yaml

A bound holds where the expected value is within it, with --strict where the whole 90% interval is. The job passes if it
stays within all bounds on at least one of the types (--every-type: on each).
Exit codes: 0 within, 1 beyond, 2 a mistake in what was given, 3 nothing could be predicted (--allow-unknown: 0).
"""
WITHIN, BEYOND, UNKNOWN = 0, 1, 3


def add_arguments(parser: argparse.ArgumentParser, _: Sequence[str] = ()) -> None:
    """Declare the options."""
    parser.epilog = EXAMPLE
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add = parser.add_argument
    add("file", metavar="FILE", help="a program, a shell or batch script, or a notebook; a folder with --entrypoint")
    add("--entrypoint", metavar="PATH", help="FILE is a folder or a zip, and PATH in it is started")
    add("--max-kwh", type=float, metavar="KWH", help="energy of the whole job")
    add("--max-hours", type=float, metavar="H", help="run time")
    add("--max-memory", type=_bytes, metavar="SIZE", help="memory of one GPU, as 40GB or 38GiB")
    add("--max-cost", type=float, metavar="AMOUNT", help="cost, in the currency of --gpu-prices")
    add("--device", action="append", metavar="TYPE", help="a GPU type; may be repeated (default: A100 and A6000)")
    add("--gpus", type=int, metavar="N", help="GPUs of each type (default: what the source asks for)")
    add("--strict", action="store_true", help="the upper end of the interval counts")
    add("--every-type", action="store_true", help="on every type, not on one of them")
    add("--allow-unknown", action="store_true", help="pass where nothing can be predicted")
    add("--dry-run-budget-s", type=float, default=BUDGET_S, metavar="S", help="CPU seconds (default: %(default)g)")
    text = "write a claim of Kubernetes (DRA) for the types that stay within all bounds, the best first, as YAML"
    add("--resource-claim", type=Path, metavar="FILE", help=text)
    text = "what the types of the claim are ordered by (default: time)"
    add("--prefer", choices=PREFERENCES, default="time", help=text)
    add("--json", action="store_true", help="print one JSON object instead of lines")
    add_price_option(parser)
    add_gpu_file_option(parser)
    parser.set_defaults(arguments=[])


def run(args: argparse.Namespace) -> int:
    """Predict and compare; returns the exit code, raises InputError as `kilowait predict` does."""
    bounds = {name: getattr(args, name) for name in _MEASURES if getattr(args, name) is not None}
    if not bounds:
        raise InputError("nothing to check: give a bound, such as --max-kwh 5 or --max-memory 40GB")
    if wrong := next((name for name, bound in bounds.items() if not bound > 0), None):
        raise InputError(f"--{wrong.replace('_', '-')} must be > 0, got {bounds[wrong]}")
    advice = advice_of(_question(args), os.environ)
    found = {name: _beyond(on, bounds, args.strict) for name, on in advice.by_type.items()}
    code = _code(found, args)
    if args.resource_claim is not None:
        _claim(advice, [name for name, beyond in found.items() if not beyond], args)
    report = {"advice": advice.to_dict(), "beyond": found, "bounds": bounds, "exit_code": code}
    sys.stdout.write(json.dumps(report, indent=1) + "\n" if args.json else _text(escaped_all(report), advice))
    return code


def _claim(advice: Advice, within: Sequence[str], args: argparse.Namespace) -> None:
    """Write it; nothing where no type is within the bounds: the exit code says so."""
    from kilowait.advise.kubernetes.resource_claim import claim_name, resource_claim

    ranked = sorted(advice.that_fit(within), key=lambda name: advice.by_type[name].takes(args.prefer))
    if not ranked:
        return
    claim = resource_claim(advice, ranked, claim_name(Path(advice.program).name))
    try:
        write_text(args.resource_claim, json.dumps(claim, indent=1) + "\n")  # JSON is YAML
    except OSError as error:
        raise InputError(f"--resource-claim {args.resource_claim}: cannot be written: {error.strerror}") from error


def _question(args: argparse.Namespace) -> AdviceQuestion:
    path = Path(args.file)
    if args.entrypoint is None:
        reading, root = read_file(path, args.arguments), path.absolute().parent
    else:
        reading, root = read_program(path, args.entrypoint, args.arguments), path.absolute()
    return AdviceQuestion(
        reading=reading,
        gpus=args.gpus,
        gpu_types=tuple(canonical(name) for name in args.device or BESIDE),
        root=root if root.is_dir() else None,
        dry_run_budget_s=args.dry_run_budget_s,
        cost=partial(amounts_of, prices=prices_of(args)),
    )


Measure = Callable[[OnType, bool], float | None]


def _kwh(on: OnType, strict: bool) -> float | None:
    return on.prediction.energy_high_kwh if strict else on.prediction.energy_kwh


def _hours(on: OnType, strict: bool) -> float | None:
    seconds = on.prediction.runtime_high_s if strict else on.prediction.runtime_s
    return None if seconds is None else seconds / 3600


def _memory(on: OnType, strict: bool) -> float | None:
    return on.memory_high_bytes if strict else on.memory_bytes


def _amount(on: OnType, strict: bool) -> float | None:
    amount = on.cost.get("high" if strict else "amount")
    return None if amount is None else float(amount)


_MEASURES: dict[str, Measure] = {
    "max_kwh": _kwh,
    "max_hours": _hours,
    "max_memory": _memory,
    "max_cost": _amount,
}


def _beyond(on: OnType, bounds: dict[str, float], strict: bool) -> dict[str, float | None]:
    """The bounds that do not hold, with the value; None where it is not known."""
    values = {name: _MEASURES[name](on, strict) for name in bounds}
    return {name: value for name, value in values.items() if value is None or value > bounds[name]}


def _code(found: dict[str, dict[str, float | None]], args: argparse.Namespace) -> int:
    types = [_of_type(beyond) for beyond in found.values()] or [UNKNOWN]
    order = (BEYOND, UNKNOWN, WITHIN) if args.every_type else (WITHIN, UNKNOWN, BEYOND)
    code = next(code for code in order if code in types)
    return WITHIN if code == UNKNOWN and args.allow_unknown else code


def _of_type(beyond: dict[str, float | None]) -> int:
    """Whether a type is within; one bound that is passed is enough, whatever is not known of the others."""
    if any(value is not None for value in beyond.values()):
        return BEYOND
    return UNKNOWN if beyond else WITHIN


def _text(report: dict[str, Any], advice: Advice) -> str:
    if not report["beyond"]:
        return f"{advice.program}: not predicted: {advice.dry_run}\n"
    lines = []
    for name, beyond in report["beyond"].items():
        parts = [_said(measure, value, report["bounds"][measure]) for measure, value in beyond.items()]
        lines.append(f"{advice.program}: {name}: {'; '.join(parts) if parts else 'within all bounds'}")
    return "\n".join(lines) + "\n"


def _said(measure: str, value: float | None, bound: float) -> str:
    name, unit = {
        "max_kwh": ("energy", "kWh"),
        "max_hours": ("run time", "h"),
        "max_memory": ("memory", "GB"),
        "max_cost": ("cost", ""),
    }[measure]
    if value is None:
        return f"{name} is not known"
    scale = 1e9 if measure == "max_memory" else 1.0
    return f"{name} {value / scale:.3g} {unit}".rstrip() + f" is above {bound / scale:.3g}"


def _bytes(text: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]i?b)", text.strip().lower(), re.ASCII)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no size; write 40GB or 38GiB")
    base = 1024 if "i" in match[2] else 1000
    return float(match[1]) * float(base ** (1 + "kmgt".index(match[2][0])))
