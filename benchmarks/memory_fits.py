"""How many measured runs are said to fit that did, and not to that did not: `python -m benchmarks.memory_fits`.

    python -m benchmarks.memory_fits --steps timm.csv.gz --python venv/bin/python
    python -m benchmarks.memory_fits --steps timm.csv.gz --python venv/bin/python --mode infer --per-family 3

Takes the layout of the measured steps (source, model, mode, channels_last, batch, image_size, gpu, torch_version) for
timm's models, where a row is the largest batch that fitted of 2048, 1536, 1024, 768, 512, 384, 256, 192, ... Each model
is run dry at that batch, which fitted, and at the next larger one, which did not. The same is told from the tensors
alone, as a baseline. Families (timm's modules) are split by a seed: constants were chosen on the first half, but the
other was looked at while two of them were settled, and names that mean other networks today were left out after a look.
"""

import argparse
import json
import random
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from benchmarks.json_record import keep
from kilowait.core.hardware import canonical
from kilowait.files.rows import needs, read_csv
from kilowait.predict.board_memory.memory_need import Fitting, memory_need
from kilowait.predict.dryrun.dry_program import DryProgram
from kilowait.predict.dryrun.dry_runner import DryRunner
from kilowait.predict.dryrun.record import DryRun
from kilowait.predict.interpreter import choose

