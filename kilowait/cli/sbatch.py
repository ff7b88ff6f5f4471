"""`kilowait sbatch` and `kilowait srun`: Slurm's own commands with a time limit, a GPU type and a comment added.

What cannot be predicted is submitted as it is, with one line that says why: no submission is ever refused here.
"""

import argparse
import io
import json
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from kilowait.advise.advice import Advice
from kilowait.advise.advice_text import advice_table
from kilowait.advise.asking import AdviceQuestion
from kilowait.advise.asking_either import advice_of
from kilowait.advise.ledger import keep, ledger_folder, slurm_history
from kilowait.advise.limit_quantile import MARGIN_S, RISK
from kilowait.advise.slurm.batch_request import BatchRequest, read_words, script_text, with_script
from kilowait.advise.slurm.gpu_words import catalogue_type
from kilowait.advise.slurm.job_program import python_of_job, read_job
from kilowait.advise.slurm.partitions import SlurmPartition, ask_partitions, meant
from kilowait.advise.slurm.slurm_call import submit
from kilowait.advise.slurm.submission_plan import (
    PREFERENCES,
    PlanSettings,
    SubmissionPlan,
    boards_of,
    plan,
)
from kilowait.advise.slurm.submission_waits import waiting_counted
from kilowait.cli.costs import add_price_option, amounts_of, prices_of
from kilowait.cli.learnt_correction import corrected
from kilowait.core.control_characters import LINES, escaped
from kilowait.core.errors import InputError, KilowaitError, ServiceError
from kilowait.predict.one_shot import BESIDE

EXAMPLE = """\
examples:
  kilowait sbatch job.sh
  kilowait sbatch --gpus=2 --partition=long job.sh -- --epochs 30
  kilowait sbatch --why job.sh
  kilowait sbatch --risk 0.01 --wrap="python train.py"
  kilowait srun --gpus=1 python train.py

Every other option is sbatch's or srun's own and is passed on as it is; what follows the script is the script's.
Nothing that you set is changed: an option, an SBATCH_* variable or an #SBATCH line. Without a prediction, and where
Slurm refuses what was added, the job is submitted as you wrote it, with a warning.
"""
_SWITCHES = ("--why", "--force", "--json")
_VALUES = ("--risk", "--margin", "--prefer", "--gpu-prices")


def add_arguments(parser: argparse.ArgumentParser, _: Sequence[str] = ()) -> None:
    """Declare kilowait's own options; those of Slurm's command are not declared anywhere."""
    parser.epilog = EXAMPLE
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add = parser.add_argument
    add("--why", action="store_true", help="show what would be added and why; submit nothing")
    add("--force", action="store_true", help="let what kilowait finds win over what you set")
    add("--json", action="store_true", help="with --why: one JSON object")
    risk = "how likely the time limit may end the job (default: %(default)g)"
    add("--risk", type=float, default=RISK, metavar="SHARE", help=risk)
    margin = f"minutes for what is not predicted: copies, compiling, other programs (default: {MARGIN_S / 60:g})"
    add("--margin", type=float, metavar="MIN", help=margin)
    add("--prefer", choices=PREFERENCES, default="finish", help="the best type (default: the one that is done first)")
    add_price_option(parser)


@dataclass(frozen=True, kw_only=True)
class _Call:
    """kilowait's options and the words that are Slurm's."""

    options: argparse.Namespace
    request: BatchRequest
    stdin: str | None = None


def run_words(command: str, words: Sequence[str]) -> int:
    """Run `sbatch` or `srun` with these words; its exit code."""
    environment = dict(os.environ)  # before anything that predicts adds to it: the job inherits it
    call = _call(command, words)
    as_it_is = partial(submit, SubmissionPlan(request=call.request), call.stdin, environment)
    if _is_no_job(call.request):
        return as_it_is()
    try:
        planned, advice, base = _planned(call)
    except Exception as error:  # whatever it is, the job is submitted: nobody loses one for an error of kilowait's
        kind = "" if isinstance(error, KilowaitError | OSError) else f"{type(error).__name__}: "
        said = escaped(f"{kind}{error}", LINES)
        sys.stderr.write(f"kilowait: warning: not predicted, so nothing is added: {said}\n")
        return 1 if call.options.why else as_it_is()
    if call.options.why and call.options.json:
        sys.stdout.write(json.dumps(_report(planned, advice), indent=1) + "\n")
        return 0
    (sys.stdout if call.options.why else sys.stderr).write(advice_table(advice) + _decisions(planned))
    if call.options.why:
        return 0
    _keep(advice, base)
    return submit(planned, call.stdin, environment)