COLUMNS = ("source", "model", "mode", "channels_last", "compile", "batch", "image_size", "gpu", "torch_version")
LADDER = (2048, 1536, 1024, 768, 512, 384, 256, 192, 128, 96, 64, 48, 32, 24, 16, 12, 8, 6, 4, 3, 2, 1)
LARGEST = {"train": 512, "infer": 1024}
OTHERS_NOW = ("tresnet", "ig_resnext101")
"""Names that stand for other networks today than when they were measured (in-place normalisation, other weights)."""
LAZY = (1, 13)
"""The version of PyTorch since which CUDA's kernels are loaded as they are used."""
FUSED = (2, 0)
"""The version of PyTorch since which timm's attention is one kernel."""
_HEAD = """
import timm, torch
timm.layers.set_fused_attn({fused})
model = timm.create_model({model!r}).cuda()
images = torch.randn({batch}, 3, {size}, {size}, device="cuda")
if {channels_last}:
    model = model.to(memory_format=torch.channels_last)
    images = images.contiguous(memory_format=torch.channels_last)
"""
PROGRAMS = {
    "train": _HEAD
    + """
optimizer, loss = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9), torch.nn.CrossEntropyLoss()
for _ in range(40):
    optimizer.zero_grad(set_to_none=False)
    with torch.autocast("cuda"):
        output = model(images)
        output = output[0] if isinstance(output, tuple) else output
        labels = torch.empty((len(images), *output.shape[1:-1]), device="cuda", dtype=torch.long).random_(1000)
        loss(output, labels).backward()
    optimizer.step()
""",
    "infer": _HEAD
    + """
model = model.eval()
with torch.inference_mode():
    for _ in range(40):
        with torch.autocast("cuda"):
            model(images)
""",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """A measured run at the largest batch that fitted, and the family of its model."""

    model: str
    family: str
    batch: int
    size: int
    channels_last: bool
    gpu: str
    torch: tuple[int, ...]

    @property
    def eager(self) -> bool:
        """Whether all of CUDA's kernels were loaded at once."""
        return self.torch < LAZY

    @property
    def too_many(self) -> int:
        """The next larger batch, which did not fit."""
        return LADDER[LADDER.index(self.batch) - 1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What was said of a run: `right` by the expected need, `held` unless the whole interval says the opposite, and
    `by_tensors`: right by the tensors alone."""

    family: str
    did_fit: bool
    right: bool
    held: bool
    by_tensors: bool
    width: float


def main(words: Sequence[str] | None = None) -> int:
    """Print the table, and JSON where it is asked for."""
    args = _parser().parse_args(words)
    chosen = _sampled(_read(args.steps, args), args.per_family, args.seed)
    verdicts = list(tqdm(_verdicts(chosen, args), total=2 * len(chosen), disable=None))
    families = sorted({run.family for run in chosen})
    random.Random(1).shuffle(families)
    first = set(families[: len(families) // 2])
    halves = {"chosen on": [v for v in verdicts if v.family in first]}
    halves |= {"held out": [v for v in verdicts if v.family not in first], "all": verdicts}
    report = {name: _shares(part) for name, part in halves.items() if part}
    for name, shares in report.items():
        print(f"{name:>9}: " + ", ".join(f"{key} {value:.3g}" for key, value in shares.items()))
    keep({"mode": args.mode, "seed": args.seed, **report}, args.json)
    return 0


def _shares(verdicts: Sequence[Verdict]) -> dict[str, float]:
    fitted, lacked = [v for v in verdicts if v.did_fit], [v for v in verdicts if not v.did_fit]
    shares: dict[str, float] = {"runs": len(verdicts)}
    for name, part in (("fitted", fitted), ("did not fit", lacked)):
        shares[f"{name}: right"] = sum(v.right for v in part) / len(part)
        shares[f"{name}: right by tensors alone"] = sum(v.by_tensors for v in part) / len(part)
        shares[f"{name}: not against the interval"] = sum(v.held for v in part) / len(part)
    return shares


def _verdicts(runs: Sequence[Fitted], args: argparse.Namespace) -> Iterable[Verdict]:
    with DryRunner(budget_s=args.budget_s, interpreter=choose(python=args.python), unsafe=args.unsafe) as runner:
        for run in runs:
            for batch, did_fit in ((run.batch, True), (run.too_many, False)):
                dry = runner.run_program(_program(run, batch, args.mode))
                if dry.usable and dry.completeness != "partial":
                    yield _verdict(run, dry, did_fit)
                else:
                    print(f"{run.model}: {dry.completeness}: {dry.reason[:100]}", file=sys.stderr)


def _verdict(run: Fitted, dry: DryRun, did_fit: bool) -> Verdict:
    need = memory_need(dry, run.gpu, eager=run.eager)
    opposite = Fitting.TOO_LARGE if did_fit else Fitting.FITS
    if need.fits != did_fit:
        print(
            f"{run.model}: expected {need.expected / 2**30:.1f} GiB, did {'' if did_fit else 'not '}fit",
            file=sys.stderr,
        )
    return Verdict(
        family=run.family,
        did_fit=did_fit,
        right=need.fits == did_fit,
        held=need.fitting != opposite,
        by_tensors=(dry.peak_memory_bytes <= need.available) == did_fit,
        width=need.high / need.low,
    )


def _program(run: Fitted, batch: int, mode: str) -> DryProgram:
    text = PROGRAMS[mode].format(
        model=run.model,
        batch=batch,
        size=run.size,
        channels_last=run.channels_last,
        fused=run.torch >= FUSED,
    )
    return DryProgram(files={"job.py": text.encode()}, entrypoint="job.py", content_hash="memory")


def _read(path: Path, args: argparse.Namespace) -> list[Fitted]:
    rows = [row.values for row in read_csv(path, needs(path, COLUMNS)) if _asked(row.values, args)]
    families = _families([row["model"] for row in rows], args.python)
    return [
        Fitted(
            model=row["model"],
            family=families[row["model"]],
            batch=int(row["batch"]),
            size=int(row["image_size"]),
            channels_last=row["channels_last"] == "yes",
            gpu=canonical(row["gpu"]),
            torch=tuple(int(part) for part in row["torch_version"].split("+")[0].split(".")[:2]),
        )
        for row in rows
        if row["model"] in families
    ]


def _asked(row: Mapping[str, str], args: argparse.Namespace) -> bool:
    of_timm = row["source"].startswith("timm") and row["compile"] == "no" and not row["model"].startswith(OTHERS_NOW)
    wanted = row["mode"] == args.mode and row["gpu"] == args.gpu and row["channels_last"] == args.channels_last
    return of_timm and wanted and int(row["batch"]) < LARGEST[args.mode]


def _families(models: Sequence[str], python: str) -> dict[str, str]:
    """The module of timm that defines each model, as the job's own timm says; those that it lacks are left out."""
    code = (
        "import json, sys\nfrom timm.models import _registry\nmodules = _registry._model_to_module\n"
        "print(json.dumps({m: modules[m.split('.')[0]] for m in json.load(sys.stdin) if m.split('.')[0] in modules}))"
    )
    done = subprocess.run([python, "-c", code], input=json.dumps(models), capture_output=True, text=True, check=True)
    found: dict[str, str] = json.loads(done.stdout)
    return found


def _sampled(runs: Sequence[Fitted], per_family: int, seed: int) -> list[Fitted]:
    by_family: dict[str, list[Fitted]] = defaultdict(list)
    for run in sorted(runs, key=lambda run: run.model):
        by_family[run.family].append(run)
    rng = random.Random(seed)
    return [
        run
        for family in sorted(by_family)
        for run in rng.sample(by_family[family], min(per_family, len(by_family[family])))
    ]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add: Any = parser.add_argument
    add("--steps", type=Path, required=True, metavar="FILE", help="measured steps, CSV or CSV.gz")
    add("--python", required=True, metavar="PATH", help="an interpreter with timm and torch")
    add("--mode", choices=sorted(PROGRAMS), default="train")
    add("--gpu", default="RTX-3090", help="rows of this type (default: %(default)s)")
    add("--channels-last", choices=("yes", "no"), default="no")
    add("--per-family", type=int, default=2, metavar="N", help="models of each family (default: %(default)s)")
    add("--seed", type=int, default=1, metavar="N", help="which models (default: %(default)s)")
    add("--budget-s", type=float, default=60.0, metavar="S", help="CPU seconds a dry run (default: %(default)s)")
    add("--unsafe", action="store_true", help="without a sandbox: programs of timm are trusted")
    add("--json", type=Path, metavar="FILE", help="write the shares there")
    return parser


if __name__ == "__main__":
    sys.exit(main())