def _call(command: str, words: Sequence[str]) -> _Call:
    """Kilowait's own options, wherever they stand before the script, and the rest; raises InputError."""
    parser = argparse.ArgumentParser(prog=f"kilowait {command}", allow_abbrev=False)
    add_arguments(parser)
    if words[:1] and words[0] in ("-h", "--help"):
        parser.parse_args(["--help"])
    own, rest = list[str](), list[str]()
    at = 0
    while at < len(words):
        if read_words(command, [*rest, words[at]], {}).script:
            break
        count = 2 if words[at] in _VALUES and _is_own(words[at:]) else 1
        (own if _is_own(words[at:]) else rest).extend(words[at : at + count])
        at += count
    options = parser.parse_args(own)
    if not 0 < options.risk < 1:
        raise InputError(f"--risk must be between 0 and 1, got {options.risk}; as 0.05")
    if options.margin is not None and not 0 <= options.margin < 1e6:
        raise InputError(f"--margin must be minutes >= 0, got {options.margin}")
    request = read_words(command, [*rest, *words[at:]], os.environ)
    return _with_text(_Call(options=options, request=request))


def _is_own(words: Sequence[str]) -> bool:
    """Whether the first of them is kilowait's; Slurm has a --prefer too, of features."""
    name, equals, value = words[0].partition("=")
    if name == "--prefer":
        return (value if equals else "".join(words[1:2])) in PREFERENCES
    return (name in _SWITCHES and not equals) or name in _VALUES


def _is_no_job(request: BatchRequest) -> bool:
    """Whether it only asks for help, or for a step of a job that runs already."""
    if any(name in request for name in ("help", "usage", "version")):
        return True
    return request.command == "srun" and ("SLURM_JOB_ID" in os.environ or "jobid" in request)


def _with_text(call: _Call) -> _Call:
    request = call.request
    if request.command == "srun" or "wrap" in request or request.several or _is_no_job(request):
        return call
    if not request.script:
        if isinstance(sys.stdin, io.TextIOWrapper):
            sys.stdin.reconfigure(errors="surrogateescape", newline="")  # it is passed on as it came
        stdin = sys.stdin.read()
        return replace(call, request=with_script(request, stdin), stdin=stdin)
    return replace(call, request=with_script(request, script_text(request.script)))


def _planned(call: _Call) -> tuple[SubmissionPlan, Advice, Advice]:
    """What is added, the advice that it rests on, the same before any correction; raises what keeps from predicting."""
    request, options = call.request, call.options
    if request.several:
        raise InputError("a heterogeneous job has several programs")
    if "ignore-pbs" not in request and re.search(r"^#PBS\s", request.text, re.MULTILINE):
        raise InputError("it has #PBS lines, which Slurm reads too and kilowait does not; --ignore-pbs says no")
    everything, note = _partitions()
    partitions = meant(everything, request.value("partition"))
    note = note or ("" if partitions else "Slurm tells of no partition that it could go to")
    reading = read_job(request)
    boards = boards_of(request, partitions)
    interpreter, no_python = python_of_job(request, os.environ)
    question = AdviceQuestion(
        reading=reading,
        gpu_types=tuple(boards) or named_type(request) or BESIDE,
        root=request.folder.absolute(),
        interpreter=interpreter,
        cost=partial(amounts_of, prices=prices_of(options)),
    )
    base = advice_of(question, os.environ)
    if not base.by_type:
        raise InputError(f"{base.program}: {base.dry_run}")
    advice, no_correction = _corrected(base)
    margin_s = MARGIN_S if options.margin is None else options.margin * 60
    advice = waiting_counted(advice, request, everything, options.risk, margin_s)
    settings = PlanSettings(
        risk=options.risk,
        margin_s=margin_s,
        margin_given=options.margin is not None,
        prefer=options.prefer,
        force=options.force,
    )
    planned = plan(request, advice, partitions, settings)
    return replace(planned, notes=(*filter(None, (note, no_python, no_correction)), *planned.notes)), advice, base


def named_type(request: BatchRequest) -> tuple[str, ...]:
    """The GPU type that was named, where the catalogue has it."""
    known = catalogue_type(request.gpu_type) if request.gpu_type else None
    return () if known is None else (known,)


def _partitions() -> tuple[dict[str, SlurmPartition], str]:
    """All partitions by name; none, and why, where Slurm does not say."""
    try:
        return ask_partitions(), ""
    except ServiceError as error:
        return {}, str(error)


def _corrected(base: Advice) -> tuple[Advice, str]:
    """The advice by what finished jobs taught; and why not, where that cannot be read."""
    try:
        return corrected(base, slurm_history(os.environ)), ""
    except KilowaitError as error:
        return base, f"not corrected by finished jobs: {error}"


def _keep(advice: Advice, base: Advice) -> None:
    try:
        keep(advice, base, ledger_folder(os.environ))
    except OSError as error:
        sys.stderr.write(f"kilowait: warning: the prediction is not kept for later: {error}\n")


def _decisions(planned: SubmissionPlan) -> str:
    lines = [f"  adds {addition.word}  ({addition.why})" for addition in planned.additions]
    lines += [f"  note: {note}" for note in planned.notes]
    return "\n".join(lines or ["  adds nothing: you set all of it"]) + "\n"


def _report(planned: SubmissionPlan, advice: Advice) -> dict[str, object]:
    return {
        "advice": advice.to_dict(),
        "adds": [{"word": addition.word, "why": addition.why} for addition in planned.additions],
        "notes": list(planned.notes),
        "command": [planned.request.command, *planned.words],
        "gpu_type": planned.gpu_type,
        "limit_s": planned.limit.seconds if planned.limit else None,
    }
